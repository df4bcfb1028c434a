"""A limit on time: cuts, names, and leaves alone what is not its own."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.resilience.callees import Gate, never, settle

from kimera.clock import FakeClock
from kimera.errors import DeadlineExceeded, OperationTimeout
from kimera.resilience import Pipeline, Retry, TimedOut, Timeout, inactive, remaining


async def ask() -> None:
    """Wait for ever, under a name."""
    await never()


async def test_a_timeout_names_operation_and_seconds() -> None:
    """Promise (30): the error says what took too long, and how long it was allowed, and is a builtin TimeoutError."""
    clock = FakeClock()
    events: list[object] = []
    call = asyncio.create_task(Timeout(10, clock=clock, on_event=events.append).call(ask))
    await clock.advance(9.9)
    assert not call.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutError) as caught:
        await call
    error = caught.value
    assert isinstance(error, OperationTimeout)
    assert ("ask", 10.0, 10.0) == (error.operation, error.timeout_seconds, error.elapsed)
    assert [10.0] == [event.seconds for event in events if isinstance(event, TimedOut)]


async def test_the_callees_own_timeout_error_is_untouched() -> None:
    """Promise (30): a TimeoutError that the callee raises rises as the same object, on either clock."""
    own = TimeoutError("the socket's")

    async def fails() -> None:
        raise own

    for limit in (Timeout(10), Timeout(10, clock=FakeClock())):
        with pytest.raises(TimeoutError) as caught:
            await limit.call(fails)
        assert own is caught.value
        assert 0 == limit.stats().timed_out


async def test_the_machines_clock_cuts_a_hundred_calls_with_one_timer() -> None:
    """Promise: 100 hanging calls under one limit are all cut, and one that ends in time is not."""
    limit = Timeout(0.02)

    @limit
    async def work(x: int) -> int:
        if x:
            await never()
        return x

    outcomes = await asyncio.gather(*(work(x) for x in range(101)), return_exceptions=True)
    assert 0 == outcomes[0]
    assert {OperationTimeout} == {type(outcome) for outcome in outcomes[1:]}
    assert 100 == limit.stats().timed_out
    assert 0 == asyncio.current_task().cancelling()  # type: ignore[union-attr]


@pytest.mark.parametrize("real", [True, False])
async def test_a_cancel_from_outside_passes(real: bool) -> None:
    """Promise: cancelling the caller is a cancellation, never a time-out, on either clock."""
    limit = Timeout(10) if real else Timeout(10, clock=FakeClock())
    call = asyncio.create_task(limit.call(ask))
    await settle()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert 0 == limit.stats().timed_out


async def test_one_timer_cuts_only_what_is_due() -> None:
    """Promise: when the oldest call falls due, younger ones under the same limit go on."""
    limit, gate = Timeout(60), Gate()
    old = asyncio.create_task(limit.call(never))
    await settle()
    young = asyncio.create_task(limit.call(gate, "young"))
    await settle()
    watch = limit._watch
    assert watch is not None
    next(iter(watch.calls)).deadline = 0.0  # the past
    watch._fire()
    gate.open()
    with pytest.raises(OperationTimeout):
        await old
    assert "young" == await young


@pytest.mark.parametrize("real", [True, False])
async def test_an_error_of_its_own_while_being_cut_is_the_callees(real: bool) -> None:
    """Promise: a callee that answers the cut with its own TimeoutError is heard, on either clock."""
    clock = FakeClock()
    own = TimeoutError("mine")

    async def answers() -> None:
        try:
            await never()
        except asyncio.CancelledError:
            raise own from None

    call = asyncio.create_task((Timeout(0.01) if real else Timeout(1, clock=clock)).call(answers))
    await clock.advance(1)
    with pytest.raises(TimeoutError) as caught:
        await call
    assert own is caught.value


async def test_a_cancel_from_outside_wins_over_the_limit() -> None:
    """Promise: when somebody else cancels while the limit's own cut is under way, the somebody is obeyed."""

    async def work() -> None:
        try:
            await never()
        except asyncio.CancelledError:  # the cut
            asyncio.current_task().cancel()  # type: ignore[union-attr]  # and now somebody else
            raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(Timeout(0.01).call(work))


async def test_work_that_outlives_its_cancellation_keeps_its_result() -> None:
    """Promise: a callee that catches the cut and returns is believed, and its task is not left half cancelled."""

    @Timeout(0.01)
    async def stubborn() -> str:
        try:
            await never()
        except asyncio.CancelledError:
            return "saved"
        return "unreachable"

    assert "saved" == await stubborn()
    assert 0 == asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_the_block_whose_time_ran_out_raises() -> None:
    """Promise: of nested limits the smallest holds and raises; what is outside of it goes on."""
    clock = FakeClock()

    async def nested() -> str:
        async with Timeout(100, clock=clock, name="outer"):
            try:
                async with Timeout(5, clock=clock, name="inner"), Timeout(50, clock=clock, name="innermost"):
                    await never()
            except OperationTimeout as error:
                return str(error.operation)
        return "nobody"

    call = asyncio.create_task(nested())
    await clock.advance(5)
    assert "inner" == await call


async def test_remaining_is_the_nearest_limit() -> None:
    """Promise: `remaining` gives the seconds to the soonest enclosing limit, in sync code too, and None outside."""
    clock = FakeClock()

    def driver() -> float | None:
        return remaining()

    @Timeout(10, clock=clock)
    async def outer() -> tuple[float | None, float | None, float | None]:
        clock.tick(4)
        inner = Timeout(30, clock=clock).call(driver)
        return driver(), inner, Timeout(1, clock=clock).call(driver)

    assert (6.0, 6.0, 1.0) == await outer()
    assert remaining() is None


async def test_a_limit_around_a_retry_is_a_total_and_one_inside_is_per_attempt() -> None:
    """Promise: outside of a Retry a Timeout raises DeadlineExceeded, inside OperationTimeout, which is retried."""
    clock = FakeClock()
    policy = Pipeline(Timeout(10, clock=clock), Retry(5, jitter="none", clock=clock), Timeout(3, clock=clock))
    call = asyncio.create_task(policy.call(ask))
    for _ in range(20):
        await clock.advance(1)
    with pytest.raises(DeadlineExceeded) as caught:
        await call
    assert ("ask", 10.0) == (caught.value.operation, caught.value.timeout_seconds)


async def test_a_plain_function_cannot_be_cut_and_is_refused() -> None:
    """Promise: decorating a plain function raises TypeError that names the way out; an awaitable result is cut."""
    with pytest.raises(TypeError, match="remaining"):
        Timeout(1)(len)
    with pytest.raises(TypeError, match="remaining"):
        Pipeline(Timeout(1), Retry())(len)
    clock = FakeClock()
    call = asyncio.create_task(Timeout(1, clock=clock).call(lambda: ask()))  # noqa: PLW0108 - the lambda is the point
    await clock.advance(1)
    with pytest.raises(OperationTimeout, match="took longer than 1 s"):
        await call


async def test_inactive_lifts_the_limit() -> None:
    """Promise: inside `inactive` a Timeout is a pass-through."""
    with inactive():
        async with Timeout(1, clock=FakeClock()):
            assert remaining() is None
        assert 3 == await Timeout(1).call(asyncio.sleep, 0, 3)
