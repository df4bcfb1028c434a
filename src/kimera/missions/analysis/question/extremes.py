"""Reading which group, row or column is at an edge: highest, fewest, most correlated."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.slots import Slot

__all__ = ["read_extreme", "strongest"]

_STATISTICS = {"mean": r"\b(?:mean|average|avg)\b", "median": r"\bmedian\b", "sum": r"\b(?:sum|total)\b"}
_DOWN = r"\b(?:lowest|least|smallest|minimum|min|fewest|youngest|shortest|worst)\b"


def read_extreme(kind: str, slot: Slot, context: Context) -> Measure:
    name = " ".join(slot.tokens)
    if kind == "strongest":
        return _strongest(name, context)
    if re.search(r"\bmissing|\bnull", name + " " + slot.about):
        return Measure(kind="most_missing")
    low = re.search(_DOWN, name + " " + slot.about, re.IGNORECASE) is not None
    for sentence, _ in context.with_words(
        r"\b(?:highest|most|largest|greatest|maximum|max|top|best|lowest|least|smallest|minimum|min|fewest|oldest|youngest|longest|shortest)\b"
    ):
        measure = _extreme_in(sentence, slot, context)
        if measure is not None:
            return measure.model_copy(update={"options": {**measure.options, "low": low}})
    raise Unanswerable("the group or the value of the extreme was not recognised")


def _extreme_in(sentence: str, slot: Slot, context: Context) -> Measure | None:
    """Read ``which A has the highest [average] B``: A names groups, B is compared."""
    edge = re.search(
        r"\b(?:highest|most|largest|greatest|maximum|max|top|best|lowest|least|smallest|minimum|min|fewest|oldest|youngest|longest|shortest)\b",
        sentence,
        re.IGNORECASE,
    )
    if edge is None:
        return None
    linked = find_columns(sentence, context.table)
    before = [
        m.column
        for m in linked
        if m.end <= edge.start() and (context.column(m.column).role != "number" or m.column in context.groups)
    ]
    after = [m.column for m in linked if m.start >= edge.end() and context.column(m.column).numeric and not m.entity]
    by = before[0] if before else next((c for c in [*context.slot_columns(slot), *context.groups]), None)
    conditioned = context.set_apart()
    after = [c for c in after if c not in conditioned] or after
    if by is None:
        return None
    if re.match(r"\s*(?:number of|frequent|common|count of)", sentence[edge.end() :], re.IGNORECASE) and not after:
        return Measure(kind="extreme_group", columns=(), by=by, options={"statistic": "count"})
    if not after or after[0] == by:
        return None
    having = _least_rows(by, context)
    statistic = next(
        (k for k in _STATISTICS if re.search(_STATISTICS[k], sentence[edge.start() :], re.IGNORECASE)),
        "value",
    )
    if statistic == "sum" and re.match(r"total", after[0], re.IGNORECASE):
        statistic = "value"
    return Measure(kind="extreme_group", columns=(after[0],), by=by, options={"statistic": statistic, **having})


def _least_rows(by: str, context: Context) -> dict[str, int]:
    """Read ``brands that have at least 10 hotels``: groups of fewer rows are left out."""
    for sentence, end in context.with_words(
        r"\b(?:have|has|having|with)\s+(?:at least|a minimum of|more than)\s+\d+\s+"
    ):
        number = re.search(r"(at least|minimum of|more than)\s+(\d+)\s+$", sentence[:end], re.IGNORECASE)
        grouped = [m for m in find_columns(sentence[:end], context.table) if m.column == by]
        following = [m for m in context.mentions(sentence) if 0 <= m.start - end < 3]
        if number and grouped and not following:
            return {"least_rows": int(number[2]) + (number[1].lower() == "more than")}
    return {}


def _strongest(name: str, context: Context) -> Measure:
    want = "r" if re.search(r"\bcoefficient\b|\bvalue\b", name) else "name"
    return strongest(want, context)


def strongest(want: str, context: Context) -> Measure:
    """Read ``which variable correlates most with B`` and ``which pair is strongest``; ``want`` is name or r."""
    signed = context.says(r"strongest (?:positive|negative)")
    for sentence, _ in context.with_words(r"\bcorrelat"):
        columns = context.numeric(sentence)
        if len(columns) == 1 and _EVERY.search(sentence):
            return Measure(kind="strongest", columns=(columns[0],), options={"want": want, "signed": signed})
        if len(columns) > 2:
            return Measure(kind="strongest_pair", columns=tuple(columns), options={"want": want, "signed": signed})
    raise Unanswerable("the columns to compare by correlation were not recognised")


_EVERY = re.compile(
    r"\ball (?:other )?(?:the )?(?:numeric|variable|column|feature)|\bwhich (?:variable|feature|column|factor)",
    re.IGNORECASE,
)
