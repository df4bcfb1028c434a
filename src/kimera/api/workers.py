"""Threads for what may block: one cheap hop from the event loop and back.

The framework's own way (one queue behind a lock, a limiter and several tasks' worth of bookkeeping) costs three times
as much CPU per hop. Behaviour is the same: at most `MOST` pieces of work at once, the others wait in order; the work
sees the context of the task that asked; a task that is cancelled waits until its work has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["MOST", "Workers"]

T = TypeVar("T")
Outcome = tuple[Any, BaseException | None]
Task = tuple["_Job", "_Bell", contextvars.Context, Callable[..., Any], tuple[Any, ...]]

MOST = 40
"""Threads at most; as many as the framework would use."""


class Workers:
    """A bounded pool of daemon threads, begun when needed; used from one event loop at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._threads = self._busy = 0
        self._bell: _Bell | None = None
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        weakref.finalize(self, _dismiss, self._waiting, most)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Return what ``work`` returns in a thread; raises what it raises."""
        loop = asyncio.get_running_loop()
        if self._bell is None or self._bell.loop is not loop:
            self._bell = _Bell(loop)
        job = _Job(loop=loop)
        self._busy += 1
        if self._busy > self._threads and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=_serve, args=(self._waiting,), name="kimera-request", daemon=True).start()
        self._waiting.put((job, self._bell, contextvars.copy_context(), work, args))
        try:
            value, error = await job
        finally:
            self._busy -= 1
        if error is not None:
            try:
                raise error
            finally:
                del error, job
        result: T = value
        return result


class _Job(asyncio.Future[Outcome]):
    """Work on its way. It cannot be cancelled, so a cancelled task is only told when the work has ended."""

    def cancel(self, msg: Any = None) -> bool:
        """Refuse: what has begun in a thread cannot be taken back."""
        return False


class _Bell:
    """Tells an event loop from other threads what has ended there.

    Where the system has event descriptors, two calls of the system instead of the five of the loop's own way, and no
    handle per call. The descriptor lives as long as the loop watches it or a thread may still ring.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ended: deque[tuple[_Job, Outcome]] = deque()
        self._number: int | None = None
        if hasattr(os, "eventfd"):
            self._number = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            weakref.finalize(self, os.close, self._number)
            loop.add_reader(self._number, self._hear)

    def ring(self, job: _Job, outcome: Outcome) -> None:
        """Say in any thread how a job has ended; nobody listens any more when the loop is closed."""
        if self._number is None:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(job.set_result, outcome)
            return
        self._ended.append((job, outcome))
        os.eventfd_write(self._number, 1)

    def _hear(self) -> None:
        assert self._number is not None
        os.eventfd_read(self._number)
        while self._ended:
            job, outcome = self._ended.popleft()
            job.set_result(outcome)


def _serve(waiting: queue.SimpleQueue[Task | None]) -> None:
    while (task := waiting.get()) is not None:
        job, bell, context, work, args = task
        try:
            outcome: Outcome = context.run(work, *args), None
        except BaseException as error:  # noqa: BLE001 - the worker loop: raised in the task that waits
            outcome = None, error
        bell.ring(job, outcome)
        del task, job, bell, context, work, args, outcome


def _dismiss(waiting: queue.SimpleQueue[Task | None], threads: int) -> None:
    for _ in range(threads):
        waiting.put(None)
