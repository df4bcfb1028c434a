"""Attempts of tracks, the steps they begin, what they hand to each other, and the versions made of them.

Writes are idempotent by ``(mission_id, track, attempt)`` and only an attempt that is still open can be written to, so
a worker that was taken for dead and wakes late changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import sqlalchemy as sa

from kimera.errors import NotFoundError
from kimera.storage.artifacts import Artifact, add_artifacts
from kimera.storage.database import Database
from kimera.storage.missions import Brief, Entry, Missions
from kimera.storage.schema import attempts, briefs, dead_letters, handoffs, steps, versions

__all__ = ["Attempt", "Attempts", "DeadLetter", "Failure", "Version"]

OPEN = ("pending", "running")

THIS = (
    attempts.c.mission_id == sa.bindparam("id"),
    attempts.c.track == sa.bindparam("of"),
    attempts.c.attempt == sa.bindparam("number"),
)
INSERT_ATTEMPT = attempts.insert()
SELECT_ATTEMPT = sa.select(attempts).where(*THIS)
SELECT_EVERY_ATTEMPT = (
    sa.select(attempts)
    .where(attempts.c.mission_id == sa.bindparam("id"))
    .order_by(attempts.c.track, attempts.c.attempt)
)
SELECT_ATTEMPTS = (
    sa.select(attempts)
    .where(attempts.c.mission_id == sa.bindparam("id"), attempts.c.superseded.is_(False))
    .order_by(attempts.c.track, attempts.c.attempt)
)
UPDATE_OPEN = attempts.update().where(*THIS, attempts.c.status.in_(OPEN))
UPDATE_PHASE = UPDATE_OPEN.where(attempts.c.phase_index < sa.bindparam("index"))
SUPERSEDE = attempts.update().where(
    attempts.c.mission_id == sa.bindparam("id"),
    attempts.c.track == sa.bindparam("of"),
    attempts.c.attempt < sa.bindparam("number"),
)
THIS_STEP = (steps.c.mission_id == sa.bindparam("id"), steps.c.step == sa.bindparam("name"))
SELECT_STEP = sa.select(steps).where(*THIS_STEP)
INSERT_STEP = steps.insert()
BEGIN_STEP = steps.update().where(*THIS_STEP).values(begun=steps.c.begun + 1)
RELEASE_STEP = steps.update().where(*THIS_STEP, steps.c.begun > steps.c.released).values(released=steps.c.released + 1)
SELECT_HANDOFFS = (
    sa.select(handoffs.c.body)
    .where(handoffs.c.mission_id == sa.bindparam("id"), handoffs.c.sender != sa.bindparam("reader"))
    .order_by(handoffs.c.sender, handoffs.c.attempt, handoffs.c.number)
)
SELECT_HANDED = sa.select(handoffs.c.number).where(
    handoffs.c.mission_id == sa.bindparam("id"),
    handoffs.c.sender == sa.bindparam("of"),
    handoffs.c.attempt == sa.bindparam("number"),
)
INSERT_HANDOFF = handoffs.insert()
INSERT_VERSION = versions.insert()
SELECT_VERSIONS = sa.select(versions).where(versions.c.mission_id == sa.bindparam("id")).order_by(versions.c.version)
SELECT_NEWEST = (
    sa.select(versions).where(versions.c.mission_id == sa.bindparam("id")).order_by(versions.c.version.desc()).limit(1)
)
THIS_VERSION = versions.c.version == sa.bindparam("number")
OF_TENANT = sa.exists().where(briefs.c.mission_id == versions.c.mission_id, briefs.c.tenant == sa.bindparam("tenant"))
COUNT_OPEN = (
    sa.select(attempts.c.status, sa.func.count().label("n"))
    .where(attempts.c.status.in_(OPEN))
    .group_by(attempts.c.status)
)
COUNT_DEAD = sa.select(sa.func.count()).where(dead_letters.c.resolved.is_(False))
INSERT_DEAD = dead_letters.insert()
SELECT_DEAD = sa.select(dead_letters).where(dead_letters.c.resolved.is_(False)).order_by(dead_letters.c.at)
RESOLVE_DEAD = (
    dead_letters.update()
    .where(dead_letters.c.mission_id == sa.bindparam("id"), dead_letters.c.track == sa.bindparam("of"))
    .values(resolved=True)
)


@dataclass(frozen=True)
class Attempt:
    """One attempt of one track. ``state`` and ``package`` are blob names."""

    mission_id: str
    track: str
    attempt: int
    round: int
    status: str
    started_at: str | None
    finished_at: str | None
    phase: str | None
    phase_index: int
    state: str | None
    package: str | None
    partial: bool
    superseded: bool
    error_type: str | None
    error_code: str | None
    error_text: str | None


@dataclass(frozen=True)
class Version:
    """One immutable version of a report; ``blob`` holds the outcome package."""

    mission_id: str
    version: int
    key: str
    blob: str
    fingerprint: str
    partial: bool
    reason: str
    created_at: str


@dataclass(frozen=True)
class DeadLetter:
    """A track (or the mission itself) that failed for good, until somebody retries it."""

    mission_id: str
    track: str
    attempt: int
    error_type: str
    error_code: str
    error_text: str
    tries: int
    last_step: str
    at: str
    resolved: bool = False


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended: plain facts, so that it can be recorded and replayed.

    ``module`` is the room whose code raised, ``frames`` the places on the way there, for the log.
    """

    error_type: str
    error_code: str
    text: str
    tries: int = 1
    status: str = "failed"
    module: str = ""
    frames: tuple[str, ...] = ()


