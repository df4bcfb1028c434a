"""Kill -9 missions at random moments and ask `kimera trace` what happened; every answer is compared with the truth.

    python benchmarks/kill_trace.py [--kills 50] [--database postgresql://…] [--json]

A child runs a small mission whose phases note their beginning and end, and every payment, in a file of their own (one
write each, so it survives the kill). Afterwards the trace, made from the store alone, must name: every phase that had
begun and whose result was not stored, as interrupted, with its attempt; the step that was finished last; the lost
worker as the first error; and what was spent, to within the payments under way at the kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.kill import own_database, settings  # noqa: E402
from benchmarks.small_missions import ANALYSIS_PHASES, RESEARCH_PHASES, playbook  # noqa: E402

from kimera.missions import control  # noqa: E402
from kimera.missions.control.budget import ledger  # noqa: E402
from kimera.storage.attempts import Attempt  # noqa: E402
from kimera.telemetry.reading.trace import Trace  # noqa: E402

PHASE_SECONDS = (0.01, 0.08)
PRICE = Decimal("0.003")
CAP = Decimal(5)
TOGETHER_SECONDS = 0.02
"""Two ends closer than this may be told in either order."""
PARTS = ("in_progress", "last_finished", "attempts", "first_error", "spent", "whole")
PHASES = {"deep_research": RESEARCH_PHASES, "ds_star": ANALYSIS_PHASES}


def child(arguments: argparse.Namespace) -> None:
    """Run the mission named on the command line, paying for every phase, until it ends or is killed."""
    log = os.open(arguments.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    home = control.open_home(settings(arguments.home, arguments.database))
    money = ledger(home)
    luck = random.Random(arguments.seed)

    def note(*words: str) -> None:
        os.write(log, f"{time.time():.6f} {' '.join(words)}\n".encode())

    def hook(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if mission_id != arguments.child:
            return
        if moment == "begin":
            note("begin", step)
            ticket = money.reserve(mission_id, step.split(":", maxsplit=1)[0], PRICE)
            time.sleep(luck.uniform(*PHASE_SECONDS))
            note("paying", step)
            money.settle(ticket, PRICE, 10, 5)
            note("paid", step)
        else:
            note("end", step)

    playbook("traced", hook)
    lock = control.HomeLock(home)
    if home.embedded:
        lock.take(wait=True, notice=lambda words: None)
    with control.recording(home, "run", lines=False), control.working(home, lease=1.0) as worker:
        print("ready", flush=True)
        worker.start(arguments.child)
        worker.wait(arguments.child)
        print("ended", flush=True)


class Bench:
    """One home and the children that are killed in it."""

    def __init__(self, place: Path, database: str | None, seed: int = 20260101) -> None:
        self.place, self.database = place, database
        self.folder = place / "folder"
        self.folder.mkdir()
        for number in range(3):
            (self.folder / f"{number}.txt").write_text(f"Line one of text {number}.\n" * (number + 1))
        playbook("traced")
        self.home = control.open_home(settings(str(place / "home"), database))
        self.luck = random.Random(seed)
        self.work_seconds = 0.0

    def submit(self) -> str:
        """Store one more mission with money to spend."""
        mission_id = control.submit(self.home, "What do the texts say?", self.folder, playbook="traced")
        ledger(self.home).open_mission(mission_id, CAP)
        return mission_id

    def log_of(self, mission_id: str) -> Path:
        """Return the file in which a mission's phases note what they do."""
        return self.place / f"{mission_id}.log"

    def launch(self, mission_id: str) -> subprocess.Popen[str]:
        """Start a child for the mission and wait until it is at work."""
        command = [sys.executable, __file__, "--child", mission_id, "--home", str(self.place / "home")]
        command += ["--log", str(self.log_of(mission_id)), "--seed", str(self.luck.randrange(10**6))]
        if self.database:
            command += ["--database", self.database]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def undisturbed(self) -> None:
        """Run one mission without a kill and learn how long it works."""
        process = self.launch(self.submit())
        began = time.monotonic()
        assert process.stdout is not None
        process.stdout.readline()
        self.work_seconds = time.monotonic() - began
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def kill_one(self) -> str:
        """Run a mission and kill its process at a random moment of its work; returns the mission."""
        mission_id = self.submit()
        process = self.launch(mission_id)
        time.sleep(self.luck.uniform(0, self.work_seconds))
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return mission_id


