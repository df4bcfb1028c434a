"""Threads of the gateway: bounded, in order, in the caller's context, and never left alone with a request."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from kimera.api.workers import Workers


@pytest.fixture(autouse=True, params=["event descriptor", "the loop's own way"])
def bell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with both ways to wake the loop; the second is that of systems without event descriptors."""
    if request.param == "the loop's own way":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has no event descriptors")


NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name")


async def test_work_runs_in_a_thread_with_the_callers_context() -> None:
    """Promise: the value comes back, the work saw the caller's context, and its changes stay in the thread."""
    NAME.set("caller")

    def work(number: int) -> tuple[int, str, bool]:
        seen = NAME.get()
        NAME.set("thread")
        return number + 1, seen, threading.current_thread() is threading.main_thread()

    assert await Workers().run(work, 1) == (2, "caller", False)
    assert NAME.get() == "caller"


@pytest.mark.parametrize(
    "error", [ValueError("v"), SystemExit(3), StopIteration(1)], ids=lambda one: type(one).__name__
)
async def test_what_the_work_raises_is_raised(error: BaseException) -> None:
    """Promise: any failure reaches the caller, and the thread goes on with the next piece of work."""

    def fail() -> None:
        raise error

    workers = Workers(1)
    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        await workers.run(fail)
    assert await workers.run(lambda: 7) == 7


async def test_no_more_threads_than_allowed_and_work_waits_in_order() -> None:
    """Promise: two threads do five pieces of work, two at once, begun in the order in which they came."""
    workers, gate, full = Workers(2), threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    order: list[int] = []
    running: set[int] = set()
    most = 0

    def work(number: int) -> int:
        nonlocal most
        order.append(number)
        running.add(number)
        if len(order) == 2:
            loop.call_soon_threadsafe(full.set)
        most = max(most, len(running))
        assert gate.wait(10)
        running.discard(number)
        return threading.get_ident()

    asked = [asyncio.create_task(workers.run(work, number)) for number in range(5)]
    await full.wait()
    gate.set()
    threads = await asyncio.gather(*asked)
    assert sorted(order[:2]) == [0, 1]
    assert sorted(order) == list(range(5))
    assert most == 2
    assert len(set(threads)) == 2


async def test_slow_work_delays_nobody() -> None:
    """Promise: while one piece of work takes long, others are answered."""
    workers, gate = Workers(), threading.Event()
    slow = asyncio.create_task(workers.run(gate.wait, 10))
    assert [await workers.run(lambda: 1) for _ in range(3)] == [1, 1, 1]
    assert not slow.done()
    gate.set()
    assert await slow is True


async def test_a_cancelled_task_waits_for_its_work() -> None:
    """Promise: cancellation is told when the work has ended, not while it still writes."""
    workers, gate, ended = Workers(), threading.Event(), []

    def work() -> None:
        assert gate.wait(10)
        ended.append(True)

    task = asyncio.create_task(workers.run(work))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


def test_work_outlives_a_closed_loop() -> None:
    """Promise: a thread that finds its loop closed goes on with the work of the next one."""
    workers, gate = Workers(1), threading.Event()
    loop = asyncio.new_event_loop()
    left = workers.run(gate.wait, 10)
    waiting = loop.run_until_complete(begun(left))
    loop.close()
    gate.set()
    assert asyncio.run(workers.run(lambda: 5)) == 5
    assert waiting is not None
    left.close()


async def begun(work: Coroutine[Any, Any, Any]) -> Any:
    """Take a coroutine to its first wait, and leave it there."""
    return work.send(None)


def test_threads_end_with_their_pool() -> None:
    """Promise: a pool that is gone leaves no thread behind."""
    workers = Workers(1)
    thread = asyncio.run(workers.run(threading.current_thread))
    assert thread.is_alive()
    del workers
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_no_descriptor_is_left_behind() -> None:
    """Promise: a pool used from many loops keeps one descriptor at most, and gives it back with itself."""
    workers = Workers(1)
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for _ in range(20):
        assert asyncio.run(workers.run(lambda: 1)) == 1
    del workers
    gc.collect()
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    assert after <= before
