"""Steps and conditions as SQL text of the generated code. Nothing here runs a statement."""

from __future__ import annotations

from collections.abc import Sequence

from kimera.missions.analysis.plan import Condition, Range, Step
from kimera.missions.analysis.question.tables import ColumnView, TableView

__all__ = ["Relation", "literal", "name_of", "step_sql", "where_sql"]

_ARITHMETIC = {"sum": " + ", "product": " * ", "difference": " - "}
_CURVES = {
    "log": "ln({x})",
    "log10": "log10({x})",
    "log2": "log2({x})",
    "log1p": "ln(1 + {x})",
    "sqrt": "sqrt({x})",
    "square": "({x}) * ({x})",
}
_STATISTIC = {"mean": "avg", "median": "median"}


class Relation:
    """A table of the generated code: its name and what is known of its columns."""

    def __init__(self, name: str, view: TableView) -> None:
        self.name = name
        self.view = view

    def column(self, name: str) -> ColumnView:
        """Return a column; unknown names were made by a step and hold numbers."""
        return self.view.column(name) or ColumnView(name=name, role="number", stored="real")


def name_of(identifier: str) -> str:
    """Return an identifier quoted for SQL."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(value: object) -> str:
    """Return a value as a SQL literal."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def moment(column: ColumnView) -> str:
    """Return a column as a timestamp, parsed by its format when the file holds text."""
    name = name_of(column.name)
    if column.stored == "text" and column.date_format:
        return f"try_strptime({name}, {literal(column.date_format)})"
    return name if column.role == "date" else f"to_timestamp({name})"


def where_sql(conditions: Sequence[Condition], relation: Relation, any_of: bool = False) -> str:
    """Return conditions as one SQL expression; none gives TRUE."""
    parts = [_condition(c, relation) for c in conditions]
    return (" OR " if any_of else " AND ").join(parts) or "TRUE"


def _condition(c: Condition, relation: Relation) -> str:
    column = relation.column(c.column)
    subject = f"{c.part}({moment(column)})" if c.part else name_of(c.column)
    if c.op in {"missing", "present"}:
        return f"{subject} IS {'NOT ' if c.op == 'present' else ''}NULL"
    if c.aggregate:
        return f"{subject} {c.op} (SELECT {_STATISTIC[c.aggregate]}({subject}) FROM {name_of(relation.name)})"
    if c.other:
        return f"{subject} {c.op.replace('!=', '<>')} {name_of(c.other)}"
    if column.role == "text" and isinstance(c.value, str):
        return f"trim({subject}) {c.op.replace('!=', '<>')} {literal(c.value.strip())}"
    if column.stored == "boolean" and isinstance(c.value, int) and not isinstance(c.value, bool):
        return f"CAST({subject} AS INTEGER) {c.op} {c.value}"
    return f"{subject} {c.op.replace('!=', '<>')} {literal(c.value)}"


def step_sql(step: Step, relation: Relation) -> str:
    """Return the SELECT that turns ``relation`` into the next table; raises KeyError for a step it cannot write."""
    source = name_of(relation.name)
    if step.kind in _ROWS:
        return _ROWS[step.kind](step, relation, source)
    changes = [(target, _value(step, target, relation)) for target in _targets(step)]
    known = {c.name for c in relation.view.columns}
    replaced = ", ".join(f"{value} AS {name_of(target)}" for target, value in changes if target in known)
    added = "".join(f", {value} AS {name_of(target)}" for target, value in changes if target not in known)
    return f"SELECT *{f' REPLACE ({replaced})' if replaced else ''}{added} FROM {source}"


def _targets(step: Step) -> tuple[str, ...]:
    return step.columns if step.kind == "number" else (step.target,)


def _value(step: Step, target: str, relation: Relation) -> str:
    writers = {
        "derive": _derive,
        "transform": _transform,
        "bin": _bin,
        "part": _part,
        "duration": _duration,
        "flag": _flag,
        "fill": _fill,
        "encode": _encode,
        "number": _number,
        "extract": _extract,
    }
    return writers[step.kind](step, target, relation)


def _double(column: str) -> str:
    return f"CAST({name_of(column)} AS DOUBLE)"


def _derive(step: Step, target: str, relation: Relation) -> str:
    columns = [_double(c) for c in step.columns]
    if step.how == "ratio":
        below = f"({columns[1]} + {step.constant!r})" if step.constant else f"nullif({columns[1]}, 0)"
        made = f"{columns[0]} / {below}"
        return f"100 * {made}" if step.options.get("percent") else made
    if step.how == "average":
        return f"({' + '.join(columns)}) / {len(columns)}"
    made = "(" + _ARITHMETIC[step.how].join(columns) + ")"
    return f"abs{made}" if step.options.get("absolute") else made


def _transform(step: Step, target: str, relation: Relation) -> str:
    x = _double(step.columns[0])
    if step.how in _CURVES:
        shifted = f"{x} + {step.constant!r}" if step.constant else x
        made = _CURVES[step.how].format(x=shifted)
        # a logarithm of zero or less has no value; such rows stay empty instead of failing the whole table
        return (
            f"CASE WHEN {shifted} > {-1 if step.how == 'log1p' else 0} THEN {made} END"
            if step.how.startswith("log")
            else made
        )
    if step.how == "min-max":
        return f"({x} - min({x}) OVER ()) / nullif(max({x}) OVER () - min({x}) OVER (), 0)"
    if step.how == "robust":
        return (
            f"({x} - median({x}) OVER ()) / nullif(quantile_cont({x}, 0.75) OVER () - quantile_cont({x}, "
            f"0.25) OVER (), 0)"
        )
    return f"({x} - avg({x}) OVER ()) / nullif(stddev_pop({x}) OVER (), 0)"


