"""The sentences of number claims: fixed patterns over a measure, its value, its rows and its test."""

from __future__ import annotations

from collections.abc import Mapping

from kimera.missions.analysis.naming import (
    in_words,
    listed,
    rows_in_words,
    say_exact,
    say_p,
    say_rounded,
    start_sentence,
)
from kimera.missions.analysis.plan import Condition, Measure, Output
from kimera.missions.fusion.wording import p_text

__all__ = ["TEST_NAMES", "say_correlation", "say_extreme", "say_number", "say_output", "scope_of", "unit_of"]

LEVEL = 0.05

TEST_NAMES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "kendall": "Kendall",
    "shapiro": "Shapiro-Wilk",
    "dagostino": "D'Agostino's K²",
    "anderson": "Anderson-Darling",
    "jarque_bera": "Jarque-Bera",
    "ks_normal": "Kolmogorov-Smirnov",
    "ks_two": "two-sample Kolmogorov-Smirnov",
    "t_test": "Student's t",
    "welch": "Welch's t",
    "mann_whitney": "Mann-Whitney U",
    "anova": "one-way ANOVA F",
    "kruskal": "Kruskal-Wallis H",
    "chi_square": "chi-square",
    "levene": "Levene",
    "paired_t": "paired t",
}
_NAMES = {
    "sum": "total",
    "std": "standard deviation",
    "min": "minimum",
    "max": "maximum",
    "iqr": "interquartile range",
    "r2": "R²",
    "rmse": "RMSE",
    "mse": "MSE",
    "mae": "MAE",
    "first": "first value",
    "within_sd": "number of values within one standard deviation",
    "unique": "number of distinct values",
}


def scope_of(measure: Measure) -> dict[str, str]:
    """Return the rows a measure looks at, as column -> test."""
    return {c.column: _test(c) for c in measure.where}


def _test(condition: Condition) -> str:
    if condition.op in {"missing", "present"}:
        return condition.op
    value = f"its {condition.aggregate}" if condition.aggregate else condition.other or str(condition.value)
    return value if condition.op == "=" else f"{condition.op} {value}"


_EXACT = frozenset(
    {"min", "max", "minimum", "maximum", "sum", "mode", "first", "value", "extreme_value", "median", "count"}
)
_CARRYING = frozenset(
    {
        "mean",
        "median",
        "std",
        "min",
        "max",
        "minimum",
        "maximum",
        "sum",
        "iqr",
        "mode",
        "first",
        "extreme_value",
        "range",
    }
)


def unit_of(measure: Measure, units: Mapping[str, str]) -> str | None:
    """Return the unit of a measured value: that of its column, where the statistic keeps it."""
    carried = measure.kind in _CARRYING and len(measure.columns) == 1
    return units.get(measure.columns[0]) if carried else None


def say_number(value: object) -> str:
    """Return a value as a person reads it: thousands apart, at most six digits of a fraction."""
    return say_exact(value)


def _columns(measure: Measure) -> str:
    return listed([in_words(name) for name in measure.columns]) if measure.columns else ""


def _subject(measure: Measure) -> str:
    columns, kind = _columns(measure), measure.kind
    if kind in {"r", "r_p"} or kind.startswith(("normality", "groups_", "model_", "outlier_")):
        return _tested(measure)
    if kind.startswith("extreme_"):
        edge = "lowest" if measure.options.get("low") else "highest"
        statistic = str(measure.options.get("statistic")).replace("value", "").strip()
        statistic = _NAMES.get(statistic, statistic)
        said = f"{edge} {f'{statistic} ' if statistic else ''}{columns}" if columns else f"{edge} number of rows"
        by = in_words(measure.by or "group")
        return f"{said} of any {by}" if kind == "extreme_value" else f"{by} with the {said}"
    fixed = {
        "rows": "number of rows",
        "duplicates": "number of duplicate rows",
        "missing": "number of missing values",
        "most_missing": "column with most missing values",
    }
    if kind in fixed:
        return fixed[kind] + (f" in {columns}" if columns else "")
    if kind.startswith("strongest"):
        pair = kind.endswith("pair")
        return f"strongest Pearson correlation among {columns}" if pair else f"column most correlated with {columns}"
    name = _NAMES.get(kind, kind.replace("_", " "))
    plain = kind in {"mean", "median", "min", "max", "minimum", "maximum", "sum"}
    return f"{name} {columns}" if plain else f"{name} of {columns}"


def _tested(measure: Measure) -> str:
    """Return what a test, a model or a rule for outliers gives, in words."""
    columns, kind, test = _columns(measure), measure.kind, TEST_NAMES.get(str(measure.options.get("test")), "")
    first, *others = [in_words(name) for name in measure.columns] or [""]
    ends = "p-value" if kind.endswith("_p") else "statistic"
    if kind in {"r", "r_p"}:
        between = f"between {columns}"
        return f"{test} correlation {between}" if kind == "r" else f"p-value of the {test} correlation {between}"
    if kind.startswith("normality"):
        return f"{test} {ends} for the normality of {columns}"
    if kind.startswith("groups_"):
        return f"{ends} of the {test} test of {first} by {listed(others) if others else 'group'}"
    if kind.startswith("model_"):
        score = _NAMES.get(kind[6:], kind[6:])
        return f"{score} of the {measure.options.get('model')} model of {first} on {', '.join(others)}"
    rule = "z-score" if measure.options.get("method") == "z" else "interquartile-range"
    return f"{kind[8:].replace('_', ' ')} of outliers of {first} ({rule} rule)"


