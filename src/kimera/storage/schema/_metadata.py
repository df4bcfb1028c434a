"""The one `MetaData` of all tables, and the revision the database is at."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table

__all__ = ["REVISION", "REVISIONS", "metadata", "revision_table"]

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every revision this installation knows, oldest first; a database at any other revision is newer than we are."""

REVISION = REVISIONS[-1]

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

revision_table = Table(
    "kimera_revision",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="kimera_revision_pkc"),  # as Alembic would make it
)
