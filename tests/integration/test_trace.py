"""What `kimera trace` says after injected faults and kills, and that nothing of one mission is told of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from benchmarks import kill_trace
from benchmarks.small_missions import fuse, ingest, playbook
from tests.databases import BOTH, database_url

from kimera import telemetry
from kimera.cli.operate import _trail as trail_findings
from kimera.clock import SystemClock
from kimera.errors import ModelError, SandboxError, ServiceError, StorageError, StorageFull
from kimera.missions import control
from kimera.missions.control.budget import ledger
from kimera.resilience import Breaker
from kimera.sandbox import Job, Limits
from kimera.sandbox import run as run_job
from kimera.settings import Settings
from kimera.storage.missions import Entry
from kimera.storage.trail import open_trail
from kimera.telemetry.reading.trace import Trace
from kimera.telemetry.recording.redaction import UNREADABLE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PRICE = Decimal("0.003")
ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "examples" / "penguins"


class Hasty(SystemClock):
    """The machine's clock, on which a database's pauses between two tries take no time."""

    def pause(self, seconds: float) -> None:
        """Return at once."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[control.Home]:
    """Yield an open SQLite home."""
    settings = Settings(home=tmp_path / "home", database_url=None)
    with control.open_home(settings, Hasty()) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one text."""
    place = tmp_path / "folder"
    place.mkdir()
    (place / "a.txt").write_text("Alpha is first.\n")
    return place


Inject = Callable[[control.Home, str], None]


def provider_down(home: control.Home, mission_id: str) -> None:
    """Fail as a provider that answers 503 does."""
    raise ServiceError("The provider answered 503.", "provider", 503)


def bad_output(home: control.Home, mission_id: str) -> None:
    """Fail as a model whose answer has no usable form does."""
    raise ModelError("The answer was no JSON.", recoverable=False)


def sandbox_timeout(home: control.Home, mission_id: str) -> None:
    """Run code that never ends in the real sandbox."""
    answer = run_job(Job("while True: pass", {}, {}, Limits(wall=0.5), trusted=True))
    raise SandboxError(answer.error or "")


@contextmanager
def pragma_here(home: control.Home, name: str, value: int) -> Iterator[None]:
    """Give the connections that this thread takes another setting; other threads meet no fault."""
    engine, here, usual = home.database.engine, threading.get_ident(), []

    def take(connection: Any, *_: object) -> None:
        if threading.get_ident() == here:
            usual.append(connection.execute(f"PRAGMA {name}").fetchone()[0])
            connection.execute(f"PRAGMA {name}={value}")

    def give(connection: Any, *_: object) -> None:
        if threading.get_ident() == here and connection is not None:
            connection.execute(f"PRAGMA {name}={usual[0]}")

    sa.event.listen(engine, "checkout", take)
    sa.event.listen(engine, "checkin", give)
    try:
        yield
    finally:
        sa.event.remove(engine, "checkout", take)
        sa.event.remove(engine, "checkin", give)


def disk_full(home: control.Home, mission_id: str) -> None:
    """Let SQLite itself have no room for what is written next."""
    with pragma_here(home, "max_page_count", 1):
        for number in range(1_000):
            home.missions.append(mission_id, [Entry(f"fill:{number}", "plan.step", {"goal": "x" * 250})])


def locked_database(home: control.Home, mission_id: str) -> None:
    """Write while another process holds the database's write lock for longer than we wait."""
    holder = sa.create_engine(home.database.engine.url)
    try:
        with pragma_here(home, "busy_timeout", 20), holder.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            home.missions.append(mission_id, [Entry("never", "plan.step", {"goal": "x"})])
    finally:
        holder.dispose()


def breaker_open(home: control.Home, mission_id: str) -> None:
    """Call through a breaker that has opened."""
    guard = Breaker("provider", failures=1, recovery=0.2)

    @guard
    def call() -> None:
        raise ServiceError("The provider answered 500.", "provider", 500, recoverable=False)

    with pytest.raises(ServiceError):
        call()
    call()


def budget_stop(home: control.Home, mission_id: str) -> None:
    """Ask for more money than there is."""
    ledger(home).reserve(mission_id, "ds_star", Decimal(1))


FAULTS = [
    (provider_down, "SERVICE_PROVIDER_503", "missions", "failed"),
    (bad_output, "MODEL_ERROR", "missions", "failed"),
    (sandbox_timeout, "SANDBOX_WALL", "sandbox", "failed"),
    (disk_full, "STORAGE_FULL", "storage", "stopped"),
    (locked_database, "STORAGE", "storage", "stopped"),
    (breaker_open, "BREAKER_OPEN", "resilience", "failed"),
    (budget_stop, "BUDGET_MISSION", "llm", "failed"),
]


