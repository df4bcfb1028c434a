"""The predictions written down plainly over difflib: no index, no cache, no arrays. The product must agree with it.

Patterns are dicts ``{events, frequency, outcomes, utility}``; vectors and affinities are plain dicts by symbol.
"""

# ruff: noqa: N806, PLR0915 - the letters are those of the definition, which is read from top to bottom
from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

Events = Sequence[Sequence[str]]


def pattern_id(events: Events) -> str:
    """Return the content address of a list of events."""
    data = b"kimera.pattern.v1\0" + len(events).to_bytes(4, "big")
    for event in events:
        data += len(event).to_bytes(4, "big")
        for symbol in event:
            raw = symbol.encode()
            data += len(raw).to_bytes(4, "big") + raw
    return "p1:" + hashlib.sha256(data).hexdigest()


def flatten(events: Events) -> list[str]:
    """Return the symbols of all events, in order."""
    return [symbol for event in events for symbol in event]


def event_of(events: Events) -> list[int]:
    """Return for each flattened symbol the index of its event."""
    return [i for i, event in enumerate(events) for _ in event]


def subsequence(a: str, b: str) -> int:
    """Return the length of the longest common subsequence of two strings."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = row[:]
        for j, y in enumerate(b):
            row[j + 1] = before[j] + 1 if x == y else max(before[j + 1], row[j])
    return row[-1]


def cosine_distance(u: Sequence[float], v: Sequence[float]) -> float:
    """Return 1 - cosine, never below 0; infinite when a side is zero or the dimensions differ."""
    uu, vv = math.fsum(x * x for x in u), math.fsum(x * x for x in v)
    if len(u) != len(v) or uu == 0 or vv == 0:
        return math.inf
    return max(0.0, 1 - math.fsum(x * y for x, y in zip(u, v, strict=True)) / math.sqrt(uu * vv))


def is_vector(symbol: str) -> bool:
    """Return whether a symbol names a vector."""
    return symbol.startswith("VCTR|")


def nearest(x: str, symbols: set[str], vectors: dict[str, Any], options: dict[str, Any]) -> tuple[str, float] | None:
    """Return the symbol of a pattern that an observed one is taken for, with their similarity."""
    found = []
    for y in sorted(symbols):
        if is_vector(x) and is_vector(y) and x in vectors and y in vectors:
            distance = cosine_distance(vectors[x], vectors[y])
            if distance <= options["vector_max_distance"]:
                found.append((distance, y, 1 - distance))
        elif not is_vector(x) and not is_vector(y) and options["fuzzy_token_threshold"] > 0:
            similarity = 2 * subsequence(x, y) / (len(x) + len(y))
            if similarity >= options["fuzzy_token_threshold"]:
                found.append((-similarity, y, similarity))
    if not found:
        return None
    best = min(found)
    return best[1], best[2]


class Alignment:
    """Align one pattern with the short-term memory, near symbols replaced."""

    def __init__(self, events: Events, stm: Events, vectors: dict[str, Any], options: dict[str, Any]) -> None:
        self.P, self.raw = flatten(events), flatten(stm)
        self.near: dict[str, tuple[str, float]] = {}
        for x in set(self.raw) - set(self.P):
            found = nearest(x, set(self.P), vectors, options)
            if found:
                self.near[x] = found
        self.S = [self.near[x][0] if x in self.near else x for x in self.raw]
        matcher = SequenceMatcher(None, self.P, self.S, autojunk=False)
        self.blocks = [block for block in matcher.get_matching_blocks() if block.size]
        self.pairs = [(a + k, b + k) for a, b, size in self.blocks for k in range(size)]
        at = event_of(events)
        self.first = at[self.pairs[0][0]] if self.pairs else 0
        self.last = at[self.pairs[-1][0]] if self.pairs else -1
        self.past, self.present = list(events[: self.first]), list(events[self.first : self.last + 1])
        self.future = list(events[self.last + 1 :])
        in_pattern, in_stm = {i for i, _ in self.pairs}, {j for _, j in self.pairs}
        self.missing: list[list[str]] = [[] for _ in self.present]
        for i, x in enumerate(self.P):
            if self.first <= at[i] <= self.last and i not in in_pattern:
                self.missing[at[i] - self.first].append(x)
        self.extras: list[list[str]] = [[] for _ in stm]
        for j, (x, e) in enumerate(zip(self.raw, event_of(stm), strict=True)):
            if j not in in_stm:
                self.extras[e].append(x)
        self.matches = [self.raw[j] for _, j in self.pairs]
        self.anomalies = [
            {"observed": self.raw[j], "expected": self.S[j], "similarity": self.near[self.raw[j]][1]}
            for _, j in self.pairs
            if self.raw[j] != self.S[j]
        ]


def similarity_of(a: Alignment, options: dict[str, Any]) -> float:
    """Return the similarity over symbols, or over characters where asked."""
    if options["matching"] == "tokens":
        return 2 * len(a.pairs) / (len(a.P) + len(a.S))
    p, s = " ".join(a.P), " ".join(a.raw)
    blocks = SequenceMatcher(None, p, s, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks) / (len(p) + len(s))


def no_minus_zero(x: float) -> float:
    """Return 0.0 for -0.0."""
    return 0.0 if x == 0 else x


def entropy_of(probabilities: Sequence[float]) -> float:
    """Return -sum q log2 q."""
    return no_minus_zero(-math.fsum(q * math.log2(q) for q in probabilities))


def predict(
    patterns: Sequence[dict[str, Any]],
    stm: Events,
    options: dict[str, Any],
    vectors: dict[str, Any] | None = None,
    affinity: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Return what the product's answer holds, without bodies, sequence number and options."""
    N, T = len(patterns), sum(p["frequency"] for p in patterns)
    n = Counter(x for p in patterns for x in set(flatten(p["events"])))
    occurrences: Counter[str] = Counter()
    for p in patterns:
        for x in flatten(p["events"]):
            occurrences[x] += p["frequency"]
    V = len(n)
    outcomes = sum(p["outcomes"] for p in patterns)
    mean_utility = math.fsum(p["utility"] for p in patterns) / outcomes if outcomes else 0.5
    weigh = {x: abs((affinity or {}).get(x, 0.0)) / occurrences[x] + 0.01 for x in n}

    ensemble = []
    for p in patterns if flatten(stm) else []:
        a = Alignment(p["events"], stm, vectors or {}, options)
        similarity = similarity_of(a, options)
        anchored = options["anchor"] == "anywhere" or (a.pairs and a.first == 0)
        if similarity >= options["recall_threshold"] and anchored:
            ensemble.append((p, a, similarity))
    F = sum(p["frequency"] for p, _, _ in ensemble)
    W = math.fsum(p["frequency"] * similarity for p, _, similarity in ensemble)

    futures: dict[str, list[Any]] = {}
    for p, a, similarity in ensemble:
        if a.future:
            futures.setdefault(pattern_id(a.future), []).append((p, a, similarity))
    weight_of = {key: math.fsum(p["frequency"] * sim for p, _, sim in group) for key, group in futures.items()}
    all_futures = math.fsum(p["frequency"] * sim for group in futures.values() for p, _, sim in group)
    share = {key: (weight / all_futures if all_futures else 0.0) for key, weight in weight_of.items()}

    predictions = []
    for p, a, similarity in ensemble:
        f, L, s, m = p["frequency"], len(a.P), len(a.S), len(a.pairs)
        b, e = len(a.blocks), s - m
        c, cs = Counter(flatten(a.present)), Counter(a.S)
        size = sum(c.values())
        evidence, confidence = m / L, (m / size if size else 0.0)
        snr = (2 * m - e) / (2 * m + e) if 2 * m + e else 0.0
        dot = sum(c[x] * cs[x] * n[x] ** 2 for x in c)
        uu, vv = sum((c[x] * n[x]) ** 2 for x in c), sum((cs[x] * n[x]) ** 2 for x in c)
        cosine = dot / math.sqrt(uu * vv) if uu and vv else 0.0
        itfdf = 1 - (1 - cosine) * f / F
        entropy = entropy_of([k / size for k in c.values()])
        overall = entropy_of([n[x] / N for x in c])
        product = 1.0
        for pr in sorted(n[x] / N for x in c.elements()):
            product *= pr
        strength = similarity * f / F
        key = pattern_id(a.future) if a.future else ""
        information = min(1.0, strength / share[key]) if key and share[key] else 0.0
        tfidf = math.fsum(k / size * (math.log2(N / n[x]) + 1) for x, k in c.items()) / len(c) if c else 0.0
        row: dict[str, Any] = {
            "id": pattern_id(p["events"]),
            "sequence": [list(event) for event in p["events"]],
            "length": L,
            "frequency": f,
            "matches": a.matches,
            "past": [list(event) for event in a.past],
            "present": [list(event) for event in a.present],
            "future": [list(event) for event in a.future],
            "missing": a.missing,
            "extras": a.extras,
            "anomalies": a.anomalies,
            "alignment": [list(pair) for pair in a.pairs],
            "similarity": similarity,
            "evidence": evidence,
            "confidence": confidence,
            "snr": snr,
            "fragmentation": b - 1,
            "itfdf_similarity": itfdf,
            "confluence": f / T * (1 - product) if m else 0.0,
            "entropy": entropy,
            "normalized_entropy": entropy / math.log2(V) if V > 1 else 0.0,
            "global_normalized_entropy": overall / math.log2(V) if V > 1 else 0.0,
            "tfidf_score": tfidf,
            "pattern_probability": f / F,
            "bayesian_prior": f / F,
            "bayesian_likelihood": similarity,
            "bayesian_posterior": f * similarity / W if W else 0.0,
            "weighted_strength": strength,
            "predictive_information": information,
            "utility": (p["utility"] + 2 * mean_utility) / (p["outcomes"] + 2),
            "outcomes": p["outcomes"],
            "weighted_similarity": None,
            "weighted_evidence": None,
            "weighted_confidence": None,
            "weighted_snr": None,
        }
        row["hamiltonian"], row["grand_hamiltonian"] = row["normalized_entropy"], row["global_normalized_entropy"]
        if options["affinity_emotive"] is not None:
            total = lambda symbols: math.fsum(weigh.get(x, 0.01) for x in symbols)  # noqa: E731
            wm, wp = total(a.P[i] for i, _ in a.pairs), total(flatten(a.present))
            matched = {j for _, j in a.pairs}
            we = total(x for j, x in enumerate(a.S) if j not in matched)
            row["weighted_similarity"] = 2 * wm / (total(a.P) + total(a.S))
            row["weighted_evidence"] = evidence = wm / total(a.P)
            row["weighted_confidence"] = confidence = wm / wp if wp else 0.0
            row["weighted_snr"] = snr = (2 * wm - we) / (2 * wm + we) if 2 * wm + we else 0.0
        row["potential"] = (evidence + confidence) * snr + itfdf + 1 / b if m else 0.0
        predictions.append(row)

    sign = 1 if options["rank_by"] == "fragmentation" else -1
    predictions.sort(key=lambda row: (sign * row[options["rank_by"]], row["id"]))
    potentials = [
        {
            "future": [list(event) for event in group[0][1].future],
            "aggregate_potential": share[key],
            "supporting_patterns": len(group),
            "total_weighted_frequency": weight_of[key],
        }
        for key, group in sorted(futures.items(), key=lambda item: (-share[item[0]], item[0]))
    ]
    return {
        "predictions": predictions[: options["max_predictions"]],
        "future_potentials": potentials,
        "statistics": {
            "patterns": N,
            "symbols": V,
            "total_frequency": T,
            "ensemble": len(ensemble),
            "ensemble_frequency": F,
            "ensemble_weight": W,
        },
    }
