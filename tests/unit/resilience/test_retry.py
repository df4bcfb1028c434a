"""Trying again: how often, after how long, and when not."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.resilience.callees import Flaky, FlakySync, never, settle

from kimera.clock import FakeClock
from kimera.errors import (
    BreakerIsolated,
    BreakerOpen,
    ConfigurationError,
    DeadlineExceeded,
    OperationTimeout,
    RateLimited,
    RetryableError,
    ServiceError,
)
from kimera.resilience import Retry, RetryBudget, RetryGivenUp, RetryScheduled, Timeout, inactive


def failing(n: int) -> list[BaseException]:
    """Return ``n`` errors that may be retried."""
    return [ConnectionError(str(i)) for i in range(n)]


async def test_three_attempts_with_delays_one_and_two() -> None:
    """Promise (21): three attempts, delays 1 and 2 without jitter, and the last error rises as the same object."""
    clock, errors = FakeClock(auto=True), failing(3)
    last = errors[-1]
    ask = Flaky(errors)
    with pytest.raises(ConnectionError) as caught:
        await Retry(3, initial=1, jitter="none", clock=clock).call(ask)
    assert last is caught.value
    assert (3, [1.0, 2.0]) == (ask.calls, clock.sleeps)


def test_a_plain_function_is_retried_with_pauses() -> None:
    """Promise (21): sync functions wait with the clock's pause, and the second success is returned."""
    clock, ask = FakeClock(auto=True), FlakySync(failing(2))
    assert "fine" == Retry(3, initial=1, jitter="none", clock=clock)(ask)()
    assert (3, [1.0, 2.0]) == (ask.calls, clock.sleeps)


async def test_a_hundred_callers_retry_on_their_own() -> None:
    """Promise (21): 100 concurrent callers each get their own attempts and delays."""
    clock = FakeClock()
    policy = Retry(2, initial=1, jitter="none", clock=clock)
    callees = [Flaky(failing(1), value=i) for i in range(100)]
    calls = [asyncio.create_task(policy.call(callee)) for callee in callees]
    await clock.advance(1)
    assert list(range(100)) == await asyncio.gather(*calls)
    assert (100, 0) == (policy.stats().retries, policy.stats().given_up)


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 8))
def test_full_jitter_stays_within_zero_and_base(chance: float, failures: int) -> None:
    """Promise (22): every delay lies between 0 and min(max_delay, initial * factor**(n-1))."""
    clock = FakeClock(auto=True)
    Retry(failures + 1, initial=1, max_delay=20, clock=clock, rng=lambda: chance)(FlakySync(failing(failures)))()
    assert [min(20.0, 2.0**n) * chance for n in range(failures)] == clock.sleeps


def test_decorrelated_jitter_follows_its_recursion() -> None:
    """Promise: delay = min(max_delay, initial + (3 * previous - initial) * chance), previous starting at initial."""
    clock = FakeClock(auto=True)
    Retry(4, initial=1, max_delay=10, jitter="decorrelated", clock=clock, rng=lambda: 0.5)(FlakySync(failing(3)))()
    assert [2.0, 3.5, 5.75] == clock.sleeps


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_an_error_outside_on_rises_at_once(asynchronous: bool) -> None:
    """Promise (23): what is not to be retried rises after one attempt and no sleep; programming errors by default."""
    clock = FakeClock()
    for policy, error in (
        (Retry(clock=clock), KeyError("a bug")),
        (Retry(on=ConnectionError, clock=clock), ValueError("no")),
        (Retry(on=Exception, give_up_on=ValueError, clock=clock), ValueError("no")),
        (Retry(on=lambda e: False, clock=clock), ConnectionError("no")),
    ):
        ask = Flaky([error]) if asynchronous else FlakySync([error])
        with pytest.raises(type(error)):
            await policy.call(ask) if asynchronous else policy.call(ask)  # type: ignore[func-returns-value]
        assert 1 == ask.calls
    assert [] == clock.sleeps


async def test_cancel_during_an_attempt_ends_it() -> None:
    """Promise (24): cancelling during an attempt ends everything, whatever the predicate says; no second attempt."""
    started = 0

    async def hangs() -> None:
        nonlocal started
        started += 1
        await never()

    for on in (Exception, lambda error: True):
        calls = [asyncio.create_task(Retry(5, on=on, clock=FakeClock()).call(hangs)) for _ in range(100)]
        await settle()
        for call in calls:
            call.cancel()
        assert {asyncio.CancelledError} == {type(e) for e in await asyncio.gather(*calls, return_exceptions=True)}
    assert 200 == started