def pay(home: control.Home, mission_id: str, track: str) -> None:
    """Spend a little."""
    money = ledger(home)
    money.settle(money.reserve(mission_id, track, PRICE), PRICE, 10, 5)


def run_with(home: control.Home, folder: Path, inject: Inject) -> str:
    """Run a mission whose analysis pays in its first phase and meets a fault in its second; returns its id."""

    def hook(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if (moment, step) == ("begin", "ds_star:analyze"):
            pay(home, mission_id, "ds_star")
        if (moment, step) == ("begin", "ds_star:code"):
            inject(home, mission_id)

    playbook("faulty", hook)
    with control.recording(home, "run", lines=False):
        mission_id = control.submit(home, "What is first?", folder, playbook="faulty")
        ledger(home).open_mission(mission_id, Decimal("0.01"))
        try:
            control.run(home, mission_id)
        except (StorageFull, StorageError) as fault:
            assert "resume the mission" in fault.message
    return mission_id


def of_analysis(story: Trace) -> dict[str, str]:
    """Return the state of each step of the analysis that was begun."""
    return {step.name: step.state for step in story.steps if step.track == "ds_star"}


@pytest.mark.parametrize(("inject", "code", "module", "state"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_is_named_with_its_place_and_what_it_cost(
    home: control.Home, folder: Path, inject: Inject, code: str, module: str, state: str
) -> None:
    """Promise: the trace names the last finished step, the failing one, its attempt, the first error and the spend."""
    story = control.trace(home, run_with(home, folder, inject))
    assert story.first_error is not None
    assert (code, module) == (story.first_error.code, story.first_error.module)
    assert {"analyze": "done", "code": state} == of_analysis(story)
    assert {1} == {step.attempt for step in story.steps if step.track}
    assert "0.003" == story.spent["usd"]
    errors = [record for record in story.logs if record.level == "ERROR"]
    assert 1 == len(errors), [record.body for record in errors]
    assert errors[0].body["frames"]


def test_a_fusion_error_is_named(home: control.Home, folder: Path) -> None:
    """Promise: when putting the report together fails, the trace says so and which steps had finished."""

    def broken(request: control.FuseRequest) -> Any:
        raise ValueError("two claims of one id")

    made = playbook("unfusable")
    control.register_playbook(control.Playbook("unfusable", made.track, ingest, broken))
    with control.recording(home, "run", lines=False):
        mission_id = control.submit(home, "What is first?", folder, playbook="unfusable")
        assert "FAILED" == control.run(home, mission_id).state
    story = control.trace(home, mission_id)
    assert story.first_error is not None
    assert ("VALUEERROR", "missions", "FAILED") == (
        story.first_error.code,
        story.first_error.module,
        story.mission["state"],
    )
    assert {"fusion": "failed"} == {step.name: step.state for step in story.steps if step.name == "fusion"}
    assert 1 == sum(record.level == "ERROR" for record in story.logs)


@pytest.mark.parametrize("kind", BOTH)
def test_killed_missions_are_told_as_they_were(kind: str, tmp_path: Path) -> None:
    """Promise: after SIGKILL at a random moment every part of the trace is what really happened."""
    with database_url(kind, tmp_path) as url:
        place = tmp_path / "bench"
        place.mkdir()
        result = kill_trace.run(4, None if kind == "sqlite" else url, place)
    assert kill_trace.passed(result), result


def test_two_missions_at_once_never_mix(home: control.Home, folder: Path) -> None:
    """Promise: over the queue, threads and the sandbox every line, span and event has its own mission's request id."""
    together = threading.Barrier(2)

    def hook(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if (moment, step) == ("begin", "ds_star:code"):
            together.wait(30)
            with ThreadPoolExecutor(1) as pool:
                code = "result = 1"
                assert pool.submit(telemetry.carry(run_job), Job(code, {}, {}, trusted=True)).result().ok
            telemetry.get_logger("test").info("test.computed")

    playbook("mixed", hook)
    asked: dict[str, str] = {}
    for request in ("req-a", "req-b"):
        with telemetry.bind(request_id=request):
            asked[control.submit(home, f"What is first for {request}?", folder, playbook="mixed")] = request
    with control.recording(home, "worker", lines=False):
        control.work(home, until=lambda: all(row.ended for row in control.missions(home)))
    trail, traces = open_trail(home.database), []
    for mission_id, request in asked.items():
        spans, logs = trail.spans(mission_id), trail.logs(mission_id)
        events = control.events(home, mission_id)
        assert "DONE" == control.get(home, mission_id).state
        found = {one.request_id for one in (*spans, *logs, *events)}
        assert {request} == found
        assert {"sandbox.run", "agent.run", "agent.step", "fusion.run", "mission.close"} <= {one.name for one in spans}
        assert "test.computed" in {one.event for one in logs}
        assert {mission_id} == {one.body["mission_id"] for one in logs}
        traces.append({one.trace_id for one in spans})
    trail.close()
    # nothing but the mission's own work is in its spans: no id of the other
    assert not (traces[0] & traces[1])


def test_a_mission_accepted_elsewhere_is_one_trace(home: control.Home, folder: Path) -> None:
    """Promise: what one process accepted and another did is one tree under the first one's span."""
    playbook("traced")
    with control.recording(home, "serve", lines=False), telemetry.bind(request_id="req-c"):
        mission_id = control.submit(home, "What is first?", folder, playbook="traced")
    with control.recording(home, "worker", lines=False):
        control.work(home, until=lambda: all(row.ended for row in control.missions(home)))
    story = control.trace(home, mission_id)
    assert ["mission.accept"] == [node.name for node in story.tree]
    assert 0 == story.completeness["orphans"]
    assert {"req-c"} == {event.request_id for event in story.events}


def test_a_locked_store_delays_telemetry_and_never_the_work(home: control.Home, folder: Path) -> None:
    """Promise: while the trail cannot write the mission goes on; afterwards the store holds what happened meanwhile."""
    playbook("traced")
    with control.recording(home, "run", lines=False):
        writer = telemetry.active().writer
        assert writer is not None
        real, writer.store = writer.store, Refusing(StorageError("database is locked"))
        mission_id = control.submit(home, "What is first?", folder, playbook="traced")
        assert "DONE" == control.run(home, mission_id).state
        assert not telemetry.flush()
        writer.store = real
    story = control.trace(home, mission_id)
    assert {"ingest", "explore", "synthesize", "finalize"} <= {
        step.name for step in story.steps if step.state == "done"
    }
    trail = open_trail(home.database)
    (line,) = [one for one in trail.logs(None) if one.event == "telemetry.delayed"]
    trail.close()
    assert ("StorageError", 0) == (line.body["cause"], line.body["records"])


class Refusing(telemetry.MemoryStore):
    """A store that takes nothing."""

    def __init__(self, why: StorageError) -> None:
        super().__init__()
        self.why = why

    def write(self, logs: Any, spans: Any) -> None:
        """Refuse."""
        raise self.why


def test_a_store_that_stays_full_costs_records_and_nothing_else(home: control.Home, folder: Path) -> None:
    """Promise: with no room for telemetry the mission finishes, the process ends, and every lost record is counted."""
    playbook("traced")
    with control.recording(home, "run", lines=False):
        recorder = telemetry.active()
        assert recorder.writer is not None
        real, recorder.writer.store = recorder.writer.store, Refusing(StorageFull("No room."))
        mission_id = control.submit(home, "What is first?", folder, playbook="traced")
        assert "DONE" == control.run(home, mission_id).state
    real.close()
    assert recorder.dropped()["store"] > 20
    story = control.trace(home, mission_id)
    assert (0, True) == (len(story.tree), story.completeness["events_whole"])
    assert "finalize" in {step.name for step in story.steps if step.state == "done"}


def test_a_redactor_that_raises_withholds_the_text_and_stops_nothing(home: control.Home, folder: Path) -> None:
    """Promise: the mission finishes, and not one text that could not be checked is kept."""

    def raising(text: str) -> str:
        raise RuntimeError(text)

    playbook("traced")
    with control.recording(home, "run", lines=False):
        telemetry.active().redaction.redactor = raising
        mission_id = control.submit(home, "What is first?", folder, playbook="traced")
        assert "DONE" == control.run(home, mission_id).state
        failed = telemetry.active().redaction.failed
    goals = {event.payload["goal"] for event in control.events(home, mission_id) if event.payload.get("goal")}
    assert {UNREADABLE} == goals
    assert failed > 10


def test_the_doctor_names_why_telemetry_is_not_kept(tmp_path: Path) -> None:
    """Promise: a locked store is named with its code, what was lost with its number and cause."""
    settings = Settings(home=tmp_path / "home", database_url=None)
    with control.open_home(settings) as home:
        assert "ok" == doctor_says(settings)[1]
        with home.database.engine.connect() as holder:
            holder.exec_driver_sql("BEGIN IMMEDIATE")
            assert ("bad", True) == (doctor_says(settings)[1], "(STORAGE)" in doctor_says(settings)[2])
            holder.exec_driver_sql("ROLLBACK")
        trail = open_trail(home.database)
        lost = {"records": 7, "cause": "StorageFull", "ts": "2026-01-01T00:00:00.000000Z"}
        trail.write([telemetry.LogRecord(1.0, "WARN", "telemetry.dropped", "r", None, lost)], [])
        trail.close()
        _, status, words = doctor_says(settings)
    assert "note" == status
    assert "7 records were lost" in words and "StorageFull" in words


def doctor_says(settings: Settings) -> tuple[str, str, str]:
    """Return what `kimera doctor` finds about telemetry."""
    (finding,) = trail_findings(settings)
    return finding


def test_a_trace_of_five_thousand_records_is_there_at_once(home: control.Home, folder: Path) -> None:
    """Promise: reading and telling 5,000 records takes under 300 ms of processor time (best of three)."""
    playbook("traced")
    with control.recording(home, "run", lines=False):
        mission_id = control.submit(home, "What is first?", folder, playbook="traced")
        control.run(home, mission_id)
    begun, trail = time.time(), open_trail(home.database)
    spans = [
        telemetry.SpanRecord(
            f"{n:016x}", "a" * 32, None, "sandbox.run", "p", begun + n, begun + n + 1, mission_id=mission_id
        )
        for n in range(2_500)
    ]
    logs = [telemetry.LogRecord(begun + n, "INFO", "a.b", "r", mission_id, {"n": n}) for n in range(1_500)]
    trail.write(logs, spans)
    trail.close()
    rest = [Entry(f"more:{n}", "claim.checked", {"claim_id": str(n)}) for n in range(1_000)]
    home.missions.append(mission_id, rest)
    from kimera.telemetry.reading.telling import tell

    taken = []
    for _ in range(3):
        at = time.process_time()
        story = control.trace(home, mission_id)
        assert len(list(tell(story))) > 2_500
        taken.append(time.process_time() - at)
    assert len(story.events) + len(story.logs) + len(spans) >= 5_000
    assert min(taken) < 0.3, taken


def test_the_report_is_the_same_with_and_without_telemetry(home: control.Home, folder: Path) -> None:
    """Promise: recording changes nothing of what a mission answers."""
    playbook("traced")
    assert fuse is not None
    plain = control.submit(home, "What is first?", folder, playbook="traced")
    control.run(home, plain)
    with control.recording(home, "run", lines=False):
        traced = control.submit(home, "What is first?", folder, playbook="traced")
        control.run(home, traced)
    one, two = (control.outcome(home, mission_id) for mission_id in (plain, traced))
    assert [claim.id for claim in one.claims] == [claim.id for claim in two.claims]
    assert one.findings == two.findings


def test_an_offline_mission_says_little_and_nothing_twice(tmp_path: Path) -> None:
    """Promise: the bundled mission writes at most 40 INFO lines and a WARN with its cause for every degraded cause."""
    with control.open_home(Settings(home=tmp_path / "home", database_url=None)) as home:
        with control.recording(home, "run", lines=False):
            mission_id = control.submit(home, "Which factors go with higher body mass?", EXAMPLE)
            row = control.run(home, mission_id)
        story = control.trace(home, mission_id)
        causes = {
            degraded.cause for version in control.versions(home, mission_id) for degraded in causes_of(home, version)
        }
    lines = [record.body for record in story.logs]
    assert 1 <= sum(line["level"] == "INFO" for line in lines) <= 40
    assert causes and causes == {
        line["cause"] for line in lines if line["level"] == "WARN" and line["event"] == "degraded"
    }
    assert [] == [line for line in lines if line["level"] == "ERROR"]
    assert ("DONE", True) == (row.state, story.completeness["whole"])
    assert "fusion" == story.last_finished.name if story.last_finished else False


def causes_of(home: control.Home, version: control.Version) -> Any:
    """Return the degraded causes of one version of a report."""
    return control.outcome(home, version.mission_id, version.version).degraded


def test_the_command_tells_the_story(tmp_path: Path, folder: Path) -> None:
    """Promise: `kimera trace` prints the story, JSON with --json, and an OTLP file; `last` and beginnings of ids do."""
    environment = {**os.environ, "KIMERA_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT / "src")}

    def kimera(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from kimera.cli import main; main()", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    run = kimera("run", "What is first?", str(folder), "--json")
    lines = [json.loads(line) for line in run.stderr.splitlines()]
    assert {"mission.created", "mission.finished"} <= {line["event"] for line in lines}
    mission_id = json.loads(run.stdout.splitlines()[-1])["mission_id"]
    told = kimera("trace").stdout
    assert mission_id in told and "Last finished step: fusion" in told
    data = json.loads(kimera("trace", mission_id[:12], "--json").stdout)
    assert {"mission", "tree", "events", "logs", "gaps", "errors", "completeness"} <= set(data)
    kimera("trace", "last", "--otlp", str(tmp_path / "spans.json"))
    assert json.loads((tmp_path / "spans.json").read_text())["resourceSpans"]
    assert "" == "".join(
        line for line in kimera("run", "What is first?", str(folder)).stderr.splitlines() if line[:1] == "{"
    )
