"""Charts: data and drawing say the same, are accessible, follow the page's colours, and refuse what cannot be drawn."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ValidationError
from kimera.missions.analysis import charts
from kimera.missions.contracts import Chart
from kimera.missions.fusion.report._drawing import safe_svg

FIVE = (2850.0, 3350.0, 3700.0, 4000.0, 4775.0)


def samples() -> list[Chart]:
    """Return one chart of each kind."""
    return [
        charts.bar("c", "Bars", ["Adelie", "Gentoo"], [3701, 5076], x_label="species", y_label="body mass", unit="g"),
        charts.box("c", "Boxes", [("Adelie", FIVE)], x_label="species", y_label="body mass", unit="g"),
        charts.line("c", "Line", [(2007, 4.1), (2008, 4.3)], x_label="year", y_label="body mass", y_unit="kg"),
        charts.scatter(
            "c",
            "Cloud",
            [(181, 3750), (217, 5076)],
            x_label="flipper",
            y_label="body mass",
            x_unit="mm",
            y_unit="g",
            trend=(50.0, -5000.0),
        ),
    ]


@pytest.mark.parametrize("chart", samples(), ids=lambda chart: chart.title)
def test_a_drawing_is_accessible_and_themed(chart: Chart) -> None:
    """Promise: role, title and description for readers; ink from the page, no script, style or address."""
    root = ET.fromstring(chart.svg)
    assert ("img", chart.title) == (root.get("role"), root.findtext("{*}title"))
    assert root.findtext("{*}desc")
    assert "currentColor" in chart.svg
    assert not re.search(r"<script|<style|href|url\(|#[0-9a-f]{6}[^;)]*['\"]>", chart.svg.replace("#2f6f9f", ""))


@pytest.mark.parametrize("chart", samples(), ids=lambda chart: chart.title)
def test_axes_carry_their_units(chart: Chart) -> None:
    """Promise: the value axis names quantity and unit in the drawing and in the specification."""
    assert "body mass (" in chart.svg
    assert "body mass (" in str(chart.vega_lite)


@pytest.mark.parametrize("chart", samples(), ids=lambda chart: chart.title)
def test_the_report_keeps_the_whole_drawing(chart: Chart) -> None:
    """Promise: what the report's filter lets through is everything that was drawn."""
    before, after = ET.fromstring(chart.svg), ET.fromstring(safe_svg(chart.svg))
    assert [e.tag.split("}")[-1] for e in before.iter()] == [e.tag for e in after.iter()]


def test_bars_start_at_zero() -> None:
    """Promise: the length of a bar is proportional to its value, negative ones to the left of zero."""
    svg = charts.bar("c", "t", ["a", "b", "c"], [10, 20, -10], x_label="x", y_label="y").svg
    rects = re.findall(r"<rect x='([\d.]+)'[^>]* width='([\d.]+)'", svg)
    (x1, w1), (x2, w2), (x3, w3) = [(float(x), float(w)) for x, w in rects]
    assert pytest.approx(2, rel=0.01) == w2 / w1
    assert pytest.approx(w1, rel=0.01) == w3
    assert pytest.approx(x1, abs=0.2) == x2
    assert pytest.approx(x1, abs=0.2) == x3 + w3


def test_years_are_not_written_with_separators() -> None:
    """Promise: an axis of years has whole years as ticks, written as years."""
    svg = charts.line("c", "t", [(2007, 1.0), (2009, 2.0)], x_label="year", y_label="y").svg
    assert ["2007", "2008", "2009"] == [t for t in re.findall(r">(\d{4})</text>", svg)]
    assert "2,007" not in svg


def test_labels_from_files_are_escaped() -> None:
    """Promise: a hostile category name is text in the drawing."""
    svg = charts.bar("c", "<b>", ["<script>x</script>\u202e"], [1], x_label="'x'", y_label="y").svg
    assert "<script" not in svg
    assert "\u202e" not in svg
    ET.fromstring(svg)


BAD: list[Any] = [
    lambda: charts.bar("c", "t", [], [], x_label="x", y_label="y"),
    lambda: charts.bar("c", "t", ["a"], [1, 2], x_label="x", y_label="y"),
    lambda: charts.bar("c", "t", ["a"], [math.nan], x_label="x", y_label="y"),
    lambda: charts.bar("c", "t", ["a"] * 41, [1.0] * 41, x_label="x", y_label="y"),
    lambda: charts.box("c", "t", [("a", (2, 1, 3, 4, 5))], x_label="x", y_label="y"),
    lambda: charts.line("c", "t", [(0, math.inf)], x_label="x", y_label="y"),
    lambda: charts.scatter("c", "t", [(0.0, 0.0)] * 2_001, x_label="x", y_label="y"),
    lambda: charts.line("c", "t", [(0, 1)], x_label="x", y_label="y", x_names=["a", "b"]),
]


@pytest.mark.parametrize("draw", BAD, ids=range(len(BAD)))
def test_what_cannot_be_drawn_is_refused(draw: Any) -> None:
    """Promise: no data, too much data, uneven data and values that are not finite raise a validation error."""
    with pytest.raises(ValidationError):
        draw()


VALUES = st.floats(-1e9, 1e9)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=20))
def test_any_finite_data_draws_inside_the_frame(points: list[tuple[float, float]]) -> None:
    """Promise: every dot lies within the view box, for any finite data."""
    svg = charts.scatter("c", "t", points, x_label="x", y_label="y").svg
    root = ET.fromstring(svg)
    width, height = (float(v) for v in str(root.get("viewBox")).split()[2:])
    for dot in root.iter("{*}circle"):
        assert 0 <= float(str(dot.get("cx"))) <= width
        assert 0 <= float(str(dot.get("cy"))) <= height
