"""Roll-ups: what the metrics of a process gained in a quarter of a minute, as one small row that only ever adds up.

Sums are whole billionths, so that adding in any order, twice over, gives the same numbers to the last digit.
Durations are counts in logarithmic buckets (`kimera.telemetry.recording.sketch`): percentiles come from merged counts
and are never averaged.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kimera.telemetry.recording.catalog import METRICS, Across, Family
from kimera.telemetry.recording.children import NANO, Counter, Gauge, Histogram, Part, nano
from kimera.telemetry.recording.metrics import REGISTRY, Registry

__all__ = ["Key", "Level", "Rollup", "decode", "encode", "gather", "over_processes", "over_time"]

VERSION = 1
JOINT = "\x1f"
"""Stands between the label values of a key; no label value holds it."""


class Key(NamedTuple):
    """A series: the metric's name and its label values in order."""

    name: str
    values: tuple[str, ...]


class Level(NamedTuple):
    """A gauge over some time: what it last showed, its extremes, and the sum (billionths) of ``n`` looks at it."""

    last: float
    least: float
    largest: float
    total: int
    n: int


@dataclass
class Rollup:
    """What was counted in one bucket of time; counters in billionths."""

    counters: dict[Key, int] = field(default_factory=dict)
    gauges: dict[Key, Level] = field(default_factory=dict)
    histograms: dict[Key, Part] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counters or self.gauges or self.histograms)


def gather(registry: Registry = REGISTRY) -> Rollup:
    """Return what every series gained since the last call, and what every gauge shows; asks the collectors."""
    registry.collect()
    rollup = Rollup()
    for opened in registry.metrics():
        for child in opened.present():
            key = Key(opened.family.name, child.values)
            if isinstance(child, Counter):
                if gained := child.take():
                    rollup.counters[key] = gained
            elif isinstance(child, Histogram):
                if (part := child.take()) is not None:
                    rollup.histograms[key] = part
            elif isinstance(child, Gauge) and math.isfinite(value := child.value):
                rollup.gauges[key] = Level(value, value, value, nano(value), 1)
    return rollup


def over_time(rollups: Iterable[Rollup]) -> Rollup:
    """Return the sum of rows that follow each other, oldest first."""
    merged = Rollup()
    for rollup in rollups:
        _add_events(merged, rollup)
        for key, later in rollup.gauges.items():
            earlier = merged.gauges.get(key)
            merged.gauges[key] = later if earlier is None else _followed(earlier, later)
    return merged


def over_processes(rollups: Iterable[Rollup], catalogue: Mapping[str, Family] = METRICS) -> Rollup:
    """Return the sum of rows of different processes in the same bucket of time."""
    merged = Rollup()
    for rollup in rollups:
        _add_events(merged, rollup)
        for key, level in rollup.gauges.items():
            other = merged.gauges.get(key)
            family = catalogue.get(key.name)
            across: Across = family.across if family is not None else "sum"
            merged.gauges[key] = level if other is None else _beside(other, level, across)
    return merged


def added(one: Part, other: Part) -> Part:
    """Return what two histograms have seen together."""
    counts = dict(one.counts)
    for place, count in other.counts.items():
        counts[place] = counts.get(place, 0) + count
    least, largest = min(one.least, other.least), max(one.largest, other.largest)
    return Part(one.n + other.n, one.total + other.total, least, largest, counts)


def _add_events(merged: Rollup, rollup: Rollup) -> None:
    for key, gained in rollup.counters.items():
        merged.counters[key] = merged.counters.get(key, 0) + gained
    for key, part in rollup.histograms.items():
        before = merged.histograms.get(key)
        merged.histograms[key] = part if before is None else added(before, part)


def _followed(earlier: Level, later: Level) -> Level:
    return Level(
        later.last,
        min(earlier.least, later.least),
        max(earlier.largest, later.largest),
        earlier.total + later.total,
        earlier.n + later.n,
    )


def _beside(one: Level, other: Level, across: Across) -> Level:
    # both looked at the same time: the number of looks does not grow
    if across == "max":
        return max(one, other)
    n = max(one.n, other.n)
    return Level(
        one.last + other.last, one.least + other.least, one.largest + other.largest, one.total + other.total, n
    )


def encode(rollup: Rollup) -> bytes:
    """Return a row's bytes: zlib over JSON, sorted, so that equal rows have equal bytes."""
    body = {
        "v": VERSION,
        "c": _nested({key: _short(gained) for key, gained in rollup.counters.items()}),
        "g": _nested({key: _level_out(level) for key, level in rollup.gauges.items()}),
        "h": _nested({key: _part_out(part) for key, part in rollup.histograms.items()}),
    }
    return zlib.compress(json.dumps(body, sort_keys=True, separators=(",", ":")).encode(), 6)


def decode(body: bytes) -> Rollup:
    """Return the row of these bytes; raises ValueError for a format this version does not know."""
    found = json.loads(zlib.decompress(body))
    if found["v"] != VERSION:
        raise ValueError(f"A roll-up of format {found['v']} cannot be read; this version knows {VERSION}.")
    return Rollup(
        {key: _long(gained) for key, gained in _flat(found["c"])},
        {key: _level_in(level) for key, level in _flat(found["g"])},
        {key: _part_in(part) for key, part in _flat(found["h"])},
    )


def _nested(flat: Mapping[Key, Any]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        nested.setdefault(key.name, {})[JOINT.join(key.values)] = value
    return nested


def _flat(nested: dict[str, dict[str, Any]]) -> Iterable[tuple[Key, Any]]:
    for name, children in nested.items():
        for joined, value in children.items():
            yield Key(name, tuple(joined.split(JOINT)) if joined else ()), value


def _short(amount: int) -> int | list[int]:
    # most amounts are whole: nine zeros less each
    return amount // NANO if amount % NANO == 0 else [amount]


def _long(written: int | list[int]) -> int:
    return written[0] if isinstance(written, list) else written * NANO


def _level_out(level: Level) -> Any:
    # seen once, as in every raw row: the value says it all
    if level == Level(level.last, level.last, level.last, nano(level.last), 1):
        return level.last
    return [*level[:3], _short(level.total), level.n]


def _level_in(written: Any) -> Level:
    if not isinstance(written, list):
        return Level(written, written, written, nano(written), 1)
    last, least, largest, total, n = written
    return Level(last, least, largest, _long(total), n)


def _part_out(part: Part) -> list[Any]:
    return [_short(part.total), part.least, part.largest, {str(k): n for k, n in sorted(part.counts.items())}]


def _part_in(written: list[Any]) -> Part:
    total, least, largest, counts = written
    return Part(
        sum(counts.values()), _long(total), least, largest, {int(place): count for place, count in counts.items()}
    )
