"""Is the gateway alive, and is everything it stands on well: each dependency by name, with status and time."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from kimera.api.security import public
from kimera.errors import KimeraError
from kimera.missions.control import Home

__all__ = ["Finding", "Health", "Probe", "router"]

PROBE_SECONDS = 2.0
FRESH_SECONDS = 1.0
DISK_LOW = 1 << 30
DISK_FULL = 64 << 20

Finding = tuple[str, str]
"""A status (ok, degraded, down, off) and a note for a person."""

Probe = Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe found, and how long it took in milliseconds."""

    status: str
    note: str
    ms: float


class Health:
    """The probes of a gateway and what they last found. Probes run in threads, each at most 2 s."""

    def __init__(self, probes: dict[str, Probe]) -> None:
        self.probes = probes
        self.answers: dict[str, Answer] = {}
        self.degraded = False
        self._read = float("-inf")
        self._running: dict[str, asyncio.Task[Answer]] = {}

    async def refresh(self, *, older_than: float = FRESH_SECONDS) -> None:
        """Ask every dependency again unless that was done a moment ago."""
        if time.monotonic() - self._read < older_than:
            return
        found = await asyncio.gather(*(self._ask(name) for name in self.probes))
        self.answers = dict(zip(self.probes, found, strict=True))
        self.degraded = any(answer.status in {"degraded", "down"} for answer in found)
        self._read = time.monotonic()

    @property
    def ready(self) -> bool:
        """Return whether no dependency is down."""
        return all(answer.status != "down" for answer in self.answers.values())

    def document(self, *, draining: bool) -> dict[str, Any]:
        """Return what /health/ready says."""
        status = "draining" if draining else "down" if not self.ready else "degraded" if self.degraded else "ok"
        named = {
            name: {"status": answer.status, "ms": answer.ms, "note": answer.note}
            for name, answer in self.answers.items()
        }
        return {"status": status, "dependencies": named}

    async def _ask(self, name: str) -> Answer:
        """Run one probe, at most once at a time: one that hangs is not started again."""
        task = self._running.get(name)
        if task is None or task.done():
            task = self._running[name] = asyncio.create_task(asyncio.to_thread(_timed, self.probes[name]))
        done, _ = await asyncio.wait({task}, timeout=PROBE_SECONDS)
        if not done:
            return Answer("down", f"no answer within {PROBE_SECONDS:g} s", PROBE_SECONDS * 1000)
        failure = task.exception()
        return task.result() if failure is None else Answer("down", type(failure).__name__, 0.0)


def _timed(probe: Probe) -> Answer:
    started = time.perf_counter()
    try:
        status, note = probe()
    except (KimeraError, OSError) as error:
        status, note = "down", error.code if isinstance(error, KimeraError) else error.strerror or "failed"
    return Answer(status, note, round((time.perf_counter() - started) * 1000, 2))


def probes_of(home: Home) -> dict[str, Probe]:
    """Return the probes of what every gateway stands on; the worker's is added by who runs it."""
    probes: dict[str, Probe] = {
        "database": lambda: _database(home),
        "blobs": lambda: _blobs(home),
        "disk": lambda: _disk(home),
        "sandbox": _Once(lambda: _sandbox(home)),
        "encoder": _Once(lambda: _encoder(home)),
    }
    if (address := home.settings.redis_url) is not None:
        probes["redis"] = lambda: _redis(address.get_secret_value())
    return probes


class _Once:
    """A probe whose finding does not change while the process lives."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._found: Finding | None = None

    def __call__(self) -> Finding:
        if self._found is None:
            self._found = self._probe()
        return self._found


def _database(home: Home) -> Finding:
    home.database.now()
    return "ok", "SQLite" if home.embedded else "PostgreSQL"


def _blobs(home: Home) -> Finding:
    handle, name = tempfile.mkstemp(dir=home.blobs.root, prefix=".health-")
    try:
        os.write(handle, b"1")
    finally:
        os.close(handle)
        os.unlink(name)  # noqa: PTH108 - the name comes from mkstemp, no path object is at hand
    return "ok", "writable"


def _disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.path).free
    status = "down" if free < DISK_FULL else "degraded" if free < DISK_LOW else "ok"
    return status, f"{free / (1 << 30):.1f} GiB free"


def _sandbox(home: Home) -> Finding:
    from kimera.sandbox import probe

    level = probe().level
    order = ["none", "reduced", "full"]
    minimum = home.settings.sandbox_minimum
    if order.index(level) < order.index(minimum):
        return "degraded", f"level {level}, below the minimum {minimum}"
    return "ok", f"level {level}"


def _encoder(home: Home) -> Finding:
    if home.settings.embeddings == "off":
        return "off", "switched off, keyword search only"
    from kimera.llm.embeddings import weights_found

    if weights_found(home.settings.encoder_path):
        return "ok", "weights present"
    return "degraded", "weights absent, keyword search only"


def _redis(address: str) -> Finding:
    """Ask Redis whether it is there; without it short-term memories fail and everything else goes on."""
    try:
        import redis
    except ImportError:
        return "degraded", "the client is not installed: pip install 'kimera[redis]'"
    try:
        with redis.Redis.from_url(address, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        return "degraded", type(error).__name__  # the message may hold the address, and that a password
    return "ok", "answers"


def router() -> APIRouter:
    """Return the two health routes; both are open to everybody and say nothing about missions."""
    routes = APIRouter(prefix="/health", tags=["health"], dependencies=[public()])

    @routes.get("/live", operation_id="get_live", summary="Is the process alive")
    async def live() -> dict[str, str]:
        """Say that the process answers; touches no dependency."""
        return {"status": "ok"}

    @routes.get(
        "/ready",
        operation_id="get_ready",
        summary="Is everything it stands on well",
        responses={503: {"description": "Something is down, or the gateway is ending; the body says what."}},
    )
    async def ready(request: Request) -> JSONResponse:
        """Name each dependency with status and time; 503 when one is down or the gateway is ending."""
        gate = request.app.state.gate
        await gate.health.refresh()
        well = gate.health.ready and not gate.draining
        return JSONResponse(gate.health.document(draining=gate.draining), 200 if well else 503)

    return routes
