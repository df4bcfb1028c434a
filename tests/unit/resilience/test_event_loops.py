"""The same promises on a loop in debug mode and, where Python has them, with eager tasks."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.unit.resilience.callees import Flaky, Gate, never, settle

from kimera.clock import FakeClock
from kimera.errors import OperationTimeout
from kimera.resilience import Breaker, Bulkhead, Pipeline, Pool, RateLimit, Retry, Timeout, amap, cached


async def single_flight() -> None:
    gate = Gate()
    ask = cached(10, stale=10, clock=FakeClock())(gate.__call__)
    calls = [asyncio.create_task(ask("x")) for _ in range(100)]
    await settle()
    calls[0].cancel()
    await settle()
    gate.open()
    assert ["x"] * 99 == (await asyncio.gather(*calls, return_exceptions=True))[1:]


async def refresh() -> None:
    clock, callee = FakeClock(), Flaky()
    ask = cached(10, stale=10, clock=clock)(callee.__call__)
    await ask()
    clock.tick(10)
    await asyncio.gather(*(ask() for _ in range(100)))
    await settle()
    assert 2 == callee.calls


async def stack() -> None:
    policy = Pipeline(
        Timeout(5), Retry(3, initial=0), Breaker("b", failures=200), RateLimit(1e6), Bulkhead(10), Timeout(2)
    )
    callees = [Flaky([ConnectionError()]) for _ in range(100)]
    assert ["fine"] * 100 == await asyncio.gather(*(policy.call(callee) for callee in callees))


async def cut() -> None:
    outcomes = await asyncio.gather(*(Timeout(0.01).call(never) for _ in range(100)), return_exceptions=True)
    assert {OperationTimeout} == {type(outcome) for outcome in outcomes}


async def slots() -> None:
    bulkhead, gate = Bulkhead(5), Gate()
    calls = [asyncio.create_task(bulkhead.call(gate, x)) for x in range(100)]
    await settle()
    for call in calls[::2]:
        call.cancel()
    gate.open()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (5, 0, 0) == (gate.most, bulkhead.stats().in_flight, bulkhead.stats().waiting)


async def many() -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(0)
        return x

    assert list(range(500)) == await amap(work, range(500), limit=7)
    assert list(range(500)) == [x async for x in amap(work, range(500), limit=7)]


async def connections() -> None:
    pool = Pool(object, max_size=3)
    await asyncio.gather(*(_borrow(pool) for _ in range(100)))
    await pool.close()


async def _borrow(pool: Pool[Any]) -> None:
    async with pool.connection():
        await asyncio.sleep(0)


SCENES = [single_flight, refresh, stack, cut, slots, many, connections]
Scene = Callable[[], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("scene", SCENES)
def test_debug_mode_finds_nothing(scene: Scene) -> None:
    """Promise: in asyncio's debug mode every scene holds, and no coroutine or task is left behind."""

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        loop.slow_callback_duration = 10
        await scene()
        await settle()
        gc.collect()
        assert [] == complaints
        assert 1 == len(asyncio.all_tasks())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(watched(), debug=True)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("scene", SCENES)
def test_eager_tasks_change_nothing(scene: Scene) -> None:
    """Promise: with the eager task factory every scene holds: nothing relies on a task starting later."""

    async def eager() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        await scene()

    asyncio.run(eager())
