"""Threads for what may block: one cheap hop from the event loop and back.

The framework's own way (one queue behind a lock, a limiter and several tasks' worth of bookkeeping) costs twice as much
CPU and wall time per hop. Behaviour is the same: at most `MOST` pieces of work at once, the others wait in order; the
work sees the context of the task that asked; a task that is cancelled waits until its work has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["MOST", "Workers"]

T = TypeVar("T")
Task = tuple["_Job", contextvars.Context, Callable[..., Any], tuple[Any, ...]]

MOST = 40
"""Threads at most; as many as the framework would use."""


class Workers:
    """A bounded pool of daemon threads, begun when needed; used from one event loop at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._threads = self._busy = 0
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        weakref.finalize(self, _dismiss, self._waiting, most)

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Return what ``work`` returns in a thread; raises what it raises."""
        job = _Job(loop=asyncio.get_running_loop())
        self._busy += 1
        if self._busy > self._threads and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=_serve, args=(self._waiting,), name="kimera-request", daemon=True).start()
        self._waiting.put((job, contextvars.copy_context(), work, args))
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


class _Job(asyncio.Future[tuple[Any, BaseException | None]]):
    """Work on its way. It cannot be cancelled, so a cancelled task is only told when the work has ended."""

    def cancel(self, msg: Any = None) -> bool:
        """Refuse: what has begun in a thread cannot be taken back."""
        return False

    def end(self, value: Any, error: BaseException | None) -> None:
        """Say how it ended, in a thread of the pool; nobody listens any more when the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self.get_loop().call_soon_threadsafe(self.set_result, (value, error))


def _serve(waiting: queue.SimpleQueue[Task | None]) -> None:
    while (task := waiting.get()) is not None:
        job, context, work, args = task
        try:
            value = context.run(work, *args)
        except BaseException as error:  # noqa: BLE001 - the worker loop: raised in the task that waits
            job.end(None, error)
        else:
            job.end(value, None)
        del task, job, context, work, args
        value = None


def _dismiss(waiting: queue.SimpleQueue[Task | None], threads: int) -> None:
    for _ in range(threads):
        waiting.put(None)
