"""The things that count: one per series, bound once and called where the work happens.

Own objects rather than the Prometheus client's: they also keep what the roll-ups need (sketch, least and largest since
the last row), give a consistent snapshot, and spare every command that never shows a metric the client's import.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from kimera.telemetry.recording.catalog import Family
from kimera.telemetry.recording.sketch import place_of

__all__ = [
    "NANO",
    "Child",
    "Counter",
    "Exemplar",
    "Gauge",
    "GaugeHistogram",
    "Histogram",
    "Part",
    "Switch",
    "Timed",
    "nano",
]

NANO = 10**9
EXEMPLAR_LENGTH = 128


class Switch:
    """Whether anything is counted, and whether detailed families and exemplars are; read by every call."""

    off = False
    detailed = False


class Exemplar(NamedTuple):
    """One observed value with the labels that lead to what caused it; ``at`` is seconds since 1970."""

    labels: Mapping[str, str]
    value: float
    at: float


class Part(NamedTuple):
    """What a histogram has seen since it was last asked: sum in billionths, counts by bucket or by sketch place."""

    n: int
    total: int
    least: float
    largest: float
    counts: dict[int, int]


def nano(value: float) -> int:
    """Return a number in whole billionths; whole numbers of any size stay exact."""
    whole = math.floor(value)
    return whole * NANO + round((value - whole) * NANO)


class Child:
    """One series. What its kind cannot do raises TypeError."""

    __slots__ = ("_lock", "family", "values")

    def __init__(self, family: Family, values: tuple[str, ...]) -> None:
        self.family = family
        self.values = values
        self._lock = threading.Lock()

    def inc(self, amount: float = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Count ``amount`` more."""
        raise TypeError(f"{self.family.name} is a {self.family.kind}: it has no inc().")

    def dec(self, amount: float = 1) -> None:
        """Take ``amount`` off a gauge."""
        raise TypeError(f"{self.family.name} is a {self.family.kind}: it has no dec().")

    def set(self, value: float) -> None:
        """Say what a gauge shows now."""
        raise TypeError(f"{self.family.name} is a {self.family.kind}: it has no set().")

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count one observed value."""
        raise TypeError(f"{self.family.name} is a {self.family.kind}: it has no observe().")

    def time(self) -> Timed:
        """Return a ``with`` block whose seconds are observed, however it ends."""
        return Timed(self)


class Timed:
    """A block that is timed. One object serves one block."""

    __slots__ = ("_child", "_started")

    def __init__(self, child: Child) -> None:
        self._child = child

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._child.observe(time.perf_counter() - self._started)


class Counter(Child):
    """A number that only grows; ``value`` is its total in this process."""

    __slots__ = ("_taken", "exemplar", "value")

    def __init__(self, family: Family, values: tuple[str, ...]) -> None:
        super().__init__(family, values)
        self.value: float = 0
        self._taken = 0
        self.exemplar: Exemplar | None = None

    def inc(self, amount: float = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Count ``amount`` more; raises ValueError for a negative or non-finite amount."""
        if Switch.off:
            return
        if not 0 <= amount < math.inf:
            raise ValueError(f"{self.family.name} only grows; it cannot be changed by {amount!r}.")
        with self._lock:
            self.value += amount
        if exemplar is not None and Switch.detailed:
            self.exemplar = kept(exemplar, amount)

    def reach(self, total: float) -> None:
        """Take over a total that somebody else counts; a smaller one (they started again) is added."""
        if Switch.off:
            return
        with self._lock:
            if total < self.value:
                self._taken -= nano(self.value)
            self.value = total

    def take(self) -> int:
        """Return what was counted since the last call, in billionths."""
        with self._lock:
            now = nano(self.value)
            grown = now - self._taken
            self._taken = now
        return grown


class Gauge(Child):
    """A number that goes up and down; ``value`` is what it shows."""

    __slots__ = ("value",)

    def __init__(self, family: Family, values: tuple[str, ...]) -> None:
        super().__init__(family, values)
        self.value: float = family.initial or 0.0

    def inc(self, amount: float = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Add ``amount``; a gauge keeps no exemplar."""
        if Switch.off:
            return
        with self._lock:
            self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take ``amount`` off."""
        self.inc(-amount)

    def set(self, value: float) -> None:
        """Show ``value`` from now on."""
        if not Switch.off:
            self.value = value


class Histogram(Child):
    """Counts of observed values by upper edge; durations also in a sketch for the roll-ups."""

    __slots__ = ("_edges", "_fresh", "_largest", "_latency", "_least", "_taken_total", "counts", "exemplars", "total")

    def __init__(self, family: Family, values: tuple[str, ...]) -> None:
        super().__init__(family, values)
        self._edges = family.edges
        self._latency = family.latency
        self.counts = [0] * (len(self._edges) + 1)
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}
        self._fresh: dict[int, int] = {}
        self._taken_total = 0
        self._least, self._largest = math.inf, -math.inf

    def observe(self, value: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count one value; raises ValueError when it is not finite."""
        if Switch.off:
            return
        if not -math.inf < value < math.inf:
            raise ValueError(f"{self.family.name} observes finite values, not {value!r}.")
        bucket = bisect_left(self._edges, value)
        place = place_of(value) if self._latency else bucket
        with self._lock:
            self.counts[bucket] += 1
            self.total += value
            self._fresh[place] = self._fresh.get(place, 0) + 1
            if value < self._least:  # noqa: PLR1730 - half the time of min() and max()
                self._least = value
            if value > self._largest:  # noqa: PLR1730
                self._largest = value
        if exemplar is not None and Switch.detailed and (new := kept(exemplar, value)) is not None:
            self.exemplars[bucket] = new

    def snapshot(self) -> tuple[list[int], float]:
        """Return the counts per bucket and the sum, of one instant."""
        with self._lock:
            return list(self.counts), self.total

    def take(self) -> Part | None:
        """Return what was observed since the last call, None when that is nothing."""
        with self._lock:
            if not self._fresh:
                return None
            total = nano(self.total)
            seen = self._fresh
            ends = float(f"{self._least:.6g}"), float(f"{self._largest:.6g}")  # more digits would be half of every row
            part = Part(sum(seen.values()), total - self._taken_total, *ends, seen)
            self._fresh, self._taken_total = {}, total
            self._least, self._largest = math.inf, -math.inf
        return part


class GaugeHistogram(Child):
    """The distribution of a population now, replaced as a whole by its collector."""

    __slots__ = ("counts", "total")

    def __init__(self, family: Family, values: tuple[str, ...]) -> None:
        super().__init__(family, values)
        self.counts = [0] * (len(family.edges) + 1)
        self.total = 0.0

    def fill(self, counts: list[int], total: float) -> None:
        """Show these counts per bucket (the last is above all edges) and this sum."""
        if len(counts) != len(self.family.edges) + 1:
            raise ValueError(f"{self.family.name} has {len(self.family.edges) + 1} buckets, not {len(counts)}.")
        with self._lock:
            self.counts, self.total = list(counts), total

    def snapshot(self) -> tuple[list[int], float]:
        """Return the counts per bucket and the sum, of one instant."""
        with self._lock:
            return list(self.counts), self.total


def kept(labels: Mapping[str, str], value: float) -> Exemplar | None:
    """Return the exemplar, None when its labels are longer than OpenMetrics allows (128 characters)."""
    if sum(len(name) + len(text) for name, text in labels.items()) > EXEMPLAR_LENGTH:
        return None
    return Exemplar(dict(labels), value, time.time())
