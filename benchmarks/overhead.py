"""What the control plane itself costs: missions whose tracks do nothing.

    python benchmarks/overhead.py [--missions 60] [--flight 50] [--database postgresql://…] [--json]

``one at a time``: submit to DONE of an empty mission in a warm worker, p50 and p95; bar: p50 < 60 ms embedded.
``in flight``: so many missions accepted at once by one worker. Orchestration = from RUNNING to the first track at work,
plus from the last package to the end (queue wait and work in the tracks left out); bar: p95 < 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.kill import own_database, settings  # noqa: E402
from benchmarks.small_missions import empty_playbook  # noqa: E402

from kimera.missions import control  # noqa: E402


def quantile(values: list[float], share: float) -> float:
    """Return the nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered) + 0.5) - 1))]


def orchestration(events: list[control.MissionEvent]) -> float:
    """Return the seconds a mission spent between its control events: start to running, and fusing to the end."""
    at = {}
    for event in events:
        name = str(event.payload["new"]) if event.type == "mission.state" else event.type
        at.setdefault(name, event.at)
    last_track = max(event.at for event in events if event.type == "track.finished")
    dispatch = (at["track.started"] - at["RUNNING"]).total_seconds()
    closing = (at["mission.finished"] - last_track).total_seconds()
    return dispatch + closing


def measure(missions: int, flight: int, place: Path, database: str | None) -> dict[str, Any]:
    """Run both measurements in one home."""
    empty_playbook()
    folder = place / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("Nothing to see.\n")
    home = control.open_home(settings(str(place / "home"), database))
    lock = control.HomeLock(home)
    if home.embedded:
        lock.take(wait=True, notice=lambda words: None)
    singles: list[float] = []
    with control.working(home, threads=8) as worker:
        for number in range(missions + 5):
            began = time.perf_counter()
            mission_id = control.submit(home, f"Question {number}?", folder, playbook="empty")
            worker.start(mission_id)
            assert worker.wait(mission_id).state == "DONE"
            singles.append(time.perf_counter() - began)
        began = time.perf_counter()
        many = [control.submit(home, f"Flight {number}?", folder, playbook="empty") for number in range(flight)]
        for mission_id in many:
            worker.start(mission_id)
        for mission_id in many:
            assert worker.wait(mission_id).state == "DONE"
        whole = time.perf_counter() - began
    costs = [orchestration(control.events(home, one)) for one in many]
    lock.release()
    home.close()
    singles = singles[5:]
    return {
        "database": "postgresql" if database else "sqlite",
        "missions": missions,
        "one_at_a_time_p50_ms": round(statistics.median(singles) * 1000, 1),
        "one_at_a_time_p95_ms": round(quantile(singles, 0.95) * 1000, 1),
        "flight": flight,
        "in_flight_orchestration_p50_s": round(statistics.median(costs), 3),
        "in_flight_orchestration_p95_s": round(quantile(costs, 0.95), 3),
        "in_flight_all_done_s": round(whole, 2),
        "machine": f"{os.uname().machine}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missions", type=int, default=60)
    parser.add_argument("--flight", type=int, default=50)
    parser.add_argument("--database", help="a PostgreSQL server; a database of its own is made and dropped")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, own_database(arguments.database) as database:
        result = measure(arguments.missions, arguments.flight, Path(place), database)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name.replace('_', ' '):34} {value}")


if __name__ == "__main__":
    main()
