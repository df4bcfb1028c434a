"""A worker: the engine, the floor and, with several workers, the heartbeat and the reaper."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kimera.errors import KimeraError, StorageError
from kimera.missions.control._ahead import Ahead
from kimera.missions.control._floor import Floor, take_floor
from kimera.missions.control.home import Home
from kimera.storage.fold import MissionRow
from kimera.storage.workers import LEASE_SECONDS, Workers

__all__ = ["Worker", "working"]

WATCH_SECONDS = 0.1
ENGINE_CHECK_SECONDS = 2.0
SETTLE_SECONDS = 3.0
DEAD_ENDS = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})


class Worker:
    """This process at work. Made by `working`; `start` begins missions, `wait` returns when one ends."""

    def __init__(self, home: Home, engine: Any, floor: Floor, slot: str) -> None:
        self.home = home
        self.engine = engine
        self.floor = floor
        self.slot = slot
        self.fenced = threading.Event()
        self.recovered: list[str] = []

    def start(self, mission_id: str) -> None:
        """Begin the mission's current round here; a no-op when it runs or has ended."""
        row = self.home.missions.get(mission_id)
        if row.ended:
            return
        paused = mission_id in self.floor.paused
        self.floor.forget(mission_id)
        status = self.engine.status(mission_id, row.round)
        if status is None:
            self.engine.start(mission_id, row.round)
        elif status in DEAD_ENDS:
            self.engine.restart(mission_id, row.round)
        elif paused:
            self.engine.again(mission_id)
        # otherwise it is under way, here or elsewhere, or about to be recovered: beginning it would be a second run

    def wait(self, mission_id: str, done: Callable[[MissionRow], bool] | None = None) -> MissionRow:
        """Return the row once the mission has ended or was left unfinished by this process."""
        over = done or (lambda row: row.ended)
        clock = self.home.clock
        checked = clock.monotonic()
        while True:
            row = self.home.missions.get(mission_id)
            if over(row) or mission_id in self.floor.paused:
                return row
            if clock.monotonic() - checked > ENGINE_CHECK_SECONDS:
                checked = clock.monotonic()
                self._check_engine(mission_id)
            with self.floor.changed:
                self.floor.changed.wait(WATCH_SECONDS)

    def fault(self, mission_id: str) -> KimeraError | None:
        """Return why this process left the mission unfinished, None when it was asked to."""
        return self.floor.faults.get(mission_id)

    def _check_engine(self, mission_id: str) -> None:
        """Notice that the engine gave a mission up (it could not write its own records, say)."""
        round_ = self.home.missions.get(mission_id).round
        ended = self.engine.status(mission_id, round_) in DEAD_ENDS
        if ended and not self.home.missions.get(mission_id).ended:
            words = f"The engine could not record mission {mission_id}; check the disk, then resume the mission."
            self.floor.pause(mission_id, StorageError(words))


@contextmanager
def working(
    home: Home,
    *,
    listen: int | None = None,
    threads: int | None = None,
    stop: threading.Event | None = None,
    polite: bool = False,
    lease: float = LEASE_SECONDS,
    ahead: Ahead | None = None,
) -> Iterator[Worker]:
    """Run the engine in this process for the length of the block.

    On SQLite the caller holds the home's lock. ``listen``: also take up to so many queued missions at once.
    ``polite``: when ``stop`` is set, missions fuse what they have first.
    """
    floor = Floor(home, threads or 2 * home.settings.workers + 2, polite, stop or threading.Event())
    if ahead is not None:
        floor.ahead[ahead.mission_id] = ahead
    take_floor(floor)
    workers = None if home.embedded else Workers(home.database, lease)
    me = uuid.uuid4().hex
    try:
        from kimera.missions.control._engine import Engine

        slot = home.settings.worker
        if workers is not None:
            slot = workers.claim(slot, me, os.getpid(), socket.gethostname())
        engine = Engine(home.engine_url, slot, synchronous=home.settings.synchronous)
        worker = Worker(home, engine, floor, slot)
        try:
            engine.launch(listen=listen)
            if workers is None:
                worker.recovered = engine.unfinished()
                engine.recover(engine.others_pending())
                yield worker
            else:
                with _beating(workers, worker, me):
                    yield worker
        finally:
            _end(floor, engine)
    finally:
        floor.close()
        take_floor(None)
        if workers is not None:
            with suppress(StorageError):
                workers.leave(slot, me)


def _end(floor: Floor, engine: Any) -> None:
    floor.polite = False
    floor.over.set()
    for ahead in list(floor.ahead.values()):
        ahead.stop()
    floor.settle(SETTLE_SECONDS)
    engine.close()


@contextmanager
def _beating(workers: Workers, worker: Worker, me: str) -> Iterator[None]:
    """Beat and reap in a thread of its own; sets ``fenced`` when this worker was taken for dead."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(workers.lease / 5):
            # a database that does not answer is no reason to stop: when it is back, the beat says whether we still are
            with suppress(StorageError):
                if not workers.beat(worker.slot, me):
                    worker.fenced.set()
                    worker.floor.over.set()
                    return
                workers.reap(worker.engine.recover)

    thread = threading.Thread(target=beat, name="kimera-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(workers.lease)
