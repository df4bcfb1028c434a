"""The gateway: keys and answers remembered for repeated requests. Instants are seconds since 1970."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, String, Table, Text

from kimera.storage.schema._metadata import metadata

__all__ = ["api_keys", "idempotent_requests", "stream_tickets"]

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),  # public part, written before the dot of a key
    Column("sha256", String(64), nullable=False),  # of the whole key; the key itself is shown once and never stored
    Column("name", String(128), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),  # space-separated
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
)

idempotent_requests = Table(
    "idempotent_requests",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("route", String(160), nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("status", Integer),  # null: the first request is still being answered
    Column("headers", Text),
    Column("body", LargeBinary),
)
Index("ix_idempotent_requests_created", idempotent_requests.c.created_at)

stream_tickets = Table(
    "stream_tickets",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the ticket, which is shown once, works once and is short-lived
    Column("tenant", String(64), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("mission_id", String(64), nullable=False),
    Column("expires_at", Float, nullable=False),
)
Index("ix_stream_tickets_expires", stream_tickets.c.expires_at)
