"""The warehouse's rows out of our tables, one UTC day of one table at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from kimera.storage.database import Database
from kimera.storage.fold import from_nano
from kimera.storage.levels import past_metrics, service_levels
from kimera.storage.schema import attempts, briefs, events, mission_outcomes, spans, spend_scopes, spend_tickets
from kimera.telemetry.recording.events import PROSE

__all__ = ["Warehouse"]

DAY = timedelta(days=1)
FIVE_MINUTES = 300

START: sa.BindParameter[Any] = sa.bindparam("start")
END: sa.BindParameter[Any] = sa.bindparam("end")
ENDED = (mission_outcomes.c.ended_at >= START, mission_outcomes.c.ended_at < END)
FIRST_EVENT = sa.select(sa.func.min(events.c.at))
SELECT_OUTCOMES = (
    sa.select(mission_outcomes, briefs.c.tenant, spend_scopes.c.cap_nano)
    .join(briefs, briefs.c.mission_id == mission_outcomes.c.mission_id)
    .outerjoin(spend_scopes, spend_scopes.c.scope == sa.literal("mission:") + mission_outcomes.c.mission_id)
    .where(*ENDED)
)
SELECT_THEIR_EVENTS = (
    sa.select(events.c.mission_id, events.c.at, events.c.type, events.c.payload)
    .where(
        events.c.mission_id.in_(sa.select(mission_outcomes.c.mission_id).where(*ENDED)),
        events.c.type.in_(("budget.settle", "budget.action", "report.version", "degraded")),
    )
    .order_by(events.c.mission_id, events.c.seq)
)
# both ends of a day as text: instants are ISO 8601, so they sort as they are written
SELECT_EVENTS = sa.select(events).where(events.c.at >= START, events.c.at < END)
SELECT_ATTEMPTS = sa.select(attempts).where(attempts.c.finished_at >= START, attempts.c.finished_at < END)
SELECT_RETRIES = (
    sa.select(events.c.mission_id, events.c.track, events.c.attempt, sa.func.count().label("retries"))
    .where(
        events.c.type == "track.retry",
        events.c.mission_id.in_(
            sa.select(attempts.c.mission_id).where(attempts.c.finished_at >= START, attempts.c.finished_at < END)
        ),
    )
    .group_by(events.c.mission_id, events.c.track, events.c.attempt)
)
SELECT_TICKETS = sa.select(spend_tickets).where(
    spend_tickets.c.day == sa.bindparam("day"), spend_tickets.c.state == "settled"
)
SELECT_SPANS = sa.select(spans).where(spans.c.ended_at >= START, spans.c.ended_at < END)
PHASES = {
    "agent.step": None,
    "fusion.run": ("fusion", "fuse"),
    "fusion.align": ("fusion", "align"),
    "fusion.assemble": ("fusion", "assemble"),
    "guardian.check": ("fusion", "guard"),
    "mission.accept": ("orchestrator", "accept"),
    "dispatch.enqueue": ("orchestrator", "dispatch"),
    "mission.transition": ("orchestrator", "transition"),
    "mission.close": ("orchestrator", "transition"),
}
SELECT_PHASES = SELECT_SPANS.where(spans.c.name.in_(PHASES), spans.c.mission_id.is_not(None))
SELECT_QUESTIONS = (
    sa.select(briefs.c.mission_id, briefs.c.question, events.c.at)
    .join(events, sa.and_(events.c.mission_id == briefs.c.mission_id, events.c.type == "mission.created"))
    .where(events.c.at >= START, events.c.at < END)
)

Row = dict[str, Any]


class Warehouse:
    """The feed of `telemetry.export` over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.past = past_metrics(database)
        self.levels = service_levels(database)
        self._readers: dict[str, Callable[[date], Iterable[Row]]] = {
            "missions": self._missions,
            "mission_phases": self._phases,
            "track_attempts": self._attempts,
            "llm_calls": self._calls,
            "events": self._events,
            "spans": self._spans,
            "requests_5m": self._requests,
            "slo_daily": self._levels,
            "texts": self._texts,
        }

    def first_day(self) -> date | None:
        """Return the day of the first event, None in an empty database."""
        first = self.database.read(lambda connection: connection.execute(FIRST_EVENT).scalar_one())
        return None if first is None else datetime.fromisoformat(first).date()

    def rows(self, table: str, day: date) -> Iterable[Row]:
        """Return the rows of a table that belong to a UTC day."""
        return self._readers[table](day)

    def _missions(self, day: date) -> Iterator[Row]:
        told: dict[str, list[Row]] = defaultdict(list)
        for event in self._read(SELECT_THEIR_EVENTS, _instants(day)):
            told[event["mission_id"]].append(
                event | {"at": _seconds(event["at"]), "payload": json.loads(event["payload"])}
            )
        for row in self._read(SELECT_OUTCOMES, _instants(day)):
            mine = [one for one in told[row["mission_id"]] if row["accepted_at"] <= one["at"] <= row["ended_at"]]
            cap = row.pop("cap_nano")
            yield (
                row
                | _sums(mine)
                | {
                    "duration_seconds": row["ended_at"] - row["accepted_at"],
                    "cap_usd": None if cap is None else from_nano(cap),
                }
            )

    def _phases(self, day: date) -> Iterator[Row]:
        for row in self._read(SELECT_PHASES, _instants(day)):
            place = PHASES[row["name"]] or (row["track"] or "orchestrator", _phase(row))
            yield _timed(row) | {"track": place[0], "phase": place[1]}

    def _attempts(self, day: date) -> Iterator[Row]:
        limits = _texts_of(day)
        found = self._read(SELECT_RETRIES, limits)
        retries = {(row["mission_id"], row["track"], row["attempt"]): row["retries"] for row in found}
        for row in self._read(SELECT_ATTEMPTS, limits):
            started, finished = _optional(row["started_at"]), _seconds(row["finished_at"])
            yield row | {
                "started_at": started,
                "finished_at": finished,
                "seconds": None if started is None else finished - started,
                "retries": retries.get((row["mission_id"], row["track"], row["attempt"]), 0),
            }

    def _calls(self, day: date) -> Iterator[Row]:
        for row in self._read(SELECT_TICKETS, {"day": str(day)}):
            yield row | {"usd": from_nano(row["settled_nano"])}

    def _events(self, day: date) -> Iterator[Row]:
        for row in self._read(SELECT_EVENTS, _texts_of(day)):
            payload = {name: value for name, value in json.loads(row["payload"]).items() if name not in PROSE}
            yield row | {"at": _seconds(row["at"]), "payload": _json(payload)}

    def _spans(self, day: date) -> Iterator[Row]:
        for row in self._read(SELECT_SPANS, _instants(day)):
            yield _timed(row)

    def _requests(self, day: date) -> Iterator[Row]:
        limits, by = _instants(day), ("route", "status_class")
        trend = self.past.series("kimera_http_requests_total", by, limits["start"], limits["end"], FIVE_MINUTES)
        if trend.step != FIVE_MINUTES:
            return  # so long ago that only coarser rows are kept
        for line in trend.series:
            for point in line.points:
                if point.value:
                    yield {"bucket_start": point.at, **line.labels, "requests": round(point.value)}

    def _levels(self, day: date) -> Iterator[Row]:
        limits = _instants(day)
        for level in self.levels.between(limits["start"], limits["end"]):
            low, high = level.interval or (None, None)
            yield {
                "slo": level.name, "status": level.status, "value": level.value, "target": level.target,
                "good": level.good, "valid": level.valid, "excluded": _json(level.excluded), "low": low, "high": high,
            }  # fmt: skip

    def _texts(self, day: date) -> Iterator[Row]:
        limits = _texts_of(day)
        for row in self._read(SELECT_QUESTIONS, limits):
            yield _text(row["mission_id"], "question", "", row["at"], row["question"])
        for row in self._read(SELECT_EVENTS, limits):
            for name, value in json.loads(row["payload"]).items():
                if name in PROSE and value:
                    yield _text(row["mission_id"], "event", f"{row['seq']:06}:{name}", row["at"], value)
        for row in self._read(SELECT_ATTEMPTS, limits):
            if row["error_text"]:
                place = f"{row['track']}:{row['attempt']}"
                yield _text(row["mission_id"], "error", place, row["finished_at"], row["error_text"])

    def _read(self, statement: sa.Select[Any], parameters: dict[str, Any]) -> list[Row]:
        return self.database.read(
            lambda connection: [row._asdict() for row in connection.execute(statement, parameters)]
        )


