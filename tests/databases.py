"""Databases for tests: a SQLite file, or a PostgreSQL database of its own that is dropped afterwards."""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa
from dbos import run_dbos_database_migrations

from kimera.storage.database import open_database

POSTGRES = os.environ.get("KIMERA_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def _server() -> sa.Engine:
    address = sa.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    return sa.create_engine(address, isolation_level="AUTOCOMMIT")


@cache
def _template() -> str:
    """Make a database with our tables and the engine's, once per test process; copying it costs a third of that."""
    server, name = _server(), f"kimera_test_{uuid.uuid4().hex[:12]}_template"
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")

    def drop() -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()

    atexit.register(drop)
    url = sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    open_database(url).close()
    run_dbos_database_migrations(url)
    return name


@contextmanager
def database_url(kind: str, place: Path, *, empty: bool = False) -> Iterator[str]:
    """Yield the address of a database without rows, with ``empty`` without tables; SQLite makes its own when opened.

    Skips when the PostgreSQL server is missing, fails if it is required.
    """
    if kind == "sqlite":
        yield f"sqlite:///{place / 'test.db'}"
        return
    server = _server()
    name = f"kimera_test_{uuid.uuid4().hex[:12]}"
    try:
        like = "template1" if empty else _template()
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {like}")
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
