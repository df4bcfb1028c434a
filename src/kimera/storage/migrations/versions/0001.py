"""Missions, events, tracks, versions, mailboxes, dead letters, workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    _missions()
    _tracks()
    _results()
    _workers()


def _missions() -> None:
    op.create_table(
        "briefs",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("request_key", sa.String(length=128), nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("playbook", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("mission_id", name=op.f("pk_briefs")),
        sa.UniqueConstraint("request_key", name=op.f("uq_briefs_request_key")),
    )
    op.create_table(
        "missions",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=128), nullable=False),
        sa.Column("knowledge_space", sa.String(length=128), nullable=False),
        sa.Column("brief", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("deep_research", sa.String(length=16), nullable=False),
        sa.Column("ds_star", sa.String(length=16), nullable=False),
        sa.Column("deep_research_attempt", sa.Integer(), nullable=False),
        sa.Column("ds_star_attempt", sa.Integer(), nullable=False),
        sa.Column("fusion", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("library", sa.String(length=64), nullable=True),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("degraded", sa.Text(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("error_type", sa.String(length=128), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.String(length=40), nullable=True),
        sa.Column("first_report_at", sa.String(length=40), nullable=True),
        sa.Column("finished_at", sa.String(length=40), nullable=True),
        sa.Column("updated_at", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["briefs.mission_id"], name=op.f("fk_missions_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", name=op.f("pk_missions")),
    )
    op.create_index("ix_missions_state", "missions", ["state", "mission_id"], unique=False)


def _tracks() -> None:
    op.create_table(
        "mission_events",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=160), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("track", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.mission_id"], name=op.f("fk_mission_events_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", "seq", name=op.f("pk_mission_events")),
        sa.UniqueConstraint("mission_id", "key", name="uq_mission_events_key"),
    )
    op.create_table(
        "track_attempts",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("track", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.String(length=40), nullable=True),
        sa.Column("finished_at", sa.String(length=40), nullable=True),
        sa.Column("phase", sa.String(length=64), nullable=True),
        sa.Column("phase_index", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=True),
        sa.Column("package", sa.String(length=64), nullable=True),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("superseded", sa.Boolean(), nullable=False),
        sa.Column("error_type", sa.String(length=128), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_text", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.mission_id"], name=op.f("fk_track_attempts_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", "track", "attempt", name=op.f("pk_track_attempts")),
    )


def _results() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("track", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("error_type", sa.String(length=128), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=False),
        sa.Column("error_text", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_step", sa.String(length=64), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("resolved", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.mission_id"], name=op.f("fk_dead_letters_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", "track", "attempt", name=op.f("pk_dead_letters")),
    )
    op.create_table(
        "handoffs",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("sender", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.mission_id"], name=op.f("fk_handoffs_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", "sender", "attempt", "number", name=op.f("pk_handoffs")),
    )
    op.create_table(
        "mission_versions",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.mission_id"], name=op.f("fk_mission_versions_mission_id")),
        sa.PrimaryKeyConstraint("mission_id", "version", name=op.f("pk_mission_versions")),
        sa.UniqueConstraint("mission_id", "key", name="uq_mission_versions_key"),
    )


def _workers() -> None:
    op.create_table(
        "mission_steps",
        sa.Column("mission_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=128), nullable=False),
        sa.Column("begun", sa.Integer(), nullable=False),
        sa.Column("released", sa.Integer(), nullable=False),
        sa.Column("inbox", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("mission_id", "step", name=op.f("pk_mission_steps")),
    )
    op.create_table(
        "workers",
        sa.Column("slot", sa.String(length=64), nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("beat_at", sa.Float(), nullable=False),
        sa.Column("reaped", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_workers")),
    )
