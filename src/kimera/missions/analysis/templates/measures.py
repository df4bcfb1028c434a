"""How each measure is written: one small function per kind, returning a Python expression."""

from __future__ import annotations

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.templates.code import Emit, Writer
from kimera.missions.analysis.templates.sql import literal, name_of, where_sql

__all__ = ["WRITERS"]

_PLAIN = {
    "mean": "np.mean({x})",
    "median": "np.median({x})",
    "sum": "np.sum({x})",
    "min": "np.min({x})",
    "max": "np.max({x})",
    "range": "np.max({x}) - np.min({x})",
    "std": "np.std({x}, ddof={ddof})",
    "cv": "np.std({x}, ddof={ddof}) / np.mean({x})",
    "variance": "np.var({x}, ddof={ddof})",
    "skewness": "stats.skew({x}, bias={biased})",
    "kurtosis": "stats.kurtosis({x}, bias={biased})",
    "iqr": "np.subtract(*np.percentile({x}, [75, 25]))",
    "quantile": "np.percentile({x}, {percent})",
    "within_sd": "np.sum(np.abs({x} - np.mean({x})) <= np.std({x}, ddof=1))",
}


def _plain(writer: Writer, measure: Measure) -> str:
    options = measure.options
    return _PLAIN[measure.kind].format(
        x=writer.column(measure),
        ddof=options.get("ddof", 1),
        biased=options.get("ddof") == 0,
        percent=options.get("percent"),
    )


def _one(writer: Writer, measure: Measure, select: str, tail: str = "") -> str:
    """Ask the table for a single value."""
    relation = writer.relation(measure)
    where = where_sql(measure.where, relation)
    sql = f"SELECT {select} FROM {name_of(relation.name)} WHERE {where}{tail}"
    return f"db.execute({sql!r}).fetchall()[0][0]"


def _mode(writer: Writer, measure: Measure) -> str:
    x = name_of(measure.columns[0])
    return _one(writer, measure, x, f" AND {x} IS NOT NULL GROUP BY {x} ORDER BY count(*) DESC, {x} LIMIT 1")


def _first(writer: Writer, measure: Measure) -> str:
    return _one(writer, measure, name_of(measure.columns[0]), " LIMIT 1")


def _rows(writer: Writer, measure: Measure) -> str:
    return _one(writer, measure, "count(*)")


def _share(writer: Writer, measure: Measure) -> str:
    rest = tuple(c for c in measure.where if c.text() != measure.options.get("part"))
    whole = measure.model_copy(update={"where": rest})
    return f"{_one(writer, measure, 'count(*)')} / {_one(writer, whole, 'count(*)')}"


def _missing(writer: Writer, measure: Measure) -> str:
    columns = measure.columns or tuple(c.name for c in writer.relation(measure).view.columns)
    return _one(writer, measure, " + ".join(f"count(*) - count({name_of(c)})" for c in columns))


def _missing_rows(writer: Writer, measure: Measure) -> str:
    columns = writer.relation(measure).view.columns
    return _one(writer, measure, f"count(*) FILTER ({' OR '.join(f'{name_of(c.name)} IS NULL' for c in columns)})")


def _missing_share(writer: Writer, measure: Measure) -> str:
    return _one(writer, measure, f"1 - count({name_of(measure.columns[0])}) / count(*)")


def _has_missing(writer: Writer, measure: Measure) -> str:
    return f"bool({_missing(writer, measure)} > 0)"


def _most_missing(writer: Writer, measure: Measure) -> str:
    relation = writer.relation(measure)
    pieces = " UNION ALL ".join(
        f"SELECT {literal(c.name)} AS name, count(*) - count({name_of(c.name)}) AS missing FROM "
        f"{name_of(relation.name)}"
        for c in relation.view.columns
    )
    rows = writer.name("missing", f"db.execute({pieces!r}).fetchall()")
    if measure.kind == "missing_columns":
        return f"', '.join(row[0] for row in {rows} if row[1])"
    return f"max({rows}, key=lambda row: row[1])[0]"


def _duplicates(writer: Writer, measure: Measure) -> str:
    relation = writer.relation(measure)
    source = name_of(relation.name)
    sql = f"SELECT (SELECT count(*) FROM {source}) - (SELECT count(*) FROM (SELECT DISTINCT * FROM {source}))"
    return f"db.execute({sql!r}).fetchall()[0][0]"


def _unique(writer: Writer, measure: Measure) -> str:
    return _one(writer, measure, f"count(DISTINCT {name_of(measure.columns[0])})")


