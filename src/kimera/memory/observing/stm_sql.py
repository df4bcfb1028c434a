"""Short-term memory in SQL rows: a step and what it learns are one transaction."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kimera.errors import ConflictError
from kimera.memory.keeping.log import canonical
from kimera.memory.observing.stm import Held, Learnings, Stm, StmChange, StmEvent, StmUse, Teach
from kimera.storage import memory as sql
from kimera.storage.rows import Rows, Transactions

__all__ = ["SqlStm"]


class Lost(ConflictError):
    """Another process stepped the session first."""


class SqlStm:
    """Sessions in the memory's own database; any process can go on with any session."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def find(self, memory: int, session_id: str) -> Held | None:
        """Return a session, expired or not, or None."""
        values = {"memory": memory, "session_id": session_id}
        found = self._transactions.look(sql.FIND_SESSION, values)
        return _held(memory, session_id, found[0]) if found else None

    def homes(self, tenant: str, session_id: str) -> list[tuple[str, float]]:
        """Return the memories of a tenant that have a session of this name, and when it ends, in one look."""
        values = {"tenant": tenant, "session_id": session_id}
        return [(name, expires_at) for name, expires_at in self._transactions.look(sql.SESSION_HOMES, values)]

    def create(self, memory: int, session_id: str, config: Mapping[str, Any], now: float, expires_at: float) -> Held:
        """Return the new session, or the one another caller made meanwhile."""
        values = {
            "memory": memory,
            "session_id": session_id,
            "config": canonical(config),
            "metadata": "{}",
            "created_at": now,
            "expires_at": expires_at,
        }

        def work(rows: Rows) -> tuple[Any, ...]:
            rows.run(sql.NEW_SESSION, values)
            row = rows.one(sql.FIND_SESSION, {"memory": memory, "session_id": session_id})
            assert row is not None
            return row

        return _held(memory, session_id, self._transactions.write(work))

    def configure(self, held: Held, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Held:
        """Keep these options and this metadata."""
        values = {"session": held.key, "new_config": canonical(config), "new_metadata": canonical(metadata)}
        self._transactions.write(lambda rows: rows.run(sql.CONFIGURE_SESSION, values).rowcount)
        return held._replace(config=dict(config), metadata=dict(metadata))

    def extend(self, held: Held, expires_at: float) -> Held:
        """Let the session live until then."""
        values = {"session": held.key, "new_expires_at": expires_at}
        self._transactions.write(lambda rows: rows.run(sql.EXTEND_SESSION, values).rowcount)
        return held._replace(expires_at=expires_at)

    def drop(self, held: Held) -> None:
        """Forget the session and its events."""
        self._transactions.write(lambda rows: drop_session(rows, held.key))

    def load(self, held: Held) -> tuple[Held, Stm] | None:
        """Return the session as it is now, None when it is gone."""

        def work(rows: Rows) -> tuple[Held, Stm] | None:
            row = rows.one(sql.READ_SESSION, {"session": held.key})
            if row is None:
                return None
            found = rows.all(sql.READ_STM, {"session": held.key})
            *_, time, version, number, floor = row
            events = deque(StmEvent.read(at, body) for at, body in found if at >= floor)
            return _held(held.memory, held.session_id, row), Stm(version, time, number, floor, events)

        return self._transactions.read(work)

    def is_current(self, held: Held, stm: Stm) -> bool:
        """Return whether nobody has stepped since ``stm`` was loaded."""
        found = self._transactions.look(sql.VERSION_OF_SESSION, {"session": held.key})
        return bool(found) and found[0][0] == stm.version

    def step(self, held: Held, stm: Stm, change: StmChange, expires_at: float, teach: Teach | None) -> Learnings:
        """Keep a step and what it learns, all or nothing; return what was learned, or None when ``stm`` was old."""
        keep = self._keep(held, stm, change, expires_at)
        if teach is not None:
            return teach(keep)

        def work(rows: Rows) -> None:
            if not keep(rows):
                raise Lost

        try:
            self._transactions.write(work)
        except Lost:
            return None
        return []

    def count(self, memory: int, now: float) -> int:
        """Return how many sessions of a memory live."""
        values = {"memory": memory, "now": now}
        return int(self._transactions.look(sql.COUNT_SESSIONS, values)[0][0])

    def use(self, tenant: str, now: float) -> StmUse:
        """Return how much is held for the sessions of a tenant that live."""
        ((count, events, lag),) = self._transactions.look(sql.USE_OF_STM, {"tenant": tenant, "now": now})
        return StmUse(count, events, lag)

    def sweep(self, now: float) -> int:
        """Drop the sessions that have outlived their time; return how many."""

        def work(rows: Rows) -> int:
            old = rows.all(sql.OUTLIVED_SESSIONS, {"now": now})
            for (key,) in old:
                drop_session(rows, key)
            return len(old)

        return self._transactions.write(work)

    def close(self) -> None:
        """Do nothing: the memory gives its own connections back."""

    def _keep(self, held: Held, stm: Stm, change: StmChange, expires_at: float) -> Callable[[Rows], bool]:
        fresh = [event for event in change.append if event.number >= change.floor]
        added = [{"session": held.key, "number": event.number, "body": event.write()} for event in fresh]
        newest = change.replace
        if newest is not None:
            changed = {"session": held.key, "at_number": newest.number, "new_body": newest.write()}
        stepped = {
            "session": held.key,
            "old_version": stm.version,
            "new_time": change.time,
            "new_next": change.next,
            "new_floor": change.floor,
            "new_expires_at": expires_at,
        }
        trims = change.floor > stm.floor and bool(stm.events) and stm.events[0].number < change.floor

        plain = len(added) == 1 and newest is None and not trims
        at_once = {**stepped, **added[0]} if plain else None

        def keep(rows: Rows) -> bool:
            if at_once is not None and rows.dialect == "postgresql":
                return bool(rows.run(sql.STEP_AND_ADD, at_once).rowcount == 1)
            if rows.run(sql.STEP_SESSION, stepped).rowcount != 1:
                return False
            for row in added:
                rows.run(sql.ADD_STM, row)
            if newest is not None:
                rows.run(sql.CHANGE_STM, changed)
            if trims:
                rows.run(sql.TRIM_STM, {"session": held.key, "floor": change.floor})
            return True

        return keep


def drop_session(rows: Rows, key: int) -> None:
    """Delete a session and its events."""
    rows.run(sql.DROP_STM, {"session": key})
    rows.run(sql.DROP_SESSION, {"session": key})


def drop_events(rows: Rows, session: int, numbers: Sequence[int]) -> None:
    """Delete events of a session, whose holders read it anew then."""
    for number in numbers:
        rows.run(sql.DROP_EVENT, {"session": session, "number": number})
    rows.run(sql.TOUCH_SESSION, {"session": session})


def _held(memory: int, session_id: str, row: tuple[Any, ...]) -> Held:
    key, config, metadata, created_at, expires_at, *_ = row
    return Held(key, memory, session_id, json.loads(config), json.loads(metadata), created_at, expires_at)
