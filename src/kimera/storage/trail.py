"""The trail in SQL: logs and spans of every process that shares the database.

It writes on a connection of its own that gives up after a second, so that a busy database delays telemetry and never
the work. What could not be written stays with the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kimera.storage.database import Database, engine_for, storage_errors
from kimera.storage.schema import logs, spans
from kimera.telemetry import LogRecord, SpanRecord

__all__ = ["Trail", "open_trail"]


INSERT_LOG = logs.insert()
SELECT_LOGS = (
    sa.select(logs)
    .where(logs.c.mission_id.is_not_distinct_from(sa.bindparam("id")))
    .order_by(logs.c.id.desc())
    .limit(sa.bindparam("limit"))
)
SELECT_SPANS = (
    sa.select(spans)
    .where(spans.c.mission_id == sa.bindparam("id"))
    .order_by(spans.c.started_at, spans.c.span_id)
    .limit(sa.bindparam("limit"))
)
ENDS = ("ended_at", "status", "error_type", "attributes")
_LITE, _POSTGRES = sqlite.insert(spans), postgresql.insert(spans)
UPSERT_SPAN: dict[str, sa.Executable] = {
    "sqlite": _LITE.on_conflict_do_update(
        index_elements=["span_id"], set_={name: _LITE.excluded[name] for name in ENDS}, where=spans.c.ended_at.is_(None)
    ),
    "postgresql": _POSTGRES.on_conflict_do_update(
        index_elements=["span_id"],
        set_={name: _POSTGRES.excluded[name] for name in ENDS},
        where=spans.c.ended_at.is_(None),
    ),
}
_OLD_LOGS = sa.select(logs.c.id).where(logs.c.at < sa.bindparam("before")).order_by(logs.c.at)
_OLD_SPANS = sa.select(spans.c.span_id).where(spans.c.started_at < sa.bindparam("before")).order_by(spans.c.started_at)
DELETE_LOGS = logs.delete().where(logs.c.id.in_(_OLD_LOGS.limit(sa.bindparam("batch")).scalar_subquery()))
DELETE_SPANS = spans.delete().where(spans.c.span_id.in_(_OLD_SPANS.limit(sa.bindparam("batch")).scalar_subquery()))
PATIENCE: dict[str, tuple[str, ...]] = {
    "sqlite": ("PRAGMA busy_timeout=1000",),
    "postgresql": ("SET lock_timeout = 1000", "SET statement_timeout = 5000"),
}


class Trail:
    """Logs and spans in the database of a home; keeps the contract of `TelemetryStore`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._dialect = database.engine.dialect.name
        self._engine = engine_for(database.engine.url.render_as_string(hide_password=False), pool=1)
        wishes = PATIENCE[self._dialect]

        @sa.event.listens_for(self._engine, "connect")
        def give_up_soon(connection: Any, _: Any) -> None:
            cursor = connection.cursor()
            for wish in wishes:
                cursor.execute(wish)
            cursor.close()
            connection.commit()

    @storage_errors()
    def write(self, logs: Sequence[LogRecord], spans: Sequence[SpanRecord]) -> None:
        """Keep these in one transaction; raises `StorageError` when the database does not take them within a second."""
        lines, parts = [_log_values(one) for one in logs], [_span_values(one) for one in spans]
        with self._engine.begin() as connection:
            # only now: on SQLite the work waits for whoever holds the lock
            if self._dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            if lines:
                connection.execute(INSERT_LOG, lines)
            if parts:
                connection.execute(UPSERT_SPAN[self._dialect], parts)

    def logs(self, mission_id: str | None, limit: int = 10_000) -> list[LogRecord]:
        """Return the newest ``limit`` lines of a mission, or of none, oldest first."""
        where = {"id": mission_id, "limit": limit}
        found = self.database.read(lambda connection: connection.execute(SELECT_LOGS, where).all())
        return [
            LogRecord(row.at, row.level, row.event, row.request_id, row.mission_id, json.loads(row.body))
            for row in reversed(found)
        ]

    def spans(self, mission_id: str, limit: int = 10_000) -> list[SpanRecord]:
        """Return the first ``limit`` spans of a mission by start."""
        where = {"id": mission_id, "limit": limit}
        found = self.database.read(lambda connection: connection.execute(SELECT_SPANS, where).all())
        return [SpanRecord(**(row._asdict() | {"attributes": json.loads(row.attributes)})) for row in found]

    @storage_errors()
    def prune(self, before: float, batch: int = 500) -> int:
        """Delete at most ``batch`` lines and ``batch`` spans older than ``before``; return how many went."""
        where = {"before": before, "batch": batch}
        with self._engine.begin() as connection:
            if self._dialect == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            gone = connection.execute(DELETE_LOGS, where).rowcount
            return gone + connection.execute(DELETE_SPANS, where).rowcount

    def close(self) -> None:
        """Close the trail's own connection; the database stays open."""
        self._engine.dispose()


def open_trail(database: Database) -> Trail:
    """Return the trail of a database; give it to `telemetry.configure`."""
    return Trail(database)


def _log_values(record: LogRecord) -> dict[str, Any]:
    return {
        "at": record.at,
        "level": record.level,
        "event": _fit(record.event, 160),
        "mission_id": _fit(record.mission_id, 64),
        "request_id": _fit(record.request_id, 64),
        "body": json.dumps(record.body, default=str),
    }


def _span_values(record: SpanRecord) -> dict[str, Any]:
    return {
        "span_id": record.span_id,
        "trace_id": record.trace_id,
        "parent_id": record.parent_id,
        "mission_id": _fit(record.mission_id, 64),
        "request_id": _fit(record.request_id, 64),
        "session_id": _fit(record.session_id, 128),
        "track": _fit(record.track, 32),
        "attempt": record.attempt,
        "name": _fit(record.name, 160),
        "process": _fit(record.process, 160),
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "status": record.status,
        "error_type": _fit(record.error_type, 128),
        "attributes": json.dumps(record.attributes, default=str),
    }


def _fit(text: str | None, length: int) -> str | None:
    """Return a text that every database takes: one bad record must not hold up the others of its batch."""
    return None if text is None else text.replace("\0", "").encode("utf-8", "replace").decode()[:length]
