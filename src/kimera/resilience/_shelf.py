"""What a cache stores: entries with an end, by rank of use. Not locked; the owner is."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

Entry = tuple[Any, float]


class Shelf:
    """At most ``max_size`` entries (value, end); room is made from ended entries first, then from the least used.

    ``grace`` seconds after its end an entry still counts as there. A heap of ends finds the ended ones, so that storing
    costs O(log n) also in a full shelf.
    """

    __slots__ = ("_ends", "_grace", "_order", "entries", "evictions", "max_size", "now")

    def __init__(self, max_size: int, now: Callable[[], float], grace: float = 0.0) -> None:
        self.entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self.max_size, self.now, self._grace = max_size, now, grace
        self._ends: list[tuple[float, int, Hashable]] = []
        self._order = itertools.count()
        self.evictions = 0

    def put(self, key: Hashable, value: Any, lifetime: float | None) -> None:
        """Store for ``lifetime`` seconds (None: for ever; 0 or less removes what was there)."""
        if self.max_size == 0 or (lifetime is not None and lifetime <= 0):
            self.entries.pop(key, None)
            return
        now = self.now()
        if key not in self.entries and len(self.entries) >= self.max_size and not self.purge(now):
            self.entries.popitem(last=False)
            self.evictions += 1
        end = math.inf if lifetime is None else now + lifetime
        self.entries[key] = (value, end)
        self.entries.move_to_end(key)
        if end < math.inf:
            self._note_end(key, end)

    def _note_end(self, key: Hashable, end: float) -> None:
        if len(self._ends) > 2 * len(self.entries) + 64:  # mostly ends of entries that were replaced or removed
            self._ends = [(e, next(self._order), k) for k, (_, e) in self.entries.items() if e < math.inf]
            heapq.heapify(self._ends)
        else:
            heapq.heappush(self._ends, (end, next(self._order), key))

    def purge(self, now: float) -> int:
        """Remove ended entries; return how many."""
        gone = 0
        ends = self._ends
        while ends and ends[0][0] + self._grace <= now:
            end, _, key = heapq.heappop(ends)
            entry = self.entries.get(key)
            if entry is not None and entry[1] == end:
                del self.entries[key]
                gone += 1
        return gone

    def clear(self) -> None:
        """Remove everything."""
        self.entries.clear()
        self._ends.clear()
