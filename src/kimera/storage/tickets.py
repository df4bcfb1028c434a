"""Tickets for event streams: for callers that cannot send headers, one stream each, for a minute.

Only the hash is stored. Redeeming is one DELETE, so of two who come with the same ticket one gets in.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from kimera.storage.database import Database
from kimera.storage.schema import stream_tickets

__all__ = ["TICKET_SECONDS", "Holder", "Tickets"]

TICKET_SECONDS = 60.0

INSERT_TICKET = stream_tickets.insert()
THIS_TICKET = (
    stream_tickets.c.sha256 == sa.bindparam("hash"),
    stream_tickets.c.mission_id == sa.bindparam("of"),
    stream_tickets.c.expires_at > sa.bindparam("at"),
)
SELECT_TICKET = sa.select(stream_tickets).where(*THIS_TICKET)
TAKE_TICKET = stream_tickets.delete().where(*THIS_TICKET)
DROP_EXPIRED = stream_tickets.delete().where(stream_tickets.c.expires_at <= sa.bindparam("at"))


@dataclass(frozen=True, slots=True)
class Holder:
    """For whom a ticket was made: the key that asked for it and its tenant."""

    key_id: str
    tenant: str


class Tickets:
    """The tickets of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def issue(self, mission_id: str, holder: Holder) -> tuple[str, float]:
        """Return a new ticket and when it expires, in seconds since 1970; expired ones are removed on the way."""
        ticket, now = f"t{secrets.token_urlsafe(32)}", self._now()
        values = {"sha256": _hash(ticket), "tenant": holder.tenant, "key_id": holder.key_id, "mission_id": mission_id}

        def work(connection: sa.Connection) -> None:
            connection.execute(DROP_EXPIRED, {"at": now})
            connection.execute(INSERT_TICKET, values | {"expires_at": now + TICKET_SECONDS})

        self.database.write(work)
        return ticket, now + TICKET_SECONDS

    def redeem(self, mission_id: str, ticket: str) -> Holder | None:
        """Take the ticket and return for whom it was made; None when it is unknown, used, expired or another's."""
        where = {"hash": _hash(ticket), "of": mission_id, "at": self._now()}

        def work(connection: sa.Connection) -> Holder | None:
            found = connection.execute(SELECT_TICKET, where).first()
            if found is None or connection.execute(TAKE_TICKET, where).rowcount != 1:
                return None
            return Holder(found.key_id, found.tenant)

        return self.database.write(work)

    def _now(self) -> float:
        return self.database.clock.now().timestamp()


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
