"""A running `kimera serve` to measure: its process, a small client on a raw socket, and the work it is given.

Used by `scripts/benchmark_batch.py` and `scripts/stress_test.py`. The client is not a library's, so that its own cost
(some 30 microseconds a request) is not what is measured.
"""

from __future__ import annotations

import json
import os
import platform
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.memory import patterns_of  # noqa: E402 - found by the path set above

Events = Sequence[Sequence[str]]
M = "/api/memory"
EVENTS = 8
CHUNK = 500
PLENTY = {"KIMERA_RATE_PER_KEY": "1000000", "KIMERA_RATE_PER_ADDRESS": "1000000", "KIMERA_MAX_REQUESTS": "512"}


class Refused(Exception):
    """The server gave an answer other than the one that was asked for."""


class Caller:
    """One kept connection; a request at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._socket = socket.create_connection((self._host, parts.port or 80), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = bytearray()

    def send(self, message: bytes) -> tuple[int, bytes]:
        """Send the bytes of a request; returns status and body."""
        self._socket.sendall(message)
        while (end := self._rest.find(b"\r\n\r\n")) < 0:
            self._more()
        status, length = read_head(bytes(self._rest[: end + 4]))
        while len(self._rest) < end + 4 + length:
            self._more()
        with memoryview(self._rest) as came:
            body = bytes(came[end + 4 : end + 4 + length])
        del self._rest[: end + 4 + length]
        return status, body

    def ask(self, method: str, path: str, body: Any = None, wanted: int = 200) -> Any:
        """Send a request and return the JSON it gives; raises `Refused` for another status."""
        status, answer = self.send(request(method, path, body))
        if status != wanted:
            hint = " (the server's KIMERA_RATE_PER_KEY and _PER_ADDRESS are too low for this)" if status == 429 else ""
            raise Refused(f"{method} {path} gave {status}{hint}: {answer[:300]!r}")
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _more(self) -> None:
        got = self._socket.recv(1 << 18)
        if not got:
            raise Refused("The server hung up.")
        self._rest += got


def request(method: str, path: str, body: Any = None) -> bytes:
    """Return the bytes of a request; ``body`` is bytes as they are, or anything else as JSON."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "content-type: application/json\r\n" if body is not None else ""
    return f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: {len(data)}\r\n\r\n".encode() + data


def read_head(head: bytes) -> tuple[int, int]:
    """Return status and length of the body of an answer."""
    lowered = head.lower()
    at = lowered.find(b"content-length: ")
    return int(head[9:12]), int(lowered[at + 16 : lowered.find(b"\r", at)]) if at >= 0 else 0


@contextmanager
def served(url: str | None) -> Iterator[str]:
    """Give the address of a server: the one named, or one begun in an empty home and ended afterwards."""
    if url is not None:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as place:
        process = subprocess.Popen(
            [sys.executable, "-c", "from kimera.cli import main; main()", "serve", "--port", "0", "--no-worker"],
            stdout=subprocess.PIPE,
            stderr=(log := (Path(place) / "log").open("w+")),
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "KIMERA_HOME": f"{place}/home", **_free(), **PLENTY},
        )
        try:
            yield _address(process, log)
        finally:
            process.terminate()
            process.wait(60)
            log.close()


def _free() -> dict[str, str]:
    return {"KIMERA_METRICS_PORT": "0", "KIMERA_HOST": "127.0.0.1"}


def _address(process: subprocess.Popen[str], log: Any) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"kimera answers on (http://\S+:\d+)", line)
        if found:
            # what it says later must not fill the pipe
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return found[1]
    log.seek(0)
    raise Refused(f"The server did not start: {log.read()[-2_000:]}")


def texts(count: int) -> list[tuple[str, Events]]:
    """Return distinct patterns of eight words with their ids: the set *text* of `benchmarks/memory.py`."""
    return [(identity, events) for identity, (events, _) in patterns_of("text", count).items()]


def fill(caller: Caller, memory: str, patterns: Sequence[tuple[str, Events]]) -> None:
    """Teach a memory patterns of eight events; raises `Refused` unless it knows exactly these."""
    asked = {"memory": memory, "session_id": f"{memory}-fill", "config": {"max_pattern_length": EVENTS}}
    caller.ask("POST", f"{M}/sessions", asked, 201)
    for begin in range(0, len(patterns), CHUNK):
        part = patterns[begin : begin + CHUNK]
        seen = [{"strings": list(event)} for _, events in part for event in events]
        done = caller.ask("POST", f"{M}/sessions/{memory}-fill/observe-sequence", {"observations": seen})
        if len(done["auto_learned_patterns"]) != len(part):
            raise Refused(f"{len(part)} patterns were taught, {len(done['auto_learned_patterns'])} learned.")
    caller.ask("DELETE", f"{M}/sessions/{memory}-fill")


def stream(patterns: Sequence[tuple[str, Events]], count: int, seed: int) -> list[list[str]]:
    """Return events as they come in: cuts of five of known patterns, 15 % dropped, 15 % noise."""
    rng, events = random.Random(seed), []
    words = sorted({x for _, pattern in patterns[:2_000] for event in pattern for x in event})
    while len(events) < count:
        pattern = rng.choice(patterns)[1]
        at = rng.randrange(max(1, len(pattern) - 4))
        for event in pattern[at : at + 5]:
            if rng.random() >= 0.15:
                events.append(list(event))
            if rng.random() < 0.15:
                events.append([rng.choice(words)])
    return events[:count]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return mean, p50, p95, p99 and the longest in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3

    figures = {"mean": sum(ordered) / len(ordered) * 1e3, "p50": at(0.5), "p95": at(0.95), "p99": at(0.99)}
    return {f"{name}_ms": round(value, 3) for name, value in {**figures, "max": ordered[-1] * 1e3}.items()}


def monitoring(caller: Caller, memory: str) -> dict[str, Any]:
    """Return what the server says of itself: operations, process, caches."""
    found = caller.ask("GET", f"{M}/metrics?memory={memory}")["measures"]
    return {**found, "caches": caller.ask("GET", f"{M}/metrics/caches?memory={memory}")["measures"]}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {"python": platform.python_version(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
