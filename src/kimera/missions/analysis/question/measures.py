"""From answer slots to measures: what is computed, over which columns, for which rows, after which step."""

from __future__ import annotations

import re
from dataclasses import replace

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.question import models
from kimera.missions.analysis.question.cleaning import outlier_rule
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.counts import read_count
from kimera.missions.analysis.question.extremes import MOST_RELATED, read_extreme
from kimera.missions.analysis.question.kinds import kind_of, spread_rule
from kimera.missions.analysis.question.linking import MEASURE_WORDS, alike, find_columns, name_match
from kimera.missions.analysis.question.relating import correlation, read_test
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.subjects import SPOKEN, univariate
from kimera.missions.analysis.question.subsets import slot_conditions
from kimera.missions.analysis.question.words import split_name, stem, words

__all__ = ["read_measure"]


ONE_COLUMN = frozenset(
    [
        "mean",
        "median",
        "mode",
        "std",
        "variance",
        "sum",
        "min",
        "max",
        "range",
        "quantile",
        "iqr",
        "skewness",
        "kurtosis",
        "first",
        "within_sd",
        "cv",
    ]
)


def read_measure(slot: Slot, context: Context, part: int = 0, each: str | None = None) -> Measure:
    """Return the measure of one slot part; raises `Unanswerable` when a column, group or test stays open."""
    kind = kind_of(_without_columns(slot, context), part)
    if kind is None and each is not None and context.phrase_columns(" ".join(slot.tokens)) == [each]:
        return Measure(kind="group_name", columns=(each,), by=each, stage=len(context.steps))
    where = slot_conditions(slot, context)
    kind = _edge_kind(kind, slot, context) if not where else kind
    if kind is None:
        kind = _spoken_kind(slot, context, bool(where))
    if kind is None:
        raise Unanswerable(f"no known measure in the name or description of {slot.name}")
    made = _by_family(kind, slot, context, part)
    base = context.filters if made.kind not in {"most_missing"} else ()
    stage = (
        0
        if re.search(r"\bbefore\b|\boriginal\b|\bprior\b|\bpre\b", " ".join(slot.tokens))
        else made.stage
        if made.stage >= 0
        else len(context.steps)
    )
    return made.model_copy(
        update={"where": tuple(dict.fromkeys([*base, *where, *made.where])), "stage": min(stage, len(context.steps))}
    )


def _without_columns(slot: Slot, context: Context) -> Slot:
    """Return a slot without the words of a new column in its name: the range in ``max_daily_range`` is no statistic."""
    for column in context.derived:
        parts = split_name(column)
        for k in range(len(slot.tokens) - len(parts) + 1):
            rest = (*slot.tokens[:k], *slot.tokens[k + len(parts) :])
            if list(slot.tokens[k : k + len(parts)]) == parts and len(parts) > 1 and rest:
                return replace(slot, tokens=rest)
    return slot


_EDGE = (
    r"\b(?:highest|most|largest|greatest|maximum|lowest|least|smallest|minimum|fewest|oldest|youngest|"
    r"longest|shortest)\b"
)


def _which(context: Context) -> str | None:
    """Return the column after ``which``, if it can name groups."""
    for sentence, end in context.with_words(r"\b(?:which|what)\s+(?=\w)"):
        for mention in find_columns(sentence, context.table):
            column = context.column(mention.column)
            if 0 <= mention.start - end <= 8 and (column.role != "number" or column.unique <= 12):
                return mention.column
    return None


_OPEN_NAMES = frozenset(
    stem(w) for w in ["answer", "result", "value", "output", "x", "y", "n", "response", "number", "total", "final"]
)


def _edge_kind(kind: str | None, slot: Slot, context: Context) -> str | None:
    """A slot named after a grouping column, in a question for a highest or lowest, wants that group's name."""
    named = context.phrase_columns(" ".join(slot.tokens) + " " + re.sub("_", " ", slot.parts[0]))
    asked = _which(context)
    if asked in named and kind in {None, "max", "min", "mode"} and context.says(_EDGE):
        return "extreme"
    if kind is None and re.fullmatch(r"(?:variable|feature|column|factor|attribute)(?: name)?", " ".join(slot.tokens)):
        return "strongest" if context.says(MOST_RELATED) else None
    groups = [
        c for c in named if not context.column(c).numeric or c in context.groups or c.lower() in {"year", "month"}
    ]
    if not groups or kind not in {None, "max", "min", "mode", "sum", "unique", "mean"} or len(groups) < len(named):
        return kind
    if kind is None and context.says(r"\bmost (?:common|frequent)\b|\bmode\b"):
        return "mode"
    return "extreme" if context.says(_EDGE) else kind


