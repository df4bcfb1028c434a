"""The trail: logs, spans, how missions ended, roll-ups of metrics, alerts received, and the audit chain.

Instants are seconds since 1970 as float here: they are compared and subtracted far more often than they are read.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Integer, LargeBinary, String, Table, Text, event

from kimera.storage.schema._metadata import metadata

__all__ = ["APPEND_ONLY", "alerts", "audit_log", "leases", "logs", "mission_outcomes", "rollups", "spans"]

IDENTITY = BigInteger().with_variant(Integer, "sqlite")

logs = Table(
    "telemetry_logs",
    metadata,
    Column("id", IDENTITY, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("level", String(8), nullable=False),
    Column("event", String(160), nullable=False),
    Column("mission_id", String(64)),
    Column("request_id", String(64), nullable=False),
    Column("body", Text, nullable=False),  # the whole line, redacted, as JSON
)
Index("ix_telemetry_logs_mission", logs.c.mission_id, logs.c.id)
Index("ix_telemetry_logs_at", logs.c.at)

spans = Table(
    "telemetry_spans",
    metadata,
    Column("span_id", String(16), primary_key=True),
    Column("trace_id", String(32), nullable=False),
    Column("parent_id", String(16)),
    Column("mission_id", String(64)),
    Column("request_id", String(64)),
    Column("session_id", String(128)),
    Column("track", String(32)),
    Column("attempt", Integer),
    Column("name", String(160), nullable=False),
    Column("process", String(160), nullable=False),  # worker slot and process, so that a killed one can be named
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),  # null: open, or interrupted when its process is gone
    Column("status", String(8), nullable=False),  # unset | ok | error
    Column("error_type", String(128)),
    Column("attributes", Text, nullable=False),
)
Index("ix_telemetry_spans_mission", spans.c.mission_id, spans.c.started_at)
Index("ix_telemetry_spans_trace", spans.c.trace_id)
Index("ix_telemetry_spans_started", spans.c.started_at)

mission_outcomes = Table(
    "mission_outcomes",
    metadata,
    Column("mission_id", String(64), primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("outcome", String(16), nullable=False),  # done | degraded | partial | failed | cancelled
    Column("cause", String(32), nullable=False),  # none | provider_outage | budget | input | timeout | internal
    Column("accepted_at", Float, nullable=False),
    Column("ended_at", Float, nullable=False),
    Column("first_report_seconds", Float),
    Column("orchestration_seconds", Float),  # control plane only: queue wait and worker time left out
    Column("queue_seconds", Float),
)
Index("ix_mission_outcomes_ended", mission_outcomes.c.ended_at)

rollups = Table(
    "telemetry_rollups",
    metadata,
    Column("tier", String(8), primary_key=True),  # raw | 5m | 1h | 1d
    Column("bucket_start", BigInteger, primary_key=True),  # seconds since 1970
    Column("process", String(160), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
Index("ix_telemetry_rollups_start", rollups.c.tier, rollups.c.bucket_start)

leases = Table(
    "telemetry_leases",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("holder", String(160), nullable=False),
    Column("until", Float, nullable=False),  # seconds since 1970 on the database's clock
)

alerts = Table(
    "telemetry_alerts",
    metadata,
    Column("id", IDENTITY, primary_key=True, autoincrement=True),
    Column("received_at", Float, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("name", String(128), nullable=False),
    Column("status", String(16), nullable=False),
    Column("starts_at", Float, nullable=False),  # with fingerprint and status: which news this is, however often told
    Column("body", Text, nullable=False),
)
Index("ix_telemetry_alerts_received", alerts.c.received_at)
Index("ux_telemetry_alerts_news", alerts.c.fingerprint, alerts.c.status, alerts.c.starts_at, unique=True)

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("actor", String(160), nullable=False),
    Column("role", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("tool", String(160), nullable=False),
    Column("args_hash", String(80), nullable=False),
    Column("decision", String(32), nullable=False),
    Column("rule", String(64), nullable=False),
    Column("policy", String(64), nullable=False),
    Column("subject", String(160), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        # INSERT OR REPLACE deletes without a DELETE, so an insert must be the next number
        "CREATE TRIGGER audit_log_in_order BEFORE INSERT ON audit_log "
        "WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM audit_log) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'the audit log is append-only'; END$$",
        "CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()",
    ),
}
"""What keeps the application's own role from rewriting the chain; its owner could drop the triggers, hence anchors."""


@event.listens_for(audit_log, "after_create")
def _guard(_: Table, connection: Connection, **__: Any) -> None:
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
