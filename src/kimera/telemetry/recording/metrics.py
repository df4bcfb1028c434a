"""Metrics: `metric(name).bind(label=value)` gives the child to count with; names and values are those of the catalogue.

A closed label that declares `OTHER` takes any value. What the catalogue does not declare raises under test
(``strict``); in production it counts under `OTHER`, and ``kimera_metrics_dropped_labelsets_total`` says for which
metric: a wrong label must not take the work down.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from kimera.clock import Clock, SystemClock
from kimera.telemetry.recording.catalog import METRICS, OTHER, Family
from kimera.telemetry.recording.children import Child, Counter, Gauge, GaugeHistogram, Histogram, Switch

__all__ = [
    "REGISTRY",
    "Metric",
    "Reading",
    "Registry",
    "collecting",
    "detailed",
    "metric",
    "own_cost",
    "register_collector",
    "switch_metrics",
]

DROPPED = "kimera_metrics_dropped_labelsets_total"
UNDECLARED = Family("kimera_undeclared", "counter", "Never shown.", "telemetry")

KINDS: Mapping[str, type[Child]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
    "gauge_histogram": GaugeHistogram,
}


class Reading(NamedTuple):
    """What a collector reports: a gauge's value, a counter's total, or counts per bucket with their sum as value."""

    name: str
    value: float
    labels: Mapping[str, str] = {}
    counts: tuple[int, ...] = ()


Collector = Callable[[], Iterable[Reading]]


@dataclass
class _Source:
    """A collector with the time its readings are shared, and the series it reported last."""

    collect: Collector
    every: float
    due: float = float("-inf")
    reported: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)


class Metric:
    """One family in this process: its children by label values."""

    def __init__(self, family: Family, registry: Registry) -> None:
        self.family = family
        self.children: dict[tuple[str, ...], Child] = {}
        self._registry = registry
        self._names = family.label_names
        self._lock = threading.Lock()
        self._combos = frozenset(family.combos or ())
        if family.kind in {"counter", "histogram"} or family.initial is not None:
            for values in family.series():
                self._add(values)

    def bind(self, **labels: str) -> Child:
        """Return the child of these label values; bind once where you can, keep the result."""
        values = tuple([labels.get(name, OTHER) for name in self._names])
        child = self.children.get(values)
        if child is not None and len(labels) == len(values):
            return child
        return self._settle(labels, values)

    def _settle(self, labels: Mapping[str, str], values: tuple[str, ...]) -> Child:
        if labels.keys() != set(self._names):
            self._registry.refuse(self.family, f"has the labels {list(self._names)}, not {sorted(labels)}")
        with self._lock:
            allowed = tuple([self._allowed(place, value) for place, value in enumerate(values)])
            if self._combos and allowed not in self._combos:
                self._registry.refuse(self.family, f"knows no series {dict(zip(self._names, values, strict=True))}")
                allowed = (OTHER,) * len(values)
            return self.children.get(allowed) or self._add(allowed)

    def _allowed(self, place: int, value: str) -> str:
        label = self.family.labels[place]
        if label.values:
            if value in label.values:
                return value
            if OTHER in label.values:
                return OTHER  # declared as a catch-all: values come from data
            self._registry.refuse(self.family, f"has no value {value!r} for the label {label.name}")
            return OTHER
        known = {values[place] for values in self.children}
        if value in known or value == OTHER or len(known - {OTHER}) < (label.cap or 0):
            return value
        self._registry.count_dropped(self.family)
        return OTHER

    def _add(self, values: tuple[str, ...]) -> Child:
        child = self.children[values] = KINDS[self.family.kind](self.family, values)
        return child

    def forget(self, values: tuple[str, ...]) -> None:
        """Take a series away that its collector no longer reports."""
        with self._lock:
            self.children.pop(values, None)

    def present(self) -> list[Child]:
        """Return the children there are, none of a detailed family while details are off."""
        if self.family.detailed and not Switch.detailed:
            return []
        with self._lock:
            return list(self.children.values())


class Registry:
    """All metrics of a process. ``strict`` raises where production counts under `OTHER`."""

    def __init__(
        self, catalogue: Mapping[str, Family] = METRICS, *, strict: bool = False, clock: Clock | None = None
    ) -> None:
        self.strict = strict
        self._catalogue = catalogue
        self._clock = clock or SystemClock()
        self._metrics: dict[str, Metric] = {}
        self._lock = threading.RLock()
        self._sources: list[_Source] = []
        self._collecting = threading.Lock()
        self._asking: threading.Thread | None = None
        self.faults: list[Callable[[Exception], None]] = []

    def metric(self, name: str) -> Metric:
        """Return the metric of this name; raises ValueError for an undeclared one when strict."""
        found = self._metrics.get(name)
        if found is None:
            with self._lock:
                found = self._metrics.get(name) or self._open(name)
        return found

    def _open(self, name: str) -> Metric:
        family = self._catalogue.get(name)
        if family is None:
            if self.strict:
                raise ValueError(f"No metric is called {name}; declare it in kimera.telemetry.recording.catalog.")
            self.count_dropped(UNDECLARED)
            return Metric(UNDECLARED, self)  # counted by nobody; not shown
        opened = self._metrics[name] = Metric(family, self)
        return opened

    def open_all(self) -> None:
        """Open every family of the catalogue, so that all series known in advance show zero."""
        for name in self._catalogue:
            self.metric(name)

    def refuse(self, family: Family, reason: str) -> None:
        """Raise for what is not declared when strict, count it otherwise."""
        if self.strict:
            raise ValueError(f"{family.name} {reason}.")
        self.count_dropped(family)

    def count_dropped(self, family: Family) -> None:
        """Count one set of labels that is not told apart."""
        if DROPPED in self._catalogue and family.name != DROPPED:
            self.metric(DROPPED).bind(metric=family.name if family is not UNDECLARED else OTHER).inc()

    def register_collector(self, collect: Collector, *, every: float = 0.0) -> Callable[[], None]:
        """Call ``collect`` whenever metrics are read, at most once in ``every`` seconds; returns how to end that."""
        source = _Source(collect, every)
        with self._lock:
            self._sources.append(source)

        def end() -> None:
            with self._lock:
                if source in self._sources:
                    self._sources.remove(source)
            with self._collecting:
                self._replace(source, set())

        return end

    def collect(self, patience: float | None = None) -> None:
        """Ask the collectors that are due; one that fails loses its series until it works again.

        With ``patience`` they are asked in a thread of their own and waited for at most so many seconds: a scrape must
        not hang with the database that one of them asks. What they find later shows next time.
        """
        if Switch.off:
            return
        if patience is None:
            self._collect()
            return
        with self._lock:
            if self._asking is None or not self._asking.is_alive():
                self._asking = threading.Thread(target=self._collect_aside, name="kimera-collectors", daemon=True)
                self._asking.start()
            asking = self._asking
        asking.join(patience)

    def _collect_aside(self) -> None:
        with own_cost():
            self._collect()

    def _collect(self) -> None:
        with self._collecting:
            now = self._clock.monotonic()
            with self._lock:
                due = [source for source in self._sources if source.due <= now]
            for source in due:
                source.due = now + source.every
                self._ask(source)

    def _ask(self, source: _Source) -> None:
        try:
            readings = list(source.collect())
        except Exception as error:  # noqa: BLE001 - a collector is foreign code: its failure must not end the scrape
            self._replace(source, set())
            for tell in self.faults:
                tell(error)
            return
        self._replace(source, {key for reading in readings if (key := self._record(reading)) is not None})

    def _record(self, reading: Reading) -> tuple[str, tuple[str, ...]] | None:
        child = self.metric(reading.name).bind(**reading.labels)
        if isinstance(child, Counter):
            child.reach(reading.value)
            return None  # a counter stays when nobody reports it: it only ever grows
        if isinstance(child, GaugeHistogram):
            child.fill(list(reading.counts), reading.value)
        else:
            child.set(reading.value)
        return reading.name, child.values

    def _replace(self, source: _Source, reported: set[tuple[str, tuple[str, ...]]]) -> None:
        for name, values in source.reported - reported:
            self.metric(name).forget(values)
        source.reported = reported

    def metrics(self) -> Iterator[Metric]:
        """Yield the metrics opened so far, in the order of the catalogue."""
        for name in self._catalogue:
            found = self._metrics.get(name)
            if found is not None:
                yield found

    def value(self, name: str, **labels: str) -> float:
        """Return what a counter or gauge shows, or how many values a histogram has counted; 0 when it is not there."""
        opened = self.metric(name)
        child = opened.children.get(tuple(labels[label] for label in opened.family.label_names))
        if isinstance(child, Histogram | GaugeHistogram):
            return sum(child.snapshot()[0])
        return child.value if isinstance(child, Counter | Gauge) else 0.0


REGISTRY = Registry()
"""The metrics of this process."""


def metric(name: str) -> Metric:
    """Return a metric of this process by its name in the catalogue."""
    return REGISTRY.metric(name)


def register_collector(collect: Collector, *, every: float = 0.0) -> Callable[[], None]:
    """Have ``collect`` asked whenever this process's metrics are read; returns the function that ends that.

    It returns or yields `Reading`; ``every`` is for how many seconds its readings are shared (10 for SQL).
    """
    return REGISTRY.register_collector(collect, every=every)


@contextmanager
def collecting(collect: Collector, *, every: float = 0.0) -> Iterator[None]:
    """Register a collector for the length of the block."""
    end = register_collector(collect, every=every)
    try:
        yield
    finally:
        end()


def switch_metrics(*, enabled: bool = True, detailed: bool = False) -> None:
    """Turn counting on or off for the whole process; ``detailed`` adds the detailed families and exemplars."""
    Switch.off, Switch.detailed = not enabled, detailed and enabled


def detailed() -> bool:
    """Return whether detailed families are wanted; a collector asks before it spends SQL on them."""
    return Switch.detailed


@contextmanager
def own_cost() -> Iterator[None]:
    """Count this thread's processor time inside the block as telemetry's own."""
    started = time.thread_time()
    try:
        yield
    finally:
        REGISTRY.metric("kimera_telemetry_cpu_seconds_total").bind().inc(max(0.0, time.thread_time() - started))
