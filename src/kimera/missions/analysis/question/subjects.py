"""Which column of numbers a statistic is taken of."""

from __future__ import annotations

import re

from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.slots import Slot

__all__ = ["SPOKEN", "only_column", "univariate", "usable"]

SPOKEN = {
    "mean": r"\b(?:mean|average|avg)\b",
    "median": r"\bmedian\b",
    "std": r"\bstandard deviations?\b|\bstd\b",
    "variance": r"\bvariance\b",
    "sum": r"\b(?:sum|total)\b",
    "min": r"\bmin|\blowest|\bsmallest",
    "max": r"\bmax|\bhighest|\blargest",
    "range": r"\brange\b",
    "skewness": r"\bskew",
    "kurtosis": r"\bkurtosis",
    "cv": r"\bvariation\b|\bcv\b",
    "mode": r"\bmode\b|\bmost (?:common|frequent)\b",
    "quantile": r"\bpercentile|\bquartile|\bquantile",
    "iqr": r"\bIQR\b|\binterquartile",
    "first": r"\bfirst\b",
    "rate": r"\brates?\b",
    "within_sd": r"\bwithin\b",
    "normality": r"\bnormal|\bdistribution",
    "outliers": r"\boutlier",
    "missing": r"\bmissing|\bnull|\bnan\b|\bempty\b|\bblank\b|\babsent\b",
    "unique": r"\bunique|\bdistinct|\bdifferent",
    "r": r"\bcorrelat\w*|" r"\brelationship|\bassociation",
}


def univariate(kind: str, slot: Slot, context: Context, part: int = 0) -> str:
    """Return the one column of numbers a slot is about: its name, its description, then the question."""
    written = {m.column for m in context.mentions(slot.about) if m.score >= 1.2 or m.quoted}
    if len(written) == 1 and len(slot.parts) == 1 and usable(next(iter(written)), kind, context):
        return next(iter(written))
    for phrase in (
        re.sub("_", " ", slot.parts[part]) if len(slot.parts) > 1 else "",
        " ".join(slot.tokens),
        slot.about,
    ):
        columns = [c for c in context.phrase_columns(phrase) if usable(c, kind, context)]
        apart = {*context.set_apart(), *context.groups}
        plain = [c for c in columns if c not in apart] or ([] if set(columns) & set(context.groups) else columns)
        if len(plain) == 1 or (plain and phrase is not slot.about):
            return plain[0]
    for sentence, end in context.with_words(SPOKEN.get(kind, r"\b" + kind)):
        column = _subject(sentence, end, kind, context)
        if column is not None:
            return column
    return only_column(kind, context)


def only_column(kind: str, context: Context) -> str:
    """Return the only column of numbers the question names, or the newest derived one."""
    if context.derived and usable(context.derived[-1], kind, context):
        return context.derived[-1]
    named = [c for s in context.sentences for c in context.numeric(s)]
    found = [c for c in dict.fromkeys(named) if c not in context.set_apart()]
    if len(found) == 1:
        return found[0]
    raise Unanswerable("which column is meant is not clear" if found else "no column of numbers was recognised")


def _subject(sentence: str, end: int, kind: str, context: Context) -> str | None:
    if context.derived and re.search(
        r"\b(?:this|the|that) new(?:ly created)? (?:feature|column|variable)", sentence, re.IGNORECASE
    ):
        return context.derived[-1]
    apart = context.set_apart()
    mentions = [m for m in context.mentions(sentence) if usable(m.column, kind, context)]
    ordered = [m for m in mentions if m.start >= end] + [m for m in mentions if m.start < end][::-1]
    plain = [m.column for m in ordered if m.column not in apart and m.column not in context.groups]
    return plain[0] if plain else None


def usable(name: str, kind: str, context: Context) -> bool:
    """Say whether a statistic of this kind can be taken of the column."""
    column = context.table.column(name)
    return column is not None and (column.numeric or kind in {"mode", "first", "missing", "unique"})
