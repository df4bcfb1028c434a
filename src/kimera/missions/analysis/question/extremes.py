"""Reading which group, row or column is at an edge: highest, fewest, most correlated."""

from __future__ import annotations

import re

from pydantic import JsonValue

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.words import split_name

__all__ = ["MOST_RELATED", "read_extreme", "strongest"]

MOST_RELATED = (
    r"\bstrongest\b|\bmost (?:strongly |highly )?correlated\b|\bhighest (?:absolute )?correlation|"
    r"\bcorrelat\w*\s+(?:the )?(?:most|best)\b|\blargest (?:absolute )?correlation"
)

_STATISTICS = {"mean": r"\b(?:mean|average|avg)\b", "median": r"\bmedian\b", "sum": r"\b(?:sum|total)\b"}
_ANY = (
    r"\b(?:highest|most|largest|greatest|maximum|max|top|best|oldest|longest|lowest|least|smallest|minimum|min|fewest|"
    r"youngest|shortest|worst)\b"
)
_DOWN = r"\b(?:lowest|least|smallest|minimum|min|fewest|youngest|shortest|worst)\b"


def read_extreme(kind: str, slot: Slot, context: Context) -> Measure:
    """Return which group or row is highest or lowest, or its value, as the slot asks."""
    name = " ".join(slot.tokens)
    if kind == "strongest":
        return _strongest(name, context)
    if re.search(r"\bmissing|\bnull", name + " " + slot.about):
        return Measure(kind="most_missing")
    for sentence, _ in context.with_words(
        r"\b(?:highest|most|largest|greatest|maximum|max|top|best|lowest|least|smallest|minimum|min|fewest|oldest|youngest|longest|shortest)\b"
    ):
        measure = _extreme_in(sentence, slot, context)
        if measure is not None:
            named = re.search(_ANY, name, re.IGNORECASE)
            low = re.search(_DOWN, name if named else sentence, re.IGNORECASE) is not None
            return measure.model_copy(update={"options": {**measure.options, "low": low}})
    raise Unanswerable("the group or the value of the extreme was not recognised")


def _extreme_in(sentence: str, slot: Slot, context: Context) -> Measure | None:
    """Read ``which A has the highest [average] B``: A names groups, B is compared."""
    edge = re.search(_ANY, sentence, re.IGNORECASE)
    if edge is None:
        return None
    by, values = _parties(sentence, edge, slot, context)
    rest = sentence[edge.end() :]
    if not values and re.match(
        r"\W*(?:averages?|means?|values?|ones?|medians?)?\s*(?:\W*$|and\b)", rest, re.IGNORECASE
    ):
        # ``Which hour has the lowest?`` leans on the sentence before
        earlier = context.sentences[: context.sentences.index(sentence)][-1:]
        values = [c for s in earlier for c in context.numeric(s) if c not in {*context.set_apart(), by}][:1]
        rest = " ".join(earlier)
    if not values and edge[0].lower() in {"oldest", "youngest"}:
        values = [c.name for c in context.table.columns if c.numeric and "age" in split_name(c.name)][:1]
    if by is None:
        return None
    counting = re.match(r"\s*(?:number of|frequent|common|count of)", rest, re.IGNORECASE)
    if not values and (counting or (edge[0].lower() in {"most", "fewest"} and not _counts(context))):
        return Measure(kind="extreme_group", columns=(), by=by, options={"statistic": "count"})
    if not values or values[0] == by:
        return None
    ahead = not any(m.column == values[0] and m.start >= edge.end() for m in find_columns(sentence, context.table))
    return _compared_by(by, values[0], sentence if ahead else f"{edge[0]} {rest}", context)


def _parties(sentence: str, edge: re.Match[str], slot: Slot, context: Context) -> tuple[str | None, list[str]]:
    """Return the grouping column and the columns that may be compared, as they stand around the edge word."""
    linked = find_columns(sentence, context.table)
    before = [m.column for m in linked if m.end <= edge.start()]
    groups = [c for c in before if context.column(c).role != "number" or c in context.groups or _is_year(c)]
    after = [m.column for m in linked if m.start >= edge.end() and context.column(m.column).numeric and not m.entity]
    # ``in which year was X highest``: the value stands before the edge
    values = after or [c for c in before if context.column(c).numeric and c not in groups]
    values = [c for c in values if c not in context.set_apart()] or values
    named = context.phrase_columns(re.sub("_", " ", slot.parts[0]))
    fallback = [c for c in (*context.slot_columns(slot), *named, *context.groups) if c not in after]
    return next(iter([*groups, *fallback]), None), values


def _compared_by(by: str, value: str, phrase: str, context: Context) -> Measure | None:
    statistic = next((k for k, pattern in _STATISTICS.items() if re.search(pattern, phrase, re.IGNORECASE)), "value")
    if statistic == "value" and context.column(value).binary:
        statistic = "mean"  # the highest value of a yes/no column is its share of yes
    several = context.column(by).unique < context.table.rows
    if statistic == "sum" and re.match(r"total", value, re.IGNORECASE) and several:
        return None  # the total of a group, or the group that holds the highest total: not said
    options: dict[str, JsonValue] = {"statistic": statistic, **_least_rows(by, context)}
    return Measure(kind="extreme_group", columns=(value,), by=by, options=options)


def _is_year(name: str) -> bool:
    return name.lower() in {"year", "yr"}


def _counts(context: Context) -> bool:
    """Say whether a column already counts things, so that counting rows would be something else."""
    return any(
        c.numeric and re.search(r"\bcount\b|\bquantity\b|\bnumber\b", c.name, re.IGNORECASE)
        for c in context.table.columns
    )


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
        target = _target(sentence, columns, context)
        if target is not None:
            rest = tuple(c for c in columns if c != target)
            return Measure(kind="strongest", columns=(target, *rest), options={"want": want, "signed": signed})
        if len(columns) == 1 and _EVERY.search(sentence):
            return Measure(kind="strongest", columns=(columns[0],), options={"want": want, "signed": signed})
        if len(columns) > 2:
            return Measure(kind="strongest_pair", columns=tuple(columns), options={"want": want, "signed": signed})
    raise Unanswerable("the columns to compare by correlation were not recognised")


def _target(sentence: str, columns: list[str], context: Context) -> str | None:
    """Return D of ``which of A, B and C correlates most with D``."""
    edge = re.search(r"\bcorrelat\w*\b[^.]*?\b(?:with|to)\s+", sentence, re.IGNORECASE)
    if (
        edge is None
        or len(columns) < 3
        or not re.search(r"\bwhich\b|\bmost\b|\bstrongest\b|\bhighest\b", sentence, re.IGNORECASE)
    ):
        return None
    after = [m.column for m in context.mentions(sentence) if m.start >= edge.end() - 1 and m.column in columns]
    return after[0] if len(set(after)) == 1 else None


_EVERY = re.compile(
    r"\ball (?:other )?(?:the )?(?:numeric|variable|column|feature)|\bwhich (?:variable|feature|column|factor)",
    re.IGNORECASE,
)
