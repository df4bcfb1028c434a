"""Kill -9 a worker at every step boundary and at random moments; every mission must end with the same packages.

    python benchmarks/kill.py [--kills 200] [--database postgresql://…] [--json]

Child processes run small real missions. One half of the kills strikes at a write (before or after it, going through
all of them), the other half at a random moment. Afterwards: every mission is DONE and whole, its packages and claims
have the fingerprints of an undisturbed run, the row is the fold of its events, how it ended is recorded once with the
control plane's time, and no step was executed again after the engine had recorded it. The kill switch lives in this
script's child only.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.small_missions import playbook  # noqa: E402

from kimera.missions import control  # noqa: E402
from kimera.missions.contracts import fingerprint  # noqa: E402
from kimera.settings import Settings  # noqa: E402
from kimera.storage.fold import fold  # noqa: E402
from kimera.storage.levels import service_levels  # noqa: E402
from kimera.storage.outcomes import Outcomes  # noqa: E402

KILLS_PER_MISSION = 3
PHASE_SECONDS = 0.01
LEASE_SECONDS = 1.0
RECORDED = sa.text("SELECT workflow_uuid, function_name, completed_at_epoch_ms FROM operation_outputs")
RECORDED_POSTGRES = sa.text("SELECT workflow_uuid, function_name, completed_at_epoch_ms FROM dbos.operation_outputs")


def settings(home: str, database: str | None) -> Settings:
    """Return the settings of the benchmark's home."""
    return Settings(home=Path(home), database_url=database)  # type: ignore[arg-type]


# --- the child: runs one mission, logs what it executes, strikes itself at a given write ---------------------------


class Strike:
    """Counts writes, before and after each, and kills this process at the given count."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.lock = threading.Lock()

    def boundary(self) -> None:
        """Count one boundary."""
        with self.lock:
            self.count += 1
            if self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Return the write with a boundary on either side."""

        def guarded(*args: Any, **options: Any) -> Any:
            self.boundary()
            done = write(*args, **options)
            self.boundary()
            return done

        return guarded


