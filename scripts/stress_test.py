"""Many users on one memory over HTTP for minutes: nothing lost, nothing broken, no growth.

    python scripts/stress_test.py --concurrent-users 50 --duration 300 [--pattern-db-size 1000] [--url URL] [--seed 7]

Every user has a session, and observes, learns, predicts, asks what comes next, forgets, and sends bad input, one call
after the other. Starts `kimera serve` in an empty home unless told where one answers. Prints one JSON document and ends
with 1 on: an answer of 500 or above; any answer other than the one that input gives; an acknowledged learn or forget
that the log does not hold; a final state other than that of the log replayed in order into a new memory; an operation
whose p99 is above 20 times its p50; resident memory that still grows after the first third.

What is learned comes from a fixed number of sequences, and a user who holds more than twenty forgets the oldest, so
that the memory's content reaches its size early: at most the patterns known before and twenty per user. How many there
were stands beside the resident memory. That memory grows when the middle of its samples in the last third is above that
in the second third by more than 3 % and 8 MiB, which an allocator's last crumbs do not reach and a leak of .1 MiB/s
does within five minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.memory_server import (
    Caller,
    Events,
    M,
    Refused,
    fill,
    machine,
    monitoring,
    read_head,
    request,
    served,
    spread,
    texts,
)

from kimera.memory import Memory

TAIL = 20
GROWTH = 1.03
SLACK_BYTES = 8 << 20
HELD = 20  # sequences a user has learned and not forgotten
ENOUGH = 100  # calls of an operation from which its p99 means something
PAGE = 1_000
SAMPLES = 60
SHARES = {"observe": 50, "learn": 12, "predict": 12, "next": 10, "forget": 6, "bad": 10}
BAD: tuple[tuple[str, str, Any, int], ...] = (
    ("POST", "/observe{q}", b"{not json", 422),
    ("POST", "/observe{q}", {"strings": [""]}, 422),
    ("POST", "/observe{q}", {"strings": ["a\x00b"]}, 422),
    ("POST", "/observe{q}", {"strings": ["x" * 5_000]}, 422),
    ("POST", "/observe{q}", {"strings": "a"}, 422),
    ("POST", "/observe{q}", {"strings": ["a"], "unknown": 1}, 422),
    ("POST", "/observe{q}", {"strings": ["a"], "emotives": {"joy": True}}, 422),
    ("POST", "/observe{q}", {"strings": ["a"], "vectors": [[]]}, 422),
    ("GET", M + "/sessions/no-such-session/predictions", None, 404),
    ("GET", M + "/patterns/PTRN%7Cnone?memory={m}", None, 404),
    ("POST", M + "/forget?memory={m}", {}, 422),
    ("POST", M + "/undo?memory={m}", {"seq": 10**12}, 404),
    ("POST", M + "/predictions?memory={m}", {"events": [["a"]], "recall_threshold": 7}, 422),
    ("POST", M + "/predictions?memory={m}", {"events": [["'; DROP TABLE memory_log; --"]]}, 200),
)


class Run:
    """What is seen while the users work. Times are in seconds."""

    def __init__(self, memory: str, patterns: Sequence[tuple[str, Events]], until: float) -> None:
        self.memory, self.patterns, self.until = memory, patterns, until
        self.times: dict[str, list[float]] = {}
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.acknowledged: dict[int, tuple[str, str | None]] = {}
        self.resident: list[int] = []
        self.known: list[int] = []


class User:
    """One session and one connection; a call at a time."""

    def __init__(self, run: Run, number: int, seed: int) -> None:
        self.run, self.rng = run, random.Random(f"{seed}:{number}")
        self.session = f"{run.memory}-u{number}"
        self.where = f"?memory={run.memory}&session={self.session}"
        self.held: list[list[str]] = []
        self.learned: dict[str, None] = {}  # in the order of learning
        self.reader: Any = None
        self.writer: Any = None

    async def work(self, host: str, port: int) -> None:
        """Call until the time is over."""
        self.reader, self.writer = await asyncio.open_connection(host, port, limit=1 << 26)
        acts: dict[str, Callable[[], Any]] = {name: getattr(self, f"_{name}") for name in SHARES}
        names, weights = list(SHARES), list(SHARES.values())
        await self._observe()
        while perf_counter() < self.run.until:
            await acts[self.rng.choices(names, weights)[0]]()
        self.writer.close()

    async def _ask(self, name: str, method: str, path: str, body: Any, wanted: int = 200) -> Any:
        began = perf_counter()
        self.writer.write(request(method, path, body))
        status, length = read_head(await self.reader.readuntil(b"\r\n\r\n"))
        answer = await self.reader.readexactly(length)
        self.run.times.setdefault(name, []).append(perf_counter() - began)
        self.run.statuses[status] += 1
        if status != wanted:
            self.run.wrong.append(f"{method} {path} gave {status} instead of {wanted}: {answer[:200]!r}")
            return None
        return json.loads(answer)

    async def _observe(self) -> None:
        if not self.held:
            self.held = [list(event) for event in self.rng.choice(self.run.patterns)[1]]
        seen = await self._ask("observe", "POST", f"/observe{self.where}", {"strings": self.held.pop(0)})
        if seen is not None and not self.held:
            await self._learn()

    async def _learn(self) -> None:
        """Learn what was observed; for too little a 400 is right, and the short-term memory stays."""
        path = f"{M}/sessions/{self.session}/learn"
        known = await self._ask("stm", "GET", f"{M}/sessions/{self.session}/stm", None)
        if known is None or sum(map(len, known["stm"])) < 2:
            await self._ask("learn too little", "POST", path, {}, 400)
            return
        learned = await self._ask("learn", "POST", path, {"source": self.session})
        self.held = []
        if learned is not None:
            self.learned.pop(learned["id"], None)
            self.learned[learned["id"]] = None
            self.run.acknowledged[learned["seq"]] = ("learn", learned["id"])
            if len(self.learned) > HELD:
                await self._forget_one(next(iter(self.learned)))

    async def _predict(self) -> None:
        await self._ask("predict", "GET", f"{M}/sessions/{self.session}/predictions?recall_threshold=0.3", None)

    async def _next(self) -> None:
        events = [list(event) for event in self.rng.choice(self.run.patterns)[1][:3]]
        await self._ask("next", "POST", f"{M}/next?memory={self.run.memory}", {"events": events})

    async def _forget(self) -> None:
        """Forget what this user has learned as one sequence, or what was never learned from here."""
        await self._forget_one(self.rng.choice([*self.learned] or [self.rng.choice(self.run.patterns)[0]]))

    async def _forget_one(self, chosen: str) -> None:
        self.learned.pop(chosen, None)  # all its episodes from here go at once
        wanted = {"pattern": chosen, "source": self.session}
        done = await self._ask("forget", "POST", f"{M}/forget?memory={self.run.memory}", wanted)
        if done is not None and done["seq"] is not None:
            self.run.acknowledged[done["seq"]] = (done["kind"], None)

    async def _bad(self) -> None:
        method, path, body, wanted = self.rng.choice(BAD)
        await self._ask("bad input", method, path.format(q=self.where, m=self.run.memory), body, wanted)


async def sample(run: Run, url: str, duration: float) -> None:
    """Look at the server's resident memory and its number of patterns from time to time."""
    asked = {"events": [["?"]], "max_predictions": 1}
    caller = await asyncio.to_thread(Caller, url)
    while perf_counter() < run.until:
        found = await asyncio.to_thread(monitoring, caller, run.memory)
        run.resident.append(found["process"]["rss_bytes"] or found["process"]["peak_rss_bytes"])
        told = await asyncio.to_thread(caller.ask, "POST", f"{M}/predictions?memory={run.memory}", asked)
        run.known.append(told["statistics"]["patterns"])
        await asyncio.sleep(duration / SAMPLES)
    caller.close()


