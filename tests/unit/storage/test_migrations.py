"""The schema is the same whichever way it came to be, and upgrades keep the rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.errors import NewerSchema
from kimera.storage.database import engine_for, open_database
from kimera.storage.fold import fold_one
from kimera.storage.migrations import upgrade
from kimera.storage.missions import Brief, Entry, Missions
from kimera.storage.schema import REVISION, REVISIONS, metadata, revision_table
from kimera.telemetry import MissionEvent


def created(mission_id: str) -> MissionEvent:
    """Return the first event of a mission."""
    payload = {"session_id": "s", "knowledge_space": "k", "brief": "0"}
    return MissionEvent(
        mission_id=mission_id, seq=1, at=datetime(2026, 1, 1, tzinfo=UTC), type="mission.created", payload=payload
    )


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the address of an empty database of each kind."""
    with database_url(request.param, tmp_path, empty=True) as address:
        yield address


def description(engine: sa.Engine) -> dict[str, Any]:
    """Return tables, columns, keys and indexes as comparable data."""
    look = sa.inspect(engine)
    return {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in look.get_columns(table)],
            "key": look.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted(str(u["column_names"]) for u in look.get_unique_constraints(table)),
            "foreign": sorted(str(f["constrained_columns"]) for f in look.get_foreign_keys(table)),
            "indexes": sorted(str(i["name"]) for i in look.get_indexes(table)),
        }
        for table in sorted(look.get_table_names())
    }


def test_created_at_once_and_migrated_step_by_step_are_the_same(url: str, tmp_path: Path) -> None:
    """Promise: a fresh database from the metadata equals one that ran every revision."""
    other = url if url.startswith("postgres") else f"sqlite:///{tmp_path / 'other.db'}"
    fresh = open_database(url)
    expected = description(fresh.engine)
    if other == url:
        with fresh.engine.begin() as connection:
            metadata.drop_all(connection)
    fresh.close()
    engine = engine_for(other)
    for revision in REVISIONS:
        upgrade(engine, revision)
    assert expected == description(engine)
    engine.dispose()


def test_an_older_database_is_upgraded_with_its_rows(url: str) -> None:
    """Promise: opening a database of the previous revision brings it up and keeps what is in it."""
    engine = engine_for(url)
    upgrade(engine, REVISIONS[-2])
    brief = {"mission_id": "m1", "sha256": "0", "question": "Q?", "folder": "/f", "options": "{}", "playbook": "p"}
    with engine.begin() as connection:
        connection.execute(metadata.tables["briefs"].insert(), brief)
    engine.dispose()
    database = open_database(url)
    rows = database.read(lambda connection: connection.execute(sa.select(metadata.tables["briefs"].c.question)).all())
    revision = database.read(lambda connection: connection.execute(sa.select(revision_table)).scalar_one())
    assert ([("Q?",)], REVISION) == ([tuple(row) for row in rows], revision)
    assert "spend_tickets" in sa.inspect(database.engine).get_table_names()
    database.close()


def test_a_table_that_others_refer_to_is_rebuilt_with_its_rows(url: str) -> None:
    """Promise: a brief and its mission of the previous revision survive, belong together, and keys are per tenant."""
    engine = engine_for(url)
    upgrade(engine, REVISIONS[-2])
    brief = {"mission_id": "m1", "sha256": "0", "question": "Q?", "folder": "/f", "options": "{}", "playbook": "p"}
    row = fold_one(None, created("m1"))
    with engine.begin() as connection:
        connection.execute(metadata.tables["briefs"].insert(), brief | {"request_key": "k"})
        connection.execute(metadata.tables["missions"].insert(), asdict(row) | {"degraded": "[]"})
    engine.dispose()
    database = open_database(url)
    store = Missions(database)
    assert ("local", "k", "m1") == (store.brief("m1").tenant, store.brief("m1").request_key, store.get("m1").mission_id)
    other = Brief(**(brief | {"mission_id": "m2", "request_key": "k", "tenant": "acme"}))
    assert "m2" == store.create(other, Entry("created", "mission.created", dict(created("m2").payload)))
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda connection: connection.execute(metadata.tables["briefs"].delete()))
    database.close()


def test_a_database_from_a_newer_version_is_left_alone(url: str) -> None:
    """Promise: a newer schema raises NewerSchema with the next step, and nothing is touched."""
    open_database(url).close()
    engine = engine_for(url)
    with engine.begin() as connection:
        connection.execute(revision_table.update().values(version_num="9999"))
    before = description(engine)
    with pytest.raises(NewerSchema, match="upgrade Kimera"):
        open_database(url)
    assert before == description(engine)
    engine.dispose()


def test_opening_a_fresh_sqlite_home_does_not_import_alembic(tmp_path: Path) -> None:
    """Promise: a first start costs no Alembic import."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from kimera.settings import Settings\n"
        "from kimera.missions.control import open_home\n"
        f"open_home(Settings(home=Path({str(tmp_path / 'home')!r}), database_url=None)).close()\n"
        "print(sorted(set(sys.modules) & {'alembic', 'dbos', 'duckdb', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()