def child(arguments: argparse.Namespace) -> None:
    """Run the mission named on the command line, in this process."""
    log = os.open(arguments.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(moment: str, mission_id: str, step: str, attempt: int) -> None:
        line = f"{time.time() * 1000:.3f} {moment} {mission_id} {step} {attempt}\n"
        os.write(log, line.encode())
        time.sleep(PHASE_SECONDS)

    playbook("small", note)
    home = control.open_home(settings(arguments.home, arguments.database))
    strike = Strike(arguments.strike)
    home.missions.append = strike.around(home.missions.append)  # type: ignore[method-assign]
    home.attempts.phase_done = strike.around(home.attempts.phase_done)  # type: ignore[method-assign]
    from dbos._sys_db import SystemDatabase

    SystemDatabase.record_operation_result = strike.around(SystemDatabase.record_operation_result)  # type: ignore
    lock = control.HomeLock(home)
    if home.embedded:
        lock.take(wait=True, notice=lambda words: None)
    with control.working(home, lease=LEASE_SECONDS) as worker:
        print("ready", flush=True)
        worker.start(arguments.child)
        worker.wait(arguments.child)
    print(f"boundaries {strike.count}", flush=True)


def over(process: subprocess.Popen[str]) -> None:
    """Wait for a child and close its pipe."""
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


# --- the parent ----------------------------------------------------------------------------------------------------


class Bench:
    """One home, its missions, and the processes that are killed in it."""

    def __init__(self, place: Path, database: str | None) -> None:
        self.place, self.database = place, database
        self.log = place / "executions.log"
        self.folder = place / "folder"
        self.folder.mkdir()
        for number in range(3):
            (self.folder / f"{number}.txt").write_text(f"Line one of text {number}.\n" * (number + 1))
        playbook("small")
        self.home = control.open_home(settings(str(place / "home"), database))
        self.random = random.Random(20260101)
        self.boundaries = 0
        self.work_seconds = 0.0

    def submit(self) -> str:
        """Store one more mission."""
        return control.submit(self.home, "What do the texts say?", self.folder, playbook="small")

    def launch(self, mission_id: str, strike: int = 0) -> subprocess.Popen[str]:
        """Start a child for the mission and wait until it is at work (or dead)."""
        command = [sys.executable, __file__, "--child", mission_id, "--home", str(self.place / "home")]
        command += ["--log", str(self.log), "--strike", str(strike)]
        if self.database:
            command += ["--database", self.database]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def undisturbed(self) -> dict[str, str]:
        """Run one mission without kills; returns its fingerprints and learns its length."""
        mission_id = self.submit()
        process = self.launch(mission_id)
        began = time.monotonic()
        assert process.stdout is not None
        self.boundaries = int(process.stdout.readline().split()[1])
        over(process)
        self.work_seconds = time.monotonic() - began
        return self.marks(mission_id)

    def marks(self, mission_id: str) -> dict[str, str]:
        """Return the fingerprints of a mission's packages and of the claims of its last report."""
        marks = {}
        for track, attempt in self.home.attempts.current(mission_id).items():
            package = self.home.blobs.get_json(attempt.package) if attempt.package else {}
            marks[track] = fingerprint(package)
        outcome = control.outcome(self.home, mission_id).model_dump(mode="json")
        marks["report"] = fingerprint({name: outcome[name] for name in ("claims", "findings", "computations")})
        return marks

    def torment(self, mission_id: str, number: int, left: int) -> int:
        """Run a mission under at most three kills and then to its end; returns how many kills struck."""
        struck = 0
        for turn in range(min(KILLS_PER_MISSION, left)):
            at_boundary = (number + turn) % 2 == 0
            strike = 1 + (number * 7 + turn * 11) % max(self.boundaries, 1) if at_boundary else 0
            process = self.launch(mission_id, strike)
            if not at_boundary:
                with_luck = self.random.uniform(0, max(self.work_seconds, 0.05))
                try:
                    process.wait(with_luck)
                except subprocess.TimeoutExpired:
                    process.kill()
            over(process)
            struck += process.returncode == -signal.SIGKILL
            if control.get(self.home, mission_id).ended:
                return struck
        over(self.launch(mission_id))
        return struck

    def repeated(self) -> tuple[int, int, int]:
        """Return (executions, recorded steps, executions begun after their step was recorded)."""
        done: dict[tuple[str, str], float] = {}
        for workflow, step, at in self._recorded():
            done[str(workflow), str(step)] = float(at)
        executions = late = 0
        for line in self.log.read_text().splitlines():
            at, moment, mission_id, step, attempt = line.split()
            if moment != "begin":
                continue
            executions += 1
            track, phase = step.split(":")
            late += float(at) > done.get((f"{mission_id}:{track}:{attempt}", phase), float("inf"))
        steps = sum(":" in workflow for workflow, _ in done)
        return executions, steps, late

    def _recorded(self) -> list[Any]:
        url = self.home.engine_url.replace("postgresql://", "postgresql+psycopg://")
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            rows = connection.execute(RECORDED if self.home.embedded else RECORDED_POSTGRES).all()
        engine.dispose()
        return list(rows)


def run(kills: int, database: str | None, place: Path) -> dict[str, Any]:
    """Strike until ``kills`` have struck and return what was found."""
    bench = Bench(place, database)
    expected = bench.undisturbed()
    missions: list[str] = []
    struck = 0
    began = time.monotonic()
    while struck < kills:
        mission_id = bench.submit()
        struck += bench.torment(mission_id, len(missions), kills - struck)
        missions.append(mission_id)
    rows = [control.get(bench.home, one) for one in missions]
    executions, steps, late = bench.repeated()
    levels = service_levels(bench.home.database).read("1d")
    result = {
        "database": "postgresql" if database else "sqlite",
        "kills": struck,
        "missions": len(missions),
        "boundaries_per_mission": bench.boundaries,
        "done": sum(row.state == "DONE" and not row.partial for row in rows),
        "same_packages": sum(bench.marks(one) == expected for one in missions),
        "row_is_fold": sum(row == fold(control.events(bench.home, row.mission_id)) for row in rows),
        "one_outcome": sum(outcomes_of(bench.home, one) for one in missions),
        "orchestration_p95_ms": round(1_000 * (levels[-1].value or 0.0), 1),
        "executions": executions,
        "recorded_steps": steps,
        "repeated_after_recorded": late,
        "dead_letters": len(control.dead_letters(bench.home)),
        "seconds": round(time.monotonic() - began, 1),
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores",
    }
    bench.home.close()
    return result


def outcomes_of(home: control.Home, mission_id: str) -> bool:
    """Return whether a mission left one outcome, a success whose control time was measured."""
    found = Outcomes(home.database).of(mission_id)
    return len(found) == 1 and found[0].outcome in {"done", "degraded"} and bool(found[0].orchestration_seconds)


def passed(result: dict[str, Any]) -> bool:
    """Return whether everything held."""
    every = result["missions"]
    whole = all(result[name] == every for name in ("done", "same_packages", "row_is_fold", "one_outcome"))
    return whole and result["repeated_after_recorded"] == 0 and result["dead_letters"] == 0


@contextmanager
def own_database(server: str | None) -> Iterator[str | None]:
    """Yield a database of its own on the server, dropped afterwards; None for SQLite."""
    if server is None:
        yield None
        return
    address = sa.make_url(server)
    engine = sa.create_engine(address.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    name = f"kimera_kill_{uuid.uuid4().hex[:12]}"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        engine.dispose()


def main() -> None:
    """Run the benchmark, or be its child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--database", help="a PostgreSQL server; a database of its own is made and dropped")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--home", help=argparse.SUPPRESS)
    parser.add_argument("--log", help=argparse.SUPPRESS)
    parser.add_argument("--strike", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    with tempfile.TemporaryDirectory() as place, own_database(arguments.database) as database:
        result = run(arguments.kills, database, Path(place))
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):28} {value}")
    sys.exit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
