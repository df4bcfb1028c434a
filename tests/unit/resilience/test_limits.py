"""How many at once, and how many per second."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.resilience.callees import Flaky, Gate, settle

from kimera.clock import FakeClock
from kimera.errors import BulkheadFull, RateLimited
from kimera.resilience import AdaptiveLimit, Bulkhead, CallRefused, RateLimit, inactive


async def test_never_more_than_limit_inside_and_in_order_of_arrival() -> None:
    """Promise (31): of 100 callers at most 7 are inside at any time, and they enter in the order they came."""
    gate = Gate()
    gate.open()
    bulkhead, order = Bulkhead(7, clock=FakeClock()), []
    inside = most = 0

    @bulkhead
    async def work(x: int) -> int:
        nonlocal inside, most
        order.append(x)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        return x

    assert list(range(100)) == await asyncio.gather(*(work(x) for x in range(100)))
    assert (7, list(range(100))) == (most, order)
    assert (0, 0) == (bulkhead.stats().in_flight, bulkhead.stats().waiting)


async def test_a_newcomer_never_overtakes_a_waiter() -> None:
    """Promise (31): a freed slot goes to the oldest waiter, also when a newcomer asks in the same turn of the loop."""
    bulkhead, gate, late = Bulkhead(1, clock=FakeClock()), Gate(), Gate()
    first = asyncio.create_task(bulkhead.call(gate, "first"))
    waiter = asyncio.create_task(bulkhead.call(late, "waiter"))
    await settle()
    gate.open()
    await first
    newcomer = asyncio.create_task(bulkhead.call(late, "newcomer"))
    await settle()
    late.open()
    await asyncio.gather(waiter, newcomer)
    assert ["waiter", "newcomer"] == late.order


async def test_a_full_queue_refuses_and_a_cancelled_waiter_leaves_it() -> None:
    """Promise (32): limit + queue callers are taken, the others refused at once; a cancelled waiter frees its place."""
    events: list[object] = []
    bulkhead, gate = Bulkhead(2, queue=8, clock=FakeClock(), on_event=events.append), Gate()
    calls = [asyncio.create_task(bulkhead.call(gate, x)) for x in range(100)]
    await settle()
    assert (2, 8, 90) == (bulkhead.stats().in_flight, bulkhead.stats().waiting, bulkhead.stats().refused)
    assert {BulkheadFull} == {type(call.exception()) for call in calls if call.done()}
    calls[2].cancel()
    await settle()
    assert 7 == bulkhead.stats().waiting
    extra = asyncio.create_task(bulkhead.call(gate, "extra"))
    gate.open()
    assert "extra" == await extra
    await asyncio.gather(*calls, return_exceptions=True)
    assert [0, 1, *range(3, 10), "extra"] == gate.order
    assert 90 == len([event for event in events if isinstance(event, CallRefused)])


async def test_a_slot_handed_to_a_cancelled_waiter_passes_on() -> None:
    """Promise (32): a waiter cancelled in the very turn it got the slot gives it to the next one."""
    bulkhead, gate, after = Bulkhead(1, clock=FakeClock()), Gate(), Gate()
    after.open()
    first = asyncio.create_task(bulkhead.call(gate))
    heir, next_one = (asyncio.create_task(bulkhead.call(after, name)) for name in ("heir", "next"))
    await settle()
    gate.open()
    await asyncio.wait([first])
    heir.cancel()
    assert "next" == await next_one
    await asyncio.gather(heir, return_exceptions=True)
    assert 0 == bulkhead.stats().in_flight


async def test_waiting_ends_at_max_wait() -> None:
    """Promise (32): after max_wait the refusal says how long was waited; max_wait=0 never queues."""
    clock, gate = FakeClock(), Gate()
    bulkhead = Bulkhead(1, max_wait=5, clock=clock)
    holder = asyncio.create_task(bulkhead.call(gate))
    waiter = asyncio.create_task(bulkhead.call(Flaky()))
    await clock.advance(4.9)
    assert not waiter.done()
    await clock.advance(0.1)
    with pytest.raises(BulkheadFull) as caught:
        await waiter
    assert 5 == caught.value.waited  # type: ignore[attr-defined]
    gate.open()
    await holder
    impatient = Bulkhead(1, max_wait=0, clock=clock)
    async with impatient:
        with pytest.raises(BulkheadFull):
            await impatient.call(Flaky())


async def test_errors_and_cancellation_free_the_slot() -> None:
    """Promise: whatever ends the inside, of 100 calls, the slot is free again; the block does the same."""
    bulkhead, gate = Bulkhead(100, clock=FakeClock()), Gate()
    calls = [asyncio.create_task(bulkhead.call(gate)) for _ in range(99)]
    await settle()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    with pytest.raises(ValueError):
        async with bulkhead:
            raise ValueError
    with pytest.raises(ValueError), bulkhead:
        raise ValueError
    assert 0 == bulkhead.stats().in_flight


def test_threads_share_a_bulkhead() -> None:
    """Promise (31): of 50 threads at most 3 are inside, and all get their turn."""
    bulkhead, lock = Bulkhead(3), threading.Lock()
    inside = most = done = 0

    @bulkhead
    def work() -> None:
        nonlocal inside, most, done
        with lock:
            inside += 1
            most = max(most, inside)
        for _ in range(200):
            pass
        with lock:
            inside -= 1
            done += 1

    threads = [threading.Thread(target=work) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 50 == done
    assert most <= 3


def test_a_waiter_on_a_closed_loop_does_not_keep_its_slot() -> None:
    """Promise: a slot that would go to a task of a dead event loop goes to the next one or becomes free."""
    bulkhead = Bulkhead(1)
    loop = asyncio.new_event_loop()
    with bulkhead:
        orphan = loop.create_task(bulkhead.call(Flaky()))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert 0 == bulkhead.stats().in_flight
    orphan._log_destroy_pending = False  # type: ignore[attr-defined]
    orphan.get_coro().close()  # type: ignore[union-attr]


def test_the_adaptive_limit_follows_its_formula() -> None:
    """Promise: Gradient2 as specified: mean of ten, then exponential; no change when less than half is used."""
    limit = AdaptiveLimit(initial=20, maximum=200)
    for _ in range(10):
        assert 20 == limit.sample(0.1, 9)
    assert 0.8 * 20 + 0.2 * (20 + 4) == pytest.approx(limit.sample(0.1, 10))
    before = limit.limit
    long = 0.1 * (1 - 2 / 601) + 0.4 * 2 / 601
    gradient = max(0.5, min(1.0, 1.5 * long / 0.4))
    assert 0.8 * before + 0.2 * (gradient * before + 4) == pytest.approx(limit.sample(0.4, 20))


async def test_the_adaptive_limit_closes_slots_and_never_exceeds_the_fixed_one() -> None:
    """Promise: slower calls lower the slots; the bulkhead's own limit stays the ceiling."""
    clock = FakeClock()
    bulkhead = Bulkhead(30, adaptive=AdaptiveLimit(initial=20, maximum=200), clock=clock)

    async def lasts(seconds: float) -> None:
        await clock.sleep(seconds)

    async def round_of(seconds: float) -> None:
        calls = [asyncio.create_task(bulkhead.call(lasts, seconds)) for _ in range(bulkhead.limit)]
        await clock.advance(seconds)
        await asyncio.gather(*calls)

    for _ in range(8):
        await round_of(1)
    assert 30 == bulkhead.limit
    for _ in range(6):
        await round_of(50)
    assert bulkhead.limit < 20


