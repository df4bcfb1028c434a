"""Observations over HTTP one by one and in batches, with and without predictions, on a memory that knows something.

    python scripts/benchmark_batch.py --count 100 --pattern-db-size 1000 [--url http://127.0.0.1:8000] [--check]

Starts `kimera serve` in an empty home unless told where one answers. Prints one JSON document: for single calls and
batches of 25 the latencies and observations per second; the plain reference (`benchmarks/memory_reference.py`, in this
process, without HTTP, the same predictions, checked); what the server says of its caches and memory. `--check` ends
with 1 when a bar is missed. Rounds take turns, each with events of its own, so that no prediction is asked for twice;
the figures are over all rounds. First the server is used until it has loaded its compiled kernels, if it has any, at
most `--warm` seconds.

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
from benchmarks.memory_server import (
    Caller,
    Events,
    M,
    Refused,
    fill,
    machine,
    monitoring,
    request,
    served,
    spread,
    stream,
    texts,
)

Groups = list[list[list[str]]]

BATCH = 25
ROUNDS = 5
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

    def singles(self, name: str, groups: Groups, *, predict: bool) -> list[Any]:
        """Observe event by event; after each group the short-term memory is cleared, which is not timed."""
        where = f"/observe?memory={self.memory}&session={self.session}"
        answers = []
        for group in groups:
            answers += [self.timed(name, request("POST", where, body_of(event, predict))) for event in group]
            self.caller.ask("POST", f"{M}/sessions/{self.session}/clear-stm")
        return answers

    def batches(self, name: str, groups: Groups, *, predict: bool) -> list[Any]:
        """Observe groups with one call each."""
        where = f"{M}/sessions/{self.session}/observe-sequence"
        answers = []
        for group in groups:
            body = {"observations": [body_of(event, predict) for event in group]}
            answers += self.timed(name, request("POST", where, body))["results"]
            self.caller.ask("POST", f"{M}/sessions/{self.session}/clear-stm")
        return answers

    def round(self, number: int, count: int) -> None:
        """Run every row once."""
        self.health(count)
        self.singles("single", self.events(count, 4 * number), predict=False)
        self.batches("batch", self.events(count, 4 * number + 1), predict=False)
        self.singles("single_predicted", self.events(count, 4 * number + 2), predict=True)
        self.batches("batch_predicted", self.events(count, 4 * number + 3), predict=True)

    def events(self, count: int, seed: int) -> Groups:
        """Return events in groups of 25."""
        events = stream(self.patterns, count, seed)
        return [events[at : at + BATCH] for at in range(0, count, BATCH)]

    def warm(self, seconds: float) -> None:
        """Use the server until it has compiled kernels, or for some seconds."""
        until = perf_counter() + seconds
        for seed in range(10_000, 20_000):
            self.round(seed, BATCH)
            if perf_counter() > until or monitoring(self.caller, self.memory)["process"]["compiled_kernels"]:
                return


def body_of(event: list[str], predict: bool) -> dict[str, Any]:
    """Return the body of one observation."""
    return {"strings": event, "vectors": [], "emotives": {}, **({"predict": True} if predict else {})}


def reference(bench: Bench, groups: Groups) -> list[float]:
    """Predict after every observation by comparing with every stored pattern; raises `Refused` unless all agree."""
    expected = [ids(seen) for seen in bench.singles("checked", groups, predict=True)]
    if expected != [ids(seen) for seen in bench.batches("checked", groups, predict=True)]:
        raise Refused("Singles and batches of the same observations gave different predictions.")
    del bench.times["checked"]
    times, found = [], []
    with tempfile.TemporaryDirectory() as place:
        plain = Reference(Path(place) / "reference.db")
        plain.fill((identity, events, 1) for identity, events in bench.patterns)
        for group in groups:
            for end in range(1, len(group) + 1):
                began = perf_counter()
                rows = plain.predict(group[:end], THRESHOLD)
                times.append(perf_counter() - began)
                found.append([row["id"] for row in rows])
        plain.database.close()
    if found != expected:
        raise Refused("The server and the reference predict different patterns.")
    return times


def ids(seen: Any) -> list[str]:
    """Return the patterns an observation's answer predicts."""
    return [one["id"] for one in seen["predictions"]["predictions"]]


def measure(caller: Caller, count: int, size: int, warm: float) -> dict[str, Any]:
    """Run everything on a new memory and return the document."""
    patterns, memory = texts(size), f"bench-{uuid.uuid4().hex[:12]}"
    fill(caller, memory, patterns)
    bench = Bench(caller, patterns, memory)
    bench.warm(warm)
    bench.times.clear()
    for number in range(ROUNDS):
        bench.round(number, count)
    told = monitoring(caller, memory)
    bench.times["reference_predicted"] = reference(bench, bench.events(count, -1))
    rows = {name: {**spread(times), **rate(name, times, count)} for name, times in bench.times.items()}
    return {
        "machine": machine(),
        "sizes": {"count": count, "batch": BATCH, "patterns": size, "rounds": ROUNDS, "threshold": THRESHOLD},
        "rows": rows,
        "ratios": ratios(rows),
        "kato_plan": KATO,
        "server": told,
        "checks": checks(rows),
    }


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
    parser.add_argument("--warm", type=float, default=60.0, help="seconds the server may take to load its kernels")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar is missed")
    arguments = parser.parse_args()
    if arguments.count < 1 or arguments.pattern_db_size < 1:
        parser.error("--count and --pattern-db-size take a number from 1")
    with served(arguments.url) as url:
        found = measure(Caller(url), arguments.count, arguments.pattern_db_size, arguments.warm)
    print(json.dumps(found, indent=1))
    missed = [bar["what"] for bar in found["checks"] if not bar["ok"]]
    if arguments.check and missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
