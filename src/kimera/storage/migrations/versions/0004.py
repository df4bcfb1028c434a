"""The sequence memory: its log, the tables kept from it, sessions and short-term events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kimera.storage.schema.memory import SYMBOLS_FUNCTION

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "memory_effects",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("episode", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("memory_id", "episode", "seq", name=op.f("pk_memory_effects")),
    )
    op.create_index("ix_memory_effects_seq", "memory_effects", ["memory_id", "seq"], unique=False)
    op.create_table(
        "memory_log",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("unique_id", sa.Text(), nullable=True),
        sa.Column("pattern_id", sa.String(length=67), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("payload_hash", sa.String(length=64), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=True),
        sa.Column("origin", sa.String(length=32), nullable=True),
        sa.Column("origin_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("memory_id", "seq", name=op.f("pk_memory_log")),
    )
    op.create_index(
        "ix_memory_log_expires",
        "memory_log",
        ["memory_id", "expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_memory_log_origin",
        "memory_log",
        ["memory_id", "origin", "origin_seq"],
        unique=True,
        sqlite_where=sa.text("origin IS NOT NULL"),
        postgresql_where=sa.text("origin IS NOT NULL"),
    )
    op.create_index("ix_memory_log_pattern", "memory_log", ["memory_id", "pattern_id", "seq"], unique=False)
    op.create_index(
        "ix_memory_log_source",
        "memory_log",
        ["memory_id", "source", "seq"],
        unique=False,
        sqlite_where=sa.text("source != ''"),
        postgresql_where=sa.text("source != ''"),
    )
    op.create_index(
        "ix_memory_log_unique",
        "memory_log",
        ["memory_id", "unique_id"],
        unique=False,
        sqlite_where=sa.text("unique_id IS NOT NULL"),
        postgresql_where=sa.text("unique_id IS NOT NULL"),
    )
    op.create_table(
        "memory_memories",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_memories")),
        sa.UniqueConstraint("tenant", "name", name="uq_memory_memories_name"),
    )
    op.create_table(
        "memory_moves",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("episode", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("pattern_id", sa.String(length=67), nullable=True),
        sa.PrimaryKeyConstraint("memory_id", "episode", name=op.f("pk_memory_moves")),
    )
    op.create_index("ix_memory_moves_pattern", "memory_moves", ["memory_id", "pattern_id"], unique=False)
    op.create_table(
        "memory_patterns",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("id", sa.String(length=67), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("frequency", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("changed_seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("outcomes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("utility", sa.Float(), nullable=False),
        sa.Column("folded", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("memory_id", "id", name=op.f("pk_memory_patterns")),
    )
    op.create_index("ix_memory_patterns_changed", "memory_patterns", ["memory_id", "changed_seq"], unique=False)
    op.create_index("ix_memory_patterns_name", "memory_patterns", ["memory_id", "name"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(SYMBOLS_FUNCTION)
    op.create_table(
        "memory_sessions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("time", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("next_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("floor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_sessions")),
        sa.UniqueConstraint("memory_id", "session_id", name="uq_memory_sessions_session"),
    )
    op.create_index("ix_memory_sessions_expires", "memory_sessions", ["expires_at"], unique=False)
    op.create_table(
        "memory_stm",
        sa.Column("session", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session", "number", name=op.f("pk_memory_stm")),
    )
    op.create_table(
        "memory_vectors",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("symbol", sa.String(length=73), nullable=False),
        sa.Column("dimension", sa.Integer(), nullable=False),
        sa.Column("coordinates", sa.LargeBinary(), nullable=False),
        sa.Column("patterns", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("memory_id", "symbol", name=op.f("pk_memory_vectors")),
    )
    op.create_table(
        "memory_voids",
        sa.Column(
            "memory_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("memory_id", "seq", name=op.f("pk_memory_voids")),
    )
