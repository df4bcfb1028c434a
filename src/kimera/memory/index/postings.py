"""Frozen segments of the inverted index: which patterns hold a symbol how often, and where an event stands."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Segment", "build_segment"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """Index the rows ``low`` to ``high`` (exclusive).

    ``rows[starts[x]:starts[x + 1]]`` are the rows holding symbol x and ``counts`` how often: the most first, then by
    row.
    ``event_rows`` and ``event_positions`` are the same for events, one entry per occurrence. ``symbols`` says per
    symbol whether it occurs at all.
    """

    low: int
    high: int
    starts: Array
    rows: Array
    counts: Array
    event_starts: Array
    event_rows: Array
    event_positions: Array
    symbols: Array

    @property
    def footprint(self) -> int:
        """Return the bytes taken."""
        arrays = (self.starts, self.rows, self.counts, self.event_starts, self.event_rows, self.event_positions)
        return sum(int(a.nbytes) for a in arrays) + int(self.symbols.nbytes)


def build_segment(
    low: int,
    high: int,
    token_starts: Array,
    tokens: Array,
    event_starts: Array,
    events: Array,
    sizes: tuple[int, int],
    native: ModuleType | None = None,
) -> Segment:
    """Index a range of rows; ``sizes`` are the numbers of symbols and of events known.

    The kernels sort in one pass without the intermediate arrays of the numpy way; the result is the same.
    """
    symbols, kinds = sizes
    if native is not None:
        starts, rows, counts = native.index_symbols(low, high, token_starts, tokens, symbols)
        places, event_rows, positions = native.index_events(low, high, event_starts, events, kinds)
    else:
        starts, rows, counts = _index_symbols(low, high, token_starts, tokens, symbols)
        places, event_rows, positions = _index_events(low, high, event_starts, events, kinds)
    counts = counts.astype(np.uint16 if not len(counts) or counts.max() < 65_536 else np.int32)
    return Segment(low, high, starts, rows, counts, places, event_rows, positions, np.diff(starts) > 0)


def _index_symbols(low: int, high: int, token_starts: Array, tokens: Array, symbols: int) -> tuple[Array, Array, Array]:
    first, last = int(token_starts[low]), int(token_starts[high])
    starts, order = _by_key(tokens[first:last], symbols)
    holders = np.repeat(np.arange(low, high, dtype=np.int32), np.diff(token_starts[low : high + 1]))[order]
    return _counted(starts, holders)


def _index_events(low: int, high: int, event_starts: Array, events: Array, kinds: int) -> tuple[Array, Array, Array]:
    first, last = int(event_starts[low]), int(event_starts[high])
    per_row = np.diff(event_starts[low : high + 1])
    starts, order = _by_key(events[first:last], kinds)
    rows = np.repeat(np.arange(low, high, dtype=np.int32), per_row)
    positions = (np.arange(first, last) - np.repeat(event_starts[low:high], per_row)).astype(np.int32)
    return starts, rows[order], positions[order]


def _by_key(keys: Array, size: int) -> tuple[Array, Array]:
    """Return where each key's entries start, and the stable order that sorts the entries by key."""
    starts = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=size), out=starts[1:])
    return starts, np.argsort(keys, kind="stable").astype(np.int32)


def _counted(starts: Array, holders: Array) -> tuple[Array, Array, Array]:
    """Return the postings with repeated holders of one symbol joined into counts."""
    fresh = np.ones(len(holders), dtype=bool)
    fresh[1:] = holders[1:] != holders[:-1]
    fresh[starts[:-1][starts[:-1] < len(holders)]] = True
    kept = np.flatnonzero(fresh)
    counts = np.diff(np.append(kept, len(holders)))
    starts, holders = np.searchsorted(kept, starts).astype(np.int64), holders[kept]
    symbols = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((holders, -counts, symbols))
    return starts, holders[order], counts[order]