class Truth:
    """What really happened to a mission, by its phases' own notes and its rows."""

    def __init__(self, home: control.Home, mission_id: str, log: Path) -> None:
        self.row = control.get(home, mission_id)
        self.attempts: dict[str, Attempt] = home.attempts.current(mission_id)
        self.events = control.events(home, mission_id)
        lines = log.read_text().splitlines() if log.exists() else []
        notes = [line.split(" ") for line in lines]
        self.begun = [step for _, moment, step in notes if moment == "begin"]
        self.ends = {step: float(at) for at, moment, step in notes if moment == "end"}
        count = Counter(moment for _, moment, _ in notes)
        self.paid = (count["paid"] * PRICE, count["paying"] * PRICE)

    def stored(self, track: str) -> int:
        """Return how many phases of a track have their result stored."""
        attempt = self.attempts[track]
        return attempt.phase_index + 1

    def in_progress(self) -> set[tuple[str, str]]:
        """Return the phases that had begun and whose result is not stored, of attempts that are still open."""
        found = set()
        for step in self.begun:
            track, phase = step.split(":")
            is_open = self.attempts[track].status in {"pending", "running"}
            if is_open and PHASES[track].index(phase) >= self.stored(track):
                found.add((track, phase))
        return found

    def may_have_begun(self) -> set[tuple[str | None, str]]:
        """Return what may be told as in progress though its own note is not there: next phases, reading, fusion."""
        nexts: set[tuple[str | None, str]] = {(None, "ingest")} if self.row.library is None else {(None, "fusion")}
        for track, names in PHASES.items():
            if self.stored(track) < len(names):
                nexts.add((track, names[self.stored(track)]))
        return nexts

    def last_finished(self) -> set[tuple[str | None, str]]:
        """Return the step finished last, with those that ended within a moment of it."""
        ends: dict[tuple[str | None, str], float] = {}
        for event in self.events:
            if event.type == "plan.step" and event.payload.get("kind") == "library":
                ends[None, "ingest"] = event.at.timestamp()
            if event.type in {"report.version", "mission.finished"}:
                ends[None, "fusion"] = event.at.timestamp()
        for step, at in self.ends.items():
            track, phase = step.split(":")
            if PHASES[track].index(phase) < self.stored(track):
                ends[track, phase] = at
        if not ends:
            return set()
        last = max(ends.values())
        return {step for step, at in ends.items() if last - at <= TOGETHER_SECONDS}


def judge(story: Trace, truth: Truth) -> dict[str, bool]:
    """Return which parts of a trace are true."""
    told = {(step.track, step.name) for step in story.in_progress}
    must, may = truth.in_progress(), truth.may_have_begun()
    last = story.last_finished
    expected = truth.last_finished()
    first = story.first_error
    spent = Decimal(str(story.spent["usd"]))
    low, high = truth.paid
    attempts = {(step.track, step.attempt) for step in story.in_progress if step.track}
    return {
        "in_progress": must <= told <= must | may,
        "last_finished": ((last.track, last.name) in expected) if last and expected else not last and not expected,
        "attempts": all(attempt == truth.attempts[str(track)].attempt for track, attempt in attempts),
        "first_error": (first is not None and (first.code, first.module) == ("WORKER_LOST", "missions"))
        if must
        else first is None or first.code == "WORKER_LOST",
        "spent": low <= spent <= high,
        "whole": bool(story.completeness["events_whole"]),
    }


def run(kills: int, database: str | None, place: Path) -> dict[str, Any]:
    """Kill ``kills`` missions at work and return how many traces told the truth, part by part."""
    bench = Bench(place, database)
    bench.undisturbed()
    right: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    seconds: list[float] = []
    struck = mid_step = ended = 0
    while struck < kills:
        mission_id = bench.kill_one()
        truth = Truth(bench.home, mission_id, bench.log_of(mission_id))
        if truth.row.ended:
            ended += 1
            continue
        struck += 1
        mid_step += bool(truth.in_progress())
        began = time.perf_counter()
        story = control.trace(bench.home, mission_id)
        seconds.append(time.perf_counter() - began)
        control.cancel(bench.home, mission_id)  # or the next child would go on with it
        verdict = judge(story, truth)
        right.update(name for name, is_right in verdict.items() if is_right)
        if not all(verdict.values()):
            told = [(step.track, step.name, step.state) for step in story.in_progress]
            last = story.last_finished
            facts = {"wrong": [name for name, is_right in verdict.items() if not is_right], "told": told}
            facts |= {"truth": sorted(truth.in_progress()), "last": (last.track, last.name) if last else None}
            facts |= {"truly_last": sorted(map(str, truth.last_finished())), "spent": story.spent, "paid": truth.paid}
            facts |= {"first": str(story.first_error)}
            wrong.append(facts)
    bench.home.close()
    return {
        "database": "postgresql" if database else "sqlite",
        "kills": struck,
        "in_the_middle_of_a_step": mid_step,
        "too_late_to_kill": ended,
        "right": {
            name: right[name] for name in ("in_progress", "last_finished", "attempts", "first_error", "spent", "whole")
        },
        "trace_ms_median": round(median(seconds) * 1000, 1),
        "wrong": wrong,
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores",
    }


def passed(result: dict[str, Any]) -> bool:
    """Return whether every trace told the truth in every part."""
    return all(count == result["kills"] for count in result["right"].values())


def main() -> None:
    """Run the benchmark, or be its child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--database", help="a PostgreSQL server; a database of its own is made and dropped")
    parser.add_argument("--json", action="store_true")
    for hidden in ("--child", "--home", "--log"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    with tempfile.TemporaryDirectory() as place, own_database(arguments.database) as database:
        result = run(arguments.kills, database, Path(place))
    if arguments.json:
        print(json.dumps(result, default=str))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):28} {value}")
    sys.exit(0 if passed(result) else 1)


if __name__ == "__main__":
    main()