async def load(run: Run, url: str, users: int, duration: float, seed: int) -> None:
    """Let all users work at once."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    await asyncio.gather(*(User(run, n, seed).work(host, port) for n in range(users)), sample(run, url, duration))


def unlogged(caller: Caller, run: Run) -> list[str]:
    """Return what was acknowledged and the log does not hold."""
    found: dict[int, tuple[str, str | None]] = {}
    after: int | None = 0
    while after is not None:
        page = caller.ask("GET", f"{M}/log?memory={run.memory}&after={after}&limit={PAGE}")
        found.update({record["seq"]: (record["kind"], record["pattern"]) for record in page["records"]})
        after = page["after"]
    numbers = set(range(1, max(found, default=0) + 1))
    lost = [f"record {seq} is missing in the log" for seq in sorted(numbers - found.keys())]
    for seq, (kind, pattern) in sorted(run.acknowledged.items()):
        held = found.get(seq)
        if held is None or held[0] != kind or (pattern is not None and held[1] != pattern):
            lost.append(f"{kind} {seq} of {pattern} was acknowledged; the log holds {held}")
    return lost


def replayed(caller: Caller, memory: str) -> tuple[str, str]:
    """Return the server's state and that of its log replayed in order into a new memory, by their hashes."""
    expected = caller.ask("GET", f"{M}/state-hash?memory={memory}")["state_hash"]
    status, log = caller.send(request("GET", f"{M}/export?memory={memory}"))
    if status != 200:
        raise Refused(f"The export gave {status}.")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "log.jsonl"
        file.write_bytes(log)
        fresh = Memory.open(Path(place) / "fresh.db", memory)
        fresh.import_(file)
        found = fresh.verify()
        state = fresh.state_hash() if found.ok else f"not verified: {found.problems[:3]}"
        fresh.close()
    return expected, state


