"""A metric over time, from the ladder: the coarsest rows that fit the question, the newest ones from finer rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kimera.clock import Clock, SystemClock
from kimera.errors import ConfigurationError, NotFoundError, ValidationError
from kimera.telemetry.recording.catalog import METRICS, Family, Kind
from kimera.telemetry.recording.children import NANO, Part
from kimera.telemetry.recording.sketch import quantile
from kimera.telemetry.retention.ladder import TIERS, Tier, by_bucket
from kimera.telemetry.retention.rollup_store import RollupStore
from kimera.telemetry.retention.rollups import Key, Level, Rollup, added, over_time

__all__ = ["History", "Point", "Series", "Trend", "attach", "series"]

QUANTILES = (0.5, 0.9, 0.95, 0.99)
MOST_POINTS = 2_000


@dataclass(frozen=True)
class Point:
    """One step. ``at`` is its start in seconds since 1970.

    ``value`` is a counter's increase, a gauge's mean, a histogram's mean (None when nothing was observed). Gauges also
    have ``last``, gauges and histograms ``least`` and ``largest``, histograms ``n`` and the quantiles: within one
    percent for durations, linear within a bucket for everything else.
    """

    at: int
    value: float | None
    n: int = 0
    last: float | None = None
    least: float | None = None
    largest: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Series:
    """The points of one set of label values; steps in which no process wrote anything are missing."""

    labels: dict[str, str]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Trend:
    """The answer to one question: ``step`` is the seconds per point, at least those of the ``tier`` it came from."""

    metric: str
    kind: Kind
    tier: str
    step: int
    series: tuple[Series, ...]


class History:
    """Reads the ladder of a store."""

    def __init__(self, store: RollupStore, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()

    def series(
        self, metric: str, by: Sequence[str] | None, start: datetime | float, end: datetime | float, step: float
    ) -> Trend:
        """Return a metric from ``start`` to ``end`` (datetimes or seconds since 1970) in points of ``step`` seconds.

        ``by`` names the labels to tell apart (None: all); the others are added up. A step finer than what is still
        kept of that time is widened to it. Raises `NotFoundError` for an unknown metric and `ValidationError` for an
        unknown label, an empty time, or more than 2,000 points.
        """
        family = _family(metric)
        names = _labels(family, by)
        first, last = _seconds(start), _seconds(end)
        tier = self.tier(first, step)
        width = max(tier.seconds, round(step / tier.seconds) * tier.seconds)
        if not 0 < last - first <= MOST_POINTS * width:
            raise ValidationError(
                f"A series has from 1 to {MOST_POINTS} points; ask for a shorter time or a longer step.", field="step"
            )
        begin = int(first // width) * width
        steps = [
            (at, over_time(rollup for _, rollup in together))
            for at, together in itertools.groupby(
                self.rollups(tier, begin, int(last)), lambda row: int(row[0] // width) * width
            )
        ]
        return Trend(metric, family.kind, tier.name, width, _drawn(family, names, steps))

    def total(
        self, metric: str, by: Sequence[str], start: datetime | float, end: datetime | float
    ) -> dict[tuple[str, ...], float]:
        """Return how much a counter grew between two instants, per values of the labels ``by``.

        The instants are rounded down to whole buckets of a tier with at least a hundred buckets in between.
        """
        family = _family(metric)
        names = _labels(family, by)
        first, last = _seconds(start), _seconds(end)
        tier = self.tier(first, (last - first) / 100)
        grown: dict[tuple[str, ...], int] = {}
        for _, rollup in self.rollups(tier, tier.floor(first), int(last)):
            for key, gained in rollup.counters.items():
                if key.name == metric:
                    group = _group(family, names, key)
                    grown[group] = grown.get(group, 0) + gained
        return {group: gained / NANO for group, gained in grown.items()}

    def tier(self, start: float, step: float) -> Tier:
        """Return the coarsest tier with buckets within ``step``, or the finest that still has ``start``."""
        now = self._clock.now().timestamp()
        kept = [tier for tier in TIERS if start >= now - tier.keep] or [TIERS[-1]]
        fitting = [tier for tier in kept if tier.seconds <= step]
        return fitting[-1] if fitting else kept[0]

    def rollups(self, tier: Tier, start: int, end: int) -> Iterator[tuple[int, Rollup]]:
        """Yield the buckets of ``start <= bucket < end`` in order; after the last compaction those of finer tiers."""
        newest = self._store.last(tier.name)
        place = TIERS.index(tier)
        if place == 0:
            yield from by_bucket(self._store.rows(tier.name, start, end))
            return
        # the newest coarse row may have been made before its bucket was over: its finer rows know more
        border = start if newest is None else max(start, newest)
        yield from by_bucket(self._store.rows(tier.name, start, min(border, end)))
        yield from self.rollups(TIERS[place - 1], border, end)


_attached: list[History] = []


def attach(history: History | None) -> None:
    """Answer `series` from this history from now on; None: from nothing."""
    _attached[:] = [] if history is None else [history]


def series(metric: str, by: Sequence[str] | None, start: datetime | float, end: datetime | float, step: float) -> Trend:
    """Return a metric over time from the store this process rolls up into; see `History.series`.

    Raises `ConfigurationError` when metrics are off or nothing is rolled up here.
    """
    if not _attached:
        raise ConfigurationError(
            "No roll-ups are kept by this process; set KIMERA_METRICS_ENABLED=1 and run it with a home.",
            "metrics_enabled",
        )
    return _attached[0].series(metric, by, start, end, step)


def _family(metric: str) -> Family:
    family = METRICS.get(metric)
    if family is None:
        raise NotFoundError(f"No metric is called {metric}; docs/metrics.md lists all of them.")
    return family


def _labels(family: Family, by: Sequence[str] | None) -> tuple[str, ...]:
    names = family.label_names if by is None else tuple(by)
    unknown = sorted(set(names) - set(family.label_names))
    if unknown:
        raise ValidationError(
            f"{family.name} has no label {', '.join(unknown)}; it has {', '.join(family.label_names) or 'none'}.",
            field="by",
        )
    return names


def _seconds(instant: datetime | float) -> float:
    return instant.timestamp() if isinstance(instant, datetime) else float(instant)


def _group(family: Family, names: tuple[str, ...], key: Key) -> tuple[str, ...]:
    values = dict(zip(family.label_names, key.values, strict=False))
    return tuple(values.get(name, "") for name in names)


def _drawn(family: Family, names: tuple[str, ...], steps: list[tuple[int, Rollup]]) -> tuple[Series, ...]:
    points = [(at, _points(family, names, rollup)) for at, rollup in steps]
    groups = sorted({group for _, of_step in points for group in of_step})
    return tuple(
        Series(
            dict(zip(names, group, strict=True)),
            tuple(point for at, of_step in points if (point := _at(family, of_step.get(group), at)) is not None),
        )
        for group in groups
    )


def _at(family: Family, point: Point | None, at: int) -> Point | None:
    if point is not None:
        return replace(point, at=at)
    # who wrote a row and did not count this counted none of it; of a gauge it knows nothing
    return None if family.kind == "gauge" else Point(at, 0.0 if family.kind == "counter" else None)


def _points(family: Family, names: tuple[str, ...], rollup: Rollup) -> dict[tuple[str, ...], Point]:
    if family.kind == "counter":
        grown: dict[tuple[str, ...], int] = {}
        for key, gained in rollup.counters.items():
            if key.name == family.name:
                group = _group(family, names, key)
                grown[group] = grown.get(group, 0) + gained
        return {group: Point(0, gained / NANO) for group, gained in grown.items()}
    if family.kind == "gauge":
        return _gauge_points(family, names, rollup)
    parts: dict[tuple[str, ...], Part] = {}
    for key, part in rollup.histograms.items():
        if key.name == family.name:
            group = _group(family, names, key)
            parts[group] = added(parts[group], part) if group in parts else part
    return {group: _histogram_point(family, part) for group, part in parts.items()}


def _gauge_points(family: Family, names: tuple[str, ...], rollup: Rollup) -> dict[tuple[str, ...], Point]:
    levels: dict[tuple[str, ...], list[Level]] = {}
    for key, level in rollup.gauges.items():
        if key.name == family.name:
            levels.setdefault(_group(family, names, key), []).append(level)
    return {
        group: Point(
            0,
            sum(level.total / level.n for level in found) / NANO,
            max(level.n for level in found),
            sum(level.last for level in found),
            sum(level.least for level in found),
            sum(level.largest for level in found),
        )
        for group, found in levels.items()
    }


def _histogram_point(family: Family, part: Part) -> Point:
    if family.latency:
        found = [quantile(part.counts, q) for q in QUANTILES]
        inside = [None if value is None else min(max(value, part.least), part.largest) for value in found]
    else:
        inside = [_within(family.edges, part, q) for q in QUANTILES]
    return Point(0, part.total / NANO / part.n, part.n, None, part.least, part.largest, *inside)


def _within(edges: tuple[float, ...], part: Part, q: float) -> float:
    """Return a quantile by linear interpolation in its bucket, whose ends are never beyond what was seen."""
    rank = q * part.n
    seen = 0
    for place in sorted(part.counts):
        count = part.counts[place]
        if seen + count >= rank:
            low = max(part.least, edges[place - 1]) if place > 0 else part.least
            high = min(part.largest, edges[place]) if place < len(edges) else part.largest
            return low + (high - low) * (rank - seen) / count
        seen += count
    return part.largest
