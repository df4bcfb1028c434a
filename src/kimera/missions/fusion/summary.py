"""The answer in one to five sentences, and the findings; each sentence names the claims it rests on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest

from kimera.errors import ValidationError
from kimera.missions.contracts import Agreement, Conflict, Finding, NumberClaim, SubQuestion, TextClaim
from kimera.missions.fusion.wording import one_line, sentence

__all__ = ["checked", "choose_findings", "choose_summary"]

MOST_SENTENCES = 5
FEWEST_WITH_ANSWER = 3  # a direct answer of fewer sentences is followed by the best findings
BEST_NUMBERS, BEST_TEXTS = 2, 2  # without a direct answer the summary opens with these many of each
NUMBERS_LABEL = "Computed from the tables"
TEXTS_LABEL = "Stated in the documents"
CONTEXT_LABEL = "Context"

AnyClaim = TextClaim | NumberClaim


def checked(findings: Sequence[Finding], claims: Collection[str]) -> tuple[Finding, ...]:
    """Return ``findings`` unchanged; raises ValidationError when one rests on a claim that does not exist."""
    for finding in findings:
        missing = [claim for claim in finding.claims if claim not in claims]
        if missing:
            raise ValidationError(f"The sentence {finding.text!r} rests on unknown claims {missing}.", "claims")
    return tuple(findings)


def choose_summary(
    claims: Sequence[AnyClaim], agreements: Sequence[Agreement], conflicts: Sequence[Conflict], old: frozenset[str]
) -> list[Finding]:
    """Return the answer: claims in the role of an answer first, then the best of both tracks in turn.

    ``old`` claims never stand for the answer; where one was replaced, the next sentence says so and names it.
    """
    usable = [claim for claim in claims if claim.id not in old and claim.role != "context"]
    answers = sorted((c for c in usable if c.role == "answer"), key=_rank)
    numbers = sorted((c for c in usable if c.role != "answer" and c.kind == "number"), key=_rank)
    texts = sorted((c for c in usable if c.role != "answer" and c.kind == "text"), key=_rank)
    turn = [c for c in chain(*zip_longest(numbers[:BEST_NUMBERS], texts[:BEST_TEXTS])) if c is not None]
    if answers:
        # Answers of different tracks take turns too; one more finding of the other kind gives them ground.
        by_track = [[c for c in answers if c.kind == kind] for kind in ("number", "text")]
        answers = [c for c in chain(*zip_longest(*by_track)) if c is not None]
        turn = turn[: max(0, FEWEST_WITH_ANSWER - len(answers))]
    by_id = {claim.id: claim for claim in claims}
    chosen: list[Finding] = []
    for claim in _distinct([*answers, *turn], agreements):
        if len(chosen) >= MOST_SENTENCES:
            break
        chosen.append(_with_support(claim, agreements, by_id))
        replaced = _replaced(claim, agreements, conflicts, old, by_id)
        if replaced is not None and len(chosen) < MOST_SENTENCES and replaced not in chosen:
            chosen.append(replaced)
    return chosen


def choose_findings(
    claims: Sequence[AnyClaim], summary: Sequence[Finding], sub_questions: Sequence[SubQuestion], old: frozenset[str]
) -> list[Finding]:
    """Return every claim that leads no summary sentence: numbers, then texts by sub-question, then context."""
    shown = {finding.claims[0] for finding in summary}
    titles = {item.id: one_line(item.text) for item in sub_questions}
    order = {item.id: number for number, item in enumerate(sub_questions)}
    rest = [claim for claim in claims if claim.id not in shown]

    def place(claim: AnyClaim) -> tuple[int, int, bool, tuple[int, float, str]]:
        part = 2 if claim.role == "context" else (0 if claim.kind == "number" else 1)
        return (
            part,
            order.get(claim.sub_question or "", len(order)) if part == 1 else 0,
            claim.id in old,
            _rank(claim),
        )

    return [
        Finding(text=sentence(claim.statement), claims=(claim.id,), label=_label(claim, titles))
        for claim in sorted(rest, key=place)
    ]


def _label(claim: AnyClaim, titles: Mapping[str, str]) -> str:
    if claim.role == "context":
        return CONTEXT_LABEL
    if claim.kind == "number":
        return NUMBERS_LABEL
    return titles.get(claim.sub_question or "", TEXTS_LABEL)


def _rank(claim: AnyClaim) -> tuple[int, float, str]:
    doubtful = claim.tau is None or claim.tau.value is None or claim.tau.value < 0.2
    return (int(doubtful), -claim.relevance, claim.id)


def _distinct(claims: Sequence[AnyClaim], agreements: Sequence[Agreement]) -> list[AnyClaim]:
    """Return the claims without those that only repeat an earlier one in agreement with it or word for word."""
    kept: list[AnyClaim] = []
    said: set[str] = set()
    for claim in claims:
        words = one_line(claim.statement).casefold()
        repeats = words in said or any(
            claim.id in group.claims and any(other.id in group.claims for other in kept) for group in agreements
        )
        if not repeats:
            kept.append(claim)
            said.add(words)
    return kept


def _with_support(claim: AnyClaim, agreements: Sequence[Agreement], by_id: Mapping[str, AnyClaim]) -> Finding:
    allies = [
        other
        for group in agreements
        if claim.id in group.claims
        for other in group.claims
        if other != claim.id and other in by_id
    ]
    return Finding(text=sentence(claim.statement), claims=(claim.id, *dict.fromkeys(allies)))


def _replaced(
    claim: AnyClaim,
    agreements: Sequence[Agreement],
    conflicts: Sequence[Conflict],
    old: frozenset[str],
    by_id: Mapping[str, AnyClaim],
) -> Finding | None:
    """Return the sentence that names the older figure this claim replaces, or the one that contradicts it."""
    allies = {claim.id}.union(*(group.claims for group in agreements if claim.id in group.claims))
    for conflict in conflicts:
        if not allies & set(conflict.claims):
            continue
        others = [
            c for c in conflict.claims if c in by_id and c not in allies and (conflict.current is None or c in old)
        ]
        if others:
            opening = "An older source differs" if conflict.current else "Another source disagrees"
            said = one_line(by_id[others[0]].statement)
            return Finding(text=sentence(f"{opening}: “{said}”"), claims=tuple(others))
    return None
