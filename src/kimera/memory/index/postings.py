"""Frozen segments of the inverted index: which patterns hold a symbol how often, and where an event stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Segment", "build_segment"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """Index the rows ``low`` to ``high`` (exclusive).

    ``rows[starts[x]:starts[x + 1]]`` are the rows holding symbol x, ascending, and ``counts`` how often.
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
    low: int, high: int, token_starts: Array, tokens: Array, event_starts: Array, events: Array, sizes: tuple[int, int]
) -> Segment:
    """Index a range of rows; ``sizes`` are the numbers of symbols and of events known."""
    symbols, kinds = sizes
    first, last = int(token_starts[low]), int(token_starts[high])
    lengths = np.diff(token_starts[low : high + 1])
    starts, order = _by_key(tokens[first:last], symbols)
    holders = np.repeat(np.arange(low, high, dtype=np.int32), lengths)[order]
    starts, holders, counts = _counted(starts, holders)
    event_first, event_last = int(event_starts[low]), int(event_starts[high])
    per_row = np.diff(event_starts[low : high + 1])
    places, event_order = _by_key(events[event_first:event_last], kinds)
    event_rows = np.repeat(np.arange(low, high, dtype=np.int32), per_row)
    offsets = np.repeat(event_starts[low:high], per_row)
    positions = (np.arange(event_first, event_last) - offsets).astype(np.int32)
    return Segment(
        low, high, starts, holders, counts, places, event_rows[event_order], positions[event_order], np.diff(starts) > 0
    )


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
    dtype = np.uint16 if not len(counts) or counts.max() < 65_536 else np.int32
    joined = np.searchsorted(kept, starts)
    return joined.astype(np.int64), holders[kept], counts.astype(dtype)
