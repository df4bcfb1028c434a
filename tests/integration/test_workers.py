"""Worker processes that die, freeze and restart: the missions do not notice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from benchmarks.small_missions import playbook
from tests.databases import database_url

from kimera.missions import control
from kimera.settings import Settings
from kimera.storage.fold import fold

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LEASE = "1.5"
WORKER = Path(__file__).parent / "worker.py"


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition, fail after ``seconds``."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("waited in vain")


@dataclass
class Site:
    """A home, its database, and the workers started in it."""

    place: Path
    database: str | None
    home: control.Home
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, slot: str) -> subprocess.Popen[str]:
        """Start a worker process and wait until it is at work."""
        command = [sys.executable, str(WORKER), str(self.place / "home"), self.database or "-", slot, LEASE]
        process = subprocess.Popen([*command, str(self.signs)], stdout=subprocess.PIPE, text=True)
        self.workers.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    @property
    def signs(self) -> Path:
        """Return the folder of signs."""
        return self.place / "signs"

    def hold(self, step: str | None) -> None:
        """Make a phase wait, or let all go on."""
        if step is None:
            (self.signs / "hold").unlink()
        else:
            (self.signs / "hold").write_text(step)

    def at(self, step: str) -> int | None:
        """Return the process that has begun the phase."""
        found = sorted(self.signs.glob(f"*-{step.replace(':', '-')}"))
        return int(found[0].name.split("-")[0]) if found else None

    def begun(self, step: str) -> int:
        """Return how many processes began the phase."""
        return len(list(self.signs.glob(f"*-{step.replace(':', '-')}")))

    def submit(self) -> str:
        """Store a mission."""
        return control.submit(self.home, "What is first?", self.place / "folder", playbook="small")

    def ended(self, mission_id: str) -> control.MissionRow:
        """Wait for the end of a mission."""
        until(lambda: control.get(self.home, mission_id).ended)
        return control.get(self.home, mission_id)

    def records(self, mission_id: str) -> list[str]:
        """Return the names of the steps the engine recorded for the analysis track."""
        table = "operation_outputs" if self.database is None else "dbos.operation_outputs"
        engine = sa.create_engine(self.home.engine_url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                f"SELECT function_name FROM {table} WHERE workflow_uuid = '{mission_id}:ds_star:1' ORDER BY function_id"
            ).all()
        engine.dispose()
        return [name for (name,) in rows]


@pytest.fixture(params=["postgres"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Yield a site on PostgreSQL."""
    with ExitStack() as stack:
        database = stack.enter_context(database_url(request.param, tmp_path))
        yield from make_site(tmp_path, database)


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Site]:
    """Yield a site on SQLite."""
    yield from make_site(tmp_path, None)


def make_site(place: Path, database: str | None) -> Iterator[Site]:
    """Make a site with a folder of two texts; ends its workers afterwards."""
    (place / "folder").mkdir()
    (place / "signs").mkdir()
    (place / "folder" / "a.txt").write_text("Alpha is first.\n")
    (place / "folder" / "b.txt").write_text("Beta is second.\n")
    playbook("small")
    settings = Settings(home=place / "home", database_url=database)  # type: ignore[arg-type]
    made = Site(place, database, control.open_home(settings))
    yield made
    for process in made.workers:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    made.home.close()


@pytest.mark.postgres
def test_another_worker_finishes_what_a_killed_one_began(site: Site) -> None:
    """Promise: after kill -9 of the owner in a step, the other worker completes the mission, whole."""
    site.hold("ds_star:code")
    one, two = site.start("one"), site.start("two")
    mission_id = site.submit()
    until(lambda: site.at("ds_star:code") is not None)
    owner = site.at("ds_star:code")
    assert owner in {one.pid, two.pid}
    os.kill(owner or 0, signal.SIGKILL)
    site.hold(None)
    row = site.ended(mission_id)
    assert ("DONE", False) == (row.state, row.partial)
    assert row == fold(control.events(site.home, mission_id))
    assert ["analyze", "code", "verify", "finalize"] == site.records(mission_id)
    assert 1 == site.begun("ds_star:analyze")


@pytest.mark.postgres
def test_a_frozen_owner_that_wakes_late_changes_nothing(site: Site) -> None:
    """Promise: a worker frozen in a step is replaced; when it wakes, its write is rejected and it joins again."""
    site.hold("ds_star:code")
    one = site.start("one")
    mission_id = site.submit()
    until(lambda: site.at("ds_star:code") == one.pid)
    os.kill(one.pid, signal.SIGSTOP)
    site.start("two")
    until(lambda: site.begun("ds_star:code") == 2)
    site.hold(None)
    row = site.ended(mission_id)
    events = control.events(site.home, mission_id)
    os.kill(one.pid, signal.SIGCONT)
    assert one.stdout is not None
    until(lambda: "taken for dead" in (one.stdout.readline() if one.stdout else ""))
    assert ("DONE", False) == (row.state, row.partial)
    assert (row, events) == (control.get(site.home, mission_id), control.events(site.home, mission_id))
    assert ["analyze", "code", "verify", "finalize"] == site.records(mission_id)


@pytest.mark.postgres
def test_two_workers_share_the_queue_and_begin_each_mission_once(site: Site) -> None:
    """Promise: with several workers every mission is done once, whoever takes it."""
    site.start("one")
    site.start("one")  # the same name: it takes the next slot
    missions = [site.submit() for _ in range(6)]
    rows = [site.ended(one) for one in missions]
    assert ["DONE"] * 6 == [row.state for row in rows]
    assert all(["analyze", "code", "verify", "finalize"] == site.records(one) for one in missions)


@pytest.mark.postgres
def test_cancel_reaches_a_mission_in_another_process(site: Site) -> None:
    """Promise: cancelling from outside ends a running mission within two seconds of the step boundary."""
    site.hold("ds_star:code")
    site.start("one")
    mission_id = site.submit()
    until(lambda: site.at("ds_star:code") is not None)
    control.cancel(site.home, mission_id)
    site.hold(None)
    row = site.ended(mission_id)
    assert ("CANCELLED", "cancelled") == (row.state, row.ds_star)


def test_a_killed_worker_of_a_sqlite_home_continues_when_started_again(embedded: Site) -> None:
    """Promise: kill -9 in a step; the next worker of the home completes the mission without repeating what was done."""
    embedded.hold("ds_star:code")
    one = embedded.start("one")
    mission_id = embedded.submit()
    until(lambda: embedded.at("ds_star:code") == one.pid)
    one.kill()
    one.wait()
    embedded.hold(None)
    embedded.start("another")
    row = embedded.ended(mission_id)
    assert ("DONE", False, 1) == (row.state, row.partial, embedded.begun("ds_star:analyze"))


def test_a_worker_told_to_end_gives_its_steps_back(embedded: Site) -> None:
    """Promise: SIGTERM ends a worker in order: no step counts as lost, and the mission goes on later."""
    embedded.hold("ds_star:code")
    one = embedded.start("one")
    mission_id = embedded.submit()
    until(lambda: embedded.at("ds_star:code") == one.pid)
    one.terminate()
    embedded.hold(None)
    assert 0 == one.wait(20)
    assert (0, []) == embedded.home.attempts.begin(mission_id, "ds_star:1:code", "ds_star")
    embedded.home.attempts.release(mission_id, "ds_star:1:code")
    embedded.start("one")
    assert "DONE" == embedded.ended(mission_id).state
