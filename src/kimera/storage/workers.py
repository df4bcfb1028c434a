"""Which workers live: slots with heartbeats, and who takes over from the dead.

Used with PostgreSQL only; a SQLite home has one worker, and its lock says whether it lives. All times are the
database's, so the workers' own clocks may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from kimera.errors import ConflictError
from kimera.storage.database import Database
from kimera.storage.schema import workers

__all__ = ["LEASE_SECONDS", "Workers"]

LEASE_SECONDS = 10.0
"""A worker whose last heartbeat is older than this counts as dead."""

SLOTS = 64

NOW = "extract(epoch FROM clock_timestamp())::float8"
THIS = workers.c.slot == sa.bindparam("of")
OWN = (THIS, workers.c.incarnation == sa.bindparam("me"))
LOCK = sa.text("SELECT pg_try_advisory_xact_lock(7236154022)")
SELECT_SLOT = sa.select(workers).where(THIS).with_for_update()
INSERT_SLOT = workers.insert()
TAKE_SLOT = workers.update().where(THIS)
BEAT = workers.update().where(*OWN, workers.c.reaped.is_(False)).values(beat_at=sa.literal_column(NOW))
LEAVE = workers.update().where(*OWN).values(beat_at=0.0)
SELECT_DEAD = sa.select(workers.c.slot).where(workers.c.reaped.is_(False), workers.c.beat_at < sa.bindparam("before"))
SELECT_LIVE = sa.select(sa.func.count()).where(workers.c.reaped.is_(False), workers.c.beat_at >= sa.bindparam("before"))
SELECT_BEATS = sa.select(workers.c.host, workers.c.pid, workers.c.beat_at)
MARK_REAPED = (
    workers.update()
    .where(workers.c.slot.in_(sa.bindparam("slots", expanding=True)), workers.c.beat_at < sa.bindparam("before"))
    .values(reaped=True)
)


class Workers:
    """The heartbeat table. ``lease`` is in seconds and must be the same for all workers of one database."""

    def __init__(self, database: Database, lease: float = LEASE_SECONDS) -> None:
        self.database = database
        self.lease = lease

    def claim(self, wanted: str, incarnation: str, pid: int, host: str) -> str:
        """Take the slot ``wanted``, or ``wanted-2``, … when a live process has it; returns the slot taken."""
        for number in range(1, SLOTS + 1):
            slot = wanted if number == 1 else f"{wanted}-{number}"
            if self._take(slot, {"incarnation": incarnation, "pid": pid, "host": host, "reaped": False}):
                return slot
        raise ConflictError(f"{SLOTS} workers named {wanted} are alive; give this one another KIMERA_WORKER.")

    def beat(self, slot: str, incarnation: str) -> bool:
        """Say that the worker lives; False when it was taken for dead or replaced and must stop what it does."""
        done = self.database.write(lambda connection: connection.execute(BEAT, {"of": slot, "me": incarnation}))
        return done.rowcount == 1

    def leave(self, slot: str, incarnation: str) -> None:
        """Let others take over at once what this worker left unfinished."""
        self.database.write(lambda connection: connection.execute(LEAVE, {"of": slot, "me": incarnation}))

    def live(self) -> int:
        """Return how many workers live."""
        before = self.database.now() - self.lease
        return self.database.read(lambda connection: connection.execute(SELECT_LIVE, {"before": before}).scalar_one())

    def beats(self) -> dict[tuple[str, int], float]:
        """Return the last heartbeat, in seconds since 1970, of the process last seen in each slot by host and pid."""
        found = self.database.read(lambda connection: connection.execute(SELECT_BEATS).all())
        return {(row.host, row.pid): row.beat_at for row in found}

    def reap(self, recover: Callable[[list[str]], Any]) -> list[str]:
        """Hand the slots of dead workers to ``recover``, one reaper at a time; returns those slots.

        A reaper that dies in between leaves them unmarked, and the next one repeats: recovery is idempotent.
        """

        def work(connection: sa.Connection) -> list[str]:
            if not connection.execute(LOCK).scalar_one():
                return []
            before = float(connection.execute(sa.select(sa.literal_column(NOW))).scalar_one()) - self.lease
            dead = sorted(connection.execute(SELECT_DEAD, {"before": before}).scalars())
            if dead:
                recover(dead)
                connection.execute(MARK_REAPED, {"slots": dead, "before": before})
            return dead

        return self.database.write(work)

    def _take(self, slot: str, values: dict[str, Any]) -> bool:
        def work(connection: sa.Connection) -> bool:
            now = float(connection.execute(sa.select(sa.literal_column(NOW))).scalar_one())
            found = connection.execute(SELECT_SLOT, {"of": slot}).first()
            if found is None:
                connection.execute(INSERT_SLOT, values | {"slot": slot, "beat_at": now})
                return True
            if not found.reaped and found.beat_at >= now - self.lease:
                return False
            connection.execute(TAKE_SLOT.values(values | {"beat_at": now}), {"of": slot})
            return True

        try:
            return self.database.write(work)
        except sa.exc.IntegrityError:
            return False
