"""`kimera slo` and `kimera telemetry export` on a home: what they print and how they end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kimera.cli.root import kimera_command
from kimera.settings import Settings, load_settings
from kimera.storage.database import open_database
from kimera.storage.missions import Brief, Entry, Missions


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty home that the commands find."""
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KIMERA_DATABASE_URL", raising=False)
    load_settings.cache_clear()
    assert Settings().home_path == tmp_path / "home"
    yield tmp_path / "home"  # type: ignore[misc]
    load_settings.cache_clear()


def failed_mission(home: Path) -> None:
    home.mkdir(exist_ok=True)
    database = open_database(f"sqlite:///{home / 'kimera.db'}")
    missions = Missions(database)
    created = {"session_id": "s", "knowledge_space": "k", "brief": "0"}
    missions.create(Brief("m1", "0", "Q?", "/f", "{}", "p"), Entry("created", "mission.created", created))
    missions.append("m1", [Entry("end", "mission.state", {"old": "PENDING", "new": "FAILED"})])
    database.close()


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(kimera_command, list(arguments), standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.output


def test_an_empty_home_has_no_data_and_violates_nothing(home: Path) -> None:
    """Promise: without missions every level is no_data and the exit code 0."""
    code, text = run("slo", "--json")
    assert (0, {"no_data"}) == (code, {level["status"] for level in json.loads(text)["levels"]})
    assert "nothing to measure yet" in run("slo")[1]


def test_a_violated_level_ends_with_one(home: Path) -> None:
    """Promise: one failed mission of one violates mission_success; the exit code says so, the text by how much."""
    failed_mission(home)
    code, text = run("slo", "--window", "1d")
    assert 1 == code
    assert "mission_success        violated  0.00%" in text
    assert "0 good of 1" in text


def test_export_of_a_home_without_closed_days_writes_nothing(home: Path, tmp_path: Path) -> None:
    """Promise: what happened today is not exported before the day is over."""
    failed_mission(home)
    code, text = run("telemetry", "export", "--to", str(tmp_path / "out"), "--json")
    assert (0, 0) == (code, json.loads(text)["rows"])