def _group_name(writer: Writer, measure: Measure) -> str:
    return repr(str(measure.where[-1].value))


def _outliers(writer: Writer, measure: Measure) -> str:
    options = measure.options
    factor = options["threshold"] if options["method"] == "z" else options["factor"]
    x = writer.column(measure)
    bounds = writer.name(
        "bounds", f"{writer.use('outlier_bounds')}({x}, {options['method']!r}, {factor!r}, {options.get('ddof', 0)})"
    )
    outside = (
        f"({x} > {bounds}[1])" if options.get("side") == "high" else f"(({x} < {bounds}[0]) | ({x} > {bounds}[1]))"
    )
    found = writer.name("outliers", f"{x}[{outside}]")
    statistic = measure.kind.removeprefix("outlier_")
    if statistic in {"low", "high"}:
        return f"{bounds}[{0 if statistic == 'low' else 1}]"
    if statistic == "count":
        return f"len({found})"
    if statistic == "share":
        return f"len({found}) / len({x})"
    if statistic == "values":
        return _outlier_values(writer, measure, found, bounds)
    made = f"np.std({found}, ddof={options.get('std_ddof', 1)})" if statistic == "std" else f"np.{statistic}({found})"
    return f"({made} if len({found}) else None)"


def _outlier_values(writer: Writer, measure: Measure, found: str, bounds: str) -> str:
    if len(measure.columns) < 2:
        return f"', '.join(str(round(float(v), 4)) for v in {found})"
    relation = writer.relation(measure)
    x, entity = (name_of(c) for c in measure.columns)
    sql = (
        f"SELECT CAST({entity} AS VARCHAR) FROM {name_of(relation.name)} WHERE ({where_sql(measure.where, relation)}) "
        f"AND ({x} < ? OR {x} > ?)"
    )
    return f"', '.join(row[0] for row in db.execute({sql!r}, list({bounds})).fetchall())"


def _correlation(writer: Writer, measure: Measure) -> str:
    pair = writer.columns(measure, *measure.columns[:2])
    function = {"pearson": "pearsonr", "spearman": "spearmanr", "kendall": "kendalltau"}[
        str(measure.options.get("test", "pearson"))
    ]
    test = writer.name("correlation", f"stats.{function}({pair}[0], {pair}[1])")
    return f"{test}.pvalue" if measure.kind == "r_p" else f"{test}.statistic"


def _normality(writer: Writer, measure: Measure) -> str:
    if measure.options["test"] == "anderson":
        return f"stats.anderson({writer.column(measure)}, method='interpolate').statistic"
    test = writer.name("normality", f"{writer.use('normality')}({writer.column(measure)}, {measure.options['test']!r})")
    return f"{test}[{1 if measure.kind.endswith('_p') else 0}]"


def _anderson_margin(writer: Writer, measure: Measure) -> str:
    """How far the Anderson-Darling p-value (interpolated from its table) stands above the level."""
    return f"stats.anderson({writer.column(measure)}, method='interpolate').pvalue - {measure.options['alpha']}"


def _groups(writer: Writer, measure: Measure) -> str:
    relation, test = writer.relation(measure), str(measure.options["test"])
    part = 1 if measure.kind.endswith("_p") else 0
    where = writer.where(measure.where, relation)
    if test == "chi_square":
        a, b = (name_of(c) for c in measure.columns)
        pieces = (
            f"SELECT CAST({a} AS VARCHAR), CAST({b} AS VARCHAR) FROM {name_of(relation.name)} "
            f"WHERE {where_sql(measure.where, relation)} AND {a} IS NOT NULL AND {b} IS NOT NULL"
        )
        rows = writer.name("pairs", f"db.execute({pieces!r}).fetchall()")
        table = writer.name(
            "crosstab", f"stats.contingency.crosstab([r[0] for r in {rows}], [r[1] for r in {rows}]).count"
        )
        return f"stats.chi2_contingency({table})[{part}]"
    value, by = measure.columns
    groups = writer.name("groups", f"{writer.use('grouped')}(db, {relation.name!r}, {value!r}, {by!r}, {where})")
    listed = measure.options.get("values")
    chosen = (
        f"[{groups}[name] for name in {[_group_key(v, writer, measure) for v in listed]!r}]"
        if isinstance(listed, list) and listed
        else f"list({groups}.values())"
    )
    found = writer.name("test", f"{writer.use('compare_groups')}({chosen}, {test!r})")
    return f"{found}[{part}]"


