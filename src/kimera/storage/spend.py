"""Rows of the spend ledger: counters per scope (a mission, a UTC day) and one ticket per call.

A reservation raises two counters by two UPDATEs whose WHERE clause is the cap, in one transaction, always mission
first: no interleaving can pass a cap and none can deadlock. Amounts are whole nano-dollars.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from kimera import telemetry
from kimera.errors import BudgetExceeded, NotFoundError
from kimera.storage.database import Database
from kimera.storage.schema import spend_scopes as scopes
from kimera.storage.schema import spend_tickets as tickets

__all__ = ["ScopeRow", "SpendRows", "TicketRow"]

THIS = scopes.c.scope == sa.bindparam("of")
SELECT_SCOPE = sa.select(scopes).where(THIS)
INSERT_SCOPE = scopes.insert()
SET_CAP = scopes.update().where(THIS)
TAKE = (
    scopes.update()
    .where(THIS, scopes.c.reserved_nano + scopes.c.settled_nano + sa.bindparam("more") <= sa.bindparam("limit"))
    .values(reserved_nano=scopes.c.reserved_nano + sa.bindparam("more"))
)
GIVE = (
    scopes.update()
    .where(THIS)
    .values(
        reserved_nano=scopes.c.reserved_nano - sa.bindparam("back"),
        settled_nano=scopes.c.settled_nano + sa.bindparam("paid"),
        overdrawn_nano=scopes.c.overdrawn_nano + sa.bindparam("over"),
    )
)
SELECT_TICKET = sa.select(tickets).where(tickets.c.ticket == sa.bindparam("of"))
LOCK_TICKET = SELECT_TICKET.with_for_update()
INSERT_TICKET = tickets.insert()
UPDATE_TICKET = tickets.update().where(tickets.c.ticket == sa.bindparam("of"))
RENEW = UPDATE_TICKET.where(tickets.c.state == "open")
OPEN_TICKETS = (
    sa.select(tickets)
    .where(tickets.c.mission_id == sa.bindparam("mission"), tickets.c.state == "open")
    .order_by(tickets.c.ticket)
)
EXPIRED = (
    sa.select(tickets)
    .where(tickets.c.state == "open", tickets.c.lease_until < sa.bindparam("now"))
    .order_by(tickets.c.ticket)
)


@dataclass(frozen=True)
class ScopeRow:
    """What a scope may spend and has spent, in nano-dollars; ``overdrawn`` was paid beyond the cap's room."""

    scope: str
    cap_nano: int
    reserved_nano: int
    settled_nano: int
    overdrawn_nano: int


@dataclass(frozen=True)
class TicketRow:
    """One reservation."""

    ticket: str
    mission_id: str
    track: str
    day: str
    reserved_nano: int
    settled_nano: int
    state: str
    lease_until: float
    input_tokens: int
    output_tokens: int


