"""The ladder: raw rows for 15 days, five minutes for 30, hours for 90, days for a year.

A coarser row is recomputed from its finer rows, never added to, so compacting again, or after a crash, changes
nothing. Compacting comes before deleting, and a bucket whose finer rows may be partly gone is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from kimera.clock import Clock, SystemClock
from kimera.telemetry.retention.rollup_store import RollupRow, RollupStore
from kimera.telemetry.retention.rollups import Rollup, decode, encode, over_processes, over_time

__all__ = ["ALL", "TIERS", "Ladder", "Tier", "by_bucket"]

ALL = "*"
"""The process of a row that stands for all of them."""

DAY = 86_400
LEASE = "rollups"
LEASE_SECONDS = 150.0
BATCH = 1_000
STRIDE = 6 * 3_600
"""Seconds of finer rows read at once while catching up."""
AGAIN = 2
"""How many of the newest buckets are recomputed: rows of processes whose clocks differ may still arrive."""


@dataclass(frozen=True)
class Tier:
    """One rung: buckets of ``seconds``, kept for ``keep`` seconds."""

    name: str
    seconds: int
    keep: int

    def floor(self, at: float) -> int:
        """Return the start of the bucket that contains an instant."""
        return int(at // self.seconds) * self.seconds


TIERS: tuple[Tier, ...] = (
    Tier("raw", 15, 15 * DAY),
    Tier("5m", 300, 30 * DAY),
    Tier("1h", 3_600, 90 * DAY),
    Tier("1d", DAY, 365 * DAY),
)
"""Finest first."""


class Ladder:
    """Compacts and thins out the rows of a store; of several holders one does it."""

    def __init__(self, store: RollupStore, holder: str, clock: Clock | None = None) -> None:
        self._store = store
        self._holder = holder
        self._clock = clock or SystemClock()

    def climb(self) -> bool:
        """Compact what is new and delete what is too old; False when another process holds the lease."""
        if not self._store.lease(LEASE, self._holder, LEASE_SECONDS):
            return False
        now = self._clock.now().timestamp()
        for fine, coarse in pairwise(TIERS):
            self._compact(fine, coarse, now)
        self._thin(now)
        return True

    def leave(self) -> None:
        """Let another process take over at once."""
        self._store.release(LEASE, self._holder)

    def _compact(self, fine: Tier, coarse: Tier, now: float) -> None:
        newest = self._store.last(coarse.name)
        since = 0 if newest is None else newest - AGAIN * coarse.seconds
        # clocks may have been ahead: a bucket is only whole again if all its finer rows are still there
        frozen = -1 if newest is None else min(newest, int(now - fine.keep))
        stride = max(STRIDE, coarse.seconds)
        while (start := self._store.first(fine.name, since)) is not None:
            start = coarse.floor(start)
            rows = self._store.rows(fine.name, start, start + stride)
            for bucket, together in groupby(rows, lambda row: coarse.floor(row.bucket_start)):
                if bucket >= frozen:
                    body = encode(over_time(rollup for _, rollup in by_bucket(together)))
                    self._store.put(RollupRow(coarse.name, bucket, ALL, body))
            since = start + stride

    def _thin(self, now: float) -> None:
        for place, tier in enumerate(TIERS):
            before = int(now) - tier.keep
            if place + 1 < len(TIERS):
                compacted = self._store.last(TIERS[place + 1].name)
                before = min(before, -1 if compacted is None else compacted)
            while self._store.prune(tier.name, before, BATCH) == BATCH:
                pass


def by_bucket(rows: Iterable[RollupRow]) -> Iterator[tuple[int, Rollup]]:
    """Yield each bucket of rows in order with what all processes counted in it together."""
    for bucket, together in groupby(rows, lambda row: row.bucket_start):
        yield bucket, over_processes(decode(row.body) for row in together)
