"""How missions end other than by going well: cancel, stop, deadline, failure, crash loop, retry."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from benchmarks.small_missions import playbook
from sqlalchemy import event
from tests.databases import database_url

from kimera.clock import SystemClock
from kimera.errors import ConflictError, HomeBusy, KimeraError, StorageFull, ValidationError
from kimera.missions import control
from kimera.missions.contracts import MissionOptions, MissionOutcomePackage
from kimera.missions.control._steps import CRASH_LIMIT, PERSONAL_CRASH_LIMIT
from kimera.missions.control.playbook import FuseRequest, register_playbook
from kimera.settings import Settings
from kimera.storage.fold import fold
from kimera.storage.missions import Entry

PATIENCE = 15.0


class JumpingClock(SystemClock):
    """The machine's clock, put forward by hand: a deadline passes when a test says so, however busy the machine."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the time as put forward."""
        return super().now() + self.ahead


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[control.Home]:
    """Yield an open home on each kind of database."""
    playbook()
    with ExitStack() as stack:
        url = None
        if request.param == "postgres":
            url = stack.enter_context(database_url("postgres", tmp_path))
        settings = Settings(home=tmp_path / "home", database_url=url)  # type: ignore[arg-type]
        yield stack.enter_context(control.open_home(settings, JumpingClock()))


def put_forward(home: control.Home, seconds: float) -> None:
    """Let so many seconds pass for the home."""
    assert isinstance(home.clock, JumpingClock)
    home.clock.ahead = timedelta(seconds=seconds)


def only_sqlite(home: control.Home) -> None:
    """Skip what is about SQLite files."""
    if not home.embedded:
        pytest.skip("about SQLite files")


class Gate:
    """A hook that holds one step until it is opened, or makes it fail."""

    def __init__(self, step: str, error: Callable[[], Exception] | None = None, times: int = 1) -> None:
        self.step, self.error, self.times = step, error, times
        self.reached, self.open = threading.Event(), threading.Event()
        self.calls = 0

    def __call__(self, moment: str, mission_id: str, step: str, attempt: int) -> None:
        """Hold or fail at the begin of the step."""
        if moment != "begin" or step != self.step:
            return
        self.calls += 1
        self.reached.set()
        if self.error is not None:
            if self.calls <= self.times:
                raise self.error()
        else:
            self.open.wait(PATIENCE)


def submit(home: control.Home, folder: Path, gate: Gate, deadline: float = 900.0) -> str:
    """Submit a mission whose tracks tell the gate about each phase."""
    playbook("gated", gate)
    return control.submit(home, "What is first?", folder, MissionOptions(deadline=deadline), playbook="gated")


def test_cancel_before_anything_runs_takes_effect_at_once(home: control.Home, folder: Path) -> None:
    """Promise: a mission nobody works on is CANCELLED when cancel returns, and cancelling twice is a no-op."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    assert "CANCELLED" == control.cancel(home, mission_id).state
    assert "CANCELLED" == control.cancel(home, mission_id).state
    assert "CANCELLED" == control.run(home, mission_id).state


def test_cancel_while_running_ends_within_two_seconds(home: control.Home, folder: Path) -> None:
    """Promise: cancel is seen at the step boundary; the mission and its tracks end as CANCELLED."""
    gate = Gate("ds_star:code")
    mission_id = submit(home, folder, gate)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(control.run, home, mission_id)
        assert gate.reached.wait(PATIENCE)
        control.cancel(home, mission_id)
        gate.open.set()
        row = running.result(PATIENCE)
    assert ("CANCELLED", "cancelled") == (row.state, row.ds_star)
    asked = next(e for e in control.events(home, mission_id) if e.type == "human.decision")
    assert 2.0 > (control.events(home, mission_id)[-1].at - asked.at).total_seconds()
    assert row == fold(control.events(home, mission_id))


def test_what_has_ended_cannot_be_cancelled(home: control.Home, folder: Path) -> None:
    """Promise: cancelling a DONE mission is a conflict and changes nothing."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    control.run(home, mission_id)
    with pytest.raises(ConflictError):
        control.cancel(home, mission_id)
    assert "DONE" == control.get(home, mission_id).state


