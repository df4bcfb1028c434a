"""From answer slots to measures: what is computed, over which columns, for which rows, after which step."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Condition, Measure
from kimera.missions.analysis.question import models
from kimera.missions.analysis.question.cleaning import outlier_rule
from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.extremes import read_extreme
from kimera.missions.analysis.question.kinds import NORMALITY, TWO_GROUPS, kind_of, spread_rule, test_of
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.words import number_of, stem

__all__ = ["correlation", "pair_of", "read_measure", "read_test", "slot_conditions", "univariate"]

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
    ]
)
_SPOKEN = {
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
    "mode": r"\bmode\b|\bmost (?:common|frequent)\b",
    "quantile": r"\bpercentile|\bquartile|\bquantile",
    "iqr": r"\bIQR\b|\binterquartile",
    "first": r"\bfirst\b",
    "within_sd": r"\bwithin\b",
    "normality": r"\bnormal|\bdistribution",
    "outliers": r"\boutlier",
    "missing": r"\bmissing|\bnull|\bnan\b",
    "unique": r"\bunique|\bdistinct",
    "r": r"\bcorrelat\w*|" r"\brelationship|\bassociation",
}


def read_measure(slot: Slot, context: Context, part: int = 0, each: str | None = None) -> Measure:
    """Return the measure of one slot part; raises `Unanswerable` when a column, group or test stays open."""
    kind = kind_of(slot, part)
    if kind is None and each is not None and context.phrase_columns(" ".join(slot.tokens)) == [each]:
        return Measure(kind="group_name", columns=(each,), by=each, stage=len(context.steps))
    where = slot_conditions(slot, context)
    if kind is None:
        kind = "rows" if where and not context.slot_columns(slot) else _spoken_kind(context)
    if kind is None:
        raise Unanswerable(f"no known measure in the name or description of {slot.name}")
    made = _by_family(kind, slot, context, part)
    base = context.filters if made.kind not in {"most_missing"} else ()
    stage = (
        0
        if re.search(r"\bbefore\b|\boriginal\b|\bprior\b", " ".join(slot.tokens))
        else made.stage
        if made.stage >= 0
        else len(context.steps)
    )
    return made.model_copy(
        update={"where": tuple(dict.fromkeys([*base, *where, *made.where])), "stage": min(stage, len(context.steps))}
    )


def _spoken_kind(context: Context) -> str | None:
    """Fall back on the one statistic the question itself names."""
    question = context.sentences[0] if context.sentences else ""
    named = [
        k
        for k in ("mean", "median", "std", "sum", "skewness", "kurtosis")
        if re.search(_SPOKEN[k], question, re.IGNORECASE)
    ]
    return named[0] if len(named) == 1 else None


def _by_family(kind: str, slot: Slot, context: Context, part: int) -> Measure:
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
    if kind in {"missing", "missing_share", "has_missing", "most_missing", "duplicates", "unique", "rows", "share"}:
        return _counted(kind, slot, context)
    column = univariate(kind, slot, context, part)
    options = {"ddof": spread_rule(context, slot.about)} if kind in {"std", "variance"} else {}
    if kind in {"skewness", "kurtosis"}:
        options["ddof"] = 0 if context.says(r"\bscipy\b") else 1
    if kind == "quantile":
        options["percent"] = _quantile(slot)
    return Measure(kind=kind, columns=(column,), options=dict(options))


def _quantile(slot: Slot) -> int:
    text = " ".join(slot.tokens) + " " + slot.about
    match = re.search(r"\bq ?([123])\b", text)
    if match:
        return 25 * int(match[1])
    match = re.search(r"(\d+)(?:st|nd|rd|th)? ?(?:percentile|quantile)", text)
    if match:
        return int(match[1])
    for word, percent in (("first|lower", 25), ("third|upper", 75), ("second", 50)):
        if re.search(rf"\b(?:{word}) quartile", text):
            return percent
    raise Unanswerable(f"{slot.name} names no percentile that was understood")


def univariate(kind: str, slot: Slot, context: Context, part: int = 0) -> str:
    """Return the one column of numbers a slot is about: its name, its description, then the question."""
    for phrase in (
        re.sub("_", " ", slot.parts[part]) if len(slot.parts) > 1 else "",
        " ".join(slot.tokens),
        slot.about,
    ):
        columns = [c for c in context.phrase_columns(phrase) if _usable(c, kind, context)]
        apart = {*context.set_apart(), *context.groups}
        plain = [c for c in columns if c not in apart] or ([] if set(columns) & set(context.groups) else columns)
        if len(plain) == 1 or (plain and phrase is not slot.about):
            return plain[0]
    for sentence, end in context.with_words(_SPOKEN.get(kind, r"\b" + kind)):
        column = _subject(sentence, end, kind, context)
        if column is not None:
            return column
    return only_column(kind, context)


def only_column(kind: str, context: Context) -> str:
    """Return the only column of numbers the question names, or the newest derived one."""
    if context.derived and _usable(context.derived[-1], kind, context):
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
    mentions = [m for m in context.mentions(sentence) if _usable(m.column, kind, context)]
    ordered = [m for m in mentions if m.start >= end] + [m for m in mentions if m.start < end][::-1]
    plain = [m.column for m in ordered if m.column not in apart and m.column not in context.groups]
    return plain[0] if plain else None


def _usable(name: str, kind: str, context: Context) -> bool:
    column = context.table.column(name)
    return column is not None and (column.numeric or kind in {"mode", "first", "missing", "unique"})


def slot_conditions(slot: Slot, context: Context) -> list[Condition]:
    """Return the conditions in the name of a slot: a compared value, a group's value, a range of the question."""
    name = " ".join(slot.tokens)
    found = _compared(name, context)
    for column in context.table.columns:
        if any(c.column == column.name for c in found) or (
            column.role == "number" and column.name not in {*context.groups, *context.compared}
        ):
            continue
        if column.role == "number":
            found += _numbered_value(name, column.name, column.values)
        elif column.role in {"text", "flag"} and 1 < len(column.values) <= 60:
            found += _named_value(name, column.name, column.values, column.name in {*context.groups, *context.compared})
    if not found and len(context.compared) == 1:
        own = [f.condition for f in find_conditions(slot.about, context.table)]
        found = [c for c in own if c.column in context.compared][:1]
    known = {c.column for c in context.filters}
    return [c for c in found if c.column not in known or c not in context.filters]


