"""`kimera audit` on a home: the chain is shown, and a broken chain ends with 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from kimera.cli.root import kimera_command
from kimera.errors import ValidationError
from kimera.guardian import AuditEvent, AuditLog
from kimera.settings import load_settings
from kimera.storage.audit import AuditRows
from kimera.storage.database import Database, open_database


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


def recorded(home: Path, *subjects: str) -> Database:
    home.mkdir(exist_ok=True)
    database = open_database(f"sqlite:///{home / 'kimera.db'}")
    log = AuditLog(AuditRows(database))
    for subject in subjects:
        log.append(AuditEvent(actor="usr_1", role="operator", action="key.create", decision="allow", subject=subject))
    return database


def test_the_newest_rows_come_first(home: Path) -> None:
    """Promise: the list shows who did what, newest first; an empty chain holds."""
    assert (0, "the chain holds: 0 rows\n") == run("audit", "verify")
    recorded(home, "k1", "k2").close()
    rows = json.loads(run("audit", "list", "--json")[1])
    assert [(2, "k2"), (1, "k1")] == [(row["seq"], row["subject"]) for row in rows]
    assert "usr_1            key.create       allow k2" in run("audit", "list", "--limit", "1")[1]


def test_a_changed_row_and_a_cut_tail_end_with_one(home: Path) -> None:
    """Promise: verify names the bad row; with the anchor of an earlier look a removed end is seen."""
    database = recorded(home, "a", "b", "c")
    anchor = json.loads(run("audit", "verify", "--json")[1])["anchor"]
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_log_no_update")
        connection.exec_driver_sql("DROP TRIGGER audit_log_no_delete")
        connection.exec_driver_sql("DELETE FROM audit_log WHERE seq = 3")
    assert 0 == run("audit", "verify")[0]
    code, text = run("audit", "verify", "--anchor", anchor, "--json")
    assert (1, 3) == (code, json.loads(text)["first_bad"])
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audit_log SET actor = 'somebody else' WHERE seq = 1")
    database.close()
    code, text = run("audit", "verify", "--json")
    assert (1, 1) == (code, json.loads(text)["first_bad"])


def test_an_anchor_that_is_none_is_refused(home: Path) -> None:
    """Promise: a malformed anchor is a usage error, not a broken chain."""
    with pytest.raises(ValidationError, match="anchor"):
        run("audit", "verify", "--anchor", "7")
