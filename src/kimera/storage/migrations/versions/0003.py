"""The trail (logs, spans, outcomes, roll-ups, alerts, audit) and the gateway (keys, remembered answers, tenants)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kimera.storage.schema.telemetry import APPEND_ONLY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and let a request key belong to its tenant."""
    _gateway()
    _outcomes()
    _leases()
    _trail()
    _tenants()
    _envelopes()


def _gateway() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.Column("last_used_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("route", sa.String(length=160), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_idempotent_requests")),
    )
    op.create_index("ix_idempotent_requests_created", "idempotent_requests", ["created_at"], unique=False)
    op.create_table(
        "stream_tickets",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_stream_tickets")),
    )
    op.create_index("ix_stream_tickets_expires", "stream_tickets", ["expires_at"], unique=False)


def _outcomes() -> None:
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=160), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=160), nullable=False),
        sa.Column("args_hash", sa.String(length=80), nullable=False),
        sa.Column("decision", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("policy", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "mission_outcomes",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("accepted_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=False),
        sa.Column("first_report_seconds", sa.Float(), nullable=True),
        sa.Column("orchestration_seconds", sa.Float(), nullable=True),
        sa.Column("queue_seconds", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("mission_id", "round", name=op.f("pk_mission_outcomes")),
    )
    op.create_index("ix_mission_outcomes_ended", "mission_outcomes", ["ended_at"], unique=False)
    op.create_table(
        "telemetry_alerts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("received_at", sa.Float(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("starts_at", sa.Float(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_telemetry_alerts")),
    )
    op.create_index("ix_telemetry_alerts_received", "telemetry_alerts", ["received_at"], unique=False)
    op.create_index("ux_telemetry_alerts_news", "telemetry_alerts", ["fingerprint", "status", "starts_at"], unique=True)
    op.create_table(
        "telemetry_rollups",
        sa.Column("tier", sa.String(length=8), nullable=False),
        sa.Column("bucket_start", sa.BigInteger(), nullable=False),
        sa.Column("process", sa.String(length=160), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tier", "bucket_start", "process", name=op.f("pk_telemetry_rollups")),
    )
    op.create_index("ix_telemetry_rollups_start", "telemetry_rollups", ["tier", "bucket_start"], unique=False)


def _leases() -> None:
    op.create_table(
        "telemetry_leases",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=160), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_telemetry_leases")),
    )


def _trail() -> None:
    op.create_table(
        "telemetry_logs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("event", sa.String(length=160), nullable=False),
        sa.Column("mission_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_telemetry_logs")),
    )
    op.create_index("ix_telemetry_logs_at", "telemetry_logs", ["at"], unique=False)
    op.create_index("ix_telemetry_logs_mission", "telemetry_logs", ["mission_id", "id"], unique=False)
    op.create_table(
        "telemetry_spans",
        sa.Column("span_id", sa.String(length=16), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("parent_id", sa.String(length=16), nullable=True),
        sa.Column("mission_id", sa.String(length=64), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("session_id", sa.String(length=128), nullable=True),
        sa.Column("track", sa.String(length=32), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("process", sa.String(length=160), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("error_type", sa.String(length=128), nullable=True),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("span_id", name=op.f("pk_telemetry_spans")),
    )
    op.create_index("ix_telemetry_spans_mission", "telemetry_spans", ["mission_id", "started_at"], unique=False)
    op.create_index("ix_telemetry_spans_started", "telemetry_spans", ["started_at"], unique=False)
    op.create_index("ix_telemetry_spans_trace", "telemetry_spans", ["trace_id"], unique=False)


def _tenants() -> None:
    op.add_column("briefs", sa.Column("tenant", sa.String(length=64), server_default="local", nullable=False))
    op.create_index("ix_briefs_tenant", "briefs", ["tenant", "mission_id"], unique=False)
    # a request key belongs to its tenant: SQLite rebuilds the table for that, the door has foreign keys off meanwhile
    with op.batch_alter_table("briefs") as briefs:
        briefs.drop_constraint("uq_briefs_request_key", type_="unique")
        briefs.create_unique_constraint("uq_briefs_tenant_request_key", ["tenant", "request_key"])
    op.create_table(
        "mission_artifacts",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["mission_id"], ["missions.mission_id"], name=op.f("fk_mission_artifacts_mission_id_missions")
        ),
        sa.PrimaryKeyConstraint("sha256", "mission_id", name=op.f("pk_mission_artifacts")),
    )


def _envelopes() -> None:
    op.add_column("briefs", sa.Column("request_id", sa.String(length=64), nullable=True))
    op.add_column("briefs", sa.Column("traceparent", sa.String(length=64), nullable=True))
    op.add_column("mission_events", sa.Column("request_id", sa.String(length=64), nullable=True))