def _compared(name: str, context: Context) -> list[Condition]:
    """Match ``survived``, ``not survived``, ``below 3`` with the alternatives the question sets against each other."""
    stems = [stem(w) for w in name.split()]
    found: list[Condition] = []
    for column, alternatives in context.compared.items():
        view = context.column(column)
        for group in alternatives:
            bounds = [c for c in group if c.op in {"<", "<=", ">", ">="}]
            if bounds and _bounded(name, bounds):
                found += group
        if view.binary and stem(column) in stems and not found:
            place = stems.index(stem(column))
            negative = any(w in {"not", "non", "didn", "no"} for w in stems[max(0, place - 2) : place])
            found += [
                c for group in alternatives for c in group if (str(c.value) in {"0", "False", "no", "No"}) == negative
            ][:1]
    return found


def _bounded(name: str, bounds: list[Condition]) -> bool:
    numbers = {float(n) for w in name.split() if (n := number_of(w)) is not None}
    same = numbers == {float(c.value) for c in bounds if isinstance(c.value, int | float)}
    low = re.search(r"\b(?:below|under|less|lower|up to)\b", name) is not None
    high = re.search(r"\b(?:above|over|more|greater|higher|at least)\b", name) is not None
    if len(bounds) == 2:
        return same and not low and not high
    return same and (low if bounds[0].op in {"<", "<="} else high)


def _numbered_value(name: str, column: str, values: tuple[str, ...]) -> list[Condition]:
    known = {float(v): v for v in values if number_of(v) is not None}
    hits = [n for w in name.split() if (n := number_of(w)) is not None and n in known]
    return (
        [Condition(column=column, op="=", value=int(hits[0]) if hits[0].is_integer() else hits[0])]
        if len(hits) == 1
        else []
    )


def _named_value(name: str, column: str, values: tuple[str, ...], grouped: bool) -> list[Condition]:
    padded = f" {name.lower()} "
    fits = []
    for value in values:
        spoken = re.sub(r"[^a-z0-9]+", " ", value.lower()).strip()
        if (len(spoken) > 2 or grouped) and spoken and f" {spoken} " in padded:
            fits.append(value)
    longest = max(fits, key=len, default=None)
    return [Condition(column=column, op="=", value=longest)] if longest is not None else []


def correlation(slot: Slot, context: Context, kind: str) -> Measure:
    """Return a correlation of the two columns the slot or the question names."""
    method = "spearman" if context.says(r"\bspearman") else "kendall" if context.says(r"\bkendall") else "pearson"
    columns = pair_of(slot, context)
    return Measure(kind=kind, columns=columns, options={"test": method})


def pair_of(slot: Slot, context: Context) -> tuple[str, ...]:
    """Return the two columns of numbers that are related."""
    own = [c for c in context.slot_columns(slot) if context.column(c).numeric]
    if len(own) == 2:
        return own[0], own[1]
    apart = context.set_apart()
    for sentence, _ in context.with_words(r"\bcorrelat\w*|\brelationship|\bassociat|\bpearson|\brelated"):
        start = re.search(r"\bbetween\b|\bof\b", sentence, re.IGNORECASE)
        tail = sentence[start.start() :] if start else sentence
        columns = [
            c for c in context.numeric(tail) if c not in apart or context.table.column(c) is None
        ] or context.numeric(tail)
        if (
            re.search(r"\bnew(?:ly created)? (?:feature|column|variable)", tail, re.IGNORECASE)
            and context.derived
            and context.derived[-1] not in columns
        ):
            columns = [context.derived[-1], *columns]
        columns = [c for c in columns if c not in apart] if len(columns) > 2 else columns
        if len(columns) >= 2:
            if len(own) == 1 and own[0] in columns:
                return own[0], next(c for c in columns if c != own[0])
            if len(columns) == 2 or start:
                return columns[0], columns[1]
    raise Unanswerable("the two columns to relate were not both recognised")