def _spoken_kind(slot: Slot, context: Context, some_rows: bool) -> str | None:
    """Fall back on the one statistic the question names, when the slot's name says no other.

    A slot that only names rows (``morning``) wants that statistic of them, or their number when the question counts.
    """
    linked = {w for c in context.slot_columns(slot) for w in split_name(c)}
    left = [w for w in slot.tokens if stem(w) not in _OPEN_NAMES and not any(alike(w, part) for part in linked)]
    if len(context.asked.slots) <= 1 and context.says(r"\bhow many (?:distinct|unique|different)\b"):
        return "unique"
    if _how_many(slot, context, some_rows):
        return "rows"
    if left and not some_rows:
        return None
    known = {c.name.lower() for c in context.table.columns}  # a column called mode is no statistic
    plain = [s for s in context.sentences if not ("mode" in known and re.search(r"\bmode\b", s, re.IGNORECASE))]
    spoken = {"mode": plain}
    named = [
        k
        for k in ("mean", "median", "std", "sum", "skewness", "kurtosis", "mode", "rate")
        if any(re.search(SPOKEN[k], sentence, re.IGNORECASE) for sentence in spoken.get(k, context.sentences))
    ]
    counted = context.says(r"\bcount\w*\b|\bhow many\b|\bnumber of\b")
    if some_rows and counted and not named:
        return "rows"
    return named[0] if len(named) == 1 else None


def _how_many(slot: Slot, context: Context, some_rows: bool) -> bool:
    """Say whether a slot that names no statistic is the number of the chosen rows that the question counts."""
    if not context.says(r"\bhow many\b|\bcount the\b|\b(?:the|total) number of\b") or not re.search(
        r"\binteger|\bwhole number|\bcount\b|\bnumber of\b|\bnumber$|^n$", slot.about, re.IGNORECASE
    ):
        return False
    return some_rows or bool(context.filters)


_COUNTS = frozenset(
    [
        "missing",
        "missing_share",
        "has_missing",
        "most_missing",
        "missing_rows",
        "missing_columns",
        "duplicates",
        "unique",
        "rows",
        "share",
    ]
)


def _by_family(kind: str, slot: Slot, context: Context, part: int) -> Measure:
    name = " ".join(slot.tokens)
    if kind in {"max", "min"} and not _has_number(slot, context) and _entity(slot, context):
        kind = "extreme"
    if kind == "r" and re.search(r"\bcoef", name) and not context.says(r"\bcorrelat"):
        kind = "slope"
    if kind == "bound":
        kind = "outlier_low" if re.search(r"\blower\b", name) else "outlier_high"
    if kind in models.SCORES:
        return models.read_model(kind, slot, context)
    if kind in {"p", "statistic"}:
        return read_test(kind, slot, context)
    if kind == "r":
        return correlation(slot, context, "r")
    if kind in {"strongest", "extreme"}:
        return read_extreme(kind, slot, context)
    if kind.startswith("outlier_"):
        return _outliers(kind, slot, context)
    if kind == "rows" and re.search(r"\b(?:top|max(?:imum)?|most|highest|largest|greatest|fewest|lowest)\b", name):
        edge = read_extreme("extreme", slot, context)
        if edge.options.get("statistic") == "count":
            return edge.model_copy(update={"kind": "extreme_value"})
    if kind in _COUNTS:
        return read_count(kind, slot, context)
    return _statistic(kind, slot, context, part)


def _statistic(kind: str, slot: Slot, context: Context, part: int) -> Measure:
    column = univariate(kind, slot, context, part)
    _name_fits(slot, column, context)
    if kind == "rate":
        if not context.column(column).binary:
            raise Unanswerable("what the rate is of was not recognised")
        kind = "mean"  # the rate of a yes/no column is its mean
    options = {"ddof": spread_rule(context, slot.about)} if kind in {"std", "variance", "cv"} else {}
    if kind in {"skewness", "kurtosis"}:
        options["ddof"] = 0 if context.says(r"\bscipy\b") else 1
    if kind == "quantile":
        options["percent"] = _quantile(slot)
    return Measure(kind=kind, columns=(column,), options=dict(options))


