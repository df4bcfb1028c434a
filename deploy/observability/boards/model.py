"""What a board is made of, apart from any drawing program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["lines", "stacked", "heat", "stat", "table"]


@dataclass(frozen=True)
class Query:
    """One expression and the text beside its lines; ``{{label}}`` stands for a label's value."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One picture: the title says what, the description what to make of it; ``span`` is in 24ths of the width."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    span: int = 8
    detailed: bool = False
    mappings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One dashboard; ``uid`` is also its file's name and part of its address in Grafana."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]


def panel(
    title: str,
    description: str,
    unit: str,
    *queries: tuple[str, str],
    kind: Kind = "lines",
    span: int = 8,
    detailed: bool = False,
    mappings: dict[str, str] | None = None,
) -> Panel:
    """Return a panel; a detailed one says in its description which setting fills it."""
    if detailed:
        description += " Needs KIMERA_METRICS_DETAILED=1."
    made = tuple(Query(expr, legend) for expr, legend in queries)
    return Panel(title, description, unit, made, kind, span, detailed, mappings or {})


def rate(counter: str, *by: str, window: str = "5m") -> tuple[str, str]:
    """Return a counter's speed, per second, summed over everything but ``by``, and its legend."""
    grouped = f"sum by ({', '.join(by)}) (rate({counter}[{window}]))" if by else f"sum(rate({counter}[{window}]))"
    return grouped, " ".join(f"{{{{{label}}}}}" for label in by) or "all"


def grown(counter: str, *by: str, window: str = "1h") -> tuple[str, str]:
    """Return how much a counter grew in ``window``, summed over everything but ``by``, and its legend."""
    expr, legend = rate(counter, *by, window=window)
    return expr.replace("(rate(", "(increase(", 1), legend


def recent(histogram: str, *, window: str = "5m") -> tuple[str, str]:
    """Return the buckets of what an event histogram met in ``window``, for a heat map."""
    return f"sum by (le) (increase({histogram}_bucket[{window}]))", "{{le}}"


def population(histogram: str) -> tuple[str, str]:
    """Return the buckets of a gauge histogram, which are how things are now, for a heat map."""
    return f"sum by (le) ({histogram}_bucket)", "{{le}}"


def recorded(name: str, *quantiles: int, window: str, by: str = "") -> tuple[tuple[str, str], ...]:
    """Return the recorded quantiles of one quantity, each with its legend."""
    prefix = f"{by} " if by else ""
    return tuple((f"kimera:{name}:p{q}_{window}", f"{prefix}p{q}") for q in quantiles)
