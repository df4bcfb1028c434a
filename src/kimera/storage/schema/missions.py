"""Missions: what was asked, what happened, what came out, who works and what was spent."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from kimera.storage.schema._metadata import metadata

__all__ = [
    "artifacts",
    "attempts",
    "briefs",
    "dead_letters",
    "events",
    "handoffs",
    "missions",
    "spend_scopes",
    "spend_tickets",
    "steps",
    "versions",
    "workers",
]

briefs = Table(
    "briefs",
    metadata,
    Column("mission_id", String(64), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("request_key", String(128)),  # the caller's own key: a tenant submitting it again is a no-op
    Column("question", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("playbook", String(64), nullable=False),
    Column("tenant", String(64), nullable=False, server_default="local"),
    Column("request_id", String(64)),  # of the request that asked; with the trace it began, the work item's envelope
    Column("traceparent", String(64)),
    UniqueConstraint("tenant", "request_key", name="uq_briefs_tenant_request_key"),
)
Index("ix_briefs_tenant", briefs.c.tenant, briefs.c.mission_id)

missions = Table(
    "missions",
    metadata,
    Column("mission_id", String(64), ForeignKey("briefs.mission_id"), primary_key=True),
    Column("session_id", String(128), nullable=False),
    Column("knowledge_space", String(128), nullable=False),
    Column("brief", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("round", Integer, nullable=False),  # 0, then one more per retry
    Column("deep_research", String(16), nullable=False),
    Column("ds_star", String(16), nullable=False),
    Column("deep_research_attempt", Integer, nullable=False),
    Column("ds_star_attempt", Integer, nullable=False),
    Column("fusion", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    Column("partial", Boolean, nullable=False),
    Column("library", String(64)),
    Column("cost_nano", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("degraded", Text, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("error_type", String(128)),
    Column("error_code", String(64)),
    Column("error_text", Text),
    Column("created_at", String(40), nullable=False),
    Column("started_at", String(40)),
    Column("first_report_at", String(40)),
    Column("finished_at", String(40)),
    Column("updated_at", String(40), nullable=False),
    Column("seq", Integer, nullable=False),  # number of events
)
Index("ix_missions_state", missions.c.state, missions.c.mission_id)

events = Table(
    "mission_events",
    metadata,
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("key", String(160), nullable=False),  # derived: writing an event twice is a no-op
    Column("at", String(40), nullable=False),
    Column("type", String(40), nullable=False),
    Column("track", String(16)),
    Column("attempt", Integer),
    Column("payload", Text, nullable=False),
    Column("request_id", String(64)),
    UniqueConstraint("mission_id", "key", name="uq_mission_events_key"),
)

attempts = Table(
    "track_attempts",
    metadata,
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("track", String(16), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_at", String(40)),
    Column("finished_at", String(40)),
    Column("phase", String(64)),  # last phase whose state is stored
    Column("phase_index", Integer, nullable=False),
    Column("state", String(64)),  # blob of that state
    Column("package", String(64)),
    Column("partial", Boolean, nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("error_type", String(128)),
    Column("error_code", String(64)),
    Column("error_text", Text),
)

steps = Table(
    "mission_steps",
    metadata,
    Column("mission_id", String(64), primary_key=True),
    Column("step", String(128), primary_key=True),
    Column("begun", Integer, nullable=False),
    Column(
        "released", Integer, nullable=False
    ),  # begun and given back on an orderly stop; begun - released are at risk
    Column("inbox", Text),  # what the step found in its mailbox the first time, so that a repeat sees the same
)

versions = Table(
    "mission_versions",
    metadata,
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("blob", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("partial", Boolean, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("created_at", String(40), nullable=False),
    UniqueConstraint("mission_id", "key", name="uq_mission_versions_key"),
)

artifacts = Table(
    "mission_artifacts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("kind", String(16), nullable=False),  # report | library | text | table | chart
    Column("media_type", String(64), nullable=False),
    Column("name", String(255), nullable=False),
)

handoffs = Table(
    "handoffs",
    metadata,
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("sender", String(16), primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("mission_id", String(64), ForeignKey("missions.mission_id"), primary_key=True),
    Column("track", String(16), primary_key=True),  # a track, or "mission" for a step of the mission itself
    Column("attempt", Integer, primary_key=True),
    Column("error_type", String(128), nullable=False),
    Column("error_code", String(64), nullable=False),
    Column("error_text", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("last_step", String(64), nullable=False),
    Column("at", String(40), nullable=False),
    Column("resolved", Boolean, nullable=False, server_default=text("false")),
)

workers = Table(
    "workers",
    metadata,
    Column("slot", String(64), primary_key=True),
    Column("incarnation", String(64), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", String(255), nullable=False),
    Column("beat_at", Float, nullable=False),  # seconds since 1970 on the database's clock
    Column("reaped", Boolean, nullable=False),
)

spend_scopes = Table(
    "spend_scopes",
    metadata,
    Column("scope", String(80), primary_key=True),  # mission:<id> or day:<YYYY-MM-DD>
    Column("cap_nano", BigInteger, nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("settled_nano", BigInteger, nullable=False),
    Column("overdrawn_nano", BigInteger, nullable=False),  # paid, but more than the cap had room for
)

spend_tickets = Table(
    "spend_tickets",
    metadata,
    Column("ticket", String(64), primary_key=True),
    Column("mission_id", String(64), nullable=False),
    Column("track", String(32), nullable=False),
    Column("day", String(10), nullable=False),
    Column("reserved_nano", BigInteger, nullable=False),
    Column("settled_nano", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("lease_until", Float, nullable=False),  # seconds since 1970
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
)
Index("ix_spend_tickets_open", spend_tickets.c.state, spend_tickets.c.lease_until)
