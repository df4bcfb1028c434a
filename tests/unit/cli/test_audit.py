"""`kimera audit` on a home: key decisions are in the chain, and a broken chain ends with 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kimera.cli.root import kimera_command
from kimera.errors import ValidationError
from kimera.settings import load_settings
from kimera.storage.database import open_database


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make an empty home that the commands find."""
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KIMERA_DATABASE_URL", raising=False)
    load_settings.cache_clear()
    yield tmp_path / "home"
    load_settings.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(kimera_command, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def test_what_is_done_to_keys_is_in_the_chain(home: Path) -> None:
    """Promise: making, replacing and revoking a key leaves one row each, which names the key and never holds it."""
    made = json.loads(run("keys", "create", "ci", "--json")[1])
    after = json.loads(run("keys", "rotate", made["key_id"], "--json")[1])
    run("keys", "revoke", after["key_id"])
    rows = json.loads(run("audit", "list", "--json")[1])
    assert ["key.revoke", "key.rotate", "key.create"] == [row["action"] for row in rows]
    assert made["key_id"] == rows[2]["subject"]
    assert made["key"] not in json.dumps(rows)
    assert 0 == run("audit", "verify")[0]


def test_a_changed_row_and_a_cut_tail_end_with_one(home: Path) -> None:
    """Promise: verify names the bad row; with the anchor of an earlier look a removed end is seen."""
    for name in ("a", "b", "c"):
        run("keys", "create", name)
    anchor = json.loads(run("audit", "verify", "--json")[1])["anchor"]
    database = open_database(f"sqlite:///{home / 'kimera.db'}")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_log_no_update")
        connection.exec_driver_sql("DROP TRIGGER audit_log_no_delete")
        connection.exec_driver_sql("DELETE FROM audit_log WHERE seq = 3")
    assert 0 == run("audit", "verify")[0]
    assert (1, 3) == (
        run("audit", "verify", "--anchor", anchor)[0],
        json.loads(run("audit", "verify", "--anchor", anchor, "--json")[1])["first_bad"],
    )
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit_log SET actor = 'somebody else' WHERE seq = 1")
    database.close()
    assert (1, 1) == (run("audit", "verify")[0], json.loads(run("audit", "verify", "--json")[1])["first_bad"])


def test_an_anchor_that_is_none_is_refused(home: Path) -> None:
    """Promise: a malformed anchor is a usage error, not a broken chain."""
    with pytest.raises(ValidationError, match="anchor"):
        run("audit", "verify", "--anchor", "7")