def warm(caller: Caller, memory: str, patterns: Sequence[tuple[str, Events]], seconds: float) -> None:
    """Ask until the server has loaded its compiled kernels, at most some seconds: they take 150 MiB, once."""
    until, rng = perf_counter() + seconds, random.Random(1)
    while perf_counter() < until and not monitoring(caller, memory)["process"]["compiled_kernels"]:
        for _ in range(10):
            events = [list(event) for _, pattern in rng.sample(patterns, min(3, len(patterns))) for event in pattern]
            caller.ask("POST", f"{M}/predictions?memory={memory}", {"events": events, "max_predictions": 1})


def growth(resident: Sequence[int]) -> dict[str, Any]:
    """Return the middle of the second and of the last third of the samples of resident memory, and whether it grows."""
    third = len(resident) // 3
    if not third:
        return {"samples": len(resident), "grows": False}
    middle, last = (sorted(part)[third // 2] for part in (resident[third : 2 * third], resident[-third:]))
    grows = last > middle * GROWTH and last - middle > SLACK_BYTES
    mib = {"second_third_mib": round(middle / 2**20, 1), "last_third_mib": round(last / 2**20, 1)}
    return {"mib": [round(each / 2**20) for each in resident], **mib, "grows": grows}


def slow(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the operations whose p99 is too far above their p50."""
    return [
        f"{name}: p99 {row['p99_ms']} ms is above {TAIL} times p50 {row['p50_ms']} ms"
        for name, row in rows.items()
        if row["count"] >= ENOUGH and row["p99_ms"] > TAIL * row["p50_ms"]
    ]


def stress(url: str, users: int, duration: float, size: int, seed: int, warming: float) -> dict[str, Any]:
    """Run everything on a new memory and return the document."""
    patterns, memory, caller = texts(size), f"stress-{uuid.uuid4().hex[:12]}", Caller(url)
    fill(caller, memory, patterns)
    warm(caller, memory, patterns, warming)
    began = perf_counter()
    run = Run(memory, patterns, began + duration)
    asyncio.run(load(run, url, users, duration, seed))
    took = perf_counter() - began
    caller = Caller(url)  # the first one has been silent for longer than the server keeps a connection
    told = monitoring(caller, memory)
    lost, (expected, state) = unlogged(caller, run), replayed(caller, memory)
    rows = {name: {"count": len(times), **spread(times)} for name, times in sorted(run.times.items())}
    resident = {**growth(run.resident), "patterns": run.known}
    failed = {
        "5xx": [words for words in run.wrong if " gave 5" in words][:10],
        "unexpected answers": run.wrong[:10],
        "lost": lost[:10],
        "state": [] if expected == state else [f"server {expected}, replay {state}"],
        "slow": slow(rows),
        "memory": [f"resident memory still grows: {resident}"] if resident["grows"] else [],
    }
    return {
        "machine": machine(),
        "sizes": {"users": users, "seconds": round(took, 1), "patterns": size, "seed": seed},
        "requests_per_second": round(sum(run.statuses.values()) / took, 1),
        "statuses": dict(sorted(run.statuses.items())),
        "rows": rows,
        "acknowledged": len(run.acknowledged),
        "state_hash": expected,
        "resident": resident,
        "server": told,
        "failed": {name: found for name, found in failed.items() if found},
    }


def main() -> int:
    """Stress as told on the command line."""
    parser = argparse.ArgumentParser(description="Many users on one memory over HTTP; prints JSON, 1 on any failure.")
    parser.add_argument("--concurrent-users", type=int, default=50)
    parser.add_argument("--duration", type=float, default=300.0, help="seconds")
    parser.add_argument("--pattern-db-size", type=int, default=1000, help="patterns of eight symbols known before")
    parser.add_argument("--url", help="a running server; without it, one is started")
    parser.add_argument("--seed", type=int, default=7, help="of what the users do")
    parser.add_argument("--warm", type=float, default=60.0, help="seconds the server may take to load its kernels")
    given = parser.parse_args()
    if min(given.concurrent_users, given.duration, given.pattern_db_size) <= 0:
        parser.error("users, seconds and patterns are above zero")
    with served(given.url) as url:
        found = stress(url, given.concurrent_users, given.duration, given.pattern_db_size, given.seed, given.warm)
    print(json.dumps(found, indent=1))
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