def read_test(kind: str, slot: Slot, context: Context) -> Measure:
    """Return the p-value or statistic of the test the slot or the question names."""
    hint = " ".join(slot.tokens) + " " + slot.about
    if re.search(r"\bcorrelation test|\bcorrelation\b", hint) and context.says(r"\bcorrelat"):
        return correlation(slot, context, "r_p" if kind == "p" else "r")
    groups = test_of(context, TWO_GROUPS, hint)
    if groups == "chi_square":
        return _contingency(kind, context)
    if groups is not None:
        return _difference(kind, groups, slot, context)
    normality = test_of(context, NORMALITY, hint)
    if normality == "ks_normal" and context.compared:
        return _difference(kind, "ks_two", slot, context)
    if normality is not None and not (
        context.says(r"\bcorrelat\w* coefficient") and not re.search(r"norm|shapiro", hint)
    ):
        column = univariate("normality", slot, context)
        return Measure(
            kind="normality_p" if kind == "p" else "normality_statistic", columns=(column,), options={"test": normality}
        )
    if context.says(r"\bcorrelat|\brelationship"):
        return correlation(slot, context, "r_p" if kind == "p" else "r")
    raise Unanswerable("the question names no test that was recognised")


def _contingency(kind: str, context: Context) -> Measure:
    for sentence, _ in context.with_words(r"chi-?\s?squared?|\bindependen|\bassociat|\bcorrelated|\brelationship"):
        columns = list(dict.fromkeys(m.column for m in context.mentions(sentence)))
        columns = [c for c in columns if context.column(c).unique <= 60 or c in context.derived]
        if context.derived and context.derived[-1] not in columns and len(columns) == 1:
            columns = [context.derived[-1], *columns]
        if len(columns) >= 2:
            return Measure(kind=f"groups_{kind}", columns=(columns[0], columns[1]), options={"test": "chi_square"})
    raise Unanswerable("the two groupings of the chi-square test were not both recognised")


def _difference(kind: str, test: str, slot: Slot, context: Context) -> Measure:
    """Return a test between groups: the compared values of a column, else all groups of a named column."""
    value = None
    by = next(iter(context.compared), None)
    for sentence, _ in context.with_words(r"\bdifferen|\bt-?\s?test|\bcompare|\banova|\btest\b|\bdistribution"):
        columns = [
            c
            for c in context.numeric(sentence)
            if c != by and c not in context.groups and context.column(c).role == "number"
        ]
        columns = [c for c in columns if c not in context.set_apart()] or columns
        if columns and value is None:
            value = columns[0]
        if by is None:
            by = _grouping(sentence, value, context)
    by = by or next((g for g in context.groups if g != value), None)
    if value is None or by is None:
        raise Unanswerable("the compared groups or the compared values were not recognised")
    alternatives = context.compared.get(by, [])
    if any(len(a) != 1 or a[0].op != "=" for a in alternatives):
        raise Unanswerable("the compared groups are not single values of one column")
    values = [a[0].value for a in alternatives]
    if not values and test not in {"anova", "kruskal", "levene"} and context.column(by).unique != 2:
        raise Unanswerable(f"{by} has more than two groups and the question does not say which two")
    return Measure(
        kind=f"groups_{kind}",
        columns=(value, by),
        options={"test": test, "values": [v for v in values if v is not None]},
    )


def _grouping(sentence: str, value: str | None, context: Context) -> str | None:
    for mention in context.mentions(sentence):
        column = context.column(mention.column)
        if mention.column != value and (column.role in {"text", "flag"} or column.unique <= 12) and column.unique <= 60:
            return mention.column
    return None


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


def _counted(kind: str, slot: Slot, context: Context) -> Measure:
    if kind in {"most_missing", "duplicates"}:
        # duplicates are counted before they are removed
        return Measure(kind=kind, stage=0 if kind == "duplicates" else -1)
    if kind == "rows":
        return Measure(kind="rows")
    if kind == "share":
        conditions = slot_conditions(slot, context) or list(context.filters)
        if not conditions:
            raise Unanswerable("the part whose share is asked for was not recognised")
        return Measure(kind="share", where=())
    columns = context.slot_columns(slot) or context.phrase_columns(slot.about)
    if not columns:
        for sentence, end in context.with_words(_SPOKEN["missing" if "missing" in kind else kind]):
            columns = [m.column for m in context.mentions(sentence) if m.start >= end][:1] or [
                m.column for m in context.mentions(sentence)
            ][:1]
            if columns:
                break
    if not columns and kind != "missing":
        raise Unanswerable("the column to count in was not recognised")
    return Measure(kind=kind, columns=tuple(columns[:1]))
