"""A hundred people open a board at once: twelve quantile panels each, recorded series against raw buckets.

    python benchmarks/boards.py [--users 100] [--few 10] [--json]

A Prometheus is filled with scripted history (buckets every 15 s, then our recording rules over them); every user asks
its twelve range queries one after another, all users at once, over six hours in steps of a minute (what Grafana makes
of the boards' 300 points per line). What is timed is how long each user waits for the last of the twelve; what the
server's processor did meanwhile stands beside it. Bar: p95 < 2 s on recorded series. The same questions on raw buckets,
as a panel would ask without the rules, follow, by fewer users. Needs prometheus and promtool.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlencode

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.prometheus import PLACE, prometheus  # noqa: E402

from kimera.telemetry.recording.catalog import METRICS, PHASES  # noqa: E402

STEP = 15
BOARD_STEP = 60
HOURS = 6
ROUNDS = 3
WARM_UP = 2 * 3_600  # the longest window of these rules, twice
BAR_SECONDS = 2.0
RECORDED = (
    *(f"kimera:identity_entropy:p{q}_5m" for q in (50, 90, 99)),
    *(f"kimera:storage_operation_seconds:{what}_5m" for what in ("mean", "p50", "p99")),
    *(f"kimera:http_seconds:p{q}_5m" for q in (50, 95)),
    *(f"kimera:mission_phase_seconds:p{q}_1h" for q in (50, 95)),
    *(f"kimera:orchestration_seconds:p{q}_1h" for q in (50, 95)),
)
"""The twelve panels: what a person who looks after entropy, storage, the API and missions has open."""
SERIES: dict[str, Sequence[dict[str, str]]] = {
    "kimera_identity_entropy": [{"identity_type": kind} for kind in ("geoid", "scar")],
    "kimera_storage_operations_duration_seconds": [
        {"operation": operation, "backend": "sqlite"}
        for operation in METRICS["kimera_storage_operations_duration_seconds"].labels[0].values[:12]
    ],
    "kimera_http_request_duration_seconds": [{"route": f"/api/{number}"} for number in range(12)],
    "kimera_mission_phase_duration_seconds": [
        {"track": track, "phase": phase} for track, phases in PHASES.items() for phase in phases
    ],
    "kimera_orchestration_duration_seconds": [{}],
}


def write_history(sink: TextIO, start: int, end: int) -> int:
    """Write cumulative buckets, sums and counts every `STEP` seconds as OpenMetrics; returns the number of samples."""
    samples = 0
    for name, sets in SERIES.items():
        edges = [*METRICS[name].edges, float("inf")]
        sink.write(f"# TYPE {name} histogram\n")
        for place, labels in enumerate(sets):
            for moment in range(start, end, STEP):
                passed = (moment - start) // STEP
                for line in lines(name, labels, edges, passed, place):
                    sink.write(f"{line} {moment}\n")
                    samples += 1
    sink.write("# EOF\n")
    return samples


def lines(name: str, labels: dict[str, str], edges: list[float], passed: int, place: int) -> Iterator[str]:
    """Yield a histogram's lines after ``passed`` steps: each step brings some values into every bucket."""
    words = ",".join(f'{key}="{value}"' for key, value in labels.items())
    inside = f"{words}," if words else ""
    total = 0
    for number, edge in enumerate(edges):
        total += passed * (1 + (number * 7 + place) % 5) + passed * passed % (number + 2)
        text = "+Inf" if edge == float("inf") else f"{edge:g}" if edge % 1 else f"{edge:.1f}"
        yield f'{name}_bucket{{{inside}le="{text}"}} {total}'
    yield f"{name}_sum{{{words}}} {total * 0.1:.3f}"
    yield f"{name}_count{{{words}}} {total}"


def promtool(*arguments: str) -> None:
    """Run promtool to its end; it says too much to be shown."""
    subprocess.run(["promtool", *arguments], check=True, capture_output=True)


