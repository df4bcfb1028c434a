"""Which findings get a drawing: the strongest ones, at most one each, few enough to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kimera.errors import ValidationError
from kimera.knowledge.contracts import Column, Library, Table
from kimera.missions.analysis import charts
from kimera.missions.contracts import Chart, Computation, NumberClaim
from kimera.missions.fusion.quantities import is_unit
from kimera.storage.blobs import Blobs

__all__ = ["draw_findings"]

MOST_CHARTS = 4
MOST_DOTS = 400
LEVEL = 0.05
GROUPS = range(2, 13)

_NUMBER = "TRY_CAST(regexp_replace(CAST({column} AS VARCHAR), '[,%$\\s]', '', 'g') AS DOUBLE)"
"""A number as the survey's own code reads it, so that the dots are the rows it computed on."""
_POINTS = """
WITH read AS (SELECT {x} AS x, {y} AS y FROM read_parquet($path)),
     whole AS (SELECT x, y, row_number() OVER () - 1 AS place FROM read WHERE isfinite(x) AND isfinite(y))
SELECT x, y FROM whole WHERE place % (SELECT greatest(1, ceil(count(*) / $most)) FROM whole) = 0 ORDER BY place
"""


def draw_findings(
    claims: Sequence[NumberClaim], computations: Sequence[Computation], library: Library, blobs: Blobs
) -> tuple[Chart, ...]:
    """Return charts for the most relevant differences between groups and correlations that hold after correction.

    A difference becomes bars of the computed means, a correlation a cloud of at most `MOST_DOTS` rows (every k-th)
    with the computed line. What has no clear picture is left out.
    """
    made = {computation.id: computation for computation in computations}
    drawn: list[Chart] = []
    for claim in sorted(claims, key=lambda claim: (-claim.relevance, claim.id)):
        if len(drawn) == MOST_CHARTS:
            break
        item = _item(claim, made.get(claim.computation_id))
        if item is not None and claim.p_adjusted is not None and claim.p_adjusted < LEVEL:
            chart = _draw(claim, item, made[claim.computation_id], library, blobs)
            drawn += [chart] if chart is not None else []
    return tuple(drawn)


def _item(claim: NumberClaim, computation: Computation | None) -> dict[str, Any] | None:
    """Return the survey's entry that the claim heads; None for means within it and for other computations."""
    result = computation.result if computation else None
    if len(claim.path) != 3 or claim.path[0] != "found" or not isinstance(result, dict):
        return None
    found, place = result.get("found"), claim.path[1]
    if not isinstance(found, list) or not isinstance(place, int) or not 0 <= place < len(found):
        return None
    item = found[place]
    return item if isinstance(item, dict) else None


def _draw(
    claim: NumberClaim, item: dict[str, Any], computation: Computation, library: Library, blobs: Blobs
) -> Chart | None:
    table = _table(computation, library)
    named = {column.name: column for column in table.columns} if table else {}
    columns = [named.get(str(name)) for name in item.get("columns", ())]
    if table is None or len(columns) != 2:
        return None
    first, second = columns
    try:
        if item.get("kind") == "difference" and first is not None:
            return _bars(claim, item, first, str(item["columns"][1]))
        if item.get("kind") == "correlation" and first is not None and second is not None:
            return _cloud(claim, item, first, second, blobs.path(table.data))
    except ValidationError:  # nothing that can be drawn: too many groups, no finite value
        return None
    return None


def _table(computation: Computation, library: Library) -> Table | None:
    names = {item.table for item in computation.inputs}
    tables = [table for table in library.tables if table.name in names]
    return tables[0] if len(tables) == 1 else None


def _bars(claim: NumberClaim, item: dict[str, Any], measured: Column, group: str) -> Chart | None:
    groups = item.get("groups", ())
    if len(groups) not in GROUPS:
        return None
    label = _label(measured)
    return charts.bar(
        claim.id,
        f"Mean {label} by {_words(group)}",
        [str(part["name"]) for part in groups],
        [float(part["mean"]) for part in groups],
        x_label=_words(group),
        y_label=f"mean {label}",
        unit=_unit(measured),
    )


def _cloud(claim: NumberClaim, item: dict[str, Any], x: Column, y: Column, data: Path) -> Chart | None:
    if not data.is_file():
        return None
    points = _rows(data, x.name, y.name)
    left = f", {len(points)} of {item['n']:,} rows" if len(points) < int(item["n"]) else ""
    return charts.scatter(
        claim.id,
        _title(f"{_label(y)} against {_label(x)}{left}"),
        points,
        x_label=_label(x),
        y_label=_label(y),
        x_unit=_unit(x),
        y_unit=_unit(y),
        trend=(float(item["slope"]), float(item["intercept"])),
    )


def _rows(data: Path, x: str, y: str) -> list[tuple[float, float]]:
    """Return every k-th row that has both values, so that the same table always gives the same dots."""
    import duckdb  # the folder was read with it; a second table library would cost the report its import

    x, y = (_NUMBER.format(column='"' + name.replace('"', '""') + '"') for name in (x, y))
    with duckdb.connect(config={"threads": 1, "async_threads": 0}) as connection:
        rows: list[tuple[float, float]] = connection.execute(
            _POINTS.format(x=x, y=y), {"path": str(data), "most": MOST_DOTS}
        ).fetchall()
    return rows


def _words(name: str) -> str:
    return " ".join(name.replace("_", " ").split())


def _unit(column: Column) -> str | None:
    """Return the column's unit, or the one at the end of its name (``body_mass_g``)."""
    last = column.name.rpartition("_")[2]
    return column.unit or (last if last != column.name and is_unit(last) else None)


def _label(column: Column) -> str:
    """Return a column's name in words, without the unit at its end, which the axis carries."""
    name, unit = _words(column.name), _unit(column)
    for ending in (f" {unit}", f" ({unit})"):
        if unit and name.endswith(ending):
            name = name.removesuffix(ending)
    return name


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
