"""A worker: the engine, the floor and, with several workers, the heartbeat and the reaper."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kimera.errors import KimeraError
from kimera.missions._floor import Floor, take_floor
from kimera.missions.home import Home, HomeLock
from kimera.storage.fold import MissionRow

__all__ = ["Worker", "working"]

WATCH_SECONDS = 0.1
REVIVE_SECONDS = 5.0


class Worker:
    """This process at work. Made by `working`; `start` begins missions, `wait` returns when one ends."""

    def __init__(self, home: Home, engine: Any, floor: Floor) -> None:
        self.home = home
        self.engine = engine
        self.floor = floor

    def start(self, mission_id: str) -> None:
        """Begin the mission's current round here; a no-op when it runs or has ended."""
        row = self.home.missions.get(mission_id)
        if row.ended:
            return
        paused = mission_id in self.floor.paused
        self.floor.forget(mission_id)
        if paused:
            self.engine.again(mission_id)
        else:
            self.engine.start(mission_id, row.round)

    def wait(self, mission_id: str, until: Callable[[MissionRow], bool] | None = None) -> MissionRow:
        """Return the row once the mission has ended or was left unfinished by this process."""
        done = until or (lambda row: row.ended)
        while True:
            row = self.home.missions.get(mission_id)
            if done(row) or mission_id in self.floor.paused:
                return row
            with self.floor.changed:
                self.floor.changed.wait(WATCH_SECONDS)

    def fault(self, mission_id: str) -> KimeraError | None:
        """Return why this process left the mission unfinished, None when it was asked to."""
        return self.floor.faults.get(mission_id)


@contextmanager
def working(
    home: Home,
    *,
    listen: int | None = None,
    threads: int | None = None,
    stopping: threading.Event | None = None,
    lock: HomeLock | None = None,
) -> Iterator[Worker]:
    """Run the engine in this process for the length of the block.

    On SQLite the caller holds the home's lock. ``listen``: also take up to so many queued missions at once.
    """
    from kimera.missions._engine import Engine

    floor = Floor(home, threads or 2 * home.settings.workers + 2, stopping or threading.Event())
    take_floor(floor)
    try:
        engine = Engine(home.engine_url, home.settings.worker, synchronous=home.settings.synchronous)
        try:
            engine.launch(listen=listen)
            if home.embedded:
                engine.recover(engine.others_pending())
            yield Worker(home, engine, floor)
        finally:
            floor.stopping.set()
            engine.close()
    finally:
        floor.close()
        take_floor(None)
