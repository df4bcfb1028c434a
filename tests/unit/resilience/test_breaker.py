"""The breaker: when it opens, who may probe, and what does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.unit.resilience.callees import Flaky, FlakySync, Gate, settle

from kimera.clock import FakeClock
from kimera.errors import BreakerIsolated, BreakerOpen, ConfigurationError, RateLimited
from kimera.resilience import Breaker, BreakerChanged, CallRefused, breakers, inactive


async def fail(breaker: Breaker, times: int = 1, error: type[Exception] = ValueError) -> None:
    """Let ``times`` calls fail."""
    for _ in range(times):
        with pytest.raises(error):
            await breaker.call(Flaky([error("bad")]))


async def succeed(breaker: Breaker, times: int = 1) -> None:
    """Let ``times`` calls succeed."""
    for _ in range(times):
        assert "fine" == await breaker.call(Flaky())


def opened(clock: FakeClock, **config: Any) -> Breaker:
    """Return a breaker whose recovery time of 60 s is just over."""
    breaker = Breaker("api", failures=1, clock=clock, **config)
    with pytest.raises(ValueError):
        breaker.call(FlakySync([ValueError()]))
    clock.tick(60)
    return breaker


async def test_it_opens_after_n_failures_of_async_functions_too() -> None:
    """Promise (11): the N-th consecutive failure opens it, for async and plain functions; then nothing is called."""
    for callee in (Flaky, FlakySync):
        breaker = Breaker("api", failures=3, clock=FakeClock())
        for _ in range(3):
            assert "closed" == breaker.state
            with pytest.raises(ValueError):
                result = breaker.call(callee([ValueError()]))
                await result
        assert "open" == breaker.state
        ask = callee()
        with pytest.raises(BreakerOpen):
            result = breaker.call(ask)
            await result
        assert (0, 1) == (ask.calls, breaker.stats().refused)


async def test_a_refusal_carries_the_seconds_left() -> None:
    """Promise (12): BreakerOpen has the name and, as retry_after, the seconds until the next chance."""
    clock = FakeClock()
    breaker = Breaker("openai", failures=1, recovery=60, clock=clock)
    await fail(breaker)
    clock.tick(20)
    refusals = await asyncio.gather(*(breaker.call(Flaky()) for _ in range(100)), return_exceptions=True)
    assert {("openai", 40.0)} == {(r.name, r.retry_after) for r in refusals if isinstance(r, BreakerOpen)}
    assert (100, 40.0) == (breaker.stats().refused, breaker.stats().retry_after)


async def test_half_open_admits_one_of_a_hundred() -> None:
    """Promise (13): of 100 callers one probes, 99 are refused with the lease left; its success closes the breaker."""
    clock, gate = FakeClock(), Gate()
    breaker = opened(clock, probe_lease=45)
    calls = [asyncio.create_task(breaker.call(gate)) for _ in range(100)]
    await settle()
    assert (1, 99) == (gate.calls, breaker.stats().refused)
    assert {45.0} == {call.exception().retry_after for call in calls if call.done()}  # type: ignore[union-attr]
    gate.open()
    await asyncio.gather(*calls, return_exceptions=True)
    assert "closed" == breaker.state


async def test_several_probes_and_successes_as_configured() -> None:
    """Promise (13): with probes=3, successes=4 at most three probe at once and the fourth good one closes."""
    clock, gate = FakeClock(), Gate()
    breaker = opened(clock, probes=3, successes=4)
    calls = [asyncio.create_task(breaker.call(gate)) for _ in range(100)]
    await settle()
    assert 3 == gate.most
    gate.open()
    await asyncio.gather(*calls, return_exceptions=True)
    assert "half_open" == breaker.state
    await succeed(breaker)
    assert "closed" == breaker.state


async def test_a_failed_probe_reopens_for_longer_each_round() -> None:
    """Promise (14): one failed probe opens it for recovery * factor**k, at most max_recovery; closing resets k."""
    clock = FakeClock()
    breaker = opened(clock, recovery_factor=3, max_recovery=500)
    for wait in (180.0, 500.0, 500.0):
        await fail(breaker)
        assert ("open", wait) == (breaker.state, breaker.stats().retry_after)
        clock.tick(wait)
    await succeed(breaker)
    await fail(breaker)
    assert 60.0 == breaker.stats().retry_after


async def test_a_cancelled_probe_gives_its_permit_back() -> None:
    """Promise (15): a cancelled probe counts neither way and the next caller may probe at once."""
    breaker = opened(FakeClock())
    probe = asyncio.create_task(breaker.call(Gate()))
    await settle()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert "half_open" == breaker.state
    await succeed(breaker)
    assert "closed" == breaker.state


async def test_a_probe_that_holds_its_lease_too_long_loses_it() -> None:
    """Promise: after probe_lease the next caller probes; the late result is stale, whether anybody came or not."""
    clock, slow = FakeClock(), Gate(ValueError("late"))
    breaker = opened(clock, probe_lease=30)
    late = asyncio.create_task(breaker.call(slow))
    await settle()
    clock.tick(30)
    slow.open()
    with pytest.raises(ValueError):
        await late
    assert ("half_open", 1) == (breaker.state, breaker.stats().stale)
    await succeed(breaker)
    assert "closed" == breaker.state


async def test_cancellation_while_closed_is_neutral() -> None:
    """Promise (16): 100 cancelled calls are neither calls nor failures, and do not end a run of failures."""
    breaker, gate = Breaker("api", failures=2, clock=FakeClock()), Gate()
    await fail(breaker)
    calls = [asyncio.create_task(breaker.call(gate)) for _ in range(100)]
    await settle()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (1, 1, "closed") == (breaker.stats().calls, breaker.stats().consecutive_failures, breaker.state)
    await fail(breaker)
    assert "open" == breaker.state


async def test_a_success_ends_the_consecutive_run() -> None:
    """Promise (17): failures with a success between them do not add up."""
    breaker = Breaker("api", failures=3, clock=FakeClock())
    for _ in range(10):
        await fail(breaker, 2)
        await succeed(breaker)
    assert ("closed", 30, 20) == (breaker.state, breaker.stats().calls, breaker.stats().failures)


@pytest.mark.parametrize("window", [{"window_calls": 30}, {"window_seconds": 1000}])
async def test_two_failures_of_every_three_trip_the_window_and_never_the_run(window: dict[str, Any]) -> None:
    """Promise (18): a rate of 2/3 opens a breaker with a window at min_calls, and one that counts runs never."""
    clock = FakeClock()
    run = Breaker("run", failures=3, clock=clock)
    rate = Breaker("rate", failures=None, failure_rate=0.6, min_calls=21, clock=clock, **window)
    for breaker in (run, rate):
        for _ in range(7):
            assert "closed" == breaker.state
            await fail(breaker, 2)
            await succeed(breaker)
            clock.tick(1)
    assert ("closed", "open") == (run.state, rate.state)


async def test_a_time_window_forgets() -> None:
    """Promise: failures older than window_seconds do not count."""
    clock = FakeClock()
    breaker = Breaker("api", failures=None, window_seconds=10, failure_rate=0.5, min_calls=4, clock=clock)
    await fail(breaker, 3)
    clock.tick(11)
    await fail(breaker)
    await succeed(breaker, 2)
    assert "closed" == breaker.state
    await fail(breaker)
    assert "open" == breaker.state


async def test_a_call_window_slides() -> None:
    """Promise: the window holds the last n calls, also after many good ones took the short cut."""
    breaker = Breaker("api", failures=None, window_calls=10, failure_rate=0.5, min_calls=10, clock=FakeClock())
    await succeed(breaker, 50)
    await fail(breaker, 4)
    await succeed(breaker, 6)
    await fail(breaker, 4)
    assert "closed" == breaker.state
    await fail(breaker)
    assert ("open", 65, 9) == (breaker.state, breaker.stats().calls, breaker.stats().failures)


async def test_slow_calls_open_it() -> None:
    """Promise: slow_rate of calls that last slow_after or more opens it, successes or not."""
    clock = FakeClock()
    breaker = Breaker("api", window_calls=4, min_calls=4, slow_after=2, slow_rate=0.5, clock=clock)

    async def lasts(seconds: float) -> None:
        clock.tick(seconds)

    for seconds in (1.9, 2.0, 0.1):
        await breaker.call(lasts, seconds)
    assert ("closed", 1) == (breaker.state, breaker.stats().slow)
    await breaker.call(lasts, 3)
    assert "open" == breaker.state


async def test_isolate_refuses_until_close() -> None:
    """Promise (19): isolated it refuses for ever, with the reason; close and reset let calls in and zero counters."""
    clock = FakeClock()
    breaker = Breaker("api", clock=clock)
    await fail(breaker)
    breaker.isolate("planned work")
    clock.tick(10_000)
    refusals = await asyncio.gather(*(breaker.call(Flaky()) for _ in range(100)), return_exceptions=True)
    assert {BreakerIsolated} == {type(refusal) for refusal in refusals}
    assert "planned work" in str(refusals[0])
    breaker.close()
    stats = breaker.stats()
    assert ("closed", 0, 0, 0) == (stats.state, stats.calls, stats.failures, stats.refused)
    await succeed(breaker)


async def test_what_is_not_a_failure_counts_neither_way() -> None:
    """Promise: errors outside `on`, in `ignore`, and refusals of other policies leave the breaker as it was."""
    breaker = Breaker("api", failures=1, on=OSError, ignore=FileNotFoundError, clock=FakeClock())
    for error in (ValueError, FileNotFoundError, RateLimited):
        await fail(breaker, 1, error)
    broad = Breaker("broad", failures=1, clock=FakeClock())
    await fail(broad, 100, RateLimited)
    assert (0, "closed") == (broad.stats().calls, broad.state)
    assert (0, 0, "closed") == (breaker.stats().calls, breaker.stats().failures, breaker.state)
    await fail(breaker, 1, OSError)
    assert "open" == breaker.state


async def test_results_of_an_older_generation_change_nothing() -> None:
    """Promise: 100 calls that began while it was closed and fail after it closed again open nothing."""
    clock, gate = FakeClock(), Gate(ValueError("old"))
    breaker = Breaker("api", failures=1, clock=clock)
    old = [asyncio.create_task(breaker.call(gate)) for _ in range(100)]
    await settle()
    await fail(breaker)
    clock.tick(60)
    await succeed(breaker)
    gate.open()
    await asyncio.gather(*old, return_exceptions=True)
    assert ("closed", 100, 1) == (breaker.state, breaker.stats().stale, breaker.stats().failures)


async def test_reading_the_state_never_changes_it() -> None:
    """Promise: after the recovery time `state` still says open; only a call makes it half-open."""
    clock = FakeClock()
    breaker = opened(clock)
    before = breaker.stats().generation
    assert ["open"] * 3 == [breaker.state for _ in range(3)]
    assert before == breaker.stats().generation


async def test_the_block_counts_like_a_call() -> None:
    """Promise: `with` and `async with` record success, failure and cancellation of their body, nested too."""
    breaker = Breaker("api", failures=2, clock=FakeClock())
    with pytest.raises(ValueError), breaker:
        async with breaker:
            raise ValueError
    assert "open" == breaker.state
    with pytest.raises(BreakerOpen), breaker:
        pass


async def test_events_tell_changes_and_refusals() -> None:
    """Promise: BreakerChanged has old, new and reason, CallRefused the error; a hook that raises is ignored."""
    events: list[Any] = []

    def broken_hook(event: object) -> None:
        raise RuntimeError("a listener's bug")

    clock = FakeClock()
    breaker = Breaker("api", failures=1, clock=clock, on_event=broken_hook)
    breaker.subscribe(events.append)
    await fail(breaker)
    with pytest.raises(BreakerOpen):
        await breaker.call(Flaky())
    clock.tick(60)
    await succeed(breaker)
    changes = [(event.old, event.new) for event in events if isinstance(event, BreakerChanged)]
    assert [("closed", "open"), ("open", "half_open"), ("half_open", "closed")] == changes
    assert "1 failures in a row" == events[0].reason
    assert [BreakerOpen] == [type(event.error) for event in events if isinstance(event, CallRefused)]


async def test_the_registry_gives_one_breaker_per_name() -> None:
    """Promise: the same name gives the same breaker; another configuration is an error; the snapshot is JSON-safe."""
    first = breakers.get_or_create("registry test", failures=3)
    assert first is breakers.get_or_create("registry test", failures=3)
    with pytest.raises(ConfigurationError, match="another configuration"):
        breakers.get_or_create("registry test", failures=4)
    assert "closed" == breakers.snapshot()["registry test"]["state"]


async def test_a_plain_function_that_gives_an_awaitable_counts_when_it_is_awaited() -> None:
    """Promise: for a lambda around an async function the outcome of awaiting counts, probes included."""
    clock = FakeClock()
    breaker = Breaker("api", failures=1, clock=clock)

    async def bad() -> None:
        raise ValueError

    def call() -> Awaitable[None]:
        return bad()

    with pytest.raises(ValueError):
        await breaker.call(call)
    assert "open" == breaker.state
    clock.tick(60)
    with pytest.raises(ValueError):
        await breaker.call(call)
    assert "open" == breaker.state


async def test_arguments_that_do_not_fit_lose_no_permit() -> None:
    """Promise: a probe that raises before its coroutine exists gives an answer and holds no permit."""
    breaker = opened(FakeClock(), on=ValueError)

    async def one(x: int) -> int:
        return x

    with pytest.raises(TypeError):
        await breaker.call(one)  # type: ignore[call-arg]
    assert 1 == await breaker.call(one, 1)
    assert "closed" == breaker.state


async def test_inactive_lets_everything_through() -> None:
    """Promise: inside `inactive` an open breaker refuses nothing and counts nothing."""
    breaker = Breaker("api", failures=1, clock=FakeClock())
    await fail(breaker)
    with inactive(), breaker:
        await succeed(breaker)
    assert ("open", 1) == (breaker.state, breaker.stats().calls)
