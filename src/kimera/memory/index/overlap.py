"""Overlap counters: an upper bound of the matches of every pattern, from postings alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.index.view import View
from kimera.memory.recall.kernels import kernels

if TYPE_CHECKING:
    from kimera.memory.recall.query import Query

__all__ = ["Overlap", "count_overlaps", "needed_overlap"]

Ints = NDArray[np.int32]


class Overlap:
    """Keep one session's counters between predictions, so that a new event costs only its own postings.

    Thread-safe; a second prediction of the session at the same moment counts afresh.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._generation = -1
        self._sums: Ints = np.zeros(0, dtype=np.int32)
        self._counts: dict[int, int] = {}

    def update(self, view: View, counts: Mapping[int, int]) -> Ints:
        """Return the counters for ``counts`` on ``view``, changed from where they stood; hold `lock` while reading."""
        changed = [x for x in {*counts, *self._counts} if counts.get(x, 0) != self._counts.get(x, 0)]
        known, generation = len(self._sums), self._generation
        self._generation = -1  # until all is done, so that an interrupted update is never built upon
        if generation != view.generation or known > view.rows or len(changed) >= len(counts):
            self._sums = _count(view, counts)
        else:
            if known < view.rows:
                self._sums = np.concatenate([self._sums, np.zeros(view.rows - known, dtype=np.int32)])
                _scan(view, known, view.rows, self._counts, self._sums)
            before = {x: self._counts.get(x, 0) for x in changed}
            _shift(view, self._sums, before, {x: counts.get(x, 0) for x in changed})
        self._generation, self._counts = view.generation, dict(counts)
        return self._sums


@lru_cache(256)
def needed_overlap(longest: int, observed: int, threshold: float) -> Ints:
    """Return for each length 0..``longest`` the least m with 2m/(length + observed) >= ``threshold``."""
    sizes = np.arange(longest + 1, dtype=np.int64) + observed
    least = np.maximum(np.floor(threshold * sizes / 2).astype(np.int64) - 1, 0)
    for _ in range(3):  # the estimate is off by at most two; the comparison below is the one that counts
        least += 2 * least / sizes < threshold
    needed = least.astype(np.int32)
    needed.flags.writeable = False
    return needed


def count_overlaps(view: View, query: Query) -> Ints:
    """Return for every row an upper bound of its matched pairs: the shared symbols, each min(count, count) times."""
    return _count_near(view, query) if query.near else _count(view, query.counts)


def _count(view: View, counts: Mapping[int, int]) -> Ints:
    sums = np.zeros(view.rows, dtype=np.int32)
    _shift(view, sums, dict.fromkeys(counts, 0), counts)
    return sums


def _shift(view: View, sums: Ints, before: Mapping[int, int], after: Mapping[int, int]) -> None:
    """Change the counters of all rows from the counts ``before`` to those ``after``."""
    indexed = view.tail if view.tuning.inverted_index else 0
    native = kernels(view.tuning)
    if native is not None:
        symbols = np.fromiter(after, np.int64, len(after))
        old, new = (np.fromiter(counts.values(), np.int64, len(after)) for counts in (before, after))
        for segment in view.segments if indexed else ():
            starts, rows, counts = segment.starts, segment.rows, segment.counts
            native.shift_segment(starts, rows, counts, symbols, old, new, sums)
        _scan_natively(native, view, indexed, view.rows, after, before, sums)
        return
    if indexed:
        for symbol, count in after.items():
            _add_postings(view, sums, symbol, before[symbol], count)
    _scan(view, indexed, view.rows, after, sums)
    _scan(view, indexed, view.rows, before, sums, -1)


def _scan_natively(
    native: Any, view: View, low: int, high: int, after: Mapping[int, int], before: Mapping[int, int], sums: Ints
) -> None:
    if low < high:
        local = np.full(len(view.holders), -1, dtype=np.int32)
        local[list(after)] = np.arange(len(after))
        old, new = (np.fromiter(counts.values(), np.int64, len(after)) for counts in (before, after))
        native.scan_rows(view.token_starts, view.tokens, low, high, local, old, new, sums)


def _add_postings(view: View, sums: Ints, symbol: int, before: int, after: int) -> None:
    for segment in view.segments:
        if symbol < len(segment.symbols) and (segment.symbols[symbol] or not view.tuning.prescreen):
            low, high = segment.starts[symbol : symbol + 2].tolist()
            held = segment.counts[low:high].astype(np.int32)
            high = low + int(np.searchsorted(-held, -min(before, after)))  # counts fall; the rest changes nothing
            held = held[: high - low]
            sums[segment.rows[low:high]] += np.minimum(held, after) - np.minimum(held, before)


def _scan(view: View, low: int, high: int, counts: Mapping[int, int], sums: Ints, sign: int = 1) -> None:
    """Add (or take away) the overlap of the rows ``low`` to ``high`` by reading their symbols."""
    wanted = [(symbol, count) for symbol, count in counts.items() if count]
    if low >= high or not wanted:
        return
    local = np.full(len(view.holders), -1, dtype=np.int64)
    local[[symbol for symbol, _ in wanted]] = np.arange(len(wanted))
    owner, found = _tokens(view, low, high)
    found = local[found]
    hit = found >= 0
    pairs, held = np.unique(owner[hit] * len(wanted) + found[hit], return_counts=True)
    limits = np.array([count for _, count in wanted])
    shared = np.minimum(held, limits[pairs % len(wanted)])
    np.add.at(sums, low + pairs // len(wanted), (sign * shared).astype(np.int32))


def _tokens(view: View, low: int, high: int) -> tuple[Any, Any]:
    starts = view.token_starts[low : high + 1]
    return np.repeat(np.arange(high - low), np.diff(starts)), view.tokens[int(starts[0]) : int(starts[-1])]


def _count_near(view: View, query: Query) -> Ints:
    """Bound the matches where symbols may stand for others: each observed symbol by all it could match."""
    sums = np.zeros(view.rows, dtype=np.int32)
    indexed = view.tail if view.tuning.inverted_index else 0
    owner, tokens = _tokens(view, indexed, view.rows)
    for text in dict.fromkeys(query.texts):
        own = view.symbol(text)
        group = [number for number, _ in query.near.get(text, ())] + ([] if own is None else [own])
        if not group:
            continue
        held = np.zeros(view.rows, dtype=np.int32)
        if indexed:
            for symbol in group:
                _add_postings(view, held, symbol, 0, 1 << 30)
        held[indexed:] += np.bincount(owner[np.isin(tokens, group)], minlength=view.rows - indexed).astype(np.int32)
        sums += np.minimum(held, query.texts.count(text))
    return sums
