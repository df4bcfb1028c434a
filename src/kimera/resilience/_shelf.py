"""What a cache stores: entries with an end and a rank of use.

Reading takes no lock: it is one ``dict.get``, which holds against other threads whatever ``__eq__`` a key has, and one
item assignment. Whoever stores or removes holds the owner's lock.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Hashable
from typing import Any

VALUE, END, RANK, _FILED = range(4)
Entry = list[Any]
"""value, end, rank of the last use, and the rank under which the heap of ranks knows it."""


class Shelf:
    """At most ``max_size`` entries; room is made from ended ones first, then from the least recently used.

    A hit is ``entry[RANK] = tick()`` and nothing more: the order of use is put right when room is needed, and every
    correction then is paid for by a hit before. Storing costs O(log n) amortised, also in a full shelf. ``grace``
    seconds after its end an entry still counts as there.
    """

    __slots__ = ("_ends", "_grace", "_ranks", "_readings", "_stored", "entries", "evictions", "max_size", "now", "tick")

    def __init__(self, max_size: int, now: Callable[[], float], grace: float = 0.0) -> None:
        self.entries: dict[Hashable, Entry] = {}
        self.max_size, self.now, self._grace = max_size, now, grace
        self.tick: Callable[[], int] = itertools.count().__next__
        self._ends: list[tuple[float, int, Hashable]] = []
        self._ranks: list[tuple[int, Hashable]] = []
        self._stored = self._readings = 0
        self.evictions = 0

    def hits(self) -> int:
        """Return how many ticks were hits and not storing or reading."""
        self._readings += 1
        return self.tick() - self._stored - self._readings + 1

    def put(self, key: Hashable, value: Any, lifetime: float | None) -> None:
        """Store for ``lifetime`` seconds (None: for ever; 0 or less removes what was there)."""
        if self.max_size == 0 or (lifetime is not None and lifetime <= 0):
            self.entries.pop(key, None)
            return
        now = self.now()
        old = self.entries.get(key)
        if old is None and len(self.entries) >= self.max_size and not self.purge(now):
            self._evict()
        rank = self.tick()
        self._stored += 1
        end = math.inf if lifetime is None else now + lifetime
        if old is None:
            self.entries[key] = [value, end, rank, rank]
            self._file(key, rank)
        else:
            self.entries[key] = [value, end, rank, old[_FILED]]
        if end < math.inf:
            self._note_end(key, end, rank)

    def _evict(self) -> None:
        entries, ranks = self.entries, self._ranks
        while ranks:
            rank, key = heapq.heappop(ranks)
            entry = entries.get(key)
            if entry is None or entry[_FILED] != rank:
                continue  # removed since, or filed anew
            if entry[RANK] == rank:
                del entries[key]
                self.evictions += 1
                return
            entry[_FILED] = entry[RANK]
            heapq.heappush(ranks, (entry[_FILED], key))

    def _file(self, key: Hashable, rank: int) -> None:
        heapq.heappush(self._ranks, (rank, key))
        if len(self._ranks) > 2 * len(self.entries) + 64:  # mostly of entries that are gone
            self._ranks = [(entry[_FILED], k) for k, entry in self.entries.items()]
            heapq.heapify(self._ranks)

    def _note_end(self, key: Hashable, end: float, rank: int) -> None:
        heapq.heappush(self._ends, (end, rank, key))
        if len(self._ends) > 2 * len(self.entries) + 64:
            living = self.entries.items()
            self._ends = [(entry[END], entry[_FILED], k) for k, entry in living if entry[END] < math.inf]
            heapq.heapify(self._ends)

    def purge(self, now: float) -> int:
        """Remove ended entries; return how many."""
        gone = 0
        ends = self._ends
        while ends and ends[0][0] + self._grace <= now:
            end, _, key = heapq.heappop(ends)
            entry = self.entries.get(key)
            if entry is not None and entry[END] == end:
                del self.entries[key]
                gone += 1
        return gone

    def clear(self) -> None:
        """Remove everything."""
        self.entries.clear()
        self._ends.clear()
        self._ranks.clear()
