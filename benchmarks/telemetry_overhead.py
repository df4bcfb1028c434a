"""What full telemetry costs: the bundled offline mission with and without it, in interleaved pairs.

    python benchmarks/telemetry_overhead.py [--pairs 9] [--json]

Each run is a process of its own, from its first import to its end, so loading telemetry counts as well. "On" is what
`kimera run` does: logs and spans into the home's store, metrics counted. "Off" records nothing. CPU time is that of the
process and its children (user and system); the ratio of each pair is on / off - 1, the result the median. Other work on
the machine only ever adds CPU time, so beside the median stands the ratio of the two smallest runs, and a third figure
that a busy machine distorts little: in one run every entry into telemetry is timed on its own thread, its start and end
included, and the sum is divided by the rest of that run's CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

QUESTION = "Which factors go with higher body mass?"
FOLDER = ROOT / "examples" / "penguins"
BAR = 0.05


def child(home: str, telemetry_on: bool) -> None:
    """Run the mission in a fresh home."""
    from contextlib import nullcontext

    from kimera import telemetry
    from kimera.missions import control
    from kimera.settings import Settings

    settings = Settings(home=Path(home), database_url=None)
    if not telemetry_on:
        telemetry.switch_metrics(enabled=False)
        telemetry.active().level = 99
    with control.open_home(settings) as opened:
        with control.recording(opened, "run", lines=False) if telemetry_on else nullcontext():
            mission_id = control.submit(opened, QUESTION, FOLDER)
            row = control.run(opened, mission_id)
        assert row.state == "DONE"
        from kimera.storage.trail import open_trail

        assert bool(open_trail(opened.database).spans(mission_id)) == telemetry_on


class Account:
    """Adds up the CPU time of the outermost calls into telemetry, per thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0
        self._inside = threading.local()
        self._lock = threading.Lock()

    def watch(self, owner: Any, name: str) -> None:
        """Replace a method of a class by itself, timed."""
        real = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            if getattr(self._inside, "yes", False):
                return real(*args, **options)
            self._inside.yes, began = True, time.thread_time()
            try:
                return real(*args, **options)
            finally:
                taken, self._inside.yes = time.thread_time() - began, False
                with self._lock:
                    self.seconds += taken
                    self.calls += 1

        setattr(owner, name, timed)


def accounted() -> tuple[float, float]:
    """Run the mission here with every entry into telemetry timed; return its CPU seconds and those of the rest."""
    from kimera.missions import control
    from kimera.missions.control import _engine  # noqa: F401 - loaded by every run, and no part of telemetry
    from kimera.settings import Settings
    from kimera.storage import missions
    from kimera.telemetry.recording import redaction, spans
    from kimera.telemetry.retention import writer

    account = Account()
    for owner, name in (
        (missions, "_echo"),
        (redaction.Redaction, "payload"),
        (spans.Span, "__enter__"),
        (spans.Span, "__exit__"),
        (spans.Span, "set"),
        (writer.Writer, "_write"),
    ):
        account.watch(owner, name)
    with tempfile.TemporaryDirectory() as place:
        settings = Settings(home=Path(place) / "home", database_url=None)
        with control.open_home(settings) as home:
            began = time.process_time()
            recording = control.recording(home, "run", lines=False)
            recording.__enter__()
            account.seconds += time.process_time() - began
            control.run(home, control.submit(home, QUESTION, FOLDER))
            began = time.process_time()
            before = account.seconds
            recording.__exit__(None, None, None)
            account.seconds = before + time.process_time() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + used.ru_utime + used.ru_stime
    return account.seconds, total - account.seconds


def measure_accounted() -> tuple[float, float]:
    """Return what `accounted` returns in a process of its own."""
    command = [sys.executable, __file__, "--account"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    own, rest = json.loads(done.stdout.splitlines()[-1])
    return own, rest


def measure(telemetry_on: bool) -> tuple[float, float]:
    """Return CPU and wall seconds of one run in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        arguments = [
            sys.executable,
            __file__,
            "--child",
            f"{place}/home",
            "--telemetry",
            "on" if telemetry_on else "off",
        ]
        began = time.perf_counter()
        pid = os.posix_spawn(sys.executable, arguments, os.environ)
        _, status, used = os.wait4(pid, 0)
        wall = time.perf_counter() - began
    if status != 0:
        raise SystemExit(f"the run with telemetry {'on' if telemetry_on else 'off'} failed")
    return used.ru_utime + used.ru_stime, wall


def run(pairs: int) -> dict[str, Any]:
    """Measure ``pairs`` pairs, the order within a pair changing from one to the next."""
    measure(True)
    measure(False)
    rows = []
    for number in range(pairs):
        order = (True, False) if number % 2 else (False, True)
        found = {telemetry_on: measure(telemetry_on) for telemetry_on in order}
        rows.append((found[True], found[False]))
    cpu = [on[0] / off[0] - 1 for on, off in rows]
    wall = [on[1] / off[1] - 1 for on, off in rows]
    own, rest = sorted((measure_accounted() for _ in range(3)), key=lambda found: found[0] / found[1])[1]
    return {
        "mission": f"{QUESTION} ({FOLDER.relative_to(ROOT)})",
        "pairs": pairs,
        "cpu_seconds_off_median": round(median(off[0] for _, off in rows), 3),
        "cpu_seconds_on_median": round(median(on[0] for on, _ in rows), 3),
        "cpu_overhead_median": round(median(cpu), 4),
        "cpu_overhead_range": [round(min(cpu), 4), round(max(cpu), 4)],
        "cpu_overhead_of_minima": round(min(on[0] for on, _ in rows) / min(off[0] for _, off in rows) - 1, 4),
        "cpu_seconds_accounted": round(own, 3),
        "cpu_overhead_accounted": round(own / rest, 4),
        "wall_seconds_off_median": round(median(off[1] for _, off in rows), 3),
        "wall_seconds_on_median": round(median(on[1] for on, _ in rows), 3),
        "wall_overhead_median": round(median(wall), 4),
        "bar": BAR,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> None:
    """Run the benchmark, or be its child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--account", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--telemetry", choices=["on", "off"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.account:
        print(json.dumps(accounted()))
        return
    if arguments.child:
        child(arguments.child, arguments.telemetry == "on")
        return
    result = run(arguments.pairs)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):28} {value}")
    sys.exit(0 if result["cpu_overhead_accounted"] < BAR else 1)


if __name__ == "__main__":
    main()