def test_a_stop_fuses_what_there_is_and_the_mission_can_go_on(home: control.Home, folder: Path) -> None:
    """Promise: after a polite stop there is a partial report; running again gives the whole one."""
    gate, stop = Gate("ds_star:finalize"), threading.Event()
    mission_id = submit(home, folder, gate)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(control.run, home, mission_id, stop=stop)
        assert gate.reached.wait(PATIENCE)
        stop.set()
        gate.open.set()
        row = running.result(PATIENCE)
    assert ("RUNNING", True) == (row.state, row.partial)
    assert "stopped" in {cause.cause for cause in control.outcome(home, mission_id).degraded}
    control.resume(home, mission_id)
    after = control.run(home, mission_id)
    assert ("DONE", False) == (after.state, after.partial)
    assert [] == [one for one in control.dead_letters(home)]


def test_a_stop_asked_for_is_not_a_lost_step(home: control.Home, folder: Path) -> None:
    """Promise: stopping more often than the crash limit at one step does not fail its track."""
    gate = Gate("ds_star:code")
    mission_id = submit(home, folder, gate)
    for _ in range(CRASH_LIMIT + 1):
        gate.reached.clear()
        gate.open.clear()
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(control.run, home, mission_id, stop=stop)
            assert gate.reached.wait(PATIENCE)
            stop.set()
            gate.open.set()
            running.result(PATIENCE)
    assert "DONE" == control.run(home, mission_id).state


def test_the_first_report_comes_with_the_first_track(home: control.Home, folder: Path) -> None:
    """Promise: version 1 is fused, marked partial, while the other track still works; version 2 is whole."""
    gate = Gate("ds_star:code")
    mission_id = submit(home, folder, gate)

    def open_after_first(event: control.MissionEvent) -> None:
        if event.type == "report.version":
            gate.open.set()

    control.run(home, mission_id, on_event=open_after_first)
    assert [(1, True), (2, False)] == [(one.version, one.partial) for one in control.versions(home, mission_id)]
    assert 2 == len(control.outcome(home, mission_id, 1).claims)


def test_a_last_version_with_nothing_new_is_not_stored(home: control.Home, folder: Path) -> None:
    """Promise: when the last fusion says what the version before said, the mission ends with that version."""
    gate = Gate("ds_star:code")
    small = playbook("gated", gate)

    def fuse_research(request: FuseRequest) -> MissionOutcomePackage:
        request = replace(request, analysis=None, partial=False, track_status={}, degraded=())
        return small.fuse(request)

    register_playbook(replace(small, fuse=fuse_research))
    mission_id = control.submit(home, "What is first?", folder, playbook="gated")

    def open_after_first(event: control.MissionEvent) -> None:
        if event.type == "report.version":
            gate.open.set()

    row = control.run(home, mission_id, on_event=open_after_first)
    assert ("DONE", False, 1) == (row.state, row.partial, row.version)
    assert [1] == [one.version for one in control.versions(home, mission_id)]
    assert row == fold(control.events(home, mission_id))


def test_a_first_look_is_reported_before_any_track_is_done(home: control.Home, folder: Path) -> None:
    """Promise: a track that can show something early gives version 1 while both tracks work; the last one is whole."""
    research, analysis = Gate("deep_research:batch"), Gate("ds_star:analyze")

    def both(moment: str, mission_id: str, step: str, attempt: int) -> None:
        research(moment, mission_id, step, attempt)
        analysis(moment, mission_id, step, attempt)

    playbook("early", both, shows_after="plan")
    mission_id = control.submit(home, "What?", folder, playbook="early")

    def open_after_first(event: control.MissionEvent) -> None:
        if event.type == "report.version":
            research.open.set()
            analysis.open.set()

    control.run(home, mission_id, on_event=open_after_first)
    stored = control.versions(home, mission_id)
    assert ("first_look", True) == (stored[0].reason, stored[0].partial)
    assert not stored[-1].partial


