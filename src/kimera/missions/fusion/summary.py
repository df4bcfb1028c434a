"""The answer in one to five sentences, and the findings; each sentence names the claims it rests on."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest

from kimera.errors import ValidationError
from kimera.guardian.tau import recall3
from kimera.knowledge.units import split_unit
from kimera.missions.contracts import Agreement, Conflict, Finding, NumberClaim, SubQuestion, TextClaim
from kimera.missions.fusion.topics import stems
from kimera.missions.fusion.wording import one_line, sentence

__all__ = ["checked", "choose_findings", "choose_summary"]

MOST_SENTENCES = 5
HOLDING = 0.05  # adjusted p below which a computed relation counts as found
MOST_RELATIONS = 3
BEST_NUMBERS, BEST_TEXTS = 2, 2  # findings of each kind that open a report beside or without direct answers
COVERS = 0.75  # share of a question's words that a sentence must hold to be taken as its answer
DIRECT = re.compile(
    r"\s*(?:what(?:'s| is| was| are| were)|how (?:many|much|old|long|high|large|far)|when|who|where)\b", re.I
)
RELATING = re.compile(
    r"\b(?:factors?|driv\w+|affect\w*|influenc\w*|associat\w*|relat\w*|correlat\w*|differ\w*|depend\w*|link\w*|"
    r"go(?:es)? with)\b",
    re.I,
)
CHOOSING = re.compile(r"\s*(?:which|is|are|was|were|do|does|did|has|have|how (?:do|does|did|is|are))\b", re.I)
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
    question: str,
    claims: Sequence[AnyClaim],
    agreements: Sequence[Agreement],
    conflicts: Sequence[Conflict],
    old: frozenset[str],
    archived: frozenset[str] = frozenset(),
) -> list[Finding]:
    """Return the answer: computed answers first, then quoted ones and the best findings of both tracks in turn.

    ``old`` claims never stand for the answer; where one was replaced, the last sentence says so and names it.
    ``archived`` claims, which only archived files state, open a report when there is nothing else.
    """
    by_id = {claim.id: claim for claim in claims}
    standing = [claim for claim in claims if claim.id not in old]
    fresh = [claim for claim in standing if claim.id not in archived]
    openers = _distinct(_openers(question, fresh) or _openers(question, standing), agreements)
    openers = _to_the_point(question, openers)[:MOST_SENTENCES]
    remarks = [_replaced(claim, agreements, conflicts, old, by_id) for claim in openers]
    remark = next((found for found in remarks if found is not None), None)
    if remark is not None:
        openers = openers[: MOST_SENTENCES - 1]
    chosen = [_with_support(claim, agreements, by_id) for claim in openers]
    return [*chosen, remark] if remark is not None else chosen


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


def _openers(question: str, claims: Sequence[AnyClaim]) -> list[AnyClaim]:
    """Return what may open the report, best first: computed answers, then both tracks in turn."""
    usable = sorted((claim for claim in claims if claim.role != "context"), key=_rank)
    numbers = [claim for claim in usable if isinstance(claim, NumberClaim)]
    texts = [claim for claim in usable if isinstance(claim, TextClaim)]
    computed = [claim for claim in numbers if claim.role == "answer"]
    quoted = [claim for claim in texts if claim.role == "answer"]
    if computed:
        return [*computed, *(quoted or texts)[:BEST_TEXTS]]
    if DIRECT.match(question) and texts and not RELATING.search(question):
        # a question for one figure that nothing answers: what goes with what would only pose as its answer
        numbers = [claim for claim in numbers if claim.p_adjusted is None]
    holding = [claim for claim in numbers if _holds(claim)][:MOST_RELATIONS]
    if holding:
        beside = [claim for claim in (quoted or texts) if not any(_same_relation(claim, found) for found in holding)]
        untested = [claim for claim in numbers if claim.p_adjusted is None][: max(0, BEST_NUMBERS - len(holding))]
        turns = zip_longest(beside[:BEST_TEXTS], untested)
        return [*holding, *(claim for claim in chain(*turns) if claim is not None)]
    pair = (quoted, numbers[:BEST_NUMBERS]) if quoted else (numbers[:BEST_NUMBERS], texts[:BEST_TEXTS])
    return [claim for claim in chain(*zip_longest(*pair)) if claim is not None]


def _holds(claim: NumberClaim) -> bool:
    return claim.p_adjusted is not None and claim.p_adjusted < HOLDING


def _same_relation(text: AnyClaim, found: NumberClaim) -> bool:
    """Return whether a sentence speaks of the same two things as a computed relation; its values are not compared."""
    _, _, pair = (found.about.attribute or "").partition(" of ")
    sides = [_content(side) for side in pair.rsplit(" of ", 1)[-1].split(" and ")]
    said = stems(text.statement)
    return len(sides) == 2 and all(side and side <= said for side in sides)


def _content(name: str) -> frozenset[str]:
    return stems(split_unit(name)[0])


def _to_the_point(question: str, openers: Sequence[AnyClaim]) -> list[AnyClaim]:
    """Return, for a question that asks for one thing, only computed answers and the sentences that cover it best."""
    computed = any(claim.kind == "number" and claim.role == "answer" for claim in openers)
    if not DIRECT.match(question) and not (computed and CHOOSING.match(question)):
        return list(openers)
    fit = {claim.id: (recall3(question, claim.statement), recall3(claim.statement, question)) for claim in openers}
    best = max(fit.values(), default=(0.0, 0.0))
    if best[0] < COVERS:
        return [c for c in openers if not computed or (c.kind == "number" and c.role == "answer")]
    # Equal cover: the sentence with the least beside the point; "of gentoo penguins" is more than was asked.
    return [c for c in openers if fit[c.id] >= best or (c.kind == "number" and c.role == "answer")]


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
            return Finding(text=sentence(f"{opening}: “{said}”"), claims=(others[0],))
    return None
