"""Many items, few at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.unit.resilience.callees import never, settle

from kimera.clock import FakeClock
from kimera.errors import ConfigurationError, OperationTimeout
from kimera.resilience import AsyncBatchProcessor, Err, Ok, amap, gather_with_limit


async def double(x: int) -> int:
    """Return twice ``x`` a few turns later, the odd ones later still."""
    for _ in range(1 + x % 3):
        await asyncio.sleep(0)
    return 2 * x


async def picky(x: int) -> int:
    """Fail for every third item."""
    await asyncio.sleep(0)
    if x % 3 == 0:
        raise ValueError(x)
    return x


async def source(n: int) -> AsyncIterator[int]:
    """Yield 0 to n - 1, asynchronously."""
    for x in range(n):
        await asyncio.sleep(0)
        yield x


async def test_gather_keeps_order() -> None:
    """Promise (34): 100 coroutines, ten at a time, results in the order they were given."""
    assert [2 * x for x in range(100)] == await gather_with_limit(*(double(x) for x in range(100)), limit=10)
    assert [] == await gather_with_limit()


async def test_gather_cancels_siblings_and_closes_what_never_started() -> None:
    """Promise (34): the first error rises itself; running siblings are cancelled and awaited, the rest is closed."""
    ended, error = [], ValueError("first")

    async def sibling() -> None:
        try:
            await never()
        finally:
            ended.append("sibling")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise error

    unstarted = [double(x) for x in range(98)]
    with pytest.raises(ValueError) as caught:
        await gather_with_limit(sibling(), fails(), *unstarted, limit=2)
    assert error is caught.value
    assert ["sibling"] == ended
    assert {inspect.CORO_CLOSED} == {inspect.getcoroutinestate(coro) for coro in unstarted}


@pytest.mark.parametrize("items", [list(range(100)), "generator", "async"])
async def test_amap_keeps_alignment_in_every_mode(items: Any) -> None:
    """Promise (35): results stand at their items' places, awaited or streamed, from lists and lazy sources alike."""

    def fresh() -> Any:
        return {"generator": lambda: iter(range(100)), "async": lambda: source(100)}.get(str(items), lambda: items)()

    async def both(on_error: Any) -> tuple[list[Any], list[Any]]:
        streamed = [x async for x in amap(picky, fresh(), limit=7, on_error=on_error)]
        return await amap(picky, fresh(), limit=7, on_error=on_error), streamed

    for results in await both("none"):
        assert [None if x % 3 == 0 else x for x in range(100)] == results
    for results in await both("drop"):
        assert [x for x in range(100) if x % 3] == results
    for results in await both("outcome"):
        assert [x for x in range(100) if x % 3] == [o.value for o in results if isinstance(o, Ok)]
        assert [x for x in range(100) if x % 3 == 0] == [o.error.args[0] for o in results if isinstance(o, Err)]
    assert [2 * x for x in range(100)] == await amap(double, fresh(), limit=7)


@pytest.mark.parametrize("streamed", [True, False])
async def test_amap_raises_the_first_error_itself(streamed: bool) -> None:
    """Promise (35): the first error cancels the others, waits for them, and is raised as the same object."""
    error, cancelled = ValueError("first"), []

    async def work(x: int) -> int:
        if x == 5:
            raise error
        try:
            await never()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cancelled.append(x)
            raise
        return x

    with pytest.raises(ValueError) as caught:
        if streamed:
            async for _ in amap(work, range(100), limit=10):
                pass
        else:
            await amap(work, range(100), limit=10)
    assert error is caught.value
    assert [0, 1, 2, 3, 4, 6, 7, 8, 9] == sorted(cancelled)
    assert 1 == len(asyncio.all_tasks())


async def test_ten_thousand_items_take_ten_tasks_and_are_taken_lazily() -> None:
    """Promise: 10,000 items with limit 10: at most 12 tasks alive, and streaming stays 2 * limit ahead, no more."""
    most = taken = given = ahead = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for x in range(10_000):
            taken += 1
            yield x

    async def work(x: int) -> int:
        nonlocal most
        if x % 1000 == 0:
            most = max(most, len(asyncio.all_tasks()))
        return x

    async for x in amap(work, numbers(), limit=10):
        assert given == x
        given += 1
        ahead = max(ahead, taken - given)
    assert (10_000, True, True) == (given, ahead <= 20, most <= 12)
    assert list(range(10_000)) == await amap(work, range(10_000), limit=10)
    assert most <= 12


async def test_cancelling_the_whole_cancels_the_parts() -> None:
    """Promise: cancelling amap, or leaving a stream early, leaves no task behind."""
    call = asyncio.create_task(amap(lambda x: never(), range(50), limit=10)._collect())
    await settle()
    assert 12 == len(asyncio.all_tasks())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    stream = aiter(amap(double, range(100), limit=10))
    assert 0 == await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    assert 1 == len(asyncio.all_tasks())


async def test_something_cancelled_inside_is_not_a_missing_result() -> None:
    """Promise: when an item awaits something that was cancelled, amap raises CancelledError, never a hole."""

    async def awaits_cancelled(x: int) -> int:
        if x == 3:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            future.cancel()
            return await future
        return await double(x)

    with pytest.raises(asyncio.CancelledError):
        await amap(awaits_cancelled, range(10), limit=2)


async def test_a_source_that_raises_ends_it() -> None:
    """Promise: an error of the iterator itself rises and the workers end."""

    def broken() -> Iterator[int]:
        yield 1
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        await amap(double, broken(), limit=3)
    with pytest.raises(KeyError, match="source"):
        async for _ in amap(double, broken(), limit=3):
            pass


async def test_each_item_has_its_own_time_limit() -> None:
    """Promise: an item over its time gives OperationTimeout at its place, the others their results."""
    clock = FakeClock()

    async def work(x: int) -> int:
        if x == 1:
            await never()
        return x

    call = asyncio.ensure_future(amap(work, range(3), limit=2, timeout=5, on_error="outcome", clock=clock)._collect())
    await clock.advance(5)
    first, late, last = await call
    assert (0, 2, OperationTimeout) == (first.value, last.value, type(late.error))


async def test_waves_start_when_the_one_before_is_done_and_not_too_soon() -> None:
    """Promise: waves of batch_size, at most max_concurrent at once, starts at least `interval` apart."""
    clock, starts = FakeClock(), []
    inside = most = 0

    async def work(x: int) -> int:
        nonlocal inside, most
        starts.append((x, clock.monotonic()))
        inside += 1
        most = max(most, inside)
        await clock.sleep(1)
        inside -= 1
        return -x

    processor = AsyncBatchProcessor(batch_size=4, max_concurrent=2, interval=10, clock=clock)
    call = asyncio.create_task(processor.process(range(6), work))
    for _ in range(13):
        await clock.advance(1)
    assert [0, -1, -2, -3, -4, -5] == await call
    assert (2, [(0, 0), (1, 0), (2, 1), (3, 1), (4, 10), (5, 10)]) == (most, starts)


async def test_nonsense_is_refused() -> None:
    """Promise: limits below 1 and unknown modes raise ConfigurationError that says what is taken."""
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ConfigurationError, match="1 or more"):
            amap(double, [], limit=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="raise, outcome, none or drop"):
        amap(double, [], on_error="ignore")  # type: ignore[arg-type]
    coro = double(1)
    with pytest.raises(ConfigurationError):
        await gather_with_limit(coro, limit=0)
    assert inspect.CORO_CLOSED == inspect.getcoroutinestate(coro)
