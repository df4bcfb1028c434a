"""A count that many threads may advance without a lock."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable


class Tally:
    """``tick()`` counts one, atomically and in one C call; ``read()`` returns how many were counted."""

    __slots__ = ("_lock", "_off", "tick")

    def __init__(self) -> None:
        self.tick: Callable[[], int] = itertools.count().__next__
        self._off = 0
        self._lock = threading.Lock()

    def read(self) -> int:
        """Return the ticks so far; a reading advances the counter too, so readings are taken off."""
        with self._lock:
            seen = self.tick() - self._off
            self._off += 1
            return seen

    def zero(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self._off = self.tick() + 1