def say_output(
    output: Output, value: object, n: int | None, why: Mapping[str, float], table: str, units: Mapping[str, str]
) -> str:
    """Return the sentence of one answer; a value asked for by name is said as it was computed, others are rounded."""
    if output.rules:
        return _ruled(output, value, n, why, table)
    measure = output.measures[0]
    where = rows_in_words(measure.where, units)
    rows = f" (n = {n:,})" if n else ""
    if measure.kind in {"rows", "count"} and not measure.columns and isinstance(value, int):
        return (
            f"{say_number(value)} rows of {table} have {where}." if where else f"{table} has {say_number(value)} rows."
        )
    if measure.kind == "share" and not measure.columns and where and isinstance(value, int | float):
        shown = f"{say_rounded(value)} %" if output.percent or value > 1 else say_rounded(100 * value) + " %"
        part = [c for c in measure.where if c.text() == measure.options.get("part")] or list(measure.where)
        rest = rows_in_words([c for c in measure.where if c not in part], units)
        return f"{shown} of the rows of {table}{f' with {rest}' if rest else ''} have {rows_in_words(part, units)}."
    subject = listed([_subject(m) for m in output.measures])
    said = _say(measure, value, units, rounded=output.slot is None)
    return start_sentence(f"the {subject} is {said}{f' for {where}' if where else ''} in {table}{rows}.")


def _say(measure: Measure, value: object, units: Mapping[str, str], *, rounded: bool) -> str:
    unit = unit_of(measure, units)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return say_exact(value)
    if measure.kind.endswith("_p"):
        return p_text(float(value)).removeprefix("= ")
    if measure.kind == "r" and rounded:
        return f"{value:.2f}"
    exact = measure.kind in _EXACT and measure.options.get("statistic") != "mean"
    return say_exact(value, unit) if exact or not rounded else say_rounded(value, unit)


def say_correlation(measure: Measure, r: float, p: float, n: int | None, units: Mapping[str, str], table: str) -> str:
    """Return the sentence that says whether and how two columns go together."""
    a, b = (in_words(name) for name in measure.columns[:2])
    where = rows_in_words(measure.where, units)
    test = TEST_NAMES.get(str(measure.options.get("test")), "Pearson")
    way = (
        f"{a} {'rises' if r > 0 else 'falls'} with {b}" if p < LEVEL else f"there is no clear link between {a} and {b}"
    )
    rows = f", n = {n:,}" if n else ""
    return start_sentence(
        f"{way}{f' for {where}' if where else ''} in {table} ({test} correlation {r:.2f}{rows}, {say_p(p)})."
    )


def say_extreme(measure: Measure, group: str, value: object, units: Mapping[str, str], table: str) -> str:
    """Return the sentence that says which group is highest or lowest, and its value."""
    statistic = str(measure.options.get("statistic")).replace("value", "")
    exact = statistic not in {"mean", "std"} or not isinstance(value, int | float)
    unit = units.get(measure.columns[0])
    said = say_exact(value, unit) if exact else say_rounded(float(str(value)), unit)
    edge = "lowest" if measure.options.get("low") else "highest"
    where, by = rows_in_words(measure.where, units), in_words(measure.by or "group")
    statistic = _NAMES.get(statistic, statistic)
    if not statistic:
        single = f"the {edge} {_columns(measure)} of a single row{f' for {where}' if where else ''}"
        return start_sentence(f"{single} in {table} is {said}, of {by} {group}.")
    what = " ".join(filter(None, (edge, statistic, _columns(measure))))
    return start_sentence(f"the {by} with the {what}{f' for {where}' if where else ''} in {table} is {group}: {said}.")


def _ruled(output: Output, value: object, n: int | None, why: Mapping[str, float], table: str) -> str:
    names = {
        "r": "correlation",
        "r_p": "p",
        "normality_p": "p",
        "groups_p": "p",
        "anderson_margin": "p minus level",
        "model_r2": "R²",
    }
    seen = ", ".join(
        say_p(float(v)) if names.get(kind) == "p" else f"{names.get(kind, kind)} = {say_number(round(float(v), 6))}"
        for kind, v in why.items()
        if v is not None
    )
    about = next((c.measure for r in output.rules for c in r.when), None)
    subject = _subject(about) if about else (output.slot or "answer")
    where = rows_in_words(about.where, {}) if about else ""
    return (
        f"{(output.slot or 'Answer').replace('_', ' ')}: {value}, by the {subject}{f' for {where}' if where else ''} "
        f"in {table} ({seen}{', n = ' + format(n, ',') if n else ''})."
    )
