"""Plain questions without named answers: the statistics they name become answers of their own."""

from __future__ import annotations

import re

from kimera.missions.analysis.question.context import Context
from kimera.missions.analysis.question.slots import Slot

__all__ = ["implied_slots", "one_per_group"]

_ASKS = re.compile(
    r"\?\s*$|^\W*(?:please\s+)?(?:calculat|comput|find|determin|report|give|show|tell|list|count|what|how|which|who|get|state)",
    re.IGNORECASE,
)
_STATISTICS: tuple[tuple[str, str], ...] = (
    ("mean", r"\b(?:mean|averages?|avg)\b"),
    ("median", r"\bmedian\b"),
    ("std", r"\bstandard deviations?\b|\bstd\b"),
    ("variance", r"\bvariance\b"),
    ("minimum", r"\bminimum\b"),
    ("maximum", r"\bmaximum\b"),
    ("sum", r"\bsum\b|\btotal (?!number)"),
    ("skewness", r"\bskew\w*\b"),
    ("kurtosis", r"\bkurtosis\b"),
    ("mode", r"\bmode\b|\bmost (?:common|frequent)\b"),
    ("iqr", r"\binterquartile range\b"),
)
_EDGE = (
    r"\b(?:which|what|who)\b.{1,60}\b(?:highest|most|largest|greatest|lowest|least|smallest|fewest|oldest|youngest|"
    r"longest|shortest)\b"
)


def implied_slots(context: Context) -> list[Slot]:
    """Return a nameless slot for every statistic the question asks for, in the order they are named."""
    found: list[Slot] = []
    for sentence in context.sentences:
        if not _ASKS.search(sentence):
            continue
        words = _asked_in(sentence, context)
        found += [_slot(word, sentence) for word in words if word not in {" ".join(s.tokens) for s in found}]
    return found[:6]


def _asked_in(sentence: str, context: Context) -> list[str]:
    if re.search(_EDGE, sentence, re.IGNORECASE):
        if re.search(r"\bmissing\b|\bnull\b", sentence, re.IGNORECASE):
            return ["missing column name"]
        low = re.search(r"\b(?:lowest|least|smallest|fewest|youngest|shortest)\b", sentence, re.IGNORECASE)
        return ["with lowest name" if low else "with highest name"]
    if re.search(r"\bcorrelation\b|\bcorrelated\b", sentence, re.IGNORECASE) and len(context.numeric(sentence)) >= 2:
        return ["correlation", "correlation p value"]
    if re.search(r"\bpercent(?:age)?\b|\bproportion\b|\bshare of\b|\bfraction of\b", sentence, re.IGNORECASE):
        return ["percentage"]
    for words, pattern in (
        ("missing count", r"\b(?:how many|number of)\b.{0,20}\b(?:missing|null)\b"),
        ("outlier count", r"\b(?:how many|number of)\b.{0,20}\boutliers\b"),
        ("duplicate count", r"\b(?:how many|number of)\b.{0,20}\bduplicate"),
        ("unique count", r"\b(?:how many|number of)\s+(?:unique|distinct|different)\b"),
    ):
        if re.search(pattern, sentence, re.IGNORECASE):
            return [words]
    named = [(m.start(), name) for name, pattern in _STATISTICS if (m := re.search(pattern, sentence, re.IGNORECASE))]
    if named:
        return [name for _, name in sorted(named)]
    return ["count"] if re.search(r"\bhow many\b|\bnumber of\b|\bcount\b", sentence, re.IGNORECASE) else []


def _slot(words: str, sentence: str) -> Slot:
    return Slot(name="", tokens=tuple(words.split()), parts=(words,), about=sentence, options=(), decimals=(None,))


def one_per_group(context: Context) -> str | None:
    """Return the column whose groups each want an answer (``mean fare per class``), if it has few values."""
    fixed = {c.column for c in context.filters}
    for name in context.groups:
        column = context.column(name)
        if name not in fixed and 2 <= len(column.values) <= 30:
            return name
    return None