def _bin(step: Step, target: str, relation: Relation) -> str:
    column = relation.column(step.columns[0])
    x = _double(column.name)
    if step.how == "hour":
        x = f"(hour({moment(column)}) + minute({moment(column)}) / 60.0)"
    return "CASE " + " ".join(f"WHEN {_inside(x, r)} THEN {literal(r.label)}" for r in step.ranges) + " END"


def _inside(x: str, r: Range) -> str:
    low = [] if r.low is None else [f"{x} {'>' if r.low_open else '>='} {r.low!r}"]
    high = [] if r.high is None else [f"{x} {'<' if r.high_open else '<='} {r.high!r}"]
    return " AND ".join(low + high) or "TRUE"


def _part(step: Step, target: str, relation: Relation) -> str:
    when = moment(relation.column(step.columns[0]))
    return f"isodow({when}) - 1" if step.how == "weekday" else f"{step.how}({when})"


def _duration(step: Step, target: str, relation: Relation) -> str:
    later, earlier = (moment(relation.column(c)) for c in step.columns)
    return f"date_diff('day', CAST({earlier} AS TIMESTAMP), CAST({later} AS TIMESTAMP))"


def _flag(step: Step, target: str, relation: Relation) -> str:
    return f"CASE WHEN {where_sql(step.where, relation, step.any_of)} THEN 1 ELSE 0 END"


def _fill(step: Step, target: str, relation: Relation) -> str:
    x, source = name_of(step.columns[0]), name_of(relation.name)
    if step.how == "zero":
        return f"coalesce({x}, '0')" if relation.column(step.columns[0]).role == "text" else f"coalesce({x}, 0)"
    if step.how == "mode":
        return (
            f"coalesce({x}, (SELECT {x} FROM {source} WHERE {x} IS NOT NULL GROUP BY {x} ORDER BY "
            f"count(*) DESC, {x} LIMIT 1))"
        )
    if step.how in {"forward", "backward"}:
        seen = f"last_value({x} IGNORE NULLS) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
        ahead = f"first_value({x} IGNORE NULLS) OVER (ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
        return seen if step.how == "forward" else ahead
    made = {"mean": "avg", "median": "median"}[step.how]
    within = f"{made}({x}) OVER (PARTITION BY {name_of(step.by)}), " if step.by else ""
    return f"coalesce(CAST({x} AS DOUBLE), {within}{made}({x}) OVER ())"


def _encode(step: Step, target: str, relation: Relation) -> str:
    text = f"CAST({name_of(step.columns[0])} AS VARCHAR)"
    return "CASE " + " ".join(f"WHEN {text} = {literal(k)} THEN {v}" for k, v in step.mapping.items()) + " END"


def _extract(step: Step, target: str, relation: Relation) -> str:
    found = f"nullif(regexp_extract({name_of(step.columns[0])}, {literal(step.how)}, 1), '')"
    values = step.options.get("values")
    if not isinstance(values, list):
        return found
    listed = ", ".join(literal(v) for v in values)
    return (
        f"CASE WHEN {found} IN ({listed}) THEN {found} ELSE {literal(step.options['other'])} END"
        if step.options.get("other")
        else f"CASE WHEN {found} IN ({listed}) THEN {found} END"
    )


def _number(step: Step, target: str, relation: Relation) -> str:
    return f"TRY_CAST(regexp_replace({name_of(target)}, '[^0-9.eE+-]', '', 'g') AS DOUBLE)"


def _keep(step: Step, relation: Relation, source: str) -> str:
    return f"SELECT * FROM {source} WHERE {where_sql(step.where, relation, step.any_of)}"


def _drop_missing(step: Step, relation: Relation, source: str) -> str:
    columns = step.columns or tuple(c.name for c in relation.view.columns)
    return f"SELECT * FROM {source} WHERE " + " AND ".join(f"{name_of(c)} IS NOT NULL" for c in columns)


def _drop_duplicates(step: Step, relation: Relation, source: str) -> str:
    columns = ", ".join(name_of(c) for c in step.columns or tuple(c.name for c in relation.view.columns))
    numbered = f"(SELECT *, row_number() OVER () AS row_in_file FROM {source})"
    first = f"QUALIFY row_number() OVER (PARTITION BY {columns} ORDER BY row_in_file) = 1"
    return f"SELECT * EXCLUDE (row_in_file) FROM (SELECT * FROM {numbered} {first} ORDER BY row_in_file)"


def _drop_outliers(step: Step, relation: Relation, source: str) -> str:
    rules = []
    for column in step.columns:
        x = _double(column)
        if step.options.get("method") == "z":
            spread = "stddev_samp" if step.options.get("ddof") == 1 else "stddev_pop"
            score = f"({x} - (SELECT avg({x}) FROM {source})) / (SELECT {spread}({x}) FROM {source})"
            score = score if step.options.get("side") == "high" else f"abs({score})"
            rules.append(f"{score} <= {step.options['threshold']!r}")
        else:
            low, high = (f"(SELECT quantile_cont({x}, {q}) FROM {source})" for q in (0.25, 0.75))
            factor = step.options.get("factor", 1.5)
            rules.append(f"{x} BETWEEN {low} - {factor} * ({high} - {low}) AND {high} + {factor} * ({high} - {low})")
    return f"SELECT * FROM {source} WHERE " + " AND ".join(rules)


_ROWS = {
    "keep": _keep,
    "drop_missing": _drop_missing,
    "drop_duplicates": _drop_duplicates,
    "drop_outliers": _drop_outliers,
}
