"""The audit chain's rows: one writer at a time takes the last row and adds the next; nothing is ever changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from kimera.storage.database import Database
from kimera.storage.schema import audit_log

__all__ = ["AuditRows"]

PAGE = 1_000

INSERT = audit_log.insert()
SELECT_LAST = sa.select(audit_log.c.seq, audit_log.c.hash).order_by(audit_log.c.seq.desc()).limit(1)
SELECT_PAGE = sa.select(audit_log).where(audit_log.c.seq > sa.bindparam("after")).order_by(audit_log.c.seq).limit(PAGE)
SELECT_NEWEST = sa.select(audit_log).order_by(audit_log.c.seq.desc()).limit(sa.bindparam("limit"))
# appenders queue here until commit; readers are not held up
TURN = sa.text("SELECT pg_advisory_xact_lock(7236154022)")

Make = Callable[[int, str], dict[str, Any]]


class AuditRows:
    """The table of the chain in one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = database.clock

    def append(self, make: Make) -> dict[str, Any]:
        """Store the row that ``make`` returns for the next number and the last hash, "" for the first."""
        return self.database.write(lambda connection: self.append_in(connection, make))

    def append_in(self, connection: sa.Connection, make: Make) -> dict[str, Any]:
        """Do the same inside a transaction of the caller's, so that a deed and its record are stored together."""
        if not self.database.embedded:
            connection.execute(TURN)
        last = connection.execute(SELECT_LAST).first()
        row = make(1, "") if last is None else make(last.seq + 1, last.hash)
        connection.execute(INSERT, row)
        return row

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield every row in order, a page at a time."""
        after = 0
        while page := self._page(after):
            yield from page
            after = page[-1]["seq"]

    def newest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest rows first."""
        return self.database.read(
            lambda connection: [row._asdict() for row in connection.execute(SELECT_NEWEST, {"limit": limit})]
        )

    def _page(self, after: int) -> list[dict[str, Any]]:
        return self.database.read(
            lambda connection: [row._asdict() for row in connection.execute(SELECT_PAGE, {"after": after})]
        )