def test_at_sixty_percent_of_the_deadline_there_is_a_partial_report(home: control.Home, folder: Path) -> None:
    """Promise: with both tracks at work past 60 % of the deadline, what they have so far is fused."""
    research, analysis = Gate("deep_research:synthesize"), Gate("ds_star:finalize")

    def both(moment: str, mission_id: str, step: str, attempt: int) -> None:
        # with the last phase of both at hand there is something to show, and then the time is up
        if {research, analysis} == {
            gate for gate in (research, analysis) if gate.reached.is_set() or gate.step == step
        }:
            put_forward(home, 600)
        research(moment, mission_id, step, attempt)
        analysis(moment, mission_id, step, attempt)

    playbook("slow", both)
    mission_id = control.submit(home, "What?", folder, MissionOptions(deadline=900), playbook="slow")

    def go_on(event: control.MissionEvent) -> None:
        if event.type == "report.version":
            research.open.set()
            analysis.open.set()

    control.run(home, mission_id, on_event=go_on)
    first = control.versions(home, mission_id)[0]
    assert ("partial_due", True) == (first.reason, first.partial)


def test_at_the_deadline_the_report_says_so(home: control.Home, folder: Path) -> None:
    """Promise: a track that is late gives its partial package; the mission ends DONE, partial, cause deadline."""
    gate = Gate("ds_star:verify")

    def time_passes(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if step == gate.step:
            put_forward(home, 1000)
        gate(moment, mission_id, step, attempt)

    playbook("late", time_passes)
    mission_id = control.submit(home, "What?", folder, MissionOptions(deadline=900), playbook="late")
    row = control.run(
        home, mission_id, on_event=lambda event: gate.open.set() if event.type == "mission.finished" else None
    )
    gate.open.set()
    assert ("DONE", True) == (row.state, row.partial)
    assert "deadline" in {cause for cause, _ in row.degraded}


def test_a_track_that_fails_leaves_the_other_tracks_report(home: control.Home, folder: Path) -> None:
    """Promise: a lasting error fails its track with a dead letter; the mission is DONE, partial, and says why."""
    mission_id = submit(home, folder, Gate("ds_star:code", lambda: ValueError("bad table"), times=99))
    row = control.run(home, mission_id)
    assert ("DONE", True, "failed", "done") == (row.state, row.partial, row.ds_star, row.deep_research)
    letter = control.dead_letters(home)[0]
    assert ("ds_star", "ValueError", "code", 1) == (letter.track, letter.error_type, letter.last_step, letter.tries)
    assert "track_failed" in {cause for cause, _ in row.degraded}


def test_an_error_that_may_pass_is_tried_again(home: control.Home, folder: Path) -> None:
    """Promise: a transient error is retried with an event each time, and the mission is whole."""
    gate = Gate("ds_star:code", lambda: KimeraError("the provider is busy", recoverable=True), times=1)
    mission_id = submit(home, folder, gate)
    row = control.run(home, mission_id)
    assert ("DONE", False, 2) == (row.state, row.partial, gate.calls)
    assert 1 == sum(event.type == "track.retry" for event in control.events(home, mission_id))


def test_a_mission_without_any_package_fails(home: control.Home, folder: Path) -> None:
    """Promise: neither track delivered: FAILED with the first error; no report."""

    def broken(moment: str, mission_id: str, step: str, attempt: int) -> None:
        raise RuntimeError("broken")

    playbook("broken", broken)
    mission_id = control.submit(home, "What?", folder, playbook="broken")
    row = control.run(home, mission_id)
    assert ("FAILED", "RuntimeError", 0) == (row.state, row.error_type, row.version)
    assert 2 == len(control.dead_letters(home))


def test_retry_runs_one_track_again_and_fuses_the_next_version(home: control.Home, folder: Path) -> None:
    """Promise: retry is attempt + 1 of one track; the old attempt is superseded and the report becomes whole."""
    gate = Gate("ds_star:code", lambda: ValueError("bad table"), times=1)
    mission_id = submit(home, folder, gate)
    control.run(home, mission_id)
    control.retry(home, mission_id, "ds_star")
    row = control.run(home, mission_id)
    assert ("DONE", False, 2, 2, 1) == (row.state, row.partial, row.version, row.ds_star_attempt, row.round)
    assert [] == control.dead_letters(home)
    assert row == fold(control.events(home, mission_id))


def test_retry_needs_a_mission_that_has_ended_and_a_track_it_has(home: control.Home, folder: Path) -> None:
    """Promise: retrying what still runs is a conflict, retrying an unknown track is refused by name."""
    mission_id = control.submit(home, "What?", folder, MissionOptions(tracks=("ds_star",)), playbook="small")
    with pytest.raises(ConflictError):
        control.retry(home, mission_id, "ds_star")
    control.run(home, mission_id)
    with pytest.raises(ValidationError):
        control.retry(home, mission_id, "deep_research")


def test_a_step_lost_too_often_ends_its_track(home: control.Home, folder: Path) -> None:
    """Promise: a phase begun and lost more often than the limit is not begun again; the track is a dead letter."""
    gate = Gate("ds_star:code", lambda: AssertionError("must not run"))
    mission_id = submit(home, folder, gate)
    for _ in range((PERSONAL_CRASH_LIMIT if home.embedded else CRASH_LIMIT) + 1):
        home.attempts.begin(mission_id, "ds_star:1:code")
    row = control.run(home, mission_id)
    assert ("failed", 0) == (row.ds_star, gate.calls)
    assert "CRASH_LOOP" == control.dead_letters(home)[0].error_code


def test_a_full_disk_leaves_the_mission_resumable(home: control.Home, folder: Path) -> None:
    """Promise: StorageFull reaches the caller, fails nothing, and the next run completes the mission."""
    gate = Gate("ds_star:code", StorageFull, times=1)
    mission_id = submit(home, folder, gate)
    with pytest.raises(StorageFull, match="resume the mission"):
        control.run(home, mission_id)
    assert "RUNNING" == control.get(home, mission_id).state
    assert ("DONE", False) == (control.run(home, mission_id).state, control.get(home, mission_id).partial)


def test_a_busy_home_says_who_works_there(home: control.Home, folder: Path) -> None:
    """Promise: a second run in a home raises HomeBusy with the process id at once, or waits after one message."""
    only_sqlite(home)
    mission_id = control.submit(home, "What?", folder, playbook="small")
    lock = control.HomeLock(home)
    assert lock.try_take()
    with pytest.raises(HomeBusy, match="works here"):
        control.run(home, mission_id, wait=False)
    told: list[str] = []

    def hear(words: str) -> None:
        told.append(words)
        lock.release()

    assert "DONE" == control.run(home, mission_id, notice=hear).state
    assert 1 == len(told)


def test_handoffs_reach_the_other_track_and_stay_the_same_when_a_step_repeats(home: control.Home, folder: Path) -> None:
    """Promise: the inbox a step finds the first time is what it finds when it is repeated."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    assert (0, []) == home.attempts.begin(mission_id, "ds_star:1:code", "ds_star")
    home.attempts.phase_done(mission_id, "deep_research", 1, "plan", 0, "0" * 64, ['{"text":"late"}'])
    assert (1, []) == home.attempts.begin(mission_id, "ds_star:1:code", "ds_star")
    assert (0, [{"text": "late"}]) == home.attempts.begin(mission_id, "ds_star:1:verify", "ds_star")


def test_a_late_write_of_an_abandoned_attempt_changes_nothing(home: control.Home, folder: Path) -> None:
    """Promise: once an attempt has ended, neither phases nor packages nor failures are written to it."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    row = control.run(home, mission_id)
    late = home.attempts
    assert not late.phase_done(mission_id, "ds_star", 1, "finalize", 99, "0" * 64)
    assert not late.finish(mission_id, "ds_star", 1, "0" * 64, 0, False)
    assert row == control.get(home, mission_id)


def test_an_illegal_transition_is_refused(home: control.Home, folder: Path) -> None:
    """Promise: a mission goes only where its state allows."""
    mission_id = control.submit(home, "What?", folder, playbook="small")
    with pytest.raises(ConflictError):
        home.missions.append(mission_id, [Entry("x", "mission.state", {"old": "PENDING", "new": "DONE", "round": 0})])


def test_a_database_that_runs_full_leaves_the_mission_resumable(home: control.Home, folder: Path) -> None:
    """Promise: when SQLite itself has no room, StorageFull says so; with room again the mission completes."""
    only_sqlite(home)
    mission_id = control.submit(home, "What?", folder, playbook="small")

    def shrink(connection: Any, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")

    event.listen(home.database.engine, "connect", shrink)
    home.database.engine.dispose()
    with pytest.raises(StorageFull, match="free some space"):
        control.run(home, mission_id, on_event=None)
        control.submit(home, "x" * 3000, folder, playbook="small")
    event.remove(home.database.engine, "connect", shrink)
    home.database.engine.dispose()
    assert "DONE" == control.run(home, mission_id).state


def test_starting_one_id_twice_runs_it_once(home: control.Home, folder: Path) -> None:
    """Promise: the same id begun twice in a worker is one mission: each phase is executed once."""
    gate = Gate("ds_star:code")
    gate.open.set()
    mission_id = submit(home, folder, gate)
    with control.working(home) as worker:
        worker.start(mission_id)
        worker.start(mission_id)
        row = worker.wait(mission_id)
    assert ("DONE", 1) == (row.state, gate.calls)


def test_a_mission_the_engine_gave_up_is_begun_again_without_repeating_phases(home: control.Home, folder: Path) -> None:
    """Promise: a round that the engine lost is begun under a new id; phases whose state we hold are not executed."""
    only_sqlite(home)
    gate, stop = Gate("ds_star:verify"), threading.Event()
    calls = Gate("ds_star:analyze")
    calls.open.set()

    def both(moment: str, mission_id: str, step: str, attempt: int) -> None:
        gate(moment, mission_id, step, attempt)
        calls(moment, mission_id, step, attempt)

    playbook("both", both)
    mission_id = control.submit(home, "What?", folder, playbook="both")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(control.run, home, mission_id, stop=stop)
        assert gate.reached.wait(PATIENCE)
        stop.set()
        gate.open.set()
        running.result(PATIENCE)
    connection = sqlite3.connect(home.path / "engine.db")
    connection.execute("UPDATE workflow_status SET status = 'ERROR'")
    connection.commit()
    connection.close()
    row = control.run(home, mission_id)
    assert ("DONE", False, 1) == (row.state, row.partial, calls.calls)


def test_one_worker_runs_a_mission_and_later_its_retry(home: control.Home, folder: Path) -> None:
    """Promise: a worker process that saw a mission end takes its retry like any other mission."""
    gate = Gate("ds_star:code", lambda: ValueError("bad table"), times=1)
    mission_id = submit(home, folder, gate)
    ends = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(control.work, home, ends)
        assert wait_for(lambda: control.get(home, mission_id).ended)
        control.retry(home, mission_id, "ds_star")
        assert wait_for(lambda: control.get(home, mission_id).ended)
        ends.set()
        serving.result(PATIENCE)
    row = control.get(home, mission_id)
    assert ("DONE", False, "done", 2) == (row.state, row.partial, row.ds_star, row.version)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Return whether the condition came true in time."""
    pause = threading.Event()
    for _ in range(200):
        if condition():
            return True
        pause.wait(0.05)
    return False