async def test_cancel_during_back_off_ends_it_at_once() -> None:
    """Promise (25): cancelling while waiting for the next attempt ends the wait; the callee is not called again."""
    ask = Flaky(failing(5))
    call = asyncio.create_task(Retry(5, initial=10, jitter="none", clock=FakeClock()).call(ask))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert 1 == ask.calls


async def test_retry_after_is_honoured() -> None:
    """Promise (26): the wait is the longer of delay and retry-after, above max_delay too; refusals say it likewise."""
    clock = FakeClock(auto=True)
    slow = [ServiceError("busy", "api", 429, retry_after=90), RateLimited("later", retry_after=7)]
    await Retry(3, initial=1, max_delay=5, jitter="none", clock=clock).call(Flaky(slow))
    assert [90.0, 7.0] == clock.sleeps

    class Foreign(ConnectionError):
        retry_after = timedelta(seconds=3)

    await Retry(2, initial=1, jitter="none", clock=clock).call(Flaky([Foreign()]))
    assert 3.0 == clock.sleeps[-1]


async def test_a_retry_after_beyond_the_limit_gives_up_at_once() -> None:
    """Promise (26): an error that asks for more than max_retry_after rises without a wait."""
    clock = FakeClock()
    with pytest.raises(BreakerOpen):
        await Retry(3, max_retry_after=60, clock=clock).call(Flaky([BreakerOpen("open", retry_after=61)]))
    assert [] == clock.sleeps


async def test_no_sleep_past_total() -> None:
    """Promise (27): a sleep that would end at or after the deadline is not begun; the original error rises."""
    clock, errors = FakeClock(auto=True), failing(9)
    third = errors[2]
    with pytest.raises(ConnectionError) as caught:
        await Retry(None, total=7, initial=1, jitter="none", clock=clock).call(Flaky(errors))
    assert third is caught.value
    assert [1.0, 2.0] == clock.sleeps


async def test_the_enclosing_timeout_is_a_deadline_too() -> None:
    """Promise (27): a Timeout around the call limits the sleeps, for sync code under it as well."""
    clock = FakeClock(auto=True)

    @Timeout(2.5, clock=clock)
    async def outer() -> None:
        Retry(9, initial=1, jitter="none", clock=clock)(FlakySync(failing(9)))()

    with pytest.raises(ConnectionError):
        await outer()
    assert [1.0] == clock.sleeps


async def test_a_running_attempt_is_cut_at_total() -> None:
    """Promise: an async attempt still running at `total` is cut with DeadlineExceeded from the last error."""
    clock, first = FakeClock(), ConnectionError("first")
    errors = [first]

    async def ask() -> None:
        if errors:
            raise errors.pop()
        await never()

    call = asyncio.create_task(Retry(5, total=10, initial=1, jitter="none", clock=clock).call(ask))
    await clock.advance(1)
    await clock.advance(9)
    with pytest.raises(DeadlineExceeded, match="ask took longer than 10 s") as caught:
        await call
    assert first is caught.value.__cause__


async def test_final_errors_are_retried_only_by_name() -> None:
    """Promise: DeadlineExceeded and BreakerIsolated end it, unless `on` names the class; OSError is not their name."""
    for error in (DeadlineExceeded(), BreakerIsolated()):
        ask = Flaky([error])
        with pytest.raises(type(error)):
            await Retry(on=(OSError, Exception), clock=FakeClock(auto=True)).call(ask)
        assert 1 == ask.calls
        again = Flaky([type(error)()])
        assert "fine" == await Retry(on=type(error), clock=FakeClock(auto=True)).call(again)
    timed_out = Flaky([OperationTimeout()])
    assert "fine" == await Retry(on=OSError, clock=FakeClock(auto=True)).call(timed_out)


def test_zero_attempts_are_refused() -> None:
    """Promise (28): attempts=0 raises ConfigurationError that says what to write."""
    with pytest.raises(ConfigurationError, match="attempts of 1 or more"):
        Retry(attempts=0)
    with pytest.raises(ConfigurationError, match="total=SECONDS"):
        Retry(attempts=None)


async def test_a_predicate_may_name_the_delay() -> None:
    """Promise: a predicate that returns a number retries after so many seconds, 0 too."""
    clock = FakeClock(auto=True)
    await Retry(3, on=lambda e: 0.0 if str(e) == "0" else 42, clock=clock).call(Flaky(failing(2)))
    assert [0.0, 42.0] == clock.sleeps


