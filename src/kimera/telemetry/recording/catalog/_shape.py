"""What a family of metrics is: the form of every entry of the catalogue, and the bucket edges it may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

__all__ = [
    "BUCKETS",
    "OTHER",
    "Across",
    "Family",
    "Kind",
    "Label",
    "capped",
    "closed",
    "counter",
    "gauge",
    "histogram",
    "population",
]

Kind = Literal["counter", "gauge", "histogram", "gauge_histogram"]
Across = Literal["sum", "max"]

OTHER = "other"
"""The value under which a label counts what its family does not declare."""

CAP = 20
HOUR = 3_600.0
DAY = 86_400.0

CHANGE = (-2.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0)
DECADES = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)

TAU_DAYS = (0.5, 1.0, 2.0, 4.0, 7.0, 10.0, 13.0, 14.5, 16.0, 18.0, 20.0, 25.0, 30.0, 60.0, 90.0, 180.0, 365.0, 1_000.0)

BUCKETS: Mapping[str, tuple[float, ...]] = {
    "entropy": (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    # edges between the values a small lattice of hypotheses usually takes
    "population": (
        *(0.05, 0.25, 0.45, 0.65, 0.8, 0.9, 0.95, 1.05, 1.3),
        *(1.55, 1.8, 2.05, 2.5, 3.05, 4.05, 5.05, 6.0, 8.0),
    ),
    "latency": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    "mission": (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3_600.0),
    "orchestration": (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
    "age": (HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 90 * DAY, 365 * DAY),
    "tau": tuple(days * DAY for days in TAU_DAYS),
    "change": CHANGE,
    "factor": tuple(round(step * 0.05, 2) for step in range(1, 21)),
    "score": tuple(round(step * 0.1, 1) for step in range(1, 11)),
    "rows": (*DECADES, 100_000.0),
    "candidates": DECADES,
}
"""Named sets of upper edges, ascending; the last bucket, +Inf, is implied."""

LATENCIES = frozenset({"latency", "mission", "orchestration"})


@dataclass(frozen=True, slots=True)
class Label:
    """One label. With ``values`` the set is closed; without, at most ``cap`` values are told apart in a process."""

    name: str
    values: tuple[str, ...] = ()
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One family of the catalogue.

    ``buckets`` names a set of `BUCKETS`; ``detailed`` families exist only with KIMERA_METRICS_DETAILED=1; ``combos``
    lists the label values that may stand together when that is not all of them; ``initial`` is the value a gauge shows
    before anybody has set it (None: the series is absent until then); ``across`` says how a gauge is put together over
    several processes: their sum, or the largest where all of them read the same rows.
    """

    name: str
    kind: Kind
    help: str
    owner: str
    labels: tuple[Label, ...] = ()
    buckets: str | None = None
    detailed: bool = False
    combos: tuple[tuple[str, ...], ...] | None = None
    initial: float | None = None
    across: Across = "sum"

    @property
    def edges(self) -> tuple[float, ...]:
        """Return the upper edges of its buckets, empty for counters and gauges."""
        return BUCKETS[self.buckets] if self.buckets else ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of its labels in order."""
        return tuple(label.name for label in self.labels)

    @property
    def closed(self) -> bool:
        """Return whether all series of the family are known in advance."""
        return all(label.values for label in self.labels)

    @property
    def signed(self) -> bool:
        """Return whether observations may be negative; such a histogram exposes no sum, which would not be monotone."""
        return bool(self.edges) and self.edges[0] < 0

    @property
    def latency(self) -> bool:
        """Return whether it observes durations, which the roll-ups keep within one percent."""
        return self.kind == "histogram" and self.buckets in LATENCIES

    def series(self) -> Iterator[tuple[str, ...]]:
        """Yield the label values of every series known in advance; nothing when a label is open."""
        if self.closed:
            yield from self.combos or product(*(label.values for label in self.labels))


def closed(name: str, *values: str) -> Label:
    """Return a label whose values are all known."""
    return Label(name, values)


def capped(name: str, cap: int = CAP) -> Label:
    """Return a label whose values are known only at run time; those beyond ``cap`` count as `OTHER`."""
    return Label(name, (), cap)


def counter(
    name: str, owner: str, help_: str, *labels: Label, combos: Iterable[tuple[str, ...]] | None = None
) -> Family:
    """Return a counter; its name ends in ``_total``."""
    return Family(name, "counter", help_, owner, labels, combos=None if combos is None else tuple(combos))


def gauge(
    name: str,
    owner: str,
    help_: str,
    *labels: Label,
    detailed: bool = False,
    initial: float | None = None,
    across: Across = "sum",
) -> Family:
    """Return a gauge."""
    return Family(name, "gauge", help_, owner, labels, detailed=detailed, initial=initial, across=across)


def histogram(
    name: str,
    owner: str,
    buckets: str,
    help_: str,
    *labels: Label,
    combos: Iterable[tuple[str, ...]] | None = None,
) -> Family:
    """Return a histogram of events."""
    fixed = None if combos is None else tuple(combos)
    return Family(name, "histogram", help_, owner, labels, buckets, combos=fixed)


def population(name: str, owner: str, buckets: str, help_: str, *labels: Label) -> Family:
    """Return a gauge histogram: the distribution of all rows now, collected from SQL; always a detailed family."""
    return Family(name, "gauge_histogram", help_, owner, labels, buckets, detailed=True, across="max")
