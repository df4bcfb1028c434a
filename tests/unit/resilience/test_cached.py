"""Cached functions: one load per key, whoever asks, whoever leaves."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading
import weakref
from typing import Any

import pytest
from tests.unit.resilience.callees import Flaky, Gate, settle

from kimera.clock import FakeClock
from kimera.errors import ConfigurationError
from kimera.resilience import CacheRefreshed, Pipeline, Retry, Timeout, cached, inactive, remaining


async def test_a_hundred_identical_calls_make_one_load() -> None:
    """Promise (8): 100 concurrent callers of one key load once and get the same object."""
    gate = Gate()
    ask = cached()(gate.__call__)
    calls = [asyncio.create_task(ask("x")) for _ in range(100)]
    await settle()
    gate.open()
    assert ["x"] * 100 == await asyncio.gather(*calls)
    info = ask.info()
    assert (1, 1, 99, 100, 0) == (gate.calls, info.loads, info.coalesced, info.misses, info.hits)
    assert "x" == await ask("x")
    assert 1 == ask.info().hits


async def test_one_load_per_key_also_when_more_are_in_flight_than_fit() -> None:
    """Promise (8): with max_size=1 and 20 keys in flight, five callers each, every key is loaded once."""
    gate = Gate()
    ask = cached(max_size=1)(gate.__call__)
    calls = [asyncio.create_task(ask(i % 20)) for i in range(100)]
    await settle()
    gate.open()
    assert [i % 20 for i in range(100)] == await asyncio.gather(*calls)
    assert (20, 1) == (gate.calls, ask.info().size)


def test_fifty_threads_make_one_load() -> None:
    """Promise (8): threads that ask for one key at once load it once."""
    ready, go, loads = threading.Barrier(51), threading.Event(), []

    @cached()
    def load(key: str) -> str:
        loads.append(key)
        go.wait(5)
        return key.upper()

    results: list[str] = []

    def ask() -> None:
        ready.wait(5)
        results.append(load("a"))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    ready.wait(5)
    while load.info().misses < 50:
        pass
    go.set()
    for thread in threads:
        thread.join(5)
    assert (["a"], ["A"] * 50) == (loads, results)


async def test_functions_under_one_decorator_do_not_share_entries() -> None:
    """Promise (9): one decorator object on two functions keeps two stores."""
    remember = cached()

    @remember
    async def one(x: int) -> str:
        return f"one {x}"

    @remember
    async def two(x: int) -> str:
        return f"two {x}"

    assert ("one 1", "two 1") == (await one(1), await two(1))
    one.clear()
    assert (0, 1, 2) == (one.info().size, two.info().size, remember.stats().loads)


async def test_a_failing_load_is_shared_and_not_stored() -> None:
    """Promise (10): 100 waiters of a failing load get the same error; the next call loads again."""
    error = ConnectionError("down")
    gate = Gate(error)
    ask = cached()(gate.__call__)
    calls = [asyncio.create_task(ask("x")) for _ in range(100)]
    await settle()
    gate.open()
    assert [error] * 100 == await asyncio.gather(*calls, return_exceptions=True)
    gate.error = None
    assert "x" == await ask("x")
    assert (2, 1) == (ask.info().loads, ask.info().failures)


async def test_a_cancelled_leader_hands_over() -> None:
    """Promise: when the loading caller is cancelled one waiter loads again and the other 98 keep waiting."""
    gate = Gate()
    ask = cached()(gate.__call__)
    leader = asyncio.create_task(ask("x"))
    waiters = [asyncio.create_task(ask("x")) for _ in range(99)]
    await settle()
    leader.cancel()
    await settle()
    assert (2, 1) == (gate.calls, gate.inside)
    waiters[0].cancel()  # the new leader too
    waiters[1].cancel()  # and the heir
    await settle()
    gate.open()
    results = await asyncio.gather(leader, *waiters, return_exceptions=True)
    assert {asyncio.CancelledError} == {type(result) for result in results[:3]}
    assert ["x"] * 97 == results[3:]
    assert (3, 1) == (gate.calls, ask.info().loads)


async def test_a_lone_cancelled_leader_leaves_nothing_behind() -> None:
    """Promise: after a cancelled load without waiters the next call loads."""
    gate = Gate()
    ask = cached()(gate.__call__)
    call = asyncio.create_task(ask("x"))
    await settle()
    call.cancel()
    await settle()
    gate.open()
    assert "x" == await ask("x")


async def test_arguments_are_bound_to_the_signature() -> None:
    """Promise: f(1, 2), f(a=1, b=2) and f(1) with the default b=2 are one key; types keep 1, 1.0 and True apart."""
    loads: list[tuple[Any, ...]] = []

    @cached()
    async def f(a: Any, b: int = 2, /, c: int = 3, *rest: int, d: int = 4, **more: int) -> int:
        loads.append((a, b, c, rest, d, more))
        return len(loads)

    assert [1] * 5 == [await f(1, 2), await f(1), await f(1, 2, 3), await f(1, c=3), await f(1, d=4)]
    assert [2, 3] == [await f(1.0), await f(True)]
    assert [4, 4, 5, 5] == [await f(1, 2, 3, 9), await f(1, 2, 3, 9, d=4), await f(1, e=1, g=2), await f(1, g=2, e=1)]
    assert [6, 7] == [await f(1, e=True, g=2), await f("1")]
    assert (1, 2, 3, (9,), 4, {}) == loads[3]


async def test_untyped_keys_and_own_keys() -> None:
    """Promise: typed=False lets 1 and 1.0 be one key; `key=` makes unhashable arguments cacheable, which else raise."""
    loose = cached(typed=False)(Flaky(value="v").__call__)
    await loose(1)
    await loose(1.0)
    assert 1 == loose.info().hits

    @cached(key=tuple)
    async def total(rows: list[int]) -> int:
        return sum(rows)

    assert (6, 6, 1) == (await total([1, 2, 3]), await total([1, 2, 3]), total.info().loads)
    total.invalidate([1, 2, 3])
    assert 0 == total.info().size
    strict = cached()(Flaky().__call__)
    with pytest.raises(TypeError, match="unhashable"):
        await strict([1])


async def test_methods_cache_per_instance_and_weakly() -> None:
    """Promise: equal instances do not share, an instance dies with its entries, and unhashable instances work."""

    class Client:  # noqa: PLW1641 - unhashable on purpose
        loads = 0

        def __eq__(self, other: object) -> bool:
            return True

        @cached()
        async def ask(self, x: int, y: int = 0) -> int:
            self.loads += 1
            return x

        @cached()
        def ask_now(self, x: int) -> int:
            self.loads += 1
            return x

        @staticmethod
        @cached()
        def plain(x: int) -> int:
            return -x

    one, two = Client(), Client()
    assert (1, 1, 1) == (await one.ask(1), await one.ask(1, y=0), await two.ask(1))
    assert (1, 1) == (one.loads, two.loads)
    assert (5, 5, -5, 2) == (one.ask_now(5), one.ask_now(5), Client.plain(5), one.loads)
    one.ask.invalidate(1)
    await one.ask(1)
    assert (3, 1, 2) == (one.loads, two.loads, one.ask.info().loads)
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None
    assert 1 == Client.__dict__["ask"].info().size


async def test_ttl_ends_a_value() -> None:
    """Promise: a value is loaded again at its ttl and not before, on the fake clock."""
    clock = FakeClock()
    ask = cached(10, clock=clock)(Flaky().__call__)
    await ask()
    clock.tick(9.9)
    await ask()
    assert 1 == ask.info().loads
    clock.tick(0.1)
    await ask()
    assert 2 == ask.info().loads


async def test_a_load_begun_before_an_invalidate_is_not_stored() -> None:
    """Promise: it serves its waiters; who comes after the invalidate loads anew, and only that is stored."""
    gates = [Gate(), Gate()]
    turns = iter(gates)

    @cached()
    async def ask(key: str) -> int:
        gate = next(turns)
        await gate()
        return gates.index(gate)

    before = [asyncio.create_task(ask("x")) for _ in range(50)]
    await settle()
    ask.invalidate("x")
    after = [asyncio.create_task(ask("x")) for _ in range(50)]
    await settle()
    gates[1].open()
    assert [1] * 50 == await asyncio.gather(*after)
    gates[0].open()
    assert [0] * 50 == await asyncio.gather(*before)
    assert (1, 2) == (await ask("x"), ask.info().loads)


async def test_a_stale_value_is_given_at_once_while_one_refresh_runs() -> None:
    """Promise: past the ttl 100 callers get the old value without waiting and exactly one refresh runs, on its own."""
    clock, events, gate = FakeClock(), [], Gate()
    seen: list[float | None] = []

    @cached(10, stale=20, clock=clock, on_event=events.append)
    async def ask(key: str) -> int:
        seen.append(remaining())
        if len(seen) > 1:
            await gate()
        return len(seen)

    assert 1 == await ask("x")
    clock.tick(10)
    under_limit = Timeout(5, clock=clock)
    assert [1] * 100 == await asyncio.gather(*(under_limit.call(ask, "x") for _ in range(100)))
    await settle()
    assert [None, None] == seen
    gate.open()
    await settle()
    assert 2 == await ask("x")
    assert (2, 100, 1) == (ask.info().loads, ask.info().stale_hits, ask.info().hits)
    assert [True] == [event.ok for event in events if isinstance(event, CacheRefreshed)]


async def test_a_failed_refresh_leaves_the_old_value_until_then() -> None:
    """Promise: while stale the old value stays through failed refreshes; at ttl + stale the error is the answer."""
    clock, events = FakeClock(), []
    callee = Flaky(value="old")
    ask = cached(10, stale=20, clock=clock, on_event=events.append)(callee.__call__)
    await ask("x")
    callee.errors = [ConnectionError() for _ in range(3)]
    for _ in range(2):
        clock.tick(10)
        assert "old" == await ask("x")
        await settle()
    assert [False, False] == [event.ok for event in events]
    clock.tick(10)
    with pytest.raises(ConnectionError):
        await ask("x")
    assert "old" == await ask("x")


async def test_calling_itself_with_the_same_arguments_is_an_error_and_no_deadlock() -> None:
    """Promise: a load that would wait for itself raises RuntimeError, async and sync."""

    @cached()
    async def around(x: int) -> int:
        return await around(x)  # type: ignore[no-any-return]

    @cached()
    def around_now(x: int) -> int:
        return around_now(x)

    with pytest.raises(RuntimeError, match="wait for itself"):
        await around(1)
    with pytest.raises(RuntimeError, match="wait for itself"):
        around_now(1)


def test_loops_in_other_threads_wait_for_the_same_load() -> None:
    """Promise: callers on different event loops share one load, and hand it over across loops."""
    started, release, loads = threading.Event(), threading.Event(), []

    @cached()
    async def ask(key: str) -> str:
        loads.append(key)
        started.set()
        while not release.is_set():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0)
        return key * 2

    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(ask("x")))) for _ in range(4)]
    threads[0].start()
    assert started.wait(5)
    for thread in threads[1:]:
        thread.start()
    while ask.info().coalesced < 3:
        pass
    release.set()
    for thread in threads:
        thread.join(5)
    assert (["x"], ["xx"] * 4) == (loads, results)


async def test_a_cache_stands_in_a_pipeline() -> None:
    """Promise: around a Retry it stores what the retried call gave, for decorated functions and for `call`."""
    clock = FakeClock(auto=True)
    policy = Pipeline(cached(clock=clock), Retry(3, clock=clock))
    callee = Flaky([ConnectionError()])

    async def ask(x: int) -> Any:
        return await callee(x)

    guarded = policy(ask)
    assert ["fine"] * 2 == [await guarded(1), await guarded(1)]
    assert 2 == callee.calls
    assert ["fine"] * 2 == [await policy.call(ask, 1), await policy.call(ask, 1)]
    assert 3 == callee.calls


async def test_names_stay_and_nonsense_is_refused() -> None:
    """Promise: signature, name and doc survive; stale= on a plain function and an awaitable result are refused."""

    @cached()
    async def ask(x: int, *, deep: bool = False) -> int:
        """Ask."""
        return x

    assert ("ask", "Ask.", "(x: 'int', *, deep: 'bool' = False) -> 'int'") == (
        ask.__name__,
        ask.__doc__,
        str(inspect.signature(ask)),
    )
    assert inspect.iscoroutinefunction(ask)
    with pytest.raises(TypeError):
        await ask(1, 2)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="async"):
        cached(stale=5)(len)
    with pytest.raises(TypeError, match="make it async"):
        cached()(lambda: asyncio.get_running_loop().create_future())()


async def test_inactive_loads_every_time() -> None:
    """Promise: inside `inactive` nothing is looked up and nothing stored."""
    callee = Flaky()
    ask = cached()(callee.__call__)
    with inactive():
        await ask()
        await ask()
    assert (2, 0) == (callee.calls, ask.info().misses)
