"""What comes next: how often each event followed the newest ones, backed off to shorter contexts (Witten-Bell)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import Event, Events, NextCandidate, NextEvents, NextOptions
from kimera.memory.index.view import View
from kimera.memory.recall import figures

__all__ = ["Distribution", "answer_of", "distribution_of", "next_events"]

Array = NDArray[Any]
Floats = NDArray[np.float64]
Reason = Literal["empty", "no_context", "too_few", "too_uncertain"]


@dataclass
class Distribution:
    """Hold P at the longest context: ``events`` by event number, ``end``, ``unknown``, and the counts per order.

    P_k(y) = (c_k(y) + u_k·P_{k-1}(y)) / (n_k + u_k), from all mass on ``unknown`` (Witten and Bell 1991, method C).
    """

    view: View
    events: Floats
    end: float = 0.0
    unknown: float = 1.0
    order: int = 0
    counts: list[dict[int, float]] = field(default_factory=list)
    first_counts: Any = None
    end_counts: list[float] = field(default_factory=list)
    totals: list[float] = field(default_factory=list)
    distinct: list[int] = field(default_factory=list)
    steps: list[tuple[Array, Array]] = field(default_factory=list)

    def add_order(self, events: Array, counts: Array, end: float, total: float) -> None:
        """Mix in the next longer context: ``counts`` of ``events``, of the end, and their sum."""
        distinct = len(events) + (end > 0)
        self.events = distinct * self.events
        self.events[events] += counts
        self.events /= total + distinct
        self.end = (end + distinct * self.end) / (total + distinct)
        self.unknown = distinct * self.unknown / (total + distinct)
        self.steps.append((events, counts))
        self.end_counts.append(end)
        self.totals.append(total)
        self.distinct.append(distinct)
        self.order = len(self.totals) - 1

    def probability(self, event: Event) -> float:
        """Return P of an event; one never learned takes the mass of the unknown."""
        number = self.view.event(event)
        if number is None or not self.view.event_frequency[number]:
            return self.unknown
        return float(self.events[number])

    def count(self, order: int, number: int) -> float:
        """Return c_k of an event."""
        events, counts = self.steps[order]
        place = int(np.searchsorted(events, number))
        return counts[place].item() if place < len(events) and events[place] == number else 0

    def symbols(self) -> Floats:
        """Return by symbol number the summed probability of the events that hold it, by the same recursion."""
        owner, tokens = self.view.event_symbols
        mass = np.zeros(len(self.view.holders))
        for (events, counts), total, distinct in zip(self.steps, self.totals, self.distinct, strict=True):
            by_event = np.zeros(len(self.events), dtype=counts.dtype)
            by_event[events] = counts
            held = np.flatnonzero(by_event[owner])
            symbols, inverse, sizes = np.unique(tokens[held], return_inverse=True, return_counts=True)
            sums = figures.group_sums(by_event[owner[held]], inverse, sizes)
            mass = distinct * mass
            mass[symbols] += sums
            mass /= total + distinct
        return mass


def distribution_of(view: View, events: Events, options: NextOptions) -> Distribution:
    """Return the distribution over what follows ``events``, at the longest context that occurs in the memory."""
    found = Distribution(view, np.zeros(len(view.event_frequency)))
    if not view.N:
        return found
    weights = _weights(view, options)
    found.add_order(*_overall(view, weights))
    rows = positions = np.zeros(0, dtype=np.int64)
    for order in range(1, min(options.max_order, len(events)) + 1):
        number = view.event(events[-order])
        if number is None:
            break
        if order == 1:
            rows, positions = _occurrences(view, number)
        else:
            kept = positions >= order - 1
            rows, positions = rows[kept], positions[kept]
            kept = view.events[view.event_starts[rows] + positions - (order - 1)] == number
            rows, positions = rows[kept], positions[kept]
        if not len(rows):
            break
        found.add_order(*_followers(view, rows, positions, weights))
    return found


def next_events(view: View, events: Events, options: NextOptions | None = None) -> NextEvents:
    """Distribute probability over the events that may follow ``events``, or say why there is no answer."""
    options = options or NextOptions()
    found = distribution_of(view, events, options)
    listed = _listed(found.events, view.event_text, options.limit)
    answer, reason = answer_of(found, options)
    candidates = tuple(
        NextCandidate(
            view.event_text(n), float(found.events[n]), tuple(found.count(k, n) for k in range(len(found.totals)))
        )
        for n in listed
    )
    mask = np.ones(len(found.events), dtype=bool)
    mask[listed] = False
    texts, mass = view.symbol_table.texts, found.symbols()
    return NextEvents(
        answer=answer,
        reason=reason,
        order=found.order,
        events=candidates,
        others=figures.exact_sum(found.events[mask]),
        end=found.end,
        end_counts=tuple(found.end_counts),
        unknown=found.unknown,
        totals=tuple(found.totals),
        distinct=tuple(found.distinct),
        symbols={texts[n]: float(mass[n]) for n in _listed(mass, texts.__getitem__, options.limit)},
        memory_seq=view.seq,
        options=options.to_dict(),
    )


def answer_of(found: Distribution, options: NextOptions) -> tuple[Event | None, Reason | None]:
    """Return the likeliest event (ties to the smaller one; the end is the empty event), or None and the reason."""
    if not found.totals:
        return None, "empty"
    if not found.order:
        return None, "no_context"
    if found.totals[-1] < options.min_count:
        return None, "too_few"
    first = _listed(found.events, found.view.event_text, 1)
    best = float(found.events[first[0]]) if first else 0.0
    if found.unknown > options.max_unknown or max(best, found.end) < options.min_probability:
        return None, "too_uncertain"
    return (found.view.event_text(first[0]) if best > found.end else ()), None


def _weights(view: View, options: NextOptions) -> Array:
    """Return by row what one occurrence counts: the frequency, times the relative utility where asked."""
    if options.weight == "frequency":
        return view.frequency
    mean = view.mean_utility
    if not mean:
        return view.frequency.astype(np.float64)
    weights: Array = view.frequency * (figures.shrunk_utility(view.utility, view.outcomes, mean) / mean)
    return weights


def _overall(view: View, weights: Array) -> tuple[Array, Array, float, float]:
    """Count every event and every end, whatever stands before them."""
    if weights is view.frequency:
        events = np.flatnonzero(view.event_frequency)
        counts = view.event_frequency[events]
        return events, counts, view.T, int(counts.sum()) + view.T
    per_row = np.diff(view.event_starts)
    spread = np.repeat(weights, per_row)
    alive = spread > 0
    events, counts = _grouped(view.events[: len(spread)][alive], spread[alive])
    end = figures.exact_sum(weights)
    return events, counts, end, figures.exact_sum(np.concatenate([spread[alive], weights]))


def _occurrences(view: View, number: int) -> tuple[Array, Array]:
    """Return the rows that hold an event and its positions in them, patterns that are gone left out."""
    rows, positions = [], []
    for segment in view.segments:
        if number + 1 < len(segment.event_starts):
            low, high = segment.event_starts[number : number + 2].tolist()
            rows.append(segment.event_rows[low:high])
            positions.append(segment.event_positions[low:high])
    starts = view.event_starts
    at = np.flatnonzero(view.events[int(starts[view.tail]) : int(starts[view.rows])] == number) + int(starts[view.tail])
    owner = np.searchsorted(starts, at, side="right") - 1
    found_rows = np.concatenate([*rows, owner]).astype(np.int64)
    found_positions = np.concatenate([*positions, at - starts[owner]]).astype(np.int64)
    alive = view.frequency[found_rows] > 0
    return found_rows[alive], found_positions[alive]


def _followers(view: View, rows: Array, positions: Array, weights: Array) -> tuple[Array, Array, float, float]:
    """Count what follows the occurrences of a context that ends at these positions."""
    place = view.event_starts[rows] + positions + 1
    ends = place >= view.event_starts[rows + 1]
    weight = weights[rows]
    events, counts = _grouped(view.events[place[~ends]], weight[~ends])
    return events, counts, _total(weight[ends]), _total(weight)


def _grouped(keys: Array, weights: Array) -> tuple[Array, Array]:
    events, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    sums = figures.group_sums(weights, inverse, sizes)
    return events, sums.astype(np.int64) if weights.dtype == np.int64 else sums


def _total(weights: Array) -> float:
    return int(weights.sum()) if weights.dtype == np.int64 else figures.exact_sum(weights)


def _listed(mass: Floats, text: Callable[[int], Any], limit: int) -> list[int]:
    """Return the numbers with the greatest mass, ties by text.

    Past ``limit`` the list ends before the first group of equals that does not fit whole, so that a tie among many
    thousand unseen events need not be put into order; a first group that does not fit gives its smallest.
    """
    some = np.flatnonzero(mass > 0)
    if len(some) > limit:
        values = mass[some]
        cut = np.partition(values, len(values) - limit - 1)[len(values) - limit - 1]
        above = some[values > cut]
        some = above if len(above) else some[values >= cut]
    order = sorted(some.tolist(), key=lambda n: (-mass[n], text(n)))
    return order[:limit]
