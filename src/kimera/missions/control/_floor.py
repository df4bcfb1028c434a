"""What the steps of one worker process share: the home, bounded threads, and the signals to come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kimera import telemetry
from kimera.errors import ConflictError, KimeraError
from kimera.knowledge.contracts import Library
from kimera.missions.control._ahead import Ahead
from kimera.missions.control._envelope import Envelope, at_work, read_envelope
from kimera.missions.control.home import Home

__all__ = ["Floor", "Interrupted", "floor", "take_floor", "underway"]

T = TypeVar("T")

log = telemetry.get_logger("missions")

FLAG_SECONDS = 0.2  # how old the answer of "was it cancelled?" may be
DESK_THREADS = 4
LIBRARIES_KEPT = 8


class Interrupted(KimeraError):
    """The process stops; the step is given up in order and will be repeated."""

    default_code = "INTERRUPTED"
    orderly = True  # a span that it leaves has not failed


@dataclass
class Floor:
    """The work place of a worker process. ``bench`` runs phases, ``desk`` the short reads and writes around them.

    ``stop`` belongs to the caller, ``over`` to us; either asks everything to come to an end. ``polite`` means that
    each mission first fuses what it has.
    """

    home: Home
    threads: int = 4
    polite: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    faults: dict[str, KimeraError] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    ahead: dict[str, Ahead] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bench = ThreadPoolExecutor(self.threads, thread_name_prefix="kimera-bench")
        self.desk = ThreadPoolExecutor(DESK_THREADS, thread_name_prefix="kimera-desk")
        self.busy = 0  # steps under way
        self._flags: dict[tuple[str, int], tuple[float, bool]] = {}
        self._sleepers: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._libraries: dict[str, Library] = {}
        self._envelopes: dict[str, Envelope] = {}
        self.home.missions.on_append = self.nudge

    def leaving(self) -> bool:
        """Return whether this process is coming to an end."""
        return self.stop.is_set() or self.over.is_set()

    def cancelled(self, mission_id: str, round_: int) -> bool:
        """Return whether this round of the mission was cancelled or has ended, as of at most 0.2 s ago."""
        now, key = self.home.clock.monotonic(), (mission_id, round_)
        checked, flag = self._flags.get(key, (float("-inf"), False))
        if now - checked >= FLAG_SECONDS and not flag:
            row = self.home.missions.get(mission_id)
            flag = row.cancel_requested or row.ended or row.round != round_
            self._flags[key] = (now, flag)
        return flag

    def forget(self, mission_id: str) -> None:
        """Drop what is remembered of a mission, before it is begun again."""
        self.faults.pop(mission_id, None)
        self.paused.discard(mission_id)

    def pause(self, mission_id: str, fault: KimeraError | None = None) -> None:
        """Note that the mission was left unfinished by this process, and why."""
        first = fault is not None and mission_id not in self.faults
        if fault is not None:
            self.faults[mission_id] = fault  # before the pause is seen: whoever sees it asks for the fault at once
        self.paused.add(mission_id)
        if first:
            log.error("mission.left", mission_id=mission_id, error=fault)
        with self.changed:
            self.changed.notify_all()

    @contextlib.contextmanager
    def step(self, mission_id: str) -> Iterator[None]:
        """Count a step as under way for the length of the block."""
        with self.changed:
            self.busy += 1
        try:
            yield
        finally:
            with self.changed:
                self.busy -= 1
            self.nudge(mission_id)

    def settle(self, seconds: float) -> bool:
        """Wait until no step is under way, at most ``seconds``; returns whether that came true."""
        with self.changed:
            return self.changed.wait_for(lambda: self.busy == 0, seconds)

    def nudge(self, mission_id: str) -> None:
        """Wake whoever waits for news of this mission."""
        sleeper = self._sleepers.get(mission_id)
        if sleeper is not None:
            loop, event = sleeper
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(event.set)
        with self.changed:
            self.changed.notify_all()

    async def news(self, mission_id: str, seconds: float) -> None:
        """Wait until something is recorded for the mission here, at most ``seconds``."""
        event = self._sleeper(mission_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        event.clear()

    def _sleeper(self, mission_id: str) -> asyncio.Event:
        loop = asyncio.get_running_loop()
        known = self._sleepers.get(mission_id)
        if known is None or known[0] is not loop:
            self._sleepers[mission_id] = (loop, asyncio.Event())
        return self._sleepers[mission_id][1]

    async def at_bench(self, work: Callable[..., T], *args: Any) -> T:
        """Run a phase in a bounded thread."""
        return await asyncio.get_running_loop().run_in_executor(self.bench, telemetry.carry(work), *args)

    async def at_desk(self, work: Callable[..., T], *args: Any) -> T:
        """Run a short database errand in a bounded thread."""
        return await asyncio.get_running_loop().run_in_executor(self.desk, telemetry.carry(work), *args)

    async def envelope(self, mission_id: str) -> Envelope:
        """Return who a mission's work is for, read once."""
        known = self._envelopes.get(mission_id)
        if known is None:
            # the desk may be closed already: the step that follows will say so, the workflow itself must not fail
            with contextlib.suppress(RuntimeError):
                known = await self.at_desk(read_envelope, self.home, mission_id)
                self._envelopes[mission_id] = known
        return known or Envelope(mission_id)

    def library(self, blob: str) -> Library:
        """Return the library of this name, read once; a few are kept."""
        known = self._libraries.get(blob)
        if known is None:
            known = Library.model_validate(self.home.blobs.get_json(blob))
            while len(self._libraries) >= LIBRARIES_KEPT:
                self._libraries.pop(next(iter(self._libraries)), None)
            self._libraries[blob] = known
        return known

    def close(self) -> None:
        """Let go of the threads; what runs sees ``should_stop``."""
        self.home.missions.on_append = lambda mission_id: None
        self.bench.shutdown(wait=False, cancel_futures=True)
        self.desk.shutdown(wait=False, cancel_futures=True)


_floor: Floor | None = None


def take_floor(new: Floor | None) -> None:
    """Set this process's one floor; raises `ConflictError` when another is still in use."""
    global _floor
    if new is not None and _floor is not None:
        raise ConflictError("This process already runs a worker; close it before starting another.")
    _floor = new


def floor() -> Floor:
    """Return this process's floor; raises `ConflictError` when no worker runs here."""
    if _floor is None:
        raise ConflictError("No worker runs in this process.")
    return _floor


@contextlib.asynccontextmanager
async def underway(mission_id: str, track: str | None = None, attempt: int | None = None) -> AsyncIterator[None]:
    """Bind who a workflow's work is for; an attempt of a track is one span in each process that works on it."""
    envelope = await floor().envelope(mission_id)
    with at_work(envelope, track, attempt), telemetry.span("agent.run") if track else contextlib.nullcontext():
        yield
