"""Sequence memory: the append-only log of what was learned, and tables that can be rebuilt from it.

Instants are seconds since 1970. Rows are found by (memory, number), never by a name turned into a key.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)

from kimera.storage.schema._metadata import metadata

__all__ = [
    "SYMBOLS_FUNCTION",
    "memory_effects",
    "memory_log",
    "memory_memories",
    "memory_moves",
    "memory_patterns",
    "memory_sessions",
    "memory_stm",
    "memory_vectors",
    "memory_voids",
]

SYMBOLS_FUNCTION = """
CREATE OR REPLACE FUNCTION kimera_symbols(memory bigint, events text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1000 AS $$
    SELECT coalesce(array_agg(DISTINCT hashtextextended(symbol, memory)), '{}')
    FROM jsonb_array_elements(CAST(events AS jsonb)) event, jsonb_array_elements_text(event) symbol
$$
"""
"""The distinct symbols of a pattern as numbers (PostgreSQL). Hashed, because a symbol may be longer than an entry of a
GIN index; with the memory as seed, so that memories do not meet in one list. Two symbols of one number only add a
candidate, which the alignment drops."""

NUMBER = BigInteger().with_variant(Integer(), "sqlite")

memory_memories = Table(
    "memory_memories",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("tenant", String(64), nullable=False),
    Column("name", String(256), nullable=False),
    Column("uid", String(32), nullable=False),  # names this memory in exports
    Column("config", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("tenant", "name", name="uq_memory_memories_name"),
)

memory_log = Table(
    "memory_log",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("at", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("session_id", Text),
    Column("unique_id", Text),
    Column("pattern_id", String(67)),  # what a learn record taught
    Column("body", Text, nullable=False),
    Column("payload_hash", String(64), nullable=False),  # of the body as it was written, erased or not
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("expires_at", Float),  # of a learn record with a time to live
    Column("origin", String(32)),  # uid of the memory an imported record comes from
    Column("origin_seq", NUMBER),
)
Index("ix_memory_log_pattern", memory_log.c.memory_id, memory_log.c.pattern_id, memory_log.c.seq)
Index(
    "ix_memory_log_source",
    memory_log.c.memory_id,
    memory_log.c.source,
    memory_log.c.seq,
    sqlite_where=memory_log.c.source != "",
    postgresql_where=memory_log.c.source != "",
)
Index(
    "ix_memory_log_expires",
    memory_log.c.memory_id,
    memory_log.c.expires_at,
    sqlite_where=memory_log.c.expires_at.is_not(None),
    postgresql_where=memory_log.c.expires_at.is_not(None),
)
Index(
    "ix_memory_log_unique",
    memory_log.c.memory_id,
    memory_log.c.unique_id,
    sqlite_where=memory_log.c.unique_id.is_not(None),
    postgresql_where=memory_log.c.unique_id.is_not(None),
)
Index(
    "ix_memory_log_origin",
    memory_log.c.memory_id,
    memory_log.c.origin,
    memory_log.c.origin_seq,
    unique=True,
    sqlite_where=memory_log.c.origin.is_not(None),
    postgresql_where=memory_log.c.origin.is_not(None),
)

memory_patterns = Table(
    "memory_patterns",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("id", String(67), primary_key=True),
    Column("name", String(40), nullable=False),
    Column("events", Text, nullable=False),
    Column("length", Integer, nullable=False),
    Column("frequency", NUMBER, nullable=False),  # 0: gone; the row stays so that followers hear of it
    Column("changed_seq", NUMBER, nullable=False),
    Column("outcomes", NUMBER, nullable=False),
    Column("utility", Float, nullable=False),
    Column("folded", Text),  # emotives, metadata, label and exact sums over the episodes; null: nothing but defaults
)
Index("ix_memory_patterns_name", memory_patterns.c.memory_id, memory_patterns.c.name)
Index("ix_memory_patterns_changed", memory_patterns.c.memory_id, memory_patterns.c.changed_seq)

_function = DDL(SYMBOLS_FUNCTION).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
event.listen(memory_patterns, "before_create", _function)

memory_moves = Table(
    "memory_moves",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("episode", NUMBER, primary_key=True, autoincrement=False),
    Column("pattern_id", String(67)),  # where the episode counts now, unlike its learn record; null: nowhere
)
Index("ix_memory_moves_pattern", memory_moves.c.memory_id, memory_moves.c.pattern_id)

memory_effects = Table(
    "memory_effects",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("episode", NUMBER, primary_key=True, autoincrement=False),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),  # the record that acts on the episode
)
Index("ix_memory_effects_seq", memory_effects.c.memory_id, memory_effects.c.seq)

memory_voids = Table(
    "memory_voids",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
)

memory_vectors = Table(
    "memory_vectors",
    metadata,
    Column("memory_id", NUMBER, primary_key=True, autoincrement=False),
    Column("symbol", String(73), primary_key=True),
    Column("dimension", Integer, nullable=False),
    Column("coordinates", LargeBinary, nullable=False),  # little-endian float64
    Column("patterns", NUMBER, nullable=False),  # how many live patterns hold the symbol
)

memory_sessions = Table(
    "memory_sessions",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("memory_id", NUMBER, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("time", NUMBER, nullable=False),  # observations counted
    Column("version", NUMBER, nullable=False),
    Column("next_number", NUMBER, nullable=False),  # of the next event
    Column("floor", NUMBER, nullable=False),  # events below are learned or cleared, whether or not they still lie there
    UniqueConstraint("memory_id", "session_id", name="uq_memory_sessions_session"),
)
Index("ix_memory_sessions_expires", memory_sessions.c.expires_at)

memory_stm = Table(
    "memory_stm",
    metadata,
    Column("session", NUMBER, primary_key=True, autoincrement=False),
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)