_HARMLESS = frozenset(
    stem(w)
    for w in [
        "value",
        "values",
        "result",
        "number",
        "new",
        "after",
        "before",
        "pre",
        "post",
        "null",
        "missing",
        "nan",
        "notnull",
        "final",
        "column",
        "feature",
        "of",
        "the",
        "in",
        "for",
        "by",
        "per",
        "with",
        "a",
        "and",
        "is",
        "dev",
        "deviation",
        "standard",
        "std",
        "stdev",
        "stddev",
        "coefficient",
        "cv",
        "iqr",
        "interquartile",
        "variation",
        "kurt",
        "skew",
        "stat",
        "normalized",
        "normalised",
        "scaled",
        "transformed",
        "cleaned",
        "filled",
        "imputed",
        "filtered",
        "variable",
        "distribution",
        "score",
        "total",
        "overall",
        "data",
        "dataset",
        "original",
        "updated",
        "removal",
        "removing",
        "outlier",
        "outliers",
        "without",
        "test",
        "statistic",
        "stat",
        "calculated",
        "first",
        "second",
        "third",
        "log",
        "avg",
        "q",
        "q1",
        "q2",
        "q3",
        "percentile",
        "quartile",
        "th",
        "st",
        "nd",
        "rd",
        "one",
        "two",
        "three",
        "within",
        "sd",
        "norm",
        "log",
        "minmax",
        "zscore",
        "s",
        "t",
        "p",
        "r",
        "x",
        "y",
        "z",
        "no",
        "not",
        "non",
        "all",
        "each",
    ]
)


def _name_fits(slot: Slot, column: str, context: Context) -> None:
    """Raise `Unanswerable` when the slot's name speaks of something the chosen column and rows do not hold."""
    if column in context.derived or len(slot.parts) > 1:
        return
    parts = {w for c in (column, *context.slot_columns(slot)) for w in split_name(c)}
    rows = [c for c in (*slot_conditions(slot, context), *context.filters)]
    parts |= {w for c in rows for w in (*split_name(c.column), *re.findall(r"\w+", str(c.value).lower()))}
    body = {w.stem for w in words(context.text) if w.text[0].islower()}
    body |= {stem(w) for w in re.findall(r"(\w+)\s*\(\s*\w+\W+\d", context.text)}  # June (month 6)
    left = [
        w
        for w in slot.tokens
        if stem(w) not in MEASURE_WORDS | _HARMLESS
        and not any(alike(w, part) for part in parts)
        and name_match([w], column)[0] < 0.5
        and not w.isdigit()
        and stem(w) not in body
    ]
    if left and context.introduced(" ".join(left)) != [column]:
        raise Unanswerable(f"what “{' '.join(left)}” in {slot.name} means was not understood")


def _has_number(slot: Slot, context: Context) -> bool:
    return any(context.column(c).numeric for c in context.slot_columns(slot))


def _quantile(slot: Slot) -> int:
    text = " ".join(slot.tokens) + " " + slot.about
    match = re.search(r"\bq ?([123])\b", text)
    if match:
        return 25 * int(match[1])
    match = re.search(r"\bp ?(\d\d)\b", text)
    if match:
        return int(match[1])
    match = re.search(r"(\d+)(?:st|nd|rd|th)? ?(?:percentile|quantile)|percentile ?(\d+)", text)
    if match:
        return int(match[1] or match[2])
    for word, percent in (("first|lower", 25), ("third|upper", 75), ("second", 50)):
        if re.search(rf"\b(?:{word}) quartile", text):
            return percent
    raise Unanswerable(f"{slot.name} names no percentile that was understood")


def _outliers(kind: str, slot: Slot, context: Context) -> Measure:
    rule = outlier_rule(context.text)
    if rule["method"] == "unsaid":
        raise Unanswerable("the question does not say how an outlier is defined")
    column = univariate("outliers", slot, context)
    # outliers are counted in the table as it stands before they are removed
    stage = next((k for k, step in enumerate(context.steps) if step.kind == "drop_outliers"), len(context.steps))
    removed = any(step.kind == "drop_outliers" for step in context.steps)
    statistic = kind.removeprefix("outlier_")
    if (
        removed
        and statistic in {"mean", "median", "std", "min", "max"}
        and re.search(r"\b(?:without|after|no|removed)\b", " ".join(slot.tokens))
    ):
        return Measure(kind=statistic, columns=(column,), options={"ddof": spread_rule(context, slot.about)})
    entity = _entity(slot, context) if kind in {"outlier_values", "outlier_count"} else None
    if entity and not re.search(r"\b(?:count|number|num|total)\b", " ".join(slot.tokens) + " ".join(slot.parts)):
        kind = "outlier_values"
    entity = entity if kind == "outlier_values" else None
    options = {**rule, "std_ddof": spread_rule(context, slot.about)}
    return Measure(kind=kind, columns=(column, entity) if entity else (column,), stage=stage, options=dict(options))


def _entity(slot: Slot, context: Context) -> str | None:
    """Return the column that names rows, when a list of names is asked for."""
    for phrase in (" ".join(slot.tokens), slot.about):
        for name in context.phrase_columns(phrase):
            if context.column(name).role == "text":
                return name
    return None
