"""Charts as data: a Vega-Lite specification and a hand-drawn SVG that says the same.

The SVG carries a title and a description for screen readers, takes its ink from ``currentColor`` and its accent from
the CSS variable ``--chart-accent``, so it follows the page into dark mode, and holds no script, style or address.
Inputs are small (`MOST_POINTS`): a chart is read by a person; aggregate or sample before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from kimera.errors import ValidationError
from kimera.missions.contracts import Chart

__all__ = ["bar", "box", "line", "scatter"]

MOST_POINTS = 2_000
MOST_ROWS = 40
SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
WIDTH = 640
ACCENT = "var(--chart-accent, #2f6f9f)"
GRID = "stroke='currentColor' stroke-opacity='.15'"
FONT = "font-family='inherit' font-size='13'"


def bar(
    claim_id: str,
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    *,
    x_label: str,
    y_label: str,
    unit: str | None = None,
) -> Chart:
    """Return horizontal bars, one per label, on an axis that starts at zero. ``x_label`` names the labels' axis.

    Raises ValidationError for no data, different lengths, more than `MOST_ROWS` labels or a value that is not finite.
    """
    _check(labels, values, most=MOST_ROWS)
    low, high, ticks = _scale([0.0, *values])
    frame = _Frame(rows=[_short(label) for label in labels], low=low, high=high, ticks=ticks)
    marks = []
    for row, (label, value) in enumerate(zip(labels, values, strict=True)):
        start, end = sorted((frame.x(0.0), frame.x(value)))
        marks.append(
            f"<rect x='{start:.1f}' y='{frame.row(row) - 9:.1f}' width='{max(end - start, 1):.1f}' height='18' rx='2' "
            f"fill='{ACCENT}'><title>{_text(label)}: {_number(value)}{_text(_suffix(unit))}</title></rect>"
        )
        inside = end > frame.right - 60
        at, anchor = (end - 6, "end") if inside else (end + 6, "start")
        ink = "var(--chart-on-accent, #fff)" if inside else "currentColor"
        marks.append(_label(at, frame.row(row) + 4, _number(value), anchor, ink))
    description = "; ".join(f"{label} {_number(value)}" for label, value in zip(labels, values, strict=True))
    data = [{"label": str(label), "value": float(value)} for label, value in zip(labels, values, strict=True)]
    encoding = {
        "y": {"field": "label", "type": "nominal", "sort": None, "title": x_label},
        "x": {"field": "value", "type": "quantitative", "title": _axis(y_label, unit), "scale": {"zero": True}},
    }
    return _chart(
        claim_id, title, data, "bar", encoding, frame.draw(title, description, marks, _axis(y_label, unit), x_label)
    )


def box(
    claim_id: str,
    title: str,
    groups: Sequence[tuple[str, tuple[float, float, float, float, float]]],
    *,
    x_label: str,
    y_label: str,
    unit: str | None = None,
) -> Chart:
    """Return one box per group from its (minimum, lower quartile, median, upper quartile, maximum).

    Raises ValidationError for no group, more than `MOST_ROWS`, or five numbers that are not finite and ascending.
    """
    _check(groups, groups, most=MOST_ROWS)
    for name, five in groups:
        if len(five) != 5 or not all(math.isfinite(v) for v in five) or list(five) != sorted(five):
            raise ValidationError(f"The five numbers of {name!r} must be finite and ascending.", "groups")
    low, high, ticks = _scale([value for _, five in groups for value in five])
    frame = _Frame(rows=[_short(name) for name, _ in groups], low=low, high=high, ticks=ticks)
    marks = []
    for row, (name, five) in enumerate(groups):
        y = frame.row(row)
        least, lower, median, upper, most = (frame.x(value) for value in five)
        said = f"{name}: {_number(five[0])} to {_number(five[4])}, median {_number(five[2])}{_suffix(unit)}"
        marks.append(
            f"<g><title>{_text(said)}</title>"
            f"<path d='M{least:.1f} {y:.1f}H{lower:.1f}M{upper:.1f} {y:.1f}H{most:.1f}"
            f"M{least:.1f} {y - 6:.1f}v12M{most:.1f} {y - 6:.1f}v12' stroke='currentColor' fill='none'/>"
            f"<rect x='{lower:.1f}' y='{y - 9:.1f}' width='{max(upper - lower, 1):.1f}' height='18' rx='2' "
            f"fill='{ACCENT}' fill-opacity='.35' stroke='{ACCENT}'/>"
            f"<path d='M{median:.1f} {y - 9:.1f}v18' stroke='currentColor' stroke-width='2.5'/></g>"
        )
    names = ("minimum", "q1", "median", "q3", "maximum")
    data = [{"label": str(name), **dict(zip(names, map(float, five), strict=True))} for name, five in groups]
    description = "; ".join(f"{name} median {_number(five[2])}" for name, five in groups)
    svg = frame.draw(title, description, marks, _axis(y_label, unit), x_label)
    row_axis = {"field": "label", "type": "nominal", "sort": None, "title": x_label}
    quantity = {"type": "quantitative", "title": _axis(y_label, unit), "scale": {"zero": False}}
    layers: list[dict[str, Any]] = [
        {
            "mark": "rule",
            "encoding": {"y": row_axis, "x": {"field": "minimum", **quantity}, "x2": {"field": "maximum"}},
        },
        {
            "mark": {"type": "bar", "size": 14},
            "encoding": {"y": row_axis, "x": {"field": "q1", **quantity}, "x2": {"field": "q3"}},
        },
        {"mark": {"type": "tick", "size": 14}, "encoding": {"y": row_axis, "x": {"field": "median", **quantity}}},
    ]
    spec: dict[str, Any] = {"$schema": SCHEMA, "title": title, "data": {"values": data}, "layer": layers}
    return Chart(claim_id=claim_id, title=title, vega_lite=spec, svg=svg)


def line(
    claim_id: str,
    title: str,
    points: Sequence[tuple[float, float]],
    *,
    x_label: str,
    y_label: str,
    x_unit: str | None = None,
    y_unit: str | None = None,
    x_names: Sequence[str] | None = None,
) -> Chart:
    """Return one line through ``points`` in order of x; ``x_names`` labels the points (dates, say) instead of numbers.

    Raises ValidationError for no data, more than `MOST_POINTS`, or a value that is not finite.
    """
    _check(points, [v for point in points for v in point], most=MOST_POINTS, same=False)
    if x_names is not None and len(x_names) != len(points):
        raise ValidationError("There must be one name per point.", "x_names")
    years = _are_years(points)
    names = x_names or [f"{x:.0f}" if years else _number(x) for x, _ in points]
    ordered = sorted(zip(points, names, strict=True), key=lambda pair: pair[0])
    plane = _Plane([p for p, _ in ordered], named=[(p[0], str(n)) for p, n in ordered] if x_names is not None else None)
    path = " ".join(f"{plane.x(x):.1f},{plane.y(y):.1f}" for (x, y), _ in ordered)
    marks = [f"<polyline points='{path}' fill='none' stroke='{ACCENT}' stroke-width='2.5' stroke-linejoin='round'/>"]
    if len(ordered) <= 60:
        marks += [_dot(plane, x, y, f"{name}: {_number(y)}{_suffix(y_unit)}", 3.5) for (x, y), name in ordered]
    first, last = ordered[0], ordered[-1]
    description = f"From {_number(first[0][1])} at {first[1]} to {_number(last[0][1])} at {last[1]}."
    svg = plane.draw(title, description, marks, _axis(x_label, x_unit), _axis(y_label, y_unit))
    data = [{"x": str(name) if x_names is not None else float(x), "y": float(y)} for (x, y), name in ordered]
    kind = "ordinal" if x_names is not None else "quantitative"
    encoding = _encoding(_axis(x_label, x_unit), _axis(y_label, y_unit), kind)
    return _chart(claim_id, title, data, {"type": "line", "point": True}, encoding, svg)


def scatter(
    claim_id: str,
    title: str,
    points: Sequence[tuple[float, float]],
    *,
    x_label: str,
    y_label: str,
    x_unit: str | None = None,
    y_unit: str | None = None,
    trend: tuple[float, float] | None = None,
) -> Chart:
    """Return a dot per point and, with ``trend`` = (slope, intercept), the straight line y = slope x + intercept.

    Raises ValidationError for no data, more than `MOST_POINTS`, or a value that is not finite.
    """
    _check(points, [v for point in points for v in point], most=MOST_POINTS, same=False)
    plane = _Plane(list(points))
    marks = [_dot(plane, x, y, f"{_number(x)}, {_number(y)}", 3.2, ".55") for x, y in points]
    if trend is not None:
        marks.append(_trend(plane, points, trend))
    description = f"{len(points)} points" + (f"; trend {_number(trend[0])} per unit of x." if trend else ".")
    svg = plane.draw(title, description, marks, _axis(x_label, x_unit), _axis(y_label, y_unit))
    data = [{"x": float(x), "y": float(y)} for x, y in points]
    encoding = _encoding(_axis(x_label, x_unit), _axis(y_label, y_unit), "quantitative")
    return _chart(claim_id, title, data, {"type": "point", "filled": True, "opacity": 0.55}, encoding, svg)


def _check(items: Sequence[Any], values: Sequence[Any], *, most: int, same: bool = True) -> None:
    if not items or len(items) > most:
        raise ValidationError(f"A chart needs between 1 and {most} rows; aggregate or sample before drawing.", "data")
    if same and len(items) != len(values):
        raise ValidationError("There must be one value per label.", "values")
    if any(isinstance(v, float | int) and not math.isfinite(v) for v in values):
        raise ValidationError("A chart shows finite numbers only.", "values")


def _are_years(points: Sequence[tuple[float, float]]) -> bool:
    return all(float(x).is_integer() and 1500 <= x <= 2200 for x, _ in points)


def _trend(plane: _Plane, points: Sequence[tuple[float, float]], trend: tuple[float, float]) -> str:
    slope, intercept = trend
    ends = [(x, slope * x + intercept) for x in (min(x for x, _ in points), max(x for x, _ in points))]
    (x1, y1), (x2, y2) = [(plane.x(x), min(max(plane.y(y), plane.top), plane.bottom)) for x, y in ends]
    stroke = "stroke='currentColor' stroke-width='1.8' stroke-dasharray='6 4'"
    return f"<path d='M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}' {stroke}/>"


def _dot(plane: _Plane, x: float, y: float, said: str, radius: float, opacity: str = "1") -> str:
    return (
        f"<circle cx='{plane.x(x):.1f}' cy='{plane.y(y):.1f}' r='{radius}' fill='{ACCENT}' fill-opacity='{opacity}'>"
        f"<title>{_text(said)}</title></circle>"
    )


class _Frame:
    """Horizontal rows against one value axis."""

    def __init__(self, rows: Sequence[str], low: float, high: float, ticks: Sequence[float]) -> None:
        self.rows, self.low, self.high, self.ticks = rows, low, high, ticks
        self.left = min(210.0, 18 + 7.2 * max(6, *(len(name) for name in rows)))
        self.right = WIDTH - 24.0
        self.bottom = 12 + 30.0 * len(rows)

    def x(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)

    def row(self, number: int) -> float:
        return 27 + 30.0 * number

    def draw(self, title: str, description: str, marks: Iterable[str], axis: str, names: str) -> str:
        parts = [
            f"<path d='M{self.x(tick):.1f} 8V{self.bottom:.1f}' {GRID}/>"
            + _label(self.x(tick), self.bottom + 18, _number(tick))
            for tick in self.ticks
        ]
        parts += [_label(self.left - 8, self.row(i) + 4, name, "end") for i, name in enumerate(self.rows)]
        middle = (self.left + self.right) / 2
        parts += marks
        parts.append(_caption(middle, self.bottom + 40, axis))
        parts.append(_caption(self.left - 8, self.bottom + 40, _short(names), "end"))
        return _svg(title, description, parts, self.bottom + 50)


class _Plane:
    """Two quantitative axes."""

    top, bottom, right = 12.0, 300.0, WIDTH - 24.0

    def __init__(self, points: Sequence[tuple[float, float]], named: Sequence[tuple[float, str]] | None = None) -> None:
        self.x_low, self.x_high, ticks = _scale([x for x, _ in points])
        self.y_low, self.y_high, self.y_ticks = _scale([y for _, y in points])
        years = _are_years(points)
        self.x_ticks = [(tick, f"{tick:.0f}" if years else _number(tick)) for tick in ticks]
        if named is not None:
            step = max(1, math.ceil(len(named) / 8))
            self.x_ticks = [(x, _short(name)) for x, name in named[::step]]
            self.x_low, self.x_high = _padded(named[0][0], named[-1][0])
        self.left = 34 + 7.2 * max(len(_number(tick)) for tick in self.y_ticks)

    def x(self, value: float) -> float:
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * (self.bottom - self.top)

    def draw(self, title: str, description: str, marks: Iterable[str], x_axis: str, y_axis: str) -> str:
        parts = [
            f"<path d='M{self.left:.1f} {self.y(tick):.1f}H{self.right:.1f}' {GRID}/>"
            + _label(self.left - 8, self.y(tick) + 4, _number(tick), "end")
            for tick in self.y_ticks
        ]
        parts += [
            f"<path d='M{self.x(tick):.1f} {self.bottom:.1f}v5' stroke='currentColor' stroke-opacity='.5'/>"
            + _label(self.x(tick), self.bottom + 20, name)
            for tick, name in self.x_ticks
        ]
        parts += marks
        parts.append(_caption((self.left + self.right) / 2, self.bottom + 42, x_axis))
        middle = (self.top + self.bottom) / 2
        parts.append(
            f"<text transform='translate(14 {middle:.1f}) rotate(-90)' text-anchor='middle' fill='currentColor' "
            f"fill-opacity='.75'>{_text(y_axis)}</text>"
        )
        return _svg(title, description, parts, self.bottom + 52)


def _label(x: float, y: float, text: str, anchor: str = "middle", ink: str = "currentColor") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{ink}'>{_text(text)}</text>"


def _caption(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return _label(x, y, text, anchor, "currentColor' fill-opacity='.75")


def _svg(title: str, description: str, parts: Iterable[str], height: float) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height:.0f}' role='img' {FONT}>"
        f"<title>{_text(title)}</title><desc>{_text(description)}</desc>{''.join(parts)}</svg>"
    )


def _chart(
    claim_id: str, title: str, data: list[dict[str, Any]], mark: Any, encoding: dict[str, Any], svg: str
) -> Chart:
    spec: dict[str, Any] = {
        "$schema": SCHEMA,
        "title": title,
        "data": {"values": data},
        "mark": mark,
        "encoding": encoding,
    }
    return Chart(claim_id=claim_id, title=title, vega_lite=spec, svg=svg)


def _encoding(x_title: str, y_title: str, x_type: str) -> dict[str, Any]:
    scale = {"scale": {"zero": False}} if x_type == "quantitative" else {"sort": None}
    return {
        "x": {"field": "x", "type": x_type, "title": x_title, **scale},
        "y": {"field": "y", "type": "quantitative", "title": y_title, "scale": {"zero": False}},
    }


def _padded(low: float, high: float) -> tuple[float, float]:
    size = max(abs(low), abs(high))
    if high - low > max(size * 1e-9, 1e-30):  # closer together is one place on any axis
        return low, high
    reach = size * 0.1 if size > 1e-30 else 1.0
    return low - reach, high + reach


def _scale(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Return (low, high, ticks): about five steps of 1, 2 or 5 times a power of ten around ``values``."""
    low, high = _padded(min(values), max(values))
    rough = (high - low) / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * (1 - 1e-9))
    if all(float(value).is_integer() for value in values):
        step = max(step, 1.0)  # half a year or half a visitor is no place for a tick
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(number * step, 12 - math.floor(math.log10(step))) for number in range(first, last + 1)]

    return ticks[0], ticks[-1], ticks


def _number(value: float) -> str:
    """Return a short form: at most four significant digits, thousands separated."""
    if value == 0 or not math.isfinite(value):
        return "0"
    if abs(value) >= 1e7 or abs(value) < 1e-3:
        return f"{value:.3g}"
    decimals = max(0, 3 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "\u2212")


def _axis(label: str, unit: str | None) -> str:
    return f"{label} ({unit})" if unit else label


def _suffix(unit: str | None) -> str:
    return f" {unit}" if unit else ""


def _short(text: str) -> str:
    clean = " ".join(str(text).split())
    return clean if len(clean) <= 26 else clean[:25] + "…"


def _text(text: object) -> str:
    visible = "".join(character for character in str(text) if character.isprintable())
    return escape(visible, quote=True)
