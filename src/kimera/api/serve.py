"""The process behind `kimera serve`: a listening socket, the gateway, a worker beside it, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType

import uvicorn
from fastapi import APIRouter, FastAPI

from kimera import telemetry
from kimera.api.app import create_app
from kimera.api.gate import Gate
from kimera.api.health import Finding
from kimera.api.security import is_loopback
from kimera.api.wire import Wire
from kimera.errors import ConfigurationError, KimeraError
from kimera.missions import control
from kimera.missions.control import Home
from kimera.settings import Settings
from kimera.storage.keys import Keys
from kimera.storage.workers import Workers

__all__ = ["serve", "server_config"]

BACKLOG = 512
HEAD_BYTES = 32 << 10
KEEP_ALIVE_SECONDS = 15
WORKER_PAUSE = 5.0
WORKER_END_SECONDS = 15.0
SPARE_SECONDS = 3.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)

Say = Callable[[str], None]


def serve(
    home: Home,
    say: Say,
    *,
    with_worker: bool = True,
    metrics: int | None = None,
    kato: bool = False,
    more: Iterable[APIRouter] = (),
) -> int:
    """Answer requests until SIGTERM or SIGINT, then end in order; returns the exit code.

    ``metrics`` is the port they are served on, which is told; ``kato`` and ``more`` as in `create_app`.

    Raises `ConfigurationError` before anything listens: no key off loopback, a taken port, a wrong setting.
    """
    check_keys(home)
    beside = Beside(home, say) if with_worker else None
    probe = beside.finding if beside else lambda: _elsewhere(home)
    app = create_app(home, worker=probe, kato=kato, more=more)
    gate: Gate = app.state.gate
    settings = home.settings
    with contextlib.closing(_listen(settings.host, settings.port)) as listener:
        server = _Server(server_config(app, settings), gate, say, beside, metrics)
        try:
            server.run([listener])
        finally:
            if beside is not None:
                beside.end()
    return 0


def server_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how the gateway is served: our connection, no reload, no access log and no headers but ours."""
    # its warnings are one per malformed request: whoever sends those must not be able to fill the log
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=Wire,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout),
        h11_max_incomplete_event_size=HEAD_BYTES,
    )


def check_keys(home: Home) -> None:
    """Refuse to open a door without a lock; raises `ConfigurationError` with the next step."""
    settings = home.settings
    open_to_others = not is_loopback(settings.host)
    if (open_to_others or settings.keys == "required") and not Keys(home.database).active():
        why = f"{settings.host} can be reached by others" if open_to_others else "KIMERA_KEYS is required"
        raise ConfigurationError(
            f"The gateway does not start: {why} and there is no active key. Make one with `kimera keys create NAME`, "
            "or listen on 127.0.0.1.",
            "host" if open_to_others else "keys",
        )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"The gateway cannot listen on {host} port {port} ({words}); choose another --port or --host.", "port"
        ) from error


class _Server(uvicorn.Server):
    """Uvicorn's server with our end: not ready first, then no new connections, then out with exit code 0."""

    def __init__(
        self, config: uvicorn.Config, gate: Gate, say: Say, beside: Beside | None, metrics: int | None
    ) -> None:
        super().__init__(config)
        self._metrics = metrics
        self._gate, self._say, self._beside = gate, say, beside
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self._beside is not None:
            self._beside.start()
        self._say(_welcome(self._gate, sockets or [], self._beside, self._metrics))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._gate.draining or self._loop is None:
            self.should_exit = self.force_exit = True
            return
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        if self._gate.draining:
            return
        self._say("ending: running requests finish, steps under way are given back (again to end at once)")
        self._gate.drain()
        if self._beside is not None:
            self._beside.stop.set()
        settings = self._gate.settings
        _leave_at_last(settings.drain_delay + settings.drain_timeout + WORKER_END_SECONDS + SPARE_SECONDS)
        asyncio.get_running_loop().call_later(self._gate.settings.drain_delay, self._close)

    def _close(self) -> None:
        self.should_exit = True


def _leave_at_last(seconds: float) -> None:
    """End the process when its orderly end takes too long: a thread that hangs must not hold it; all is recorded."""

    def leave() -> None:
        telemetry.get_logger("serve").warning("serve.left", seconds=seconds, cause="something did not end in time")
        telemetry.flush()
        os._exit(0)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def _welcome(gate: Gate, sockets: Sequence[socket.socket], beside: Beside | None, metrics: int | None) -> str:
    host, port = sockets[0].getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    keys = "no key needed on loopback" if gate.visitors.keyless else "keys needed"
    worker = "worker on" if beside is not None else "no worker here: missions are queued"
    scrape = f"metrics on port {metrics}" if metrics else "no metrics"
    return f"kimera answers on {address} ({keys}; {worker}; {scrape})"


class Beside:
    """A worker in a thread of the gateway's process, begun again when the store failed it."""

    def __init__(self, home: Home, say: Say) -> None:
        self.home, self._say = home, say
        self.stop = threading.Event()
        self._note: Finding = ("degraded", "starting")
        self._thread = threading.Thread(target=telemetry.carry(self._run), name="kimera-worker", daemon=True)

    def start(self) -> None:
        """Begin to take missions."""
        self._thread.start()

    def end(self) -> None:
        """Give steps under way back and wait for the thread, a bounded time."""
        self.stop.set()
        if self._thread.is_alive():
            self._thread.join(WORKER_END_SECONDS)

    def finding(self) -> Finding:
        """Return how the worker is doing, for health."""
        if self._thread.ident is not None and not self._thread.is_alive() and not self.stop.is_set():
            return "down", "the worker's thread ended by a fault that is in the log; start the process again"
        return self._note

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                control.work(self.home, self.stop, notice=self._told)
            except KimeraError as error:
                self._note = ("degraded", f"stopped by {error.code}, begins again soon")
                self._say(f"worker stopped: {error.message} It begins again in {WORKER_PAUSE:g} s.")
                self.stop.wait(WORKER_PAUSE)

    def _told(self, words: str) -> None:
        waiting = words.startswith("home busy")
        self._note = ("ok", "another process works here; missions are queued for it" if waiting else "takes missions")
        self._say(words)


def _elsewhere(home: Home) -> Finding:
    """Return whether some other process takes missions."""
    if home.embedded:
        lock = control.HomeLock(home)
        taken = not lock.try_take()
        lock.release()
        return ("ok", "another process takes missions") if taken else ("degraded", "nobody takes missions")
    live = Workers(home.database).live()
    return ("ok" if live else "degraded", f"{live} workers take missions")
