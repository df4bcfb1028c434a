"""Is there enough independent evidence? Copies of one voice count as one voice."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from kimera.guardian.tau._value import Calibration, TauValue, judged, logistic, unjudged

__all__ = ["EvidenceItem", "evidence_set"]

EVENT = "the evidence is enough to answer the sub-question"
RULE = Calibration("evidence-loglr@1", domain="log-likelihood ratios of independent clusters")
PROVENANCE = {"own": 1.0, "listed": 0.8, "unknown": 0.5, "failed": 0.0}
NEAR_DUPLICATE = 0.8
SHINGLE = 5
TAMPERED = 0.25
TWO_PART_SUFFIX = re.compile(r"^(?:ac|co|com|edu|gob|gov|mil|ne|net|or|org)$")
DETAIL = re.compile(r"\w*\d[\w.,/:-]*")


@dataclass(frozen=True)
class EvidenceItem:
    """One piece of evidence; ``llr`` is its log-likelihood ratio, ``ancestry`` the citations it goes back to."""

    source_id: str
    domain: str
    text: str
    llr: float
    provenance: Literal["own", "listed", "unknown", "failed"] = "unknown"
    age_days: float = 0.0
    half_life_days: float | None = None
    ancestry: tuple[str, ...] | None = None

    @property
    def weight(self) -> float:
        """Return provenance x .5^(age / half-life)."""
        decay = 0.5 ** (self.age_days / self.half_life_days) if self.half_life_days else 1.0
        return PROVENANCE[self.provenance] * decay


def evidence_set(
    items: Sequence[EvidenceItem], prior: float = 0.5, lam: float = 0.6, coverage: float = 1.0
) -> TauValue:
    """Return min(coverage, logistic(logit(prior) + lam x sum of cluster weight x lowest llr)).

    Items cluster by registrable domain, word 5-shingle Jaccard >= .8 and shared ancestry; a cluster speaks once, with
    its lowest ratio. ``lam`` .6 is fitted: votes are not independent. Items of weight 0 are not evidence; without any
    other the value is None. Near duplicates that differ in a number, date or identifier weigh a quarter.
    """
    usable = sorted((item for item in items if item.weight > 0), key=_order)
    if not usable:
        return unjudged(EVENT, RULE)
    clusters, tampered = _clusters(usable)
    parts = [_say(cluster) * (TAMPERED if number in tampered else 1.0) for number, cluster in clusters.items()]
    total = math.fsum(sorted(parts))
    tau = min(coverage, logistic(math.log(prior / (1 - prior)) + lam * total))
    caps = ("DUPLICATE_TAMPER",) if tampered else ()
    return judged(tau, EVENT, RULE, {"clusters": float(len(clusters)), "sum": total}, caps)


def _order(item: EvidenceItem) -> tuple[str, str, str, float]:
    return (item.source_id, item.domain, item.text, item.llr)


def _say(cluster: Sequence[EvidenceItem]) -> float:
    # The member that says least decides; taking the smallest product keeps "one more copy never raises" true for
    # copies of other ages and for refuting evidence too.
    lowest = min(item.llr for item in cluster)
    return min(item.weight * lowest for item in cluster)


def _clusters(items: Sequence[EvidenceItem]) -> tuple[dict[int, list[EvidenceItem]], set[int]]:
    root = list(range(len(items)))

    def find(number: int) -> int:
        while root[number] != number:
            number = root[number]
        return number

    shingles = [_shingles(item.text) for item in items]
    altered = []
    for left, right in combinations(range(len(items)), 2):
        near = _jaccard(shingles[left], shingles[right]) >= NEAR_DUPLICATE
        if near and _details(items[left].text) != _details(items[right].text):
            altered.append(left)
        if near or _related(items[left], items[right]):
            first, second = sorted((find(left), find(right)))
            root[second] = first
    clusters: dict[int, list[EvidenceItem]] = {}
    for number, item in enumerate(items):
        clusters.setdefault(find(number), []).append(item)
    return clusters, {find(number) for number in altered}


def _related(left: EvidenceItem, right: EvidenceItem) -> bool:
    same_domain = bool(left.domain) and _registrable(left.domain) == _registrable(right.domain)
    return same_domain or bool(set(left.ancestry or ()) & set(right.ancestry or ()))


def _registrable(domain: str) -> str:
    labels = domain.lower().rstrip(".").split(".")
    keep = 3 if len(labels) > 2 and len(labels[-1]) == 2 and TWO_PART_SUFFIX.match(labels[-2]) else 2
    return ".".join(labels[-keep:])


def _shingles(text: str) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return frozenset(tuple(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1)) if words)


def _jaccard(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    return len(left & right) / len(left | right) if left and right else 0.0


def _details(text: str) -> list[str]:
    return sorted(match.group().rstrip(".,:-/") for match in DETAIL.finditer(text.lower()))