def fill(place: Path, start: int, end: int) -> int:
    """Make blocks of history and of the rules over it under ``place / "data"``; returns the number of raw samples."""
    text, data = place / "history.txt", place / "data"
    with text.open("w") as sink:
        samples = write_history(sink, start, end)
    promtool("tsdb", "create-blocks-from", "openmetrics", str(text), str(data))
    text.unlink()
    rules = yaml.safe_load((PLACE / "rules" / "recording.yml").read_text())
    rules["groups"][0]["rules"] = [rule for rule in rules["groups"][0]["rules"] if rule["record"] in RECORDED]
    (place / "rules.yml").write_text(yaml.safe_dump(rules))
    with prometheus(empty(place), place) as url:
        window = [
            f"--start={start + WARM_UP}",
            f"--end={end}",
            "--eval-interval=15s",
            f"--output-dir={place / 'rules'}",
        ]
        promtool("tsdb", "create-blocks-from", "rules", f"--url={url}", *window, str(place / "rules.yml"))
    for block in (place / "rules").iterdir():
        shutil.move(block, data / block.name)
    return samples


def empty(place: Path) -> Path:
    """Write a configuration that scrapes nothing and return the file."""
    (place / "empty.yml").write_text("global: {scrape_interval: 15s}\n")
    return place / "empty.yml"


def visit(url: str, exprs: Sequence[str], window: dict[str, str], waits: list[float], gate: threading.Barrier) -> None:
    """Ask one user's queries one after another and note how long the last answer took to come."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    gate.wait()
    began = time.monotonic()
    for expr in exprs:
        connection.request("POST", "/api/v1/query_range", urlencode({"query": expr, **window}), headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        assert b'"values"' in body, f"no data for {expr}"
    waits.append(time.monotonic() - began)
    connection.close()


def cpu_seconds(url: str) -> float:
    """Return the processor time the server has used, as it says itself."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    [seconds] = re.findall(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
    return float(seconds)


@dataclass(frozen=True)
class Waits:
    """How long users waited, in seconds, and how long the server's processor was at work."""

    series: str
    users: int
    queries: int
    median: float
    p95: float
    max: float
    cpu: float


def crowd(series: str, url: str, exprs: Sequence[str], users: int, window: dict[str, str]) -> Waits:
    """Let all users ask at once and return their waits."""
    waits: list[float] = []
    gate = threading.Barrier(users)
    people = [threading.Thread(target=visit, args=(url, exprs, window, waits, gate)) for _ in range(users)]
    before = cpu_seconds(url)
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert len(waits) == users, f"{users - len(waits)} users got no answer"
    ordered = sorted(waits)
    p95 = ordered[max(0, -(-users * 95 // 100) - 1)]
    return Waits(series, users, users * len(exprs), ordered[users // 2], p95, ordered[-1], cpu_seconds(url) - before)


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--few", type=int, default=10, help="users of the comparison with raw buckets")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rules = yaml.safe_load((PLACE / "rules" / "recording.yml").read_text())["groups"][0]["rules"]
    raw = {rule["record"]: rule["expr"] for rule in rules}
    end = int(time.time()) // STEP * STEP
    start = end - HOURS * 3_600 - WARM_UP
    window = {"start": str(start + WARM_UP), "end": str(end), "step": str(BOARD_STEP)}
    questions = [raw[name] for name in RECORDED]
    rows: list[Waits] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        samples = fill(place, start, end)
        with prometheus(empty(place), place) as url:
            crowd("warm-up", url, [*RECORDED, *questions], 1, window)  # from disk into memory, for all alike
            rows += [crowd("recorded", url, RECORDED, options.users, window) for _ in range(ROUNDS)]
            rows.append(crowd("recorded", url, RECORDED, options.few, window))
            rows.append(crowd("raw buckets", url, questions, options.few, window))
    ratio = rows[-1].p95 / rows[-2].p95
    if options.json:
        facts = {"cores": os.cpu_count(), "samples": samples, "bar_seconds": BAR_SECONDS, "ratio": ratio}
        print(json.dumps({**facts, "rows": [asdict(row) for row in rows]}))
        return
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; users at once, {HOURS} h in steps of {BOARD_STEP} s,"
    )
    print(f"{samples:,} raw samples; seconds until a user's last panel is there")
    print(f"bar: p95 < {BAR_SECONDS:g} s with {options.users} users\n")
    print(f"{'series':<14}{'users':>6}{'queries':>9}{'median':>9}{'p95':>8}{'max':>8}{'server cpu':>12}")
    for row in rows:
        print(
            f"{row.series:<14}{row.users:>6}{row.queries:>9}{row.median:>9.2f}{row.p95:>8.2f}{row.max:>8.2f}{row.cpu:>12.2f}"
        )
    print(f"\nraw / recorded at p95, {options.few} users: {ratio:.1f}")


if __name__ == "__main__":
    main()