async def test_a_shared_budget_stops_a_storm_of_retries() -> None:
    """Promise: 100 callers that all fail make no more retries than the budget holds."""
    clock, budget = FakeClock(auto=True), RetryBudget(capacity=10, per_call=0.1)
    policy = Retry(5, initial=0, clock=clock, budget=budget)
    callees = [Flaky(failing(9)) for _ in range(100)]
    await asyncio.gather(*(policy.call(callee) for callee in callees), return_exceptions=True)
    assert 100 <= sum(callee.calls for callee in callees) <= 100 + 10 + 100 * 0.1
    assert budget.level < 1


async def test_the_block_retries_its_body() -> None:
    """Promise: `for attempt in Retry` repeats the body, async and sync, numbers attempts and ends after a success."""
    clock, numbers = FakeClock(auto=True), []
    async for attempt in Retry(3, initial=1, jitter="none", clock=clock):
        with attempt:
            numbers.append(attempt.number)
            if attempt.number < 3:
                raise ConnectionError
    for attempt in Retry(3, initial=4, jitter="none", clock=clock):
        with attempt:
            numbers.append(attempt.number)
            if attempt.number < 2:
                raise RetryableError
    assert ([1, 2, 3, 1, 2], [1.0, 2.0, 4.0]) == (numbers, clock.sleeps)
    with pytest.raises(ConnectionError, match="second"):
        for attempt in Retry(2, clock=clock):
            with attempt:
                raise ConnectionError("second" if attempt.number == 2 else "first")


@pytest.mark.parametrize("real", [True, False])
async def test_the_block_cuts_a_running_attempt_at_total(real: bool) -> None:
    """Promise: in `async for` an attempt that still runs at `total` ends with DeadlineExceeded, on either clock."""
    clock, seen = FakeClock(), []
    policy = Retry(5, total=0.15, initial=0) if real else Retry(5, total=10, initial=1, jitter="none", clock=clock)

    async def loop() -> None:
        async for attempt in policy:
            with attempt:
                seen.append(attempt.number)
                if attempt.number == 1:
                    raise ConnectionError("first")
                await never()

    call = asyncio.create_task(loop())
    await clock.advance(1)
    await clock.advance(9)
    with pytest.raises(DeadlineExceeded) as caught:
        await call
    assert ([1, 2], "first") == (seen, str(caught.value.__cause__))
    async for attempt in policy:
        if attempt.number:
            break
    await clock.advance(100)
    assert 0 == asyncio.current_task().cancelling()  # type: ignore[union-attr]


def test_a_block_without_with_is_an_error_and_no_endless_loop() -> None:
    """Promise: forgetting `with attempt:` raises RuntimeError that says so."""
    with pytest.raises(RuntimeError, match="with attempt"):
        for _ in Retry(3):
            pass


async def test_events_and_statistics_tell_what_happened() -> None:
    """Promise: each retry and the giving up are events with attempt, delay and error; stats count them."""
    events: list[object] = []
    policy = Retry(2, initial=1, jitter="none", clock=FakeClock(auto=True), on_event=events.append, name="api")
    with pytest.raises(ConnectionError):
        await policy.call(Flaky(failing(2)))
    scheduled, given_up = events
    assert isinstance(scheduled, RetryScheduled)
    assert isinstance(given_up, RetryGivenUp)
    assert ("retry", "api", 0.0, 1, 1.0) == (
        scheduled.policy,
        scheduled.name,
        scheduled.at,
        scheduled.attempt,
        scheduled.delay,
    )
    assert (2, 1, 1) == (given_up.attempts, policy.stats().retries, policy.stats().given_up)


async def test_inactive_makes_one_attempt() -> None:
    """Promise: inside `inactive` a Retry is a pass-through."""
    for ask in (Flaky(failing(1)), FlakySync(failing(1))):
        with inactive(), pytest.raises(ConnectionError):
            result = Retry(3).call(ask)
            await result
        assert 1 == ask.calls


async def test_a_plain_function_that_gives_an_awaitable_is_retried_by_what_it_gives() -> None:
    """Promise: for a lambda around an async function the outcome of awaiting counts."""
    ask = Flaky(failing(2))
    assert "fine" == await Retry(3, clock=FakeClock(auto=True)).call(lambda: ask())  # noqa: PLW0108 - the lambda is the point
    assert 3 == ask.calls