async def test_the_burst_then_one_per_interval() -> None:
    """Promise (33): of 100 callers the burst is admitted, the rest refused with the seconds to wait; then one per T."""
    clock = FakeClock()
    limit = RateLimit(10, per=1, burst=5, clock=clock)
    results = await asyncio.gather(*(limit.call(Flaky()) for _ in range(100)), return_exceptions=True)
    assert (["fine"] * 5, 95) == (results[:5], limit.stats().refused)
    assert {0.1} == {refusal.retry_after for refusal in results[5:] if isinstance(refusal, RateLimited)}
    for _ in range(20):
        clock.tick(0.1)
        assert [0.0, 0.1] == [limit.try_acquire(), limit.try_acquire()]


async def test_waiting_is_in_order_of_arrival() -> None:
    """Promise (33): with max_wait callers reserve at once and sleep until their turn, 100 of them one T apart."""
    clock, order = FakeClock(), []
    limit = RateLimit(1, burst=1, max_wait=None, clock=clock)

    async def work(x: int) -> None:
        await limit.call(Flaky())
        order.append((x, clock.monotonic()))

    calls = [asyncio.create_task(work(x)) for x in range(100)]
    await clock.advance(99)
    await asyncio.gather(*calls)
    assert [(x, float(x)) for x in range(100)] == order


async def test_a_wait_longer_than_allowed_is_refused_and_reserves_nothing() -> None:
    """Promise (33): max_wait bounds the sleep; who is refused takes no place."""
    clock = FakeClock(auto=True)
    limit = RateLimit(1, burst=1, max_wait=1, clock=clock)
    await limit.call(Flaky())
    limit.call(len, [])
    with pytest.raises(RateLimited):
        async with RateLimit(1, burst=1, clock=FakeClock()) as strict, strict:
            pass
    assert ([1.0], 1.0) == (clock.sleeps, limit.try_acquire())


def test_costs_and_keys() -> None:
    """Promise: a cost above the burst is a ValueError; each key has its own limit, the least recently used dropped."""
    clock = FakeClock()
    with pytest.raises(ValueError, match="burst"):
        RateLimit(5, clock=clock).try_acquire(6)
    keyed = RateLimit.keyed(1, per=10, max_keys=2, clock=clock)
    assert [0.0, 10.0, 0.0] == [keyed.try_acquire("a"), keyed.try_acquire("a"), keyed.try_acquire("b")]
    keyed.try_acquire("a")
    assert [0.0, 2] == [keyed.try_acquire("c"), len(keyed)]
    assert [10.0, 0.0] == [keyed.try_acquire("a"), keyed.try_acquire("b")]


@given(st.integers(1, 50), st.integers(1, 5), st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=60))
def test_no_window_holds_more_than_burst_and_rate_allow(rate: int, burst: int, gaps: list[float]) -> None:
    """Promise: within any span s of admitted calls there are at most burst + s * rate of them, to the nanosecond."""
    clock = FakeClock()
    limit = RateLimit(rate, burst=burst, clock=clock)
    admitted = []
    for gap in gaps:
        clock.tick(gap)
        if limit.try_acquire() == 0.0:
            admitted.append(clock.monotonic())
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + (admitted[last] - admitted[first]) * rate + 1e-6


async def test_inactive_limits_nothing() -> None:
    """Promise: inside `inactive` neither slots nor rates hold."""
    bulkhead, rate = Bulkhead(1, max_wait=0), RateLimit(1, burst=1, clock=FakeClock())
    with inactive():
        async with bulkhead:
            await bulkhead.call(Flaky())
        assert ["fine"] * 3 == [await rate.call(Flaky()) for _ in range(3)]