class SpendRows:
    """The ledger's statements; `kimera.llm.spend.SpendLedger` is the way to use them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def open_scope(self, scope: str, cap_nano: int) -> None:
        """Set the cap of a scope, creating it when it is new."""

        def work(connection: sa.Connection) -> None:
            if connection.execute(SET_CAP.values(cap_nano=cap_nano), {"of": scope}).rowcount == 0:
                empty = {"reserved_nano": 0, "settled_nano": 0, "overdrawn_nano": 0}
                connection.execute(INSERT_SCOPE, {"scope": scope, "cap_nano": cap_nano} | empty)

        try:
            self.database.write(work)
        except sa.exc.IntegrityError:
            self.database.write(work)

    def scope(self, scope: str) -> ScopeRow | None:
        """Return a scope's counters, None when it was never opened."""
        found = self.database.read(lambda connection: connection.execute(SELECT_SCOPE, {"of": scope}).first())
        return None if found is None else ScopeRow(**found._asdict())

    def reserve(
        self, mission_id: str, track: str, day: str, nano: int, limits: Sequence[tuple[str, int]], lease: float
    ) -> str:
        """Reserve ``nano`` in every scope of ``limits`` (scope, limit) or in none; returns a ticket.

        Raises `BudgetExceeded` whose ``scope`` is the first without room.
        """
        ticket = uuid.uuid4().hex

        def work(connection: sa.Connection) -> None:
            now = self.database.clock.now().timestamp()
            self._expire(connection, now)
            for scope, limit in limits:
                if connection.execute(TAKE, {"of": scope, "more": nano, "limit": limit}).rowcount != 1:
                    raise BudgetExceeded(scope=scope)
            values = {"ticket": ticket, "mission_id": mission_id, "track": track, "day": day, "reserved_nano": nano}
            values |= {"settled_nano": 0, "state": "open", "lease_until": now + lease}
            connection.execute(INSERT_TICKET, values | {"input_tokens": 0, "output_tokens": 0})

        self.database.write(work)
        return ticket

    def settle(self, ticket: str, nano: int, input_tokens: int, output_tokens: int) -> TicketRow:
        """Pay a ticket; a second time is a no-op. What the caps have no room for is counted as overdrawn."""

        def work(connection: sa.Connection) -> bool:
            row = self._locked(connection, ticket)
            if row.state in {"settled", "released"}:
                return False
            for scope in _scopes(row):
                held = row.reserved_nano if row.state == "open" else 0
                self._pay(connection, scope, held, nano)
            values = {"state": "settled", "settled_nano": nano, "input_tokens": input_tokens}
            connection.execute(UPDATE_TICKET.values(values | {"output_tokens": output_tokens}), {"of": ticket})
            return True

        paid = self.database.write(work)
        settled = self.ticket(ticket)
        if paid:
            _count(settled)
        return settled

    def release(self, ticket: str) -> TicketRow:
        """Give a reservation back unused; a no-op for a ticket that is not open."""
        self.database.write(lambda connection: self._close(connection, self._locked(connection, ticket), "released"))
        return self.ticket(ticket)

    def release_open(self, mission_id: str, track: str | None = None) -> int:
        """Give back every open reservation of a mission (and track); returns how many."""

        def work(connection: sa.Connection) -> int:
            rows = connection.execute(OPEN_TICKETS, {"mission": mission_id}).all()
            chosen = [TicketRow(**row._asdict()) for row in rows if track is None or row.track == track]
            for row in chosen:
                self._close(connection, self._locked(connection, row.ticket), "released")
            return len(chosen)

        return self.database.write(work)

    def renew(self, ticket: str, lease: float) -> bool:
        """Lengthen the lease of an open ticket; False when it is no longer open."""
        until = self.database.clock.now().timestamp() + lease
        done = self.database.write(
            lambda connection: connection.execute(RENEW.values(lease_until=until), {"of": ticket})
        )
        return done.rowcount == 1

    def ticket(self, ticket: str) -> TicketRow:
        """Return a ticket; raises `NotFoundError`."""
        found = self.database.read(lambda connection: connection.execute(SELECT_TICKET, {"of": ticket}).first())
        if found is None:
            raise NotFoundError(f"There is no ticket {ticket}.")
        return TicketRow(**found._asdict())

    def expire(self) -> None:
        """Give back every reservation whose lease has run out."""
        self.database.write(lambda connection: self._expire(connection, self.database.clock.now().timestamp()))

    def _expire(self, connection: sa.Connection, now: float) -> None:
        for row in connection.execute(EXPIRED, {"now": now}).all():
            self._close(connection, self._locked(connection, row.ticket), "expired")

    def _locked(self, connection: sa.Connection, ticket: str) -> TicketRow:
        statement = SELECT_TICKET if self.database.embedded else LOCK_TICKET
        found = connection.execute(statement, {"of": ticket}).first()
        if found is None:
            raise NotFoundError(f"There is no ticket {ticket}.")
        return TicketRow(**found._asdict())

    def _close(self, connection: sa.Connection, row: TicketRow, state: str) -> None:
        if row.state != "open":
            return
        for scope in _scopes(row):
            connection.execute(GIVE, {"of": scope, "back": row.reserved_nano, "paid": 0, "over": 0})
        connection.execute(UPDATE_TICKET.values(state=state), {"of": row.ticket})

    def _pay(self, connection: sa.Connection, scope: str, held: int, nano: int) -> None:
        statement = SELECT_SCOPE if self.database.embedded else SELECT_SCOPE.with_for_update()
        now: Any = connection.execute(statement, {"of": scope}).one()
        room = now.cap_nano - (now.reserved_nano - held) - now.settled_nano
        paid = min(nano, max(room, 0))
        connection.execute(GIVE, {"of": scope, "back": held, "paid": paid, "over": nano - paid})


def _count(row: TicketRow) -> None:
    telemetry.metric("kimera_spend_usd_total").bind(track=row.track, kind="llm").inc(row.settled_nano / 1e9)
    tokens = telemetry.metric("kimera_llm_tokens_total")
    tokens.bind(track=row.track, direction="input").inc(row.input_tokens)
    tokens.bind(track=row.track, direction="output").inc(row.output_tokens)


def _scopes(row: TicketRow) -> tuple[str, str]:
    return f"mission:{row.mission_id}", f"day:{row.day}"
