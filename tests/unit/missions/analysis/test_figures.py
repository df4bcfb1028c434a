"""Figures: the strongest findings get a drawing made from what was computed and from the rows themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from kimera.knowledge.contracts import Column, Library, ReadRecipe, Source, Table
from kimera.missions.analysis.figures import MOST_CHARTS, MOST_DOTS, draw_findings
from kimera.missions.contracts import Computation, ComputationInput, NumberClaim
from kimera.storage import Blobs

ROWS = 1_000
GROUPS = [{"name": "north", "mean": 4.0, "n": 500}, {"name": "south", "mean": 6.0, "n": 500}]
ITEMS: list[dict[str, Any]] = [
    {"kind": "difference", "columns": ["weight_kg", "region"], "groups": GROUPS, "n": ROWS, "effect": 0.4},
    {"kind": "correlation", "columns": ["height_cm", "weight_kg"], "slope": 2.0, "intercept": 1.0, "n": ROWS, "r": 0.9},
    {"kind": "trend", "columns": ["weight_kg", "year"], "n": ROWS, "tau": 0.3},
]


def folder(blobs: Blobs, tmp_path: Path) -> Library:
    """Return a library with one table of a thousand rows."""
    frame = pl.DataFrame(
        {
            "region": ["north", "south"] * (ROWS // 2),
            "height_cm": [float(i) for i in range(ROWS)],
            "weight_kg": [2.0 * i + 1 for i in range(ROWS)],
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    columns = (
        Column(name="region", source_name="region", type="text"),
        Column(name="height_cm", source_name="height_cm", type="real"),
        Column(name="weight_kg", source_name="weight_kg", type="real"),
    )
    table = Table(
        name="people",
        source_id="s",
        title="people",
        rows=ROWS,
        columns=columns,
        data=blobs.put_file(tmp_path / "t.parquet"),
        recipe=ReadRecipe(rung="duckdb"),
        digest="",
    )
    source = Source(id="s", name="people.csv", kind="table")
    return Library(knowledge_space="k", folder="f", sources=(source,), tables=(table,), documents=())


def survey(items: list[dict[str, Any]]) -> Computation:
    """Return the survey's computation with these entries."""
    read = ComputationInput(name="people", source_id="s", table="people")
    return Computation(id="c_1", code="", inputs=(read,), result={"found": items})


def claim(place: int, relevance: float = 0.5, p_adjusted: float | None = 0.001, key: str = "effect") -> NumberClaim:
    """Return the claim that heads an entry of the survey."""
    return NumberClaim(
        id=f"n_{place}",
        statement="Something goes with something.",
        value=0.4,
        track="ds_star",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        computation_id="c_1",
        path=("found", place, key),
        relevance=relevance,
        p_adjusted=p_adjusted,
    )


def test_a_difference_is_drawn_as_the_computed_means(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: one bar per group with its mean, the unit read off the column's name."""
    (chart,) = draw_findings([claim(0)], [survey(ITEMS)], folder(blobs, tmp_path), blobs)
    values = chart.vega_lite["data"]["values"]  # type: ignore[call-overload,index]
    assert [{"label": "north", "value": 4.0}, {"label": "south", "value": 6.0}] == values
    assert ("n_0", "Mean weight by region") == (chart.claim_id, chart.title)
    assert "mean weight (kg)" in chart.svg


def test_a_correlation_is_drawn_from_the_rows(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: dots are rows of the table, at most MOST_DOTS, the title says how many of how many."""
    (chart,) = draw_findings([claim(1)], [survey(ITEMS)], folder(blobs, tmp_path), blobs)
    values: Any = chart.vega_lite["data"]["values"]  # type: ignore[call-overload,index]
    assert len(values) <= MOST_DOTS
    assert all(dot["y"] == 2 * dot["x"] + 1 for dot in values)
    assert re.fullmatch(r"Weight against height, \d+ of 1,000 rows", chart.title)


def test_dots_are_the_rows_that_were_computed_on(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: rows without two finite numbers are left out, numbers kept as text are read as the survey reads them."""
    library = folder(blobs, tmp_path)
    heights = ["1,000", "40 %", "$3", None, "5", "tall"]
    weights = [1.0, 2.0, 3.0, 4.0, None, 6.0]
    pl.DataFrame({"height_cm": heights, "weight_kg": weights}).write_parquet(tmp_path / "odd.parquet")
    table = library.tables[0].model_copy(update={"data": blobs.put_file(tmp_path / "odd.parquet")})
    odd = library.model_copy(update={"tables": (table,)})
    (chart,) = draw_findings([claim(1)], [survey(ITEMS)], odd, blobs)
    values: Any = chart.vega_lite["data"]["values"]  # type: ignore[call-overload,index]
    assert [(1000.0, 1.0), (40.0, 2.0), (3.0, 3.0)] == [(dot["x"], dot["y"]) for dot in values]


def test_only_what_holds_is_drawn(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: no drawing for what did not hold after correction, for a mean within an entry, or for unknown kinds."""
    library = folder(blobs, tmp_path)
    within = claim(0).model_copy(update={"path": ("found", 0, "groups", 0, "mean")})
    claims = [claim(0, p_adjusted=0.2), claim(1, p_adjusted=None), claim(2), claim(9), within]
    assert () == draw_findings(claims, [survey(ITEMS)], library, blobs)


def test_the_most_relevant_come_first_and_few(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: at most MOST_CHARTS, by relevance, one for each claim, the same every time."""
    items = [ITEMS[0]] * 8
    claims = [claim(place, relevance=place / 10) for place in range(8)]
    library = folder(blobs, tmp_path)
    drawn = draw_findings(claims, [survey(items)], library, blobs)
    assert ["n_7", "n_6", "n_5", "n_4"][:MOST_CHARTS] == [chart.claim_id for chart in drawn]
    assert drawn == draw_findings(claims[::-1], [survey(items)], library, blobs)


def test_what_cannot_be_drawn_is_left_out(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: one group, a missing column or a mean that is no number costs the drawing, not the mission."""
    broken = [
        {**ITEMS[0], "groups": GROUPS[:1]},
        {**ITEMS[0], "columns": ["gone", "region"]},
        {**ITEMS[1], "columns": ["height_cm", "gone"]},
    ]
    claims = [claim(place) for place in range(3)]
    assert () == draw_findings(claims, [survey(broken)], folder(blobs, tmp_path), blobs)
