"""One warm worker for the suite, and one on a host that offers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kimera.sandbox import Limits, Session

SMALL = Limits(
    wall=5.0, cpu=1, memory=250 * 1024**2, file=1024**2, scratch=3 * 1024**2, scratch_files=50, output=10_000,
    result=100_000, processes=20,
)  # fmt: skip


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Return a worker with small limits and all isolation the host offers."""
    with Session(SMALL, minimum="none") as warm:
        yield warm


@pytest.fixture(scope="session")
def bare() -> Iterator[Session]:
    """Return a worker as on a host without Landlock and seccomp."""
    with Session(SMALL, minimum="none", ceiling="none") as warm:
        yield warm


@pytest.fixture(params=["reduced", "none"])
def any_session(request: pytest.FixtureRequest) -> Session:
    """Return each of the two workers in turn."""
    found: Session = request.getfixturevalue("session" if request.param == "reduced" else "bare")
    return found


@pytest.fixture(scope="session")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Parquet file with x = 0..99 and s = 'r0'..'r99'."""
    import duckdb

    path = tmp_path_factory.mktemp("data") / "with space.parquet"
    with duckdb.connect() as database:
        database.sql("select i as x, 'r' || i as s from range(100) t(i)").write_parquet(str(path))
    return path