def new_attempt(mission_id: str, track: str, attempt: int, round_: int) -> dict[str, Any]:
    """Return the values of an attempt that nobody has begun."""
    return {
        "mission_id": mission_id,
        "track": track,
        "attempt": attempt,
        "round": round_,
        "status": "pending",
        "phase_index": -1,
        "partial": False,
        "superseded": False,
    }


class Attempts:
    """What the steps of a mission read and write beside the mission row."""

    def __init__(self, database: Database, store: Missions) -> None:
        self.database = database
        self.missions = store

    def create(self, brief: Brief, created: Entry, then: Sequence[Entry], first: Sequence[dict[str, Any]]) -> str:
        """Store a new mission with its first attempts; see `Missions.create`."""
        return self.missions.create(
            brief, created, then, also=lambda connection: _run(connection, INSERT_ATTEMPT, list(first))
        )

    def begin(self, mission_id: str, step: str, reader: str | None = None) -> tuple[int, list[dict[str, Any]]]:
        """Count that a step begins; return how often it was begun and lost before, and its frozen inbox.

        With ``reader`` the other track's handoffs are read the first time and kept, so a repeat sees the same.
        """
        where = {"id": mission_id, "name": step}

        def work(connection: sa.Connection) -> tuple[int, list[dict[str, Any]]]:
            found = connection.execute(SELECT_STEP, where).first()
            if found is not None:
                connection.execute(BEGIN_STEP, where)
                return found.begun - found.released, json.loads(found.inbox or "[]")
            bodies: list[str] = []
            if reader is not None:
                bodies = list(connection.execute(SELECT_HANDOFFS, {"id": mission_id, "reader": reader}).scalars())
            inbox = [json.loads(body) for body in bodies]
            values = {"mission_id": mission_id, "step": step, "begun": 1, "released": 0, "inbox": json.dumps(inbox)}
            connection.execute(INSERT_STEP, values)
            return 0, inbox

        return self.database.write(work)

    def release(self, mission_id: str, step: str) -> None:
        """Take back one `begin`: the step was given up in order, not lost."""
        self.database.write(lambda connection: connection.execute(RELEASE_STEP, {"id": mission_id, "name": step}))

    def get(self, mission_id: str, track: str, attempt: int) -> Attempt:
        """Return one attempt; raises `NotFoundError`."""
        where = _this(mission_id, track, attempt)
        found = self.database.read(lambda connection: connection.execute(SELECT_ATTEMPT, where).first())
        if found is None:
            raise NotFoundError(f"Mission {mission_id} has no attempt {attempt} of {track}.")
        return Attempt(**found._asdict())

    def current(self, mission_id: str) -> dict[str, Attempt]:
        """Return the latest attempt of each track that was dispatched."""
        found = self.database.read(lambda connection: connection.execute(SELECT_ATTEMPTS, {"id": mission_id}).all())
        return {row.track: Attempt(**row._asdict()) for row in found}

    def every(self, mission_id: str) -> list[Attempt]:
        """Return all attempts of a mission, superseded ones too."""
        found = self.database.read(
            lambda connection: connection.execute(SELECT_EVERY_ATTEMPT, {"id": mission_id}).all()
        )
        return [Attempt(**row._asdict()) for row in found]

    def start(self, mission_id: str, track: str, attempt: int, phases: Sequence[str]) -> str:
        """Mark the attempt running and return its recorded start; the first call decides."""
        at = self._now()
        where = _this(mission_id, track, attempt)
        self.missions.append(
            mission_id,
            [Entry(f"started:{track}:{attempt}", "track.started", {"phases": list(phases)}, track, attempt)],
            only_if=lambda connection: _is_open(connection, where),
            also=lambda connection: _run(connection, UPDATE_OPEN.values(status="running", started_at=at), where),
        )
        return self.get(mission_id, track, attempt).started_at or at

    def phase_done(
        self, mission_id: str, track: str, attempt: int, phase: str, index: int, state: str, handed: Sequence[str] = ()
    ) -> bool:
        """Store the state after a phase and the handoffs it made; False when the attempt is closed or further on."""
        where = _this(mission_id, track, attempt)

        def work(connection: sa.Connection) -> bool:
            values = {"phase": phase, "phase_index": index, "state": state}
            done = connection.execute(UPDATE_PHASE.values(values), where | {"index": index})
            if done.rowcount != 1:
                return False
            known = set(connection.execute(SELECT_HANDED, where).scalars())
            for number, body in enumerate(handed):
                if number not in known:
                    new = {"mission_id": mission_id, "sender": track, "attempt": attempt}
                    connection.execute(INSERT_HANDOFF, new | {"number": number, "body": body})
            return True

        return self.database.write(work)

    def finish(self, mission_id: str, track: str, attempt: int, package: str, claims: int, partial: bool) -> bool:
        """Record the package of an attempt; False when the attempt had ended before."""
        where = _this(mission_id, track, attempt)
        values = {"status": "done", "package": package, "partial": partial, "finished_at": self._now()}
        payload = {"package": package, "claims": claims, "partial": partial}
        return self.missions.append(
            mission_id,
            [Entry(f"finished:{track}:{attempt}", "track.finished", payload, track, attempt)],
            only_if=lambda connection: _is_open(connection, where),
            also=lambda connection: _run(connection, UPDATE_OPEN.values(values), where),
        )

    def fail(self, mission_id: str, track: str, attempt: int, failure: Failure, last_step: str) -> bool:
        """Record that an attempt ended without a package; a failure also becomes a dead letter."""
        where = _this(mission_id, track, attempt)
        at = self._now()
        values = {"status": failure.status, "finished_at": at, "error_type": failure.error_type}
        values |= {"error_code": failure.error_code, "error_text": failure.text}
        payload = {
            "status": failure.status,
            "error_type": failure.error_type,
            "error_code": failure.error_code,
            "module": failure.module,
            "text": failure.text[:280],
            "attempts": failure.tries,
            "last_step": last_step,
        }

        def also(connection: sa.Connection) -> None:
            connection.execute(UPDATE_OPEN.values(values), where)
            if failure.status == "failed":
                letter = _letter(mission_id, track, attempt, failure, last_step, at)
                connection.execute(INSERT_DEAD, letter)

        return self.missions.append(
            mission_id,
            [Entry(f"failed:{track}:{attempt}", "track.failed", payload, track, attempt)],
            only_if=lambda connection: _is_open(connection, where),
            also=also,
        )

    def reopen(self, mission_id: str, tracks: Sequence[tuple[str, int]], round_: int, entries: Sequence[Entry]) -> bool:
        """Open these (track, attempt) pairs: older attempts are superseded, dead letters resolved."""

        def also(connection: sa.Connection) -> None:
            connection.execute(RESOLVE_DEAD, {"id": mission_id, "of": "mission"})
            for track, attempt in tracks:
                connection.execute(SUPERSEDE.values(superseded=True), _this(mission_id, track, attempt))
                connection.execute(RESOLVE_DEAD, {"id": mission_id, "of": track})
                connection.execute(INSERT_ATTEMPT, new_attempt(mission_id, track, attempt, round_))

        return self.missions.append(mission_id, entries, expect=("DONE", "FAILED"), also=also)

    def bury(self, mission_id: str, failure: Failure, step: str, round_: int, entries: Sequence[Entry]) -> bool:
        """Fail the mission itself with a dead letter; False when it had ended before."""
        at = self._now()
        return self.missions.append(
            mission_id,
            entries,
            expect=("PENDING", "RUNNING", "FUSION"),
            also=lambda connection: _run(
                connection, INSERT_DEAD, _letter(mission_id, "mission", round_, failure, step, at)
            ),
        )

    def add_version(
        self, version: Version, entries: Sequence[Entry], expect: Sequence[str], artifacts: Sequence[Artifact] = ()
    ) -> bool:
        """Store one version with its events and artefacts; False when stored before or the mission has ended."""
        values = {name: getattr(version, name) for name in Version.__dataclass_fields__}

        def also(connection: sa.Connection) -> None:
            connection.execute(INSERT_VERSION, values)
            add_artifacts(connection, version.mission_id, artifacts)

        return self.missions.append(version.mission_id, entries, expect=expect, also=also)

    def versions(self, mission_id: str) -> list[Version]:
        """Return every version, oldest first."""
        found = self.database.read(lambda connection: connection.execute(SELECT_VERSIONS, {"id": mission_id}).all())
        return [Version(**row._asdict()) for row in found]

    def version(self, mission_id: str, number: int | None = None, tenant: str | None = None) -> Version | None:
        """Return one version, the newest by default, None when there is none (of this tenant)."""
        statement, where = SELECT_NEWEST, dict[str, Any](id=mission_id)
        if number is not None:
            statement, where = statement.where(THIS_VERSION), where | {"number": number}
        if tenant is not None:
            statement, where = statement.where(OF_TENANT), where | {"tenant": tenant}
        found = self.database.read(lambda connection: connection.execute(statement, where).first())
        return None if found is None else Version(**found._asdict())

    def census(self) -> dict[str, int]:
        """Return how many attempts are pending and running, and under ``dead`` how many dead letters are open."""

        def work(connection: sa.Connection) -> dict[str, int]:
            found = {row.status: row.n for row in connection.execute(COUNT_OPEN)}
            return found | {"dead": connection.execute(COUNT_DEAD).scalar_one()}

        return self.database.read(work)

    def dead_letters(self) -> list[DeadLetter]:
        """Return what failed for good and was not retried since, oldest first."""
        found = self.database.read(lambda connection: connection.execute(SELECT_DEAD).all())
        return [DeadLetter(**row._asdict()) for row in found]

    def _now(self) -> str:
        return self.database.clock.now().astimezone(UTC).isoformat()


def _letter(mission_id: str, track: str, attempt: int, failure: Failure, last_step: str, at: str) -> dict[str, Any]:
    return {
        "mission_id": mission_id,
        "track": track,
        "attempt": attempt,
        "error_type": failure.error_type,
        "error_code": failure.error_code,
        "error_text": failure.text,
        "tries": failure.tries,
        "last_step": last_step,
        "at": at,
        "resolved": False,
    }


def _this(mission_id: str, track: str, attempt: int) -> dict[str, Any]:
    return {"id": mission_id, "of": track, "number": attempt}


def _run(connection: sa.Connection, statement: sa.Executable, values: dict[str, Any] | list[dict[str, Any]]) -> None:
    connection.execute(statement, values)


def _is_open(connection: sa.Connection, where: dict[str, Any]) -> bool:
    found = connection.execute(SELECT_ATTEMPT, where).first()
    return found is not None and found.status in OPEN
