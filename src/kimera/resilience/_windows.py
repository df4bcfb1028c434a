"""What a breaker remembers of its last calls; every update is O(1)."""

from __future__ import annotations

import math
from collections import deque

_BUCKETS = 10
_MARKS = tuple(tuple((failed, slow) for slow in (False, True)) for failed in (False, True))


class CallWindow:
    """The last ``n`` calls; every update is O(1)."""

    def __init__(self, n: int) -> None:
        self._marks: deque[tuple[bool, bool]] = deque()
        self._n = n
        self.calls = self.failed = self.slow = 0

    def add(self, failed: bool, slow: bool, now: float) -> None:
        """Take one more call, and let the oldest go."""
        marks = self._marks
        if self.calls == self._n:
            old_failed, old_slow = marks.popleft()
            self.failed -= old_failed
            self.slow -= old_slow
        else:
            self.calls += 1
        marks.append(_MARKS[failed][slow])
        if failed:
            self.failed += 1
        if slow:
            self.slow += 1

    @property
    def clean(self) -> bool:
        """Whether it holds nothing but good calls and is full, so that one more changes nothing."""
        return self.calls == self._n and not self.failed and not self.slow

    def clear(self) -> None:
        """Forget all."""
        self._marks.clear()
        self.calls = self.failed = self.slow = 0


class TimeWindow:
    """The last ``seconds`` in ten buckets; every update is O(1)."""

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._buckets: deque[list[float]] = deque()
        self.calls = self.failed = self.slow = 0

    def add(self, failed: bool, slow: bool, now: float) -> None:
        """Take one more call, and let the oldest go."""
        number = math.floor(now / self._width)
        while self._buckets and self._buckets[0][0] <= number - _BUCKETS:
            _, calls, bad, late = self._buckets.popleft()
            self.calls -= int(calls)
            self.failed -= int(bad)
            self.slow -= int(late)
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append([number, 0, 0, 0])
        bucket = self._buckets[-1]
        bucket[1] += 1
        bucket[2] += failed
        bucket[3] += slow
        self.calls += 1
        self.failed += failed
        self.slow += slow

    clean = False

    def clear(self) -> None:
        """Forget all."""
        self._buckets.clear()
        self.calls = self.failed = self.slow = 0
