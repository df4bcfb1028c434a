"""One clock for everything that waits or stamps; tests swap it for a fake."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "FakeClock", "SystemClock"]


class Clock(Protocol):
    """What the code may ask of time. Durations are seconds as float; instants are aware UTC datetimes."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps back."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC; for display and records, never for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait without blocking the event loop."""

    def pause(self, seconds: float) -> None:
        """Wait, blocking the calling thread."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return an async block that raises TimeoutError when ``seconds`` have passed."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds`` on the running loop."""
        await asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Block the thread for ``seconds``."""
        time.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Return ``asyncio.timeout(seconds)``."""
        return asyncio.timeout(seconds)


class FakeClock:
    """A clock that moves only when told to.

    ``advance`` moves time and wakes sleepers and time-outs in due order; ``tick`` moves it without waking anybody;
    with ``auto=True`` every sleep or pause advances at once. ``sleeps`` lists the durations asked for.
    """

    def __init__(self, start: float = 0.0, auto: bool = False) -> None:
        self._time = start
        self._auto = auto
        self._order = itertools.count()
        self._waiters: list[tuple[float, int, asyncio.Future[None]]] = []
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        """Return the fake time in seconds."""
        return self._time

    def now(self) -> datetime:
        """Return 2026-01-01 UTC plus the fake time."""
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._time)

    async def sleep(self, seconds: float) -> None:
        """Wait until the fake time has moved by ``seconds``."""
        self.sleeps.append(seconds)
        if self._auto:
            await self.advance(seconds)
            return
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._wait_until(self._time + seconds)

    def pause(self, seconds: float) -> None:
        """Record the duration and, with ``auto``, move the time; never blocks."""
        self.sleeps.append(seconds)
        if self._auto:
            self._time += seconds

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[object]:
        """Raise TimeoutError inside the block once the fake time has moved by ``seconds``."""
        async with asyncio.timeout(None) as scope:
            loop = asyncio.get_running_loop()
            watch = loop.create_task(self._wait_until(self._time + seconds))
            watch.add_done_callback(lambda task: None if task.cancelled() else scope.reschedule(loop.time()))
            try:
                yield scope
            finally:
                watch.cancel()

    def tick(self, seconds: float) -> None:
        """Move the time without waking anybody."""
        self._time += seconds

    async def advance(self, seconds: float) -> None:
        """Let tasks just begun reach their wait, then move the time, waking what falls due in due order."""
        await _settle()
        target = self._time + seconds
        while self._waiters and self._waiters[0][0] <= target:
            due, _, future = heapq.heappop(self._waiters)
            self._time = max(self._time, due)
            if not future.done():
                future.set_result(None)
                await _settle()
        self._time = max(self._time, target)
        await _settle()

    async def _wait_until(self, due: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiters, (due, next(self._order), future))
        await future


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
