"""Writes this process's roll-ups every quarter of a minute, and climbs the ladder every minute if nobody else does."""

from __future__ import annotations

import threading
from collections.abc import Callable

from kimera.clock import Clock, SystemClock
from kimera.telemetry.recording.logs import get_logger
from kimera.telemetry.recording.metrics import REGISTRY, Registry, own_cost
from kimera.telemetry.retention.ladder import TIERS, Ladder
from kimera.telemetry.retention.rollup_store import RollupRow, RollupStore
from kimera.telemetry.retention.rollups import Rollup, decode, encode, gather, over_time

__all__ = ["RollupWriter"]

RAW = TIERS[0]
CLIMB_EVERY = 4
"""The ladder is climbed at every so many rows: once a minute."""

CLOSE_SECONDS = 5.0

_log = get_logger("telemetry")


class RollupWriter:
    """The rows of one process. ``tick`` writes one, and a thread ticks once `start` was called.

    Nothing counted is lost while the store is away: it goes into the next row. Nothing is counted twice either: after
    a write whose end is unknown the row is looked for before its counts are sent again.
    """

    def __init__(
        self, store: RollupStore, process: str, *, registry: Registry = REGISTRY, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._process = process
        self._registry = registry
        self._clock = clock or SystemClock()
        self._ladder = Ladder(store, process, self._clock)
        self._kept: RollupRow | None = None
        self._doubtful: RollupRow | None = None
        self._sending = Rollup()
        self._waiting = Rollup()
        self._ticks = 0
        self._failing = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tick in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="kimera-rollups", daemon=True)
        self._thread.start()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what was counted since the last row and stop, waiting at most ``seconds``; may be called again."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._thread is None:
            self._end()
        else:
            self._thread.join(seconds)  # a store that is away must not keep the process from ending

    def tick(self) -> bool:
        """Write one row now; False when the store refused, whose counts then wait for the next."""
        with self._lock, own_cost():
            self._waiting = over_time([self._waiting, gather(self._registry)])
            return self._guarded(self._write)

    def climb(self) -> bool:
        """Compact and thin out if that is ours to do; False when it is not or failed."""
        with own_cost():
            return self._guarded(self._ladder.climb) and self._guarded(self._show_tiers)

    def _run(self) -> None:
        while not self._stop.wait(RAW.seconds):
            self.tick()
            self._ticks += 1
            if self._ticks % CLIMB_EVERY == 0:
                self.climb()
        self._end()

    def _end(self) -> None:
        self.tick()
        if self._ticks < CLIMB_EVERY:
            self.climb()  # a home may know short runs only; they keep its ladder
        self._guarded(self._ladder.leave)

    def _write(self) -> None:
        self._settle()
        bucket = RAW.floor(self._clock.now().timestamp())
        rollup = self._waiting
        # a second row in the same bucket takes the first one's place, so it must hold both; so must a row made after
        # the clock stepped back, which would fall onto one written earlier
        if self._kept is not None and bucket <= self._kept.bucket_start:
            bucket = self._kept.bucket_start
            rollup = over_time([decode(self._kept.body), rollup])
        row = RollupRow(RAW.name, bucket, self._process, encode(rollup))
        self._doubtful, self._sending, self._waiting = row, self._waiting, Rollup()
        self._store.put(row)
        self._kept, self._doubtful, self._sending = row, None, Rollup()

    def _settle(self) -> None:
        """Find out whether the store has the row whose writing failed; what it has not waits again."""
        if self._doubtful is None:
            return
        start = self._doubtful.bucket_start
        if self._doubtful in self._store.rows(RAW.name, start, start + 1):
            self._kept = self._doubtful
        else:
            self._waiting = over_time([self._sending, self._waiting])
        self._doubtful, self._sending = None, Rollup()

    def _show_tiers(self) -> None:
        shown = self._registry.metric("kimera_telemetry_rollup_timestamp_seconds")
        for tier in TIERS:
            newest = self._store.last(tier.name)
            if newest is not None:
                shown.bind(tier=tier.name).set(newest)

    def _guarded(self, work: Callable[[], object]) -> bool:
        try:
            done = work()
        except Exception as error:  # noqa: BLE001 - telemetry may fail, the work must not notice; told once, kept
            if not self._failing:
                _log.warning("telemetry.rollup_failed", error=error)
            self._failing = True
            return False
        self._failing = False
        return done is not False
