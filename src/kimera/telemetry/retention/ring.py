"""Records on their way to the store: at most 10,000, the least worth keeping dropped first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Iterable

from kimera.telemetry.retention.store import LogRecord, SpanRecord

__all__ = ["CAPACITY", "Entry", "Record", "Ring"]

CAPACITY = 10_000

Record = LogRecord | SpanRecord
Entry = tuple[int, Record]
RANKS = {"DEBUG": 0, "INFO": 1}
LAST_RANK = 2


class Ring:
    """A bounded buffer between the work and the writer. ``dropped`` counts what did not fit."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.dropped = 0
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._queues: tuple[deque[Entry], ...] = (deque(), deque(), deque())

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def put(self, record: Record) -> int:
        """Add a record and return how many wait; when full the oldest DEBUG goes, then INFO, then any."""
        with self._lock:
            self._queues[_rank(record)].append((next(self._order), record))
            self._shed()
            return len(self)

    def take(self) -> list[Entry]:
        """Remove and return everything in the order it came."""
        with self._lock:
            taken = list(heapq.merge(*self._queues, key=lambda entry: entry[0]))
            for queue in self._queues:
                queue.clear()
        return taken

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Put back what could not be written, before everything that came since."""
        with self._lock:
            for entry in reversed(list(entries)):
                self._queues[_rank(entry[1])].appendleft(entry)
            self._shed()

    def _shed(self) -> None:
        while len(self) > self.capacity:
            next(queue for queue in self._queues if queue).popleft()
            self.dropped += 1


def _rank(record: Record) -> int:
    return RANKS.get(record.level, LAST_RANK) if isinstance(record, LogRecord) else LAST_RANK
