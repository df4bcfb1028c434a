"""Where roll-ups rest: the protocol of such a place, and one in memory."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

__all__ = ["MemoryRollups", "RollupRow", "RollupStore"]


class RollupRow(NamedTuple):
    """One row. ``bucket_start`` is seconds since 1970; ``process`` is whose it is, ``*`` for all of them together."""

    tier: str
    bucket_start: int
    process: str
    body: bytes


class RollupStore(Protocol):
    """A place for roll-ups. Any method may raise; the caller keeps what it has and tries again."""

    def put(self, row: RollupRow) -> None:
        """Keep a row in place of the one with the same tier, bucket and process."""

    def rows(self, tier: str, start: int, end: int) -> list[RollupRow]:
        """Return the rows of ``start <= bucket_start < end`` by bucket and process."""

    def first(self, tier: str, since: int) -> int | None:
        """Return the earliest bucket at or after ``since``, None when there is none."""

    def last(self, tier: str) -> int | None:
        """Return the latest bucket of a tier, None when it is empty."""

    def prune(self, tier: str, before: int, limit: int) -> int:
        """Delete at most ``limit`` of the oldest rows whose bucket is before ``before``; returns how many."""

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease by the store's own clock; False while somebody else holds it."""

    def release(self, name: str, holder: str) -> None:
        """Give a lease back if it is ours."""


class MemoryRollups:
    """Roll-ups in memory; ``now`` is its clock for leases and may be moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self._rows: dict[tuple[str, int, str], bytes] = {}
        self._leases: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def put(self, row: RollupRow) -> None:
        """Keep a row in place of the one with the same tier, bucket and process."""
        with self._lock:
            self._rows[row[:3]] = row.body

    def rows(self, tier: str, start: int, end: int) -> list[RollupRow]:
        """Return the rows of ``start <= bucket_start < end`` by bucket and process."""
        with self._lock:
            keys = sorted(key for key in self._rows if key[0] == tier and start <= key[1] < end)
            return [RollupRow(*key, self._rows[key]) for key in keys]

    def first(self, tier: str, since: int) -> int | None:
        """Return the earliest bucket at or after ``since``, None when there is none."""
        with self._lock:
            return min((key[1] for key in self._rows if key[0] == tier and key[1] >= since), default=None)

    def last(self, tier: str) -> int | None:
        """Return the latest bucket of a tier, None when it is empty."""
        with self._lock:
            return max((key[1] for key in self._rows if key[0] == tier), default=None)

    def prune(self, tier: str, before: int, limit: int) -> int:
        """Delete at most ``limit`` of the oldest rows whose bucket is before ``before``; returns how many."""
        with self._lock:
            old = sorted(key for key in self._rows if key[0] == tier and key[1] < before)[:limit]
            for key in old:
                del self._rows[key]
        return len(old)

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease by the store's own clock; False while somebody else holds it."""
        with self._lock:
            held, until = self._leases.get(name, (holder, 0.0))
            if held != holder and until > self.now:
                return False
            self._leases[name] = holder, self.now + seconds
        return True

    def release(self, name: str, holder: str) -> None:
        """Give a lease back if it is ours."""
        with self._lock:
            if self._leases.get(name, ("", 0.0))[0] == holder:
                del self._leases[name]
