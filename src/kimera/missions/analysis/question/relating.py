"""Relations and tests: correlations, normality, differences between groups, contingency."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.extremes import MOST_RELATED, strongest
from kimera.missions.analysis.question.kinds import NORMALITY, TWO_GROUPS, test_of
from kimera.missions.analysis.question.linking import alike, find_columns
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.subjects import univariate
from kimera.missions.analysis.question.subsets import slot_conditions
from kimera.missions.analysis.question.words import split_name, stem

__all__ = ["correlation", "pair_of", "read_test"]


def correlation(slot: Slot, context: Context, kind: str) -> Measure:
    """Return a correlation of the two columns the slot or the question names."""
    own_words = _unread_words(slot, context) if kind == "r" else []
    method = "spearman" if context.says(r"\bspearman") else "kendall" if context.says(r"\bkendall") else "pearson"
    asks_which = context.says(MOST_RELATED) and context.says(r"\bwhich\b") and len(context.slot_columns(slot)) < 2
    if kind == "r" and asks_which and len(context.asked.slots) > 1:
        try:
            return strongest("r", context)
        except Unanswerable:
            pass
    try:
        columns = pair_of(slot, context)
    except Unanswerable:
        if kind == "r" and context.says(MOST_RELATED):
            return strongest("r", context)
        raise
    left = [w for w in own_words if not any(alike(w, p) for c in columns for p in split_name(c))]
    if left:
        raise Unanswerable(f"what “{' '.join(left)}” in {slot.name} means was not understood")
    return Measure(kind=kind, columns=tuple(sorted(columns)), options={"test": method})


_RELATING = frozenset(
    stem(w)
    for w in re.findall(
        r"\w+",
        "correlation corr correlations coefficient coef pearson spearman kendall r rho tau value p result score "
        "strength between and vs versus with of the to for in new feature column variable relationship after "
        "before pre post cleaned cleaning filtered number absolute abs highest strongest most correlated original "
        "analysis matrix test",
    )
)


def _unread_words(slot: Slot, context: Context) -> list[str]:
    """Return the words of a slot's name that name neither a column nor rows nor a relation."""
    linked = [m.column for m in find_columns(" ".join(slot.tokens), context.table)]
    if len(linked) != 1:
        return []
    rows = [*slot_conditions(slot, context), *context.filters]
    known = {w for c in linked for w in split_name(c)}
    known |= {w for c in rows for w in (*split_name(c.column), *re.findall(r"\w+", str(c.value).lower()))}
    return [
        w for w in slot.tokens if stem(w) not in _RELATING and not any(alike(w, k) for k in known) and not w.isdigit()
    ]


def pair_of(slot: Slot, context: Context) -> tuple[str, ...]:
    """Return the two columns of numbers that are related."""
    aside = {*context.set_apart(), *context.groups}
    own = [c for c in context.slot_columns(slot) if context.column(c).numeric and c not in aside]
    if len(own) == 2:
        return own[0], own[1]
    exact = _written_pair(context)
    if exact is not None and (not own or own[0] in exact):
        return exact
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
        columns = [c for c in columns if c not in aside] if len(columns) > 2 else columns
        if len(columns) >= 2:
            if len(own) == 1 and own[0] in columns:
                return own[0], next(c for c in columns if c != own[0])
            if len(columns) == 2 or start:
                return columns[0], columns[1]
    raise Unanswerable("the two columns to relate were not both recognised")


def _written_pair(context: Context) -> tuple[str, str] | None:
    """Return the two columns a sentence writes out as their headers: surer than words that only sound like some."""
    apart = {*context.set_apart(), *context.groups}
    for sentence, _ in context.with_words(r"\bcorrelat\w*|\brelationship|\bpearson|\bspearman"):
        written = [m for m in context.mentions(sentence) if m.quoted or m.score >= 1.2]
        columns = [m.column for m in written if context.column(m.column).numeric and m.column not in apart]
        if len(dict.fromkeys(columns)) == 2:
            first, second = dict.fromkeys(columns)
            return first, second
    return None


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
    for sentence, _ in context.with_words(r"\bdiffer|\bt-?\s?test|\bcompare|\banova|\btest\b|\bdistribution"):
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
