"""Roll-ups of metrics in the database, and the lease of the process that compacts them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kimera.storage.database import Database
from kimera.storage.schema import leases, rollups
from kimera.telemetry.retention.rollup_store import RollupRow

__all__ = ["Rollups"]

TIER = rollups.c.tier == sa.bindparam("of")
SELECT_ROWS = (
    sa.select(rollups)
    .where(TIER, rollups.c.bucket_start >= sa.bindparam("start"), rollups.c.bucket_start < sa.bindparam("end"))
    .order_by(rollups.c.bucket_start, rollups.c.process)
)
SELECT_FIRST = sa.select(sa.func.min(rollups.c.bucket_start)).where(
    TIER, rollups.c.bucket_start >= sa.bindparam("since")
)
SELECT_LAST = sa.select(sa.func.max(rollups.c.bucket_start)).where(TIER)
OLDEST = (
    sa.select(rollups.c.bucket_start, rollups.c.process)
    .where(TIER, rollups.c.bucket_start < sa.bindparam("before"))
    .order_by(rollups.c.bucket_start, rollups.c.process)
    .limit(sa.bindparam("most"))
)
PRUNE = rollups.delete().where(TIER, sa.tuple_(rollups.c.bucket_start, rollups.c.process).in_(OLDEST))

MINE = leases.c.holder == sa.bindparam("me")
NAMED = leases.c.name == sa.bindparam("of")
RENEW = leases.update().where(NAMED, MINE | (leases.c.until < sa.bindparam("now")))
RELEASE = leases.delete().where(NAMED, MINE)
KEY = ("tier", "bucket_start", "process")


class Rollups:
    """The roll-ups of one database; safe for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = sqlite.insert if database.embedded else postgresql.insert
        put = insert(rollups)
        self._put = put.on_conflict_do_update(index_elements=KEY, set_={"body": put.excluded.body})
        self._claim = insert(leases).on_conflict_do_nothing(index_elements=("name",)).returning(leases.c.name)

    def put(self, row: RollupRow) -> None:
        """Keep a row in place of the one with the same tier, bucket and process."""
        self._database.write(lambda connection: connection.execute(self._put, row._asdict()))

    def rows(self, tier: str, start: int, end: int) -> list[RollupRow]:
        """Return the rows of ``start <= bucket_start < end`` by bucket and process."""
        asked = {"of": tier, "start": start, "end": end}
        found = self._database.read(lambda connection: connection.execute(SELECT_ROWS, asked).all())
        return [RollupRow(row.tier, row.bucket_start, row.process, bytes(row.body)) for row in found]

    def first(self, tier: str, since: int) -> int | None:
        """Return the earliest bucket at or after ``since``, None when there is none."""
        asked = {"of": tier, "since": since}
        found: int | None = self._database.read(lambda c: c.execute(SELECT_FIRST, asked).scalar_one())
        return found

    def last(self, tier: str) -> int | None:
        """Return the latest bucket of a tier, None when it is empty."""
        found: int | None = self._database.read(lambda c: c.execute(SELECT_LAST, {"of": tier}).scalar_one())
        return found

    def prune(self, tier: str, before: int, limit: int) -> int:
        """Delete at most ``limit`` of the oldest rows whose bucket is before ``before``; returns how many."""
        asked = {"of": tier, "before": before, "most": limit}
        return self._database.write(lambda connection: connection.execute(PRUNE, asked)).rowcount

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease by the database's clock; False while somebody else holds it."""
        now = self._database.now()
        values = {"holder": holder, "until": now + seconds}

        def work(connection: sa.Connection) -> bool:
            renewed = connection.execute(RENEW.values(values), {"of": name, "me": holder, "now": now})
            return renewed.rowcount == 1 or connection.execute(self._claim, values | {"name": name}).first() is not None

        return self._database.write(work)

    def release(self, name: str, holder: str) -> None:
        """Give a lease back if it is ours."""
        self._database.write(lambda connection: connection.execute(RELEASE, {"of": name, "me": holder}))
