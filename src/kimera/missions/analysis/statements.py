"""The sentences of number claims: fixed patterns over a measure, its value, its rows and its test."""

from __future__ import annotations

from kimera.missions.analysis.plan import Condition, Measure, Output

__all__ = ["TEST_NAMES", "say_number", "say_output", "scope_of"]

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


def say_number(value: object) -> str:
    """Return a value as a person reads it: thousands apart, at most six digits of a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6f}".rstrip("0").rstrip(".") if 1e-4 <= abs(value) < 1e15 else f"{value:.4g}"


def _subject(measure: Measure) -> str:
    columns = " and ".join(measure.columns)
    kind, test = measure.kind, TEST_NAMES.get(str(measure.options.get("test")), "")
    if kind in {"r", "r_p"}:
        between = f"between {measure.columns[0]} and {measure.columns[1]}"
        return f"{test} correlation {between}" if kind == "r" else f"p-value of the {test} correlation {between}"
    if kind.startswith("normality"):
        return f"{test} {'p-value' if kind.endswith('_p') else 'statistic'} for the normality of {columns}"
    if kind.startswith("groups_"):
        return (
            f"{'p-value' if kind.endswith('_p') else 'statistic'} of the {test} test of {measure.columns[0]} "
            f"by {measure.columns[1]}"
        )
    if kind.startswith("model_"):
        score = _NAMES.get(kind[6:], kind[6:])
        return (
            f"{score} of the {measure.options.get('model')} model of {measure.columns[0]} on "
            f"{', '.join(measure.columns[1:])}"
        )
    if kind.startswith("outlier_"):
        rule = "z-score" if measure.options.get("method") == "z" else "interquartile-range"
        return f"{kind[8:].replace('_', ' ')} of outliers of {measure.columns[0]} ({rule} rule)"
    if kind == "extreme_value":
        return _subject(measure.model_copy(update={"kind": "extreme_group"})).replace(" with the", "'s value, the", 1)
    if kind == "extreme_group":
        edge = "lowest" if measure.options.get("low") else "highest"
        statistic = str(measure.options.get("statistic")).replace("value", "").strip()
        return f"{measure.by} with the {edge} {statistic + ' ' if statistic else ''}{columns or 'number of rows'}"
    if kind in {"rows", "duplicates", "missing", "most_missing"}:
        fixed = {
            "rows": "number of rows",
            "duplicates": "number of duplicate rows",
            "missing": "number of missing values",
            "most_missing": "column with most missing values",
        }
        return fixed[kind] + (f" in {columns}" if columns else "")
    if kind.startswith("strongest"):
        return (
            f"strongest Pearson correlation among {columns}"
            if kind.endswith("pair")
            else f"column most correlated with {columns}"
        )
    return f"{_NAMES.get(kind, kind.replace('_', ' '))} of {columns}"


def say_output(output: Output, value: object, n: int | None, why: dict[str, float], table: str) -> str:
    """Return the sentence of one answer."""
    rows = f" (n = {n:,})" if n else ""
    if output.rules:
        names = {
            "r": "correlation",
            "r_p": "p",
            "normality_p": "p",
            "groups_p": "p",
            "anderson_margin": "p minus level",
            "model_r2": "R²",
        }
        seen = ", ".join(
            f"{names.get(kind, kind)} = {say_number(round(float(v), 6))}" for kind, v in why.items() if v is not None
        )
        about = next((c.measure for r in output.rules for c in r.when), None)
        subject = _subject(about) if about else (output.slot or "answer")
        return (
            f"{(output.slot or 'Answer').replace('_', ' ')}: {value}, by the {subject}{_where(about)} "
            f"in {table} ({seen}{', n = ' + format(n, ',') if n else ''})."
        )
    measure = output.measures[0]
    subject = " and ".join(_subject(m) for m in output.measures)
    return f"The {subject}{_where(measure)} in {table} is {say_number(value)}{rows}."


def _where(measure: Measure | None) -> str:
    if measure is None or not measure.where:
        return ""
    return " where " + " and ".join(c.text() for c in measure.where)
