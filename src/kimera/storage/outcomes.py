"""How each round of a mission ended, written in the transaction of its final state and derived from its events."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kimera.storage.database import Database
from kimera.storage.fold import MissionRow
from kimera.storage.schema import mission_outcomes
from kimera.telemetry.recording.events import MissionEvent
from kimera.telemetry.retention.outcomes import Cause, Ending, Outcome

__all__ = ["Outcomes", "cause_of", "outcome_of", "record"]

TIMED = ("mission.created", "mission.state")
"""Events that say how long the control plane took for them."""

TELLING = (*TIMED, "track.failed", "report.version")
"""Events that an outcome is made of."""

INSERT = mission_outcomes.insert()
SELECT_BETWEEN = (
    sa.select(mission_outcomes)
    .where(mission_outcomes.c.ended_at >= sa.bindparam("start"), mission_outcomes.c.ended_at < sa.bindparam("end"))
    .order_by(mission_outcomes.c.ended_at, mission_outcomes.c.mission_id, mission_outcomes.c.round)
)
SELECT_OF = (
    sa.select(mission_outcomes)
    .where(mission_outcomes.c.mission_id == sa.bindparam("id"))
    .order_by(mission_outcomes.c.round)
)

STATUS = re.compile(r"_([1-5][0-9][0-9])$")
AWAY = re.compile(r"BREAKER_(?:OPEN|ISOLATED)|CONNECT(?:ION)?(?:(?:REFUSED|RESET|ABORTED)?ERROR|TIMEOUT)")
CAUSES: tuple[tuple[re.Pattern[str], Cause], ...] = (
    (AWAY, "provider_outage"),
    (re.compile(r"BUDGET(?:_\w+)?"), "budget"),
    (re.compile(r"VALIDATION_\w+|NOT_FOUND"), "input"),
    (re.compile(r"(?:\w+)?TIMEOUT(?:ERROR)?|DEADLINE"), "timeout"),
)


class Outcomes:
    """The outcomes in one database; the store of the service levels."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def between(self, start: float, end: float) -> Sequence[Outcome]:
        """Return what ended from ``start`` up to before ``end``, by end."""
        return self._read(SELECT_BETWEEN, start=start, end=end)

    def of(self, mission_id: str) -> Sequence[Outcome]:
        """Return the ended rounds of a mission in order."""
        return self._read(SELECT_OF, id=mission_id)

    def _read(self, statement: sa.Select[Any], **parameters: Any) -> list[Outcome]:
        found = self.database.read(lambda connection: connection.execute(statement, parameters).all())
        return [Outcome(**row._asdict()) for row in found]


def record(connection: sa.Connection, row: MissionRow, events: Sequence[MissionEvent]) -> None:
    """Write the outcome of a mission that has just ended, in the transaction that ends it."""
    connection.execute(INSERT, asdict(outcome_of(row, events)))


def outcome_of(row: MissionRow, events: Sequence[MissionEvent]) -> Outcome:
    """Return how the current round of an ended mission went, from all events of the mission."""
    mine = _round(events, row.round)
    accepted, ended = mine[0].at.timestamp(), datetime.fromisoformat(row.finished_at or row.updated_at).timestamp()
    started = _first(mine, lambda event: event.type == "mission.state" and event.payload["new"] == "RUNNING")
    report = _first(mine, lambda event: event.type == "report.version")
    return Outcome(
        mission_id=row.mission_id,
        round=row.round,
        outcome=_ending(row),
        cause=_cause(row, mine),
        accepted_at=accepted,
        ended_at=ended,
        first_report_seconds=None if report is None else max(0.0, report - accepted),
        orchestration_seconds=_control_seconds(mine),
        queue_seconds=None if started is None else max(0.0, started - accepted),
    )


def cause_of(error_code: str) -> Cause:
    """Return what an error code means for whoever asks why missions fail."""
    if error_code.startswith("SERVICE_"):
        # without a status there was no connection; below 500 the provider answered and did not like what we asked
        status = STATUS.search(error_code)
        return "provider_outage" if status is None or int(status[1]) >= 500 else "internal"
    return next((cause for pattern, cause in CAUSES if pattern.fullmatch(error_code)), "internal")


def _ending(row: MissionRow) -> Ending:
    if row.state == "DONE":
        return "partial" if row.partial else "degraded" if row.degraded else "done"
    return "cancelled" if row.state == "CANCELLED" else "failed"


def _cause(row: MissionRow, events: Sequence[MissionEvent]) -> Cause:
    if row.state == "CANCELLED":
        return "none"
    failed = [
        str(e.payload["error_code"]) for e in events if e.type == "track.failed" and e.payload["status"] == "failed"
    ]
    first = next(iter(failed), row.error_code)
    if first:
        return cause_of(first)
    if row.state == "FAILED":
        return "internal"
    return "timeout" if row.partial and any(cause == "deadline" for cause, _ in row.degraded) else "none"


def _round(events: Sequence[MissionEvent], number: int) -> Sequence[MissionEvent]:
    """Return the events since the round was opened: by a retry, or by the mission's creation."""
    for place in range(len(events) - 1, 0, -1):
        event = events[place]
        if event.type == "mission.state" and event.payload["new"] == "PENDING" and event.payload["round"] == number:
            return events[place:]
    return events


def _first(events: Sequence[MissionEvent], wanted: Callable[[MissionEvent], bool]) -> float | None:
    return next((event.at.timestamp() for event in events if wanted(event)), None)


def _control_seconds(events: Sequence[MissionEvent]) -> float | None:
    """Return the sum of what each control step took; None when one of them was recorded without it."""
    taken = [event.payload.get("seconds") for event in events if event.type in TIMED]
    known = [float(seconds) for seconds in taken if seconds is not None]
    return sum(known) if len(known) == len(taken) else None
