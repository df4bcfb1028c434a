"""Observations over HTTP one by one and in batches, with and without predictions, on a memory that knows something.

    python scripts/benchmark_batch.py --count 100 --pattern-db-size 1000 [--url http://127.0.0.1:8000] [--check]

Starts `kimera serve` in an empty home unless told where one answers. Prints one JSON document: for single calls and
batches of 25 the latencies and observations per second; the plain reference (`benchmarks/memory_reference.py`, in this
process, without HTTP, the same predictions, checked); what the server says of its caches and memory. `--check` ends
with 1 when a bar is missed. Rounds take turns; the figures are over all of them.

Beside them stand the figures of the KATO plan, 57 to 204 observations per second and 439 to 123 ms: there, 25 single
calls against one batch of 25, on an empty memory. Here the memory knows `--pattern-db-size` patterns of eight symbols.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.memory_reference import Reference
from benchmarks.memory_server import Caller, Events, M, Refused, fill, machine, monitoring, request, served, spread
from benchmarks.memory_server import stream, texts

BATCH = 25
ROUNDS = 5
WARM = 2
THRESHOLD = 0.1
KATO = {
    "single": {"observations_per_second": 57, "batch_of_25_ms": 439},
    "batch": {"observations_per_second": 204, "batch_of_25_ms": 123},
    "note": "25 single calls against one batch of 25, on an empty memory, as the plan states them",
}


class Bench:
    """One memory on a server, and the times taken there in seconds."""

    def __init__(self, caller: Caller, patterns: Sequence[tuple[str, Events]], memory: str) -> None:
        self.caller, self.patterns, self.memory = caller, patterns, memory
        self.times: dict[str, list[float]] = {}
        self.session = f"{memory}-s"
        self.last: dict[int, list[str]] = {}
        caller.ask("POST", f"{M}/sessions", {"memory": memory, "session_id": self.session}, 201)

    def timed(self, name: str, message: bytes) -> Any:
        """Send a request, note its time under a name, return the answer; raises `Refused` unless it is 200."""
        began = perf_counter()
        status, body = self.caller.send(message)
        self.times.setdefault(name, []).append(perf_counter() - began)
        if status != 200:
            raise Refused(f"{name} gave {status}: {body[:300]!r}")
        return json.loads(body)

    def health(self, count: int) -> None:
        """Ask whether the server lives."""
        for _ in range(count):
            self.timed("health", request("GET", "/health/live"))

    def singles(self, groups: Sequence[tuple[int, list[list[str]]]], *, predict: bool) -> None:
        """Observe event by event; after each group of 25 the short-term memory is cleared, which is not timed."""
        name = "single_predicted" if predict else "single"
        where = f"/observe?memory={self.memory}&session={self.session}"
        for number, group in groups:
            for event in group:
                seen = self.timed(name, request("POST", where, body_of(event, predict)))
            self._ended(number, seen if predict else None)

    def batches(self, groups: Sequence[tuple[int, list[list[str]]]], *, predict: bool) -> None:
        """Observe the same groups with one call each."""
        name = "batch_predicted" if predict else "batch"
        where = f"{M}/sessions/{self.session}/observe-sequence"
        for number, group in groups:
            body = {"observations": [body_of(event, predict) for event in group]}
            done = self.timed(name, request("POST", where, body))
            if len(done["results"]) != len(group):
                raise Refused("A batch was answered with fewer results than it had observations.")
            self._ended(number, done["results"][-1] if predict else None)

    def _ended(self, number: int, seen: Any) -> None:
        if seen is not None:
            found = [one["id"] for one in seen["predictions"]["predictions"]]
            if self.last.setdefault(number, found) != found:
                raise Refused("Singles and a batch of the same observations gave different predictions.")
        self.caller.ask("POST", f"{M}/sessions/{self.session}/clear-stm")


def body_of(event: list[str], predict: bool) -> dict[str, Any]:
    """Return the body of one observation."""
    return {"strings": event, "vectors": [], "emotives": {}, **({"predict": True} if predict else {})}


def reference(bench: Bench, groups: Sequence[tuple[int, list[list[str]]]]) -> list[float]:
    """Predict after every observation by comparing with every stored pattern; the same answers, or `Refused`."""
    times = []
    with tempfile.TemporaryDirectory() as place:
        plain = Reference(Path(place) / "reference.db")
        plain.fill((identity, events, 1) for identity, events in bench.patterns)
        for number, group in groups:
            for end in range(1, len(group) + 1):
                began = perf_counter()
                found = plain.predict(group[:end], THRESHOLD)
                times.append(perf_counter() - began)
            if [row["id"] for row in found] != bench.last[number]:
                raise Refused("The server and the reference predict different patterns.")
        plain.database.close()
    return times


def measure(caller: Caller, count: int, size: int) -> dict[str, Any]:
    """Run everything on a new memory and return the document."""
    patterns, memory = texts(size), f"bench-{uuid.uuid4().hex[:12]}"
    fill(caller, memory, patterns)
    bench = Bench(caller, patterns, memory)
    events = stream(patterns, count, 7)
    groups = [(n, events[at : at + BATCH]) for n, at in enumerate(range(0, count, BATCH))]
    run(bench, groups[:WARM], count)
    bench.times.clear()
    for _ in range(ROUNDS):
        run(bench, groups, count)
    rows = {name: {**spread(times), **rate(name, times, count)} for name, times in bench.times.items()}
    plain = reference(bench, groups)
    rows["reference_predicted"] = {**spread(plain), **rate("reference", plain, count)}
    caches = monitoring(caller, memory)
    return {
        "machine": machine(),
        "sizes": {"count": count, "batch": BATCH, "patterns": size, "rounds": ROUNDS, "threshold": THRESHOLD},
        "rows": rows,
        "ratios": ratios(rows),
        "kato_plan": KATO,
        "server": caches,
        "checks": checks(rows),
    }


def run(bench: Bench, groups: Sequence[tuple[int, list[list[str]]]], count: int) -> None:
    """Run one round of every row."""
    bench.health(count)
    bench.singles(groups, predict=False)
    bench.batches(groups, predict=False)
    bench.singles(groups, predict=True)
    bench.batches(groups, predict=True)


def rate(name: str, times: Sequence[float], count: int) -> dict[str, float]:
    """Return observations (health: requests) per second of time spent waiting for answers."""
    each = count * ROUNDS if name.startswith("batch") else len(times)
    return {"per_second": round(each / sum(times), 1), "requests": len(times)}


def ratios(rows: dict[str, Any]) -> dict[str, float]:
    """Return how many times faster one row is than another."""

    def over(one: str, other: str) -> float:
        return round(rows[one]["per_second"] / rows[other]["per_second"], 2)

    return {
        "batch over single": over("batch", "single"),
        "batch over single, with predictions": over("batch_predicted", "single_predicted"),
        "single with predictions over reference": over("single_predicted", "reference_predicted"),
        "batch with predictions over reference": over("batch_predicted", "reference_predicted"),
    }


def checks(rows: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every bar with what was measured."""
    held: Callable[[float, float], bool] = float.__ge__
    below: Callable[[float, float], bool] = float.__le__
    bars = (
        ("single p50 over GET /health/live p50", below, 2.0, rows["single"]["p50_ms"] / rows["health"]["p50_ms"]),
        ("single observations per second", held, 500.0, rows["single"]["per_second"]),
        ("batch observations per second", held, 5_000.0, rows["batch"]["per_second"]),
        ("batch mean in ms", below, 5.0, rows["batch"]["mean_ms"]),
        ("single with prediction per second", held, 100.0, rows["single_predicted"]["per_second"]),
        ("batch with predictions per second", held, 290.0, rows["batch_predicted"]["per_second"]),
    )
    return [
        {"what": what, "bar": f"{'>=' if test is held else '<='} {bar:g}", "measured": round(value, 3), "ok": ok}
        for what, test, bar, value in bars
        for ok in (test(float(value), bar),)
    ]


def main() -> int:
    """Measure as told on the command line."""
    parser = argparse.ArgumentParser(description="Observations over HTTP one by one and in batches, as JSON.")
    parser.add_argument("--count", type=int, default=100, help="observations per row and round")
    parser.add_argument("--pattern-db-size", type=int, default=1000, help="patterns of eight symbols known before")
    parser.add_argument("--url", help="a running server; without it, one is started")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar is missed")
    arguments = parser.parse_args()
    if arguments.count < 1 or arguments.pattern_db_size < 1:
        parser.error("--count and --pattern-db-size take a number from 1")
    with served(arguments.url) as url:
        found = measure(Caller(url), arguments.count, arguments.pattern_db_size)
    print(json.dumps(found, indent=1))
    missed = [bar["what"] for bar in found["checks"] if not bar["ok"]]
    if arguments.check and missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
