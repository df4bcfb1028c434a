"""The few numbers that other systems ask for by these names, over one window; what has no data yet is null.

Means are exact: sums and counts of the roll-ups, never averages of averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kimera.clock import Clock, SystemClock
from kimera.errors import ConfigurationError
from kimera.telemetry.reading.slo import seconds_of
from kimera.telemetry.recording.catalog import METRICS

__all__ = ["Past", "Summary", "attach", "read_summary", "summary"]

MILLI = 1_000


class Past(Protocol):
    """Where metrics of the past are read; `History` of the roll-ups is one."""

    def total(self, metric: str, by: Sequence[str], start: float, end: float) -> dict[tuple[str, ...], float]:
        """Return how much a counter grew between two instants, per values of ``by``."""

    def series(self, metric: str, by: Sequence[str] | None, start: float, end: float, step: float) -> Any:
        """Return a `Trend`: per labels the points, each with its mean ``value`` of ``n`` observations."""


@dataclass(frozen=True)
class Summary:
    """The numbers of one window, under the names that were asked for."""

    window: str
    inference_time_ms: float | None
    component_time_ms: dict[str, float | None]
    errors_by_module: dict[str, int]
    avg_tau_score: float | None
    safeguard_trigger_rate: float | None
    drift_velocity_avg: float | None


def read_summary(past: Past, window: str = "1h", clock: Clock | None = None) -> Summary:
    """Return the numbers of ``window`` (like 1h or 30d); raises `ValidationError` for another text."""
    end = (clock or SystemClock()).now().timestamp()
    reading = _Reading(past, end - seconds_of(window), end)
    stages = _values("kimera_signal_component_seconds", "stage")
    parts = reading.means("kimera_signal_component_seconds", "stage")
    decisions = reading.totals("kimera_signal_safeguard_total", "decision")
    decided = sum(decisions.values())
    return Summary(
        window=window,
        inference_time_ms=_milli(reading.mean("kimera_signal_inference_seconds")),
        component_time_ms={stage: _milli(parts.get(stage)) for stage in stages},
        errors_by_module={
            name: round(n) for name, n in sorted(reading.totals("kimera_errors_total", "module").items()) if n
        },
        avg_tau_score=reading.mean("kimera_signal_tau"),
        safeguard_trigger_rate=None if not decided else 1 - decisions.get("allow", 0.0) / decided,
        drift_velocity_avg=reading.mean("kimera_signal_drift_velocity"),
    )


class _Reading:
    def __init__(self, past: Past, start: float, end: float) -> None:
        self.past, self.start, self.end = past, start, end

    def totals(self, metric: str, label: str) -> dict[str, float]:
        return {value: n for (value,), n in self.past.total(metric, (label,), self.start, self.end).items()}

    def mean(self, metric: str) -> float | None:
        return self._means(metric, ()).get("")

    def means(self, metric: str, label: str) -> dict[str, float]:
        return self._means(metric, (label,))

    def _means(self, metric: str, by: tuple[str, ...]) -> dict[str, float]:
        trend = self.past.series(metric, by, self.start, self.end, (self.end - self.start) / 100)
        found = {}
        for line in trend.series:
            seen = [point for point in line.points if point.n and point.value is not None]
            if seen:
                name = line.labels[by[0]] if by else ""
                found[name] = sum(point.value * point.n for point in seen) / sum(point.n for point in seen)
        return found


def _values(metric: str, label: str) -> tuple[str, ...]:
    return next(tuple(one.values) for one in METRICS[metric].labels if one.name == label)


def _milli(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * MILLI


_attached: list[Past] = []


def attach(past: Past | None) -> None:
    """Answer `summary` from these metrics from now on; None: from nothing."""
    _attached[:] = [] if past is None else [past]


def summary(window: str = "1h") -> Summary:
    """Return the numbers of the home this process works in; raises `ConfigurationError` when there is none."""
    if not _attached:
        raise ConfigurationError("No roll-ups are attached, so no metrics are known; run this with a home.", "home")
    return read_summary(_attached[0], window)