def _group_key(value: object, writer: Writer, measure: Measure) -> str:
    """Return a group's value as DuckDB writes it as text."""
    column = writer.relation(measure).column(measure.columns[1])
    if column.stored == "boolean":
        return str(bool(value)).lower()
    if column.stored == "real" and isinstance(value, int | float):
        return str(float(value))
    return str(value)


def _extreme_group(writer: Writer, measure: Measure) -> str:
    relation = writer.relation(measure)
    by, statistic = name_of(measure.by or ""), str(measure.options["statistic"])
    x = name_of(measure.columns[0]) if measure.columns else "*"
    made = {"mean": f"avg({x})", "median": f"median({x})", "sum": f"sum({x})", "count": "count(*)"}.get(statistic)
    low = bool(measure.options.get("low"))
    made = made or f"{'min' if low else 'max'}({x})"
    rows = measure.options.get("least_rows")
    least = f" AND count(*) >= {rows}" if isinstance(rows, int) else ""
    sql = (
        f"SELECT CAST({by} AS VARCHAR), {made} AS value FROM {name_of(relation.name)} WHERE "
        f"({where_sql(measure.where, relation)}) AND {by} IS NOT NULL "
        f"GROUP BY {by} HAVING value IS NOT NULL{least} ORDER BY value {'ASC' if low else 'DESC'}, {by}"
    )
    ranking = writer.name("ranking", f"db.execute({sql!r}).fetchall()")
    if measure.kind == "extreme_value":
        return f"{ranking}[0][1]"
    return f"', '.join(row[0] for row in {ranking} if row[1] == {ranking}[0][1])"


def _strongest(writer: Writer, measure: Measure) -> str:
    relation = writer.relation(measure)
    pair = measure.kind == "strongest_pair"
    columns = list(measure.columns) if pair else [c.name for c in relation.view.columns if c.role == "number"]
    columns = list(measure.columns) if len(measure.columns) > 1 else columns
    target = None if pair else measure.columns[0]
    call = (
        f"{writer.use('correlations')}(db, {relation.name!r}, {columns!r}, {target!r}, "
        f"{writer.where(measure.where, relation)})"
    )
    found = writer.name("all_r", call)
    key = "row[0]" if measure.options.get("signed") else "abs(row[0])"
    best = writer.name("strongest", f"max({found}, key=lambda row: {key})")
    if measure.options.get("want") == "r" or measure.kind == "r":
        return f"{best}[0]"
    return f"', '.join({best}[1:])" if pair else f"{best}[2]"


def _model(writer: Writer, measure: Measure) -> str:
    options = measure.options
    data = writer.columns(measure, *measure.columns)
    share, seed = options.get("test_share"), options.get("seed")
    # a split without a stated seed is drawn with 42; the notes of the package say so
    seed = int(seed) if isinstance(seed, int | float) else 42
    features = f"[(v - v.mean()) / v.std() for v in {data}[1:]]" if options.get("standardise") else f"list({data}[1:])"
    if options.get("model") == "logistic":
        model = writer.name(
            "model",
            f"{writer.use('fit_logistic')}({data}[0], {features}, {share}, {seed}, {bool(options.get('balanced'))})",
        )
    else:
        model = writer.name("model", f"{writer.use('fit_linear')}({data}[0], {features}, {share}, {seed})")
    score = measure.kind.removeprefix("model_")
    if score in {"slope", "intercept"}:
        return f"{model}['weights'][{1 if score == 'slope' else 0}]"
    return f"{model}[{score!r}]"


WRITERS: dict[str, Emit] = {
    **dict.fromkeys(_PLAIN, _plain),
    "mode": _mode,
    "first": _first,
    "rows": _rows,
    "share": _share,
    "missing": _missing,
    "missing_share": _missing_share,
    "missing_rows": _missing_rows,
    "has_missing": _has_missing,
    "most_missing": _most_missing,
    "missing_columns": _most_missing,
    "duplicates": _duplicates,
    "unique": _unique,
    "group_name": _group_name,
    "outlier_": _outliers,
    "r": _correlation,
    "r_p": _correlation,
    "normality_p": _normality,
    "normality_statistic": _normality,
    "anderson_margin": _anderson_margin,
    "groups_": _groups,
    "extreme_group": _extreme_group,
    "extreme_value": _extreme_group,
    "strongest": _strongest,
    "strongest_pair": _strongest,
    "model_": _model,
}
