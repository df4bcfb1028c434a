"""Every operation of the storage room is timed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.errors import NotFoundError, StorageError
from kimera.storage import Blobs
from kimera.storage.database import Database, open_database
from kimera.storage.timing import NAMED, OPERATIONS, SPLIT
from kimera.telemetry.recording.catalog import METRICS
from kimera.telemetry.recording.metrics import REGISTRY

SOURCES = Path(__file__).resolve().parents[3] / "src" / "kimera"
SECONDS = "kimera_storage_operations_duration_seconds"
COUNTED = "kimera_storage_operations_total"


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database of each kind."""
    with database_url(request.param, tmp_path) as url:
        opened = open_database(url)
        yield opened
        opened.close()


class Moved:
    """How far an operation's metrics moved since this was made."""

    def __init__(self, operation: str, backend: str) -> None:
        self._of = {"operation": operation, "backend": backend}
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        return (
            REGISTRY.value(SECONDS, **self._of),
            REGISTRY.value(COUNTED, **self._of, outcome="ok"),
            REGISTRY.value(COUNTED, **self._of, outcome="error"),
        )

    @property
    def moved(self) -> tuple[float, ...]:
        """Return timed, ok and error operations since."""
        return tuple(now - before for now, before in zip(self._now(), self._before, strict=True))


def test_every_module_that_asks_the_database_has_a_name() -> None:
    """Promise: all statements of the storage room are timed under a declared operation, none under "other"."""
    asking = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"read", "write"}
            ):
                owner = node.func.value
                of = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
                if of.strip("_") == "database" and "operation" not in {word.arg for word in node.keywords}:
                    asking.add(path.relative_to(SOURCES).as_posix())
    assert {"storage/missions.py", "storage/attempts.py"} <= asking
    assert set() == {name for name in asking if not name.startswith("storage/")}
    assert set() == {Path(name).stem for name in asking} - OPERATIONS.keys()
    named = {f"{one}_{way}" for one in SPLIT for way in ("read", "write")} | set(NAMED.values())
    declared = {values[0] for values in METRICS[SECONDS].series()}
    assert set() == (named | set(OPERATIONS.values()) - SPLIT) - declared


def test_a_statement_is_timed_once_and_so_is_a_failure(database: Database) -> None:
    """Promise: a statement that works and one that fails each move the histogram and their own counter by one."""
    backend = database.engine.dialect.name
    fine = Moved("search", backend)
    database.read(lambda connection: connection.execute(sa.select(1)).scalar_one(), operation="search")
    database.write(lambda connection: connection.execute(sa.select(1)).scalar_one(), operation="search")
    assert (2, 2, 0) == fine.moved
    broken = Moved("search", backend)
    with pytest.raises(StorageError):
        database.read(lambda connection: connection.execute(sa.text("SELECT * FROM nowhere")), operation="search")
    assert (1, 0, 1) == broken.moved


def test_an_answer_is_no_failure(database: Database) -> None:
    """Promise: "not found" and "exists already" are answers: timed, and counted as ok."""

    def miss(_: sa.Connection) -> None:
        raise NotFoundError("no such mission")

    def twice(connection: sa.Connection) -> None:
        connection.execute(sa.text("CREATE TABLE one (n INTEGER PRIMARY KEY)"))
        connection.execute(sa.text("INSERT INTO one VALUES (1)"))
        connection.execute(sa.text("INSERT INTO one VALUES (1)"))

    answered = Moved("read", database.engine.dialect.name)
    with pytest.raises(NotFoundError):
        database.read(miss, operation="read")
    with pytest.raises(sa.exc.IntegrityError):
        database.write(twice, operation="read")
    assert (2, 2, 0) == answered.moved


def test_the_pool_shows_its_connections(database: Database) -> None:
    """Promise: while a connection is lent a scrape sees one more busy one."""

    def busy() -> float:
        REGISTRY.collect()
        return REGISTRY.value("kimera_pool_connections", pool="database", state="busy")

    before = busy()
    with database.engine.connect():
        assert before + 1 == busy()
    assert before == busy()


def test_blobs_are_timed_and_their_failures_too(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: putting and getting count under "files"; a missing blob is an answer, a folder in the way a failure."""
    put, get = Moved("blob_put", "files"), Moved("blob_get", "files")
    name = blobs.put(b"text")
    blobs.get(name)
    with pytest.raises(NotFoundError):
        blobs.get("0" * 64)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        Blobs(tmp_path / "file").put(b"more")
    assert ((2, 1, 1), (2, 2, 0)) == (put.moved, get.moved)
