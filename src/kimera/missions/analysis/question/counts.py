"""Counting: rows, missing values, duplicates, distinct values, shares."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Condition, Measure
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.linking import find_columns, name_match
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.subjects import SPOKEN
from kimera.missions.analysis.question.subsets import slot_conditions
from kimera.missions.analysis.question.words import split_name, stem

__all__ = ["read_count"]

_PLAIN_COUNT = frozenset(
    stem(w)
    for w in [
        "count",
        "counts",
        "number",
        "num",
        "total",
        "of",
        "the",
        "n",
        "no",
        "rows",
        "row",
        "entries",
        "entry",
        "records",
        "record",
        "observations",
        "instances",
        "data",
        "dataset",
        "size",
        "left",
        "remaining",
        "after",
        "removal",
        "removing",
        "removed",
        "deletion",
        "cleaning",
        "cleaned",
        "clean",
        "final",
        "new",
        "filtered",
        "in",
        "with",
        "how",
        "many",
        "samples",
        "items",
        "who",
        "which",
        "that",
        "are",
        "were",
        "have",
        "filtering",
        "not",
        "and",
        "non",
        "is",
        "to",
        "for",
        "all",
        "value",
        "values",
        "a",
    ]
)


def _all_read(slot: Slot, context: Context) -> None:
    """Raise `Unanswerable` when the name of a count holds a word that chose no rows and names nothing counted."""
    conditions = [*slot_conditions(slot, context), *context.filters, *(c for s in context.steps for c in s.where)]
    used = {stem(w) for c in conditions for w in (*split_name(c.column), *re.findall(r"\w+", str(c.value)))}
    used |= {stem(w) for s in context.steps for w in split_name(s.target)}
    counted = re.findall(
        r"\b(?:how many|number of|count(?: of)?(?: the)?|total)\s+(?:the\s+)?(\w+)(?:\s+(\w+))?",
        context.text,
        re.IGNORECASE,
    )
    nouns = {stem(w) for pair in counted for w in pair}
    named = [c.column for c in conditions]
    left = [w for w in slot.tokens if stem(w) not in _PLAIN_COUNT | used | nouns]
    left = [w for w in left if not any(name_match([w], column)[0] > 0.5 for column in named)]
    changed = {"drop", "dropp", "filter", "impute", "imput", "fill"} if context.steps else set()
    left = [w for w in left if stem(w) not in changed]
    _no_open_flag(conditions, context)
    if left and not (conditions and not slot_conditions(slot, context) and len(context.asked.slots) <= 1):
        raise Unanswerable("the rows to count were not recognised: " + " ".join(left))


def _no_open_flag(conditions: list[Condition], context: Context) -> None:
    """Raise `Unanswerable` when the counted things are said to be something (a yes/no column) that chose no rows."""
    used = (
        {c.column for c in conditions}
        | {c for s in context.steps for c in (*s.columns, s.target)}
        | set(context.groups)
    )
    for sentence, end in context.with_words(r"\bhow many\b|\b(?:number|count) of\b"):
        for mention in context.mentions(sentence):
            column = context.column(mention.column)
            if mention.start >= end and column.binary and column.role != "text" and mention.column not in used:
                raise Unanswerable(f"what {column.name} has to do with the count was not understood")


def _rows_not_kinds(context: Context) -> None:
    """Raise `Unanswerable` for ``how many countries`` when the countries of the table fill several rows each."""
    for sentence, end in context.with_words(r"\bhow many\s+|\bnumber of\s+(?!rows|entries)"):
        for mention in find_columns(sentence, context.table):
            column = context.column(mention.column)
            if 0 <= mention.start - end <= 1 and column.role == "text" and 1 < column.unique < 0.9 * context.table.rows:
                raise Unanswerable(f"whether rows or different values of {column.name} are counted is not said")


def _different(slot: Slot, context: Context) -> str | None:
    """Return the column of ``how many different provinces`` when the slot speaks of it or of nothing else."""
    for sentence, end in context.with_words(
        r"\b(?:how many|number of|count (?:of )?(?:the )?|count)\s+(?:the\s+)?(?:distinct|unique|different)\s+"
    ):
        for mention in find_columns(sentence, context.table):
            named = context.slot_columns(slot)
            if 0 <= mention.start - end <= 4 and (mention.column in named or len(context.asked.slots) <= 1):
                return mention.column
    return None


def read_count(kind: str, slot: Slot, context: Context) -> Measure:
    """Return the count a slot asks for; raises `Unanswerable` when the rows or the column stay open."""
    if kind in {"most_missing", "duplicates"}:
        # duplicates are counted before they are removed
        return Measure(kind=kind, stage=0 if kind == "duplicates" else -1)
    if kind == "rows":
        different = _different(slot, context)
        if different is not None:
            return Measure(kind="unique", columns=(different,))
        _all_read(slot, context)
        if context.groups and not slot_conditions(slot, context) and not context.asked.lead and context.asked.slots:
            raise Unanswerable("which group is to be counted was not recognised")
        _rows_not_kinds(context)
        return Measure(kind="rows")
    if kind == "share":
        conditions = slot_conditions(slot, context) or list(context.filters)
        if not conditions:
            raise Unanswerable("the part whose share is asked for was not recognised")
        part = conditions[-1]
        return Measure(kind="share", where=(part,), options={"part": part.text()})
    if kind in {"missing_rows", "missing_columns"}:
        return Measure(kind=kind)
    columns = context.slot_columns(slot) or context.phrase_columns(slot.about)
    if not columns:
        for sentence, end in context.with_words(SPOKEN["missing" if "missing" in kind else kind]):
            columns = [m.column for m in context.mentions(sentence) if m.start >= end][:1] or [
                m.column for m in context.mentions(sentence)
            ][:1]
            if columns:
                break
    if not columns and kind != "missing":
        raise Unanswerable("the column to count in was not recognised")
    return Measure(kind=kind, columns=tuple(columns[:1]))
