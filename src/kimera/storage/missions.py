"""The mission tables: rows, events, attempts, versions, mailboxes, dead letters.

Every change of a mission is `append`: in one transaction the row is read (locked on PostgreSQL; SQLite has one
writer), checked against the expected state, folded with the new events and written by one UPDATE that names the old
state and event number in its WHERE clause. Events have derived keys; appending one twice is a no-op.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from kimera import telemetry
from kimera.clock import Clock
from kimera.errors import ConflictError, NotFoundError
from kimera.storage.database import Database
from kimera.storage.fold import ALLOWED, TERMINAL, MissionRow, fold_one
from kimera.storage.outcomes import TELLING, TIMED, record
from kimera.storage.schema import briefs, events, missions
from kimera.telemetry import MissionEvent, parse

__all__ = ["Brief", "Entry", "Missions"]

INSERT_BRIEF = briefs.insert()
INSERT_MISSION = missions.insert()
INSERT_EVENT = events.insert()
SELECT_BRIEF = sa.select(briefs).where(briefs.c.mission_id == sa.bindparam("id"))
SELECT_KEY = sa.select(briefs.c.mission_id).where(
    briefs.c.tenant == sa.bindparam("tenant"), briefs.c.request_key == sa.bindparam("key")
)
SELECT_BRIEFS = sa.select(briefs).where(briefs.c.mission_id.in_(sa.bindparam("ids", expanding=True)))
SELECT_ROW = sa.select(missions).where(missions.c.mission_id == sa.bindparam("id"))
LOCK_ROW = SELECT_ROW.with_for_update()
OF_TENANT = briefs.c.tenant == sa.bindparam("tenant")
SELECT_OWNED = (
    sa.select(missions)
    .join(briefs, briefs.c.mission_id == missions.c.mission_id)
    .where(missions.c.mission_id == sa.bindparam("id"), OF_TENANT)
)
SELECT_ROWS = sa.select(missions).order_by(missions.c.mission_id.desc()).limit(sa.bindparam("limit"))
SELECT_TENANT_ROWS = (
    sa.select(missions)
    .join(briefs, briefs.c.mission_id == missions.c.mission_id)
    .where(OF_TENANT)
    .order_by(briefs.c.mission_id.desc())  # of the brief: both conditions and the order are then one index
    .limit(sa.bindparam("limit"))
)
BEFORE = briefs.c.mission_id < sa.bindparam("before")
BEFORE_ROW = missions.c.mission_id < sa.bindparam("before")
IN_STATE = missions.c.state == sa.bindparam("state")
OPEN_STATES = sorted(set(ALLOWED) - TERMINAL)
SELECT_SOME_OPEN = (  # states are listed, not excluded: that is a range of an index, however many missions have ended
    sa.select(missions.c.mission_id)
    .join(briefs, briefs.c.mission_id == missions.c.mission_id)
    .where(missions.c.state.in_(OPEN_STATES), OF_TENANT)
    .limit(sa.bindparam("limit"))
)
SELECT_HEADS = sa.select(missions.c.mission_id, missions.c.seq, missions.c.state).where(
    missions.c.mission_id.in_(sa.bindparam("ids", expanding=True))
)
SELECT_OPEN = sa.select(missions).where(missions.c.state.not_in(sorted(TERMINAL))).order_by(missions.c.mission_id)
SELECT_PENDING = sa.select(missions).where(missions.c.state == "PENDING").order_by(missions.c.mission_id)
COUNT_OPEN = (
    sa.select(missions.c.state, sa.func.count().label("n"))
    .where(missions.c.state.not_in(sorted(TERMINAL)))
    .group_by(missions.c.state)
)
SELECT_AT = sa.select(events.c.at).where(events.c.mission_id == sa.bindparam("id"), events.c.key == sa.bindparam("key"))
SELECT_SEEN = sa.select(events.c.key).where(
    events.c.mission_id == sa.bindparam("id"), events.c.key.in_(sa.bindparam("keys", expanding=True))
)
SELECT_EVENTS = (
    sa.select(events)
    .where(events.c.mission_id == sa.bindparam("id"), events.c.seq > sa.bindparam("after"))
    .order_by(events.c.seq)
    .limit(sa.bindparam("limit"))
)
SELECT_TELLING = (
    sa.select(events)
    .where(events.c.mission_id == sa.bindparam("id"), events.c.type.in_(TELLING))
    .order_by(events.c.seq)
)
UPDATE_ROW = missions.update().where(
    missions.c.mission_id == sa.bindparam("old_id"),
    missions.c.state == sa.bindparam("old_state"),
    missions.c.seq == sa.bindparam("old_seq"),
)

OWED = 10_000
"""Missions of which a process remembers control time that no event has yet."""

Also = Callable[[sa.Connection], None]

log = telemetry.get_logger("missions")
LEVELS = {
    "mission.created": log.info,
    "mission.state": log.info,
    "track.started": log.info,
    "track.retry": log.warning,
    "track.finished": log.info,
    "track.failed": log.info,  # the failure itself is logged, with its place, where it was handled
    "report.version": log.info,
    "budget.action": log.warning,
    "degraded": log.warning,
    "human.decision": log.info,
    "mission.finished": log.info,
}


@dataclass(frozen=True)
class Brief:
    """What was asked: fixed at the start and never changed. ``options`` is canonical JSON."""

    mission_id: str
    sha256: str
    question: str
    folder: str
    options: str
    playbook: str
    request_key: str | None = None
    tenant: str = "local"
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True)
class Entry:
    """An event to append. ``key`` is unique within the mission and derived from what happened, never random."""

    key: str
    type: str
    payload: dict[str, Any]
    track: str | None = None
    attempt: int | None = None


class _Watch:
    """What a control step has taken: from its call, with what was owed, to the moment it is written down."""

    def __init__(self, clock: Clock, owed: float) -> None:
        self.clock, self.owed = clock, owed
        self.begun = clock.monotonic() - owed
        self.noted = 0.0

    def read(self) -> float:
        """Return the seconds so far, to be written down."""
        self.noted = self.clock.monotonic() - self.begun
        return round(self.noted, 6)

    def rest(self) -> float:
        """Return the seconds since they were written down."""
        return self.clock.monotonic() - self.begun - self.noted


class Missions:
    """Rows and events of missions in one database."""

    def __init__(self, database: Database, on_append: Callable[[str], None] | None = None) -> None:
        self._owed: dict[str, float] = {}
        self.database = database
        self.on_append = on_append or (lambda mission_id: None)
        self.on_record: Callable[[str, Sequence[Entry]], None] = lambda mission_id, entries: None
        """Called with what was recorded for the first time, each entry once over all processes."""

    def create(self, brief: Brief, created: Entry, then: Sequence[Entry] = (), also: Also | None = None) -> str:
        """Store a new mission and return its id, or the id of the mission already stored for the same key or id."""
        watch = _Watch(self.database.clock, self._owed.get(brief.mission_id, 0.0))

        entries = [created, *then]

        def work(connection: sa.Connection) -> str:
            known = connection.execute(SELECT_BRIEF, {"id": brief.mission_id}).first()
            if known is None and brief.request_key is not None:
                mine = {"tenant": brief.tenant, "key": brief.request_key}
                known = connection.execute(SELECT_KEY, mine).first()
            if known is not None:
                return str(known.mission_id)
            connection.execute(INSERT_BRIEF, asdict(brief))
            rows, row = self._folded(None, brief.mission_id, entries, watch)
            connection.execute(INSERT_MISSION, _as_values(row))
            connection.execute(INSERT_EVENT, rows)
            if also is not None:
                also(connection)
            return brief.mission_id

        try:
            mission_id = self.database.write(work)
        except sa.exc.IntegrityError:
            # another process stored the same key between our look and our insert: take its mission
            mission_id = self.database.write(work)
        if mission_id == brief.mission_id:
            self._settle(mission_id, entries, watch)
            _echo(mission_id, entries)
            self.on_record(mission_id, entries)
        self.on_append(mission_id)
        return mission_id

    def append(
        self,
        mission_id: str,
        entries: Sequence[Entry],
        *,
        expect: Iterable[str] | None = None,
        only_if: Callable[[sa.Connection], bool] | None = None,
        also: Also | None = None,
    ) -> bool:
        """Record events and what they change; False when they were recorded before or the state is not expected.

        ``only_if`` may refuse inside the transaction, ``also`` writes other rows in it. Raises `NotFoundError` for an
        unknown mission and `ConflictError` for a transition that `ALLOWED` does not list.
        """
        watch = _Watch(self.database.clock, self._owed.get(mission_id, 0.0))
        expected = None if expect is None else frozenset(expect)

        def work(connection: sa.Connection) -> list[Entry]:
            row = _row(connection.execute(LOCK_ROW if not self.database.embedded else SELECT_ROW, {"id": mission_id}))
            if row is None:
                raise _unknown(mission_id)
            if expected is not None and row.state not in expected:
                return []
            keys = [entry.key for entry in entries]
            seen = {key for (key,) in connection.execute(SELECT_SEEN, {"id": mission_id, "keys": keys})}
            fresh = [entry for entry in entries if entry.key not in seen]
            if not fresh or (only_if is not None and not only_if(connection)):
                return []
            rows, after = self._folded(row, mission_id, fresh, watch)
            old = {"old_id": mission_id, "old_state": row.state, "old_seq": row.seq}
            changed = connection.execute(UPDATE_ROW.values(_changes(row, after)), old)
            if changed.rowcount != 1:
                raise ConflictError(f"Mission {mission_id} was changed by another process; look again and repeat.")
            connection.execute(INSERT_EVENT, rows)
            if after.ended and not row.ended:
                self._close(connection, after)
            if also is not None:
                also(connection)
            return fresh

        with _transition(entries):
            done = self.database.write(work)
        if done:
            self._settle(mission_id, done, watch)
            _echo(mission_id, done)
            self.on_record(mission_id, done)
            self.on_append(mission_id)
        return bool(done)

    def owe(self, mission_id: str, seconds: float) -> None:
        """Count control time spent outside of a transaction with the mission's next control step in this process."""
        if len(self._owed) >= OWED:
            # missions accepted here and worked on elsewhere: their last commit is all that is forgotten
            self._owed.pop(next(iter(self._owed)), None)
        self._owed[mission_id] = self._owed.get(mission_id, 0.0) + seconds

    def get(self, mission_id: str, tenant: str | None = None) -> MissionRow:
        """Return one row; raises `NotFoundError`, also when a tenant is given and the mission is another's."""
        statement = SELECT_ROW if tenant is None else SELECT_OWNED
        parameters = {"id": mission_id} if tenant is None else {"id": mission_id, "tenant": tenant}
        row = self.database.read(lambda connection: _row(connection.execute(statement, parameters)))
        if row is None:
            raise _unknown(mission_id)
        return row

    def brief(self, mission_id: str) -> Brief:
        """Return what was asked; raises `NotFoundError`."""
        found = self.database.read(lambda connection: connection.execute(SELECT_BRIEF, {"id": mission_id}).first())
        if found is None:
            raise _unknown(mission_id)
        return Brief(**found._asdict())

    def briefs(self, mission_ids: Iterable[str]) -> dict[str, Brief]:
        """Return what was asked by mission id; unknown ids are left out."""
        ids = list(mission_ids)
        found = self.database.read(lambda connection: connection.execute(SELECT_BRIEFS, {"ids": ids}).all())
        return {row.mission_id: Brief(**row._asdict()) for row in found}

    def newest(
        self, limit: int = 50, *, tenant: str | None = None, before: str | None = None, state: str | None = None
    ) -> list[MissionRow]:
        """Return the newest missions first: of one tenant, older than the id ``before``, in one state, if given."""
        statement = SELECT_ROWS if tenant is None else SELECT_TENANT_ROWS
        parameters: dict[str, Any] = {"limit": limit} if tenant is None else {"limit": limit, "tenant": tenant}
        if before is not None:
            statement = statement.where(BEFORE_ROW if tenant is None else BEFORE)
            parameters["before"] = before
        if state is not None:
            statement = statement.where(IN_STATE)
            parameters["state"] = state
        return self._rows(statement, **parameters)

    def heads(self, mission_ids: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return (number of events, state) by mission id: one question for all that are watched."""
        ids = list(mission_ids)
        found = self.database.read(lambda connection: connection.execute(SELECT_HEADS, {"ids": ids}).all())
        return {row.mission_id: (row.seq, row.state) for row in found}

    def census(self) -> dict[str, int]:
        """Return how many missions are in each state that is not an end."""
        found = self.database.read(lambda connection: connection.execute(COUNT_OPEN).all())
        return {row.state: row.n for row in found}

    def recorded_at(self, mission_id: str, key: str) -> datetime | None:
        """Return when the event of this key was recorded, None when there is none."""
        asked = {"id": mission_id, "key": key}
        found = self.database.read(lambda connection: connection.execute(SELECT_AT, asked).scalar_one_or_none())
        return None if found is None else datetime.fromisoformat(found)

    def unfinished(self) -> list[MissionRow]:
        """Return every mission that has not ended, oldest first."""
        return self._rows(SELECT_OPEN)

    def count_unfinished(self, tenant: str, most: int) -> int:
        """Return how many missions of a tenant have not ended, counting no further than ``most``."""
        where = {"tenant": tenant, "limit": most}
        return len(self.database.read(lambda connection: connection.execute(SELECT_SOME_OPEN, where).all()))

    def pending(self) -> list[MissionRow]:
        """Return the missions nobody has begun, oldest first."""
        return self._rows(SELECT_PENDING)

    def events(self, mission_id: str, after: int = 0, limit: int = 10_000) -> list[MissionEvent]:
        """Return the events with a number above ``after``, in order."""
        parameters = {"id": mission_id, "after": after, "limit": limit}
        found = self.database.read(lambda connection: connection.execute(SELECT_EVENTS, parameters).all())
        return [_event(row) for row in found]

    def _rows(self, statement: sa.Select[Any], **parameters: Any) -> list[MissionRow]:
        found = self.database.read(lambda connection: connection.execute(statement, parameters).all())
        return [_from_values(row._asdict()) for row in found]

    def _settle(self, mission_id: str, entries: Sequence[Entry], watch: _Watch) -> None:
        """Forget what was owed and is now in an event; what the commit took belongs to the next one."""
        if not any(entry.type in TIMED for entry in entries):
            return
        left = self._owed.pop(mission_id, 0.0) - watch.owed + watch.rest()
        if not any(entry.payload.get("new") in TERMINAL for entry in entries):
            self.owe(mission_id, left)

    def _close(self, connection: sa.Connection, row: MissionRow) -> None:
        """Write how the round ended, from what its events say."""
        found = connection.execute(SELECT_TELLING, {"id": row.mission_id}).all()
        record(connection, row, [_event(one) for one in found])

    def _folded(
        self, row: MissionRow | None, mission_id: str, entries: Sequence[Entry], watch: _Watch
    ) -> tuple[list[dict[str, Any]], MissionRow]:
        at = self.database.clock.now().astimezone(UTC)
        if row is not None:
            # the wall clock may step back; a mission's own events never do
            at = max(at, datetime.fromisoformat(row.updated_at))
        # what the control plane takes is kept with what it decided, so that no kill can lose or double it
        taken = {"seconds": watch.read()}
        rows = []
        for entry in entries:
            event = MissionEvent(
                mission_id=mission_id,
                seq=(row.seq if row else 0) + 1,
                at=at,
                type=entry.type,
                track=entry.track,
                attempt=entry.attempt,
                request_id=telemetry.current().request_id[:64],
                payload=parse(entry.type, entry.payload | (taken if entry.type in TIMED else {})),
            )
            taken = {"seconds": 0.0} if entry.type in TIMED else taken
            if row is not None and event.type == "mission.state":
                _check_transition(row, str(event.payload["new"]))
            row = fold_one(row, event)
            values = event.model_dump() | {"key": entry.key, "at": at.isoformat(), "payload": json.dumps(event.payload)}
            rows.append(values)
        assert row is not None
        return rows, row


def _transition(entries: Sequence[Entry]) -> AbstractContextManager[object]:
    """Return the span of a change of state; nothing for what changes none."""
    news = [str(entry.payload.get("new")) for entry in entries if entry.type == "mission.state"]
    if not news:
        return nullcontext()
    name = "mission.close" if news[-1] in TERMINAL else "mission.transition"
    return telemetry.span(name, state=news[-1])


def _echo(mission_id: str, entries: Iterable[Entry]) -> None:
    """Log what was recorded: each event once, at the level that its type has."""
    for entry in entries:
        level = LEVELS.get(entry.type, log.debug)
        level(entry.type, mission_id=mission_id, track=entry.track, attempt=entry.attempt, **_said(entry))


def _said(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry.payload.items() if name not in {"mission_id", "track", "attempt"}}


def _check_transition(row: MissionRow, new: str) -> None:
    if new not in ALLOWED[row.state]:
        raise ConflictError(f"Mission {row.mission_id} is {row.state} and cannot become {new}.", state=row.state)


def _unknown(mission_id: str) -> NotFoundError:
    return NotFoundError(f"There is no mission {mission_id}; `kimera missions` lists those there are.")


def _row(found: sa.CursorResult[Any]) -> MissionRow | None:
    first = found.first()
    return None if first is None else _from_values(first._asdict())


def _as_values(row: MissionRow) -> dict[str, Any]:
    return asdict(row) | {"degraded": json.dumps(row.degraded)}


def _changes(before: MissionRow, after: MissionRow) -> dict[str, Any]:
    old, new = _as_values(before), _as_values(after)
    return {name: value for name, value in new.items() if value != old[name]}


def _from_values(values: dict[str, Any]) -> MissionRow:
    degraded = tuple((cause, words) for cause, words in json.loads(values["degraded"]))
    return MissionRow(**(values | {"degraded": degraded}))


def _event(row: sa.Row[Any]) -> MissionEvent:
    values = row._asdict()
    values.pop("key")
    return MissionEvent(**(values | {"at": datetime.fromisoformat(row.at), "payload": json.loads(row.payload)}))