def _sums(told: Sequence[Row]) -> Row:
    """Return what the events of a round add up to."""
    settled = [one["payload"] for one in told if one["type"] == "budget.settle"]
    actions = [one["payload"]["action"] for one in told if one["type"] == "budget.action"]
    return {
        "versions": sum(one["type"] == "report.version" for one in told),
        "degraded_causes": _json(sorted({one["payload"]["cause"] for one in told if one["type"] == "degraded"})),
        "usd": sum((Decimal(one["usd"]) for one in settled), Decimal(0)),
        "input_tokens": sum(int(one["input_tokens"]) for one in settled),
        "output_tokens": sum(int(one["output_tokens"]) for one in settled),
        "calls": len(settled),
        "downgrades": actions.count("downgrade"),
        "stops": actions.count("stop"),
    }


def _timed(row: Row) -> Row:
    return row | {"seconds": row["ended_at"] - row["started_at"]}


def _phase(row: Row) -> str:
    return str(json.loads(row["attributes"]).get("phase", "unknown"))


def _text(mission_id: str, kind: str, place: str, at: str, text: str) -> Row:
    return {"mission_id": mission_id, "kind": kind, "place": place, "at": _seconds(at), "text": text}


def _instants(day: date) -> dict[str, Any]:
    """Return both ends of a day in seconds since 1970."""
    start = datetime.combine(day, datetime.min.time(), UTC)
    return {"start": start.timestamp(), "end": (start + DAY).timestamp()}


def _texts_of(day: date) -> dict[str, Any]:
    """Return both ends of a day as instants written as text begin."""
    return {"start": str(day), "end": str(day + DAY)}


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _optional(at: str | None) -> float | None:
    return None if at is None else _seconds(at)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
