"""What missions usually do is learned once each, with how they went; a memory that fails harms no mission."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from benchmarks.small_missions import playbook
from click.testing import CliRunner
from tests.databases import database_url

from kimera.cli.root import kimera_command
from kimera.errors import MemoryFault
from kimera.memory import Memories, Memory
from kimera.missions import control
from kimera.missions.control import habits
from kimera.settings import Settings, load_settings


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[control.Home]:
    """Yield an open home on each kind of database."""
    playbook()
    with ExitStack() as stack:
        url = stack.enter_context(database_url(request.param, tmp_path)) if request.param == "postgres" else None
        settings = Settings(home=tmp_path / "home", database_url=url)  # type: ignore[arg-type]
        yield stack.enter_context(control.open_home(settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two texts."""
    place = tmp_path / "texts"
    place.mkdir()
    for number in range(2):
        (place / f"{number}.txt").write_text("A line.\nAnother.\n")
    return place


def done(home: control.Home, folder: Path) -> str:
    """Run a small mission to its end."""
    mission = control.submit(home, "What is here?", folder, playbook="small")
    assert "DONE" == control.run(home, mission).state
    return mission


def learned(home: control.Home, mission: str) -> list[Any]:
    """Return the patterns a mission taught, each with its episodes."""
    with closing(Memories(home.database)) as memories:
        memory = memories.get(habits.MEMORY)
        return [memory.pattern(one.id) for one in memory.patterns(source=mission).patterns]


def test_a_mission_is_learned_once_with_its_outcome(home: control.Home, folder: Path) -> None:
    """Promise: a finished mission leaves its steps with utility 1 and its seconds as cost; learning again adds none."""
    mission = done(home, folder)
    found = learned(home, mission)
    assert found
    assert all(1.0 == one.total_utility / one.outcomes for one in found)
    assert all(one.cost is not None and 0 <= one.cost < 60 for one in found)
    habits.learn_mission(home, mission)
    habits.learn_mission(home, mission)
    assert found == learned(home, mission)


def test_a_mission_like_an_earlier_one_is_recognised(home: control.Home, folder: Path) -> None:
    """Promise: two missions of one kind are two episodes, and each is found again by the other's steps."""
    first, second = done(home, folder), done(home, folder)
    tracks = habits.compare(home, second)
    assert tracks
    assert {first, second} <= {episode.source for one in learned(home, first) for episode in one.episodes}
    assert all(one.predictions.predictions[0].similarity > 0.8 for one in tracks)


def test_a_memory_that_fails_is_a_warning(
    home: control.Home, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise: when the memory cannot be written the mission is DONE all the same, and nothing is learned."""

    def broken(*_: object, **__: object) -> None:
        raise MemoryFault("The store cannot be reached.")

    with monkeypatch.context() as patched:
        patched.setattr(Memory, "learn", broken)
        mission = done(home, folder)
    assert [] == learned(home, mission)
    habits.learn_mission(home, mission)
    assert learned(home, mission)


def test_an_unfinished_mission_teaches_nothing(home: control.Home, folder: Path) -> None:
    """Promise: only what has ended is learned; a mission that is not there is told, not raised."""
    mission = control.submit(home, "What is here?", folder, playbook="small")
    habits.learn_mission(home, mission)
    habits.learn_mission(home, "no-such-mission")
    assert [] == learned(home, mission)


def test_the_command_asks_about_a_mission(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: `kimera memory predict --mission` shows each track's steps so far and what earlier missions did."""
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KIMERA_DATABASE_URL", raising=False)
    load_settings.cache_clear()
    playbook()
    with control.open_home(load_settings()) as home:
        mission = done(home, folder)
    command = ["memory", "predict", "--mission", "last"]
    shown = CliRunner().invoke(kimera_command, [*command, "--json"], standalone_mode=False)
    text = CliRunner().invoke(kimera_command, command, standalone_mode=False)
    load_settings.cache_clear()
    tracks = json.loads(shown.stdout)
    assert tracks and all(one["trace"].startswith(mission) and one["predictions"]["predictions"] for one in tracks)
    assert "  so far     " in text.stdout and "  next: " in text.stdout
