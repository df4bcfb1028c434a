"""Databases for tests: a SQLite file, or a PostgreSQL database of its own that is dropped afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

POSTGRES = os.environ.get("KIMERA_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@contextmanager
def database_url(kind: str, place: Path) -> Iterator[str]:
    """Yield the address of an empty database; skips when the PostgreSQL server is missing, fails if it is required."""
    if kind == "sqlite":
        yield f"sqlite:///{place / 'test.db'}"
        return
    address = sa.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    server = sa.create_engine(address, isolation_level="AUTOCOMMIT")
    name = f"kimera_test_{uuid.uuid4().hex[:12]}"
    try:
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except sa.exc.OperationalError:
        if os.environ.get("KIMERA_REQUIRE_SERVICES"):
            raise
        pytest.skip("no PostgreSQL server; set KIMERA_TEST_POSTGRES_URL")
    try:
        yield sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()
