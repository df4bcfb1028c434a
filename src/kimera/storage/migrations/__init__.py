"""Alembic revisions of our tables; imported only when a database must be upgraded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kimera.errors import StorageError

__all__ = ["upgrade"]


def upgrade(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the database to ``revision`` in one transaction, holding the schema lock on PostgreSQL."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with engine.begin() as connection, _references_later(connection):
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7236154021)"))
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@contextmanager
def _references_later(connection: sa.Connection) -> Iterator[None]:
    """Let a table be rebuilt that others refer to; what refers to nothing afterwards stops the upgrade.

    Only SQLite needs this, and takes the word outside of a transaction only. The connection is thrown away afterwards.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    connection.detach()
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    yield
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if dangling:
        raise StorageError(
            f"The upgrade would leave {len(dangling)} rows without the row they belong to; nothing done."
        )
