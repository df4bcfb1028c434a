"""Breaker, cache and bulkhead against models, under any sequence of events that hypothesis finds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kimera.clock import FakeClock
from kimera.errors import BreakerOpen, BulkheadFull
from kimera.resilience import Breaker, Bulkhead, Cache, cached

QUICK = settings(max_examples=80, stateful_step_count=40, deadline=None)


class Parked:
    """Waits until somebody sends or throws."""

    def __await__(self) -> Any:
        yield


async def parked() -> None:
    """Be called, and wait for the end that the model chooses."""
    await Parked()


def finish(call: Any, result: str) -> None:
    """End a parked call well, badly, or by cancellation."""
    try:
        if result == "good":
            call.send(None)
        else:
            call.throw(ValueError() if result == "bad" else asyncio.CancelledError())
    except (StopIteration, ValueError, asyncio.CancelledError):
        return


class BreakerModel(RuleBasedStateMachine):
    """A breaker with 3 failures, 10 s recovery that doubles, one probe with a lease of 5 s, two good probes needed."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(
            "model",
            failures=3,
            recovery=10,
            recovery_factor=2,
            max_recovery=35,
            successes=2,
            probe_lease=5,
            clock=self.clock,
        )
        self.state, self.run, self.rounds, self.good = "closed", 0, 0, 0
        self.open_until = 0.0
        self.probe: tuple[int, float] | None = None
        self.generation = 0
        self.flying: list[tuple[Any, int, int | None]] = []
        self.numbers = self.calls = self.failures = self.stale = 0
        self.guarded = self.breaker.bind_async(parked)

    def go(self, state: str) -> None:
        self.state, self.run, self.good, self.probe = state, 0, 0, None
        self.generation += 1
        if state == "open":
            self.open_until = self.clock.monotonic() + min(35, 10 * 2**self.rounds)

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule()
    def begin(self) -> None:
        now = self.clock.monotonic()
        if self.state == "open" and now >= self.open_until:
            self.go("half_open")
        if self.probe and now >= self.probe[1]:
            self.probe = None
        admitted = self.state == "closed" or (self.state == "half_open" and self.probe is None)
        call = self.guarded()
        try:
            call.send(None)  # type: ignore[attr-defined]
        except BreakerOpen:
            assert not admitted
            return
        assert admitted
        self.numbers += 1
        number = None
        if self.state == "half_open":
            number = self.numbers
            self.probe = (number, now + 5)
        self.flying.append((call, self.generation, number))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), result=st.sampled_from(["good", "bad", "cancelled"]))
    def end(self, data: st.DataObject, result: str) -> None:
        call, generation, number = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        finish(call, result)
        lost = number is not None and (self.probe != (number, self.probe and self.probe[1]) or self.lease_over())
        if number is not None and self.probe and self.probe[0] == number:
            self.probe = None
        if result == "cancelled":
            return
        if generation != self.generation or lost:
            self.stale += 1
            return
        self.calls += 1
        self.failures += result == "bad"
        if number is not None:
            self.judge_probe(result)
        elif result == "good":
            self.run = 0
        else:
            self.run += 1
            if self.run == 3:
                self.go("open")

    def lease_over(self) -> bool:
        return self.probe is not None and self.clock.monotonic() >= self.probe[1]

    def judge_probe(self, result: str) -> None:
        if result == "bad":
            self.rounds += 1
            self.go("open")
            return
        self.good += 1
        if self.good == 2:
            self.rounds = 0
            self.go("closed")

    @rule()
    def close(self) -> None:
        self.breaker.close()
        self.rounds = self.calls = self.failures = self.stale = 0
        self.go("closed")

    @rule()
    def isolate(self) -> None:
        self.breaker.isolate("by hand")
        self.go("isolated")

    @invariant()
    def agrees(self) -> None:
        stats = self.breaker.stats()
        assert (self.state, self.generation, self.run) == (stats.state, stats.generation, stats.consecutive_failures)
        assert (self.calls, self.failures, self.stale) == (stats.calls, stats.failures, stats.stale)
        left = max(0.0, self.open_until - self.clock.monotonic()) if self.state == "open" else 0.0
        assert left == pytest.approx(stats.retry_after)

    def teardown(self) -> None:
        for call, _, _ in self.flying:
            call.close()


class CacheModel(RuleBasedStateMachine):
    """A cache of 3 with ttl 10 against a list of (key, value, end) in order of use."""

    keys = st.integers(0, 5)

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.cache: Cache[int, int] = Cache(3, 10, clock=self.clock)
        self.model: list[tuple[int, int, float]] = []

    def living(self) -> list[tuple[int, int, float]]:
        return [row for row in self.model if self.clock.monotonic() < row[2]]

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0]))
    def wait(self, seconds: float) -> None:
        self.clock.tick(seconds)

    @rule(key=keys, value=st.integers(), ttl=st.sampled_from([10.0, 3.0, 0.0, None]))
    def put(self, key: int, value: int, ttl: float | None) -> None:
        self.cache.set(key, value, ttl)
        self.model = [row for row in self.living() if row[0] != key]
        if ttl != 0:
            end = float("inf") if ttl is None else self.clock.monotonic() + ttl
            self.model = [*self.model[-2:], (key, value, end)]

    @rule(key=keys)
    def look(self, key: int) -> None:
        row = next((row for row in self.living() if row[0] == key), None)
        assert (row[1] if row else None) == self.cache.get(key)
        if row:
            self.model = [*(other for other in self.model if other is not row), row]

    @rule(key=keys)
    def forget(self, key: int) -> None:
        assert any(row[0] == key for row in self.living()) == self.cache.delete(key)
        self.model = [row for row in self.model if row[0] != key]

    @rule()
    def clear(self) -> None:
        self.cache.clear()
        self.model = []

    @invariant()
    def agrees(self) -> None:
        assert len(self.living()) == len(self.cache)


class BulkheadModel(RuleBasedStateMachine):
    """A bulkhead of 2 with a queue of 3 against a list of who is inside and who waits."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bulkhead = Bulkhead(2, queue=3, max_wait=None)
        self.inside: list[int] = []
        self.waiting: list[int] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.ends: dict[int, asyncio.Event] = {}
        self.entered: list[int] = []

    def turn(self) -> None:
        async def some() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        self.loop.run_until_complete(some())

    def admit(self) -> None:
        while self.waiting and len(self.inside) < 2:
            self.inside.append(self.waiting.pop(0))

    @rule()
    def come(self) -> None:
        number = len(self.ends)
        self.ends[number] = asyncio.Event()

        async def work() -> None:
            self.entered.append(number)
            await self.ends[number].wait()

        task = self.loop.create_task(self.bulkhead.call(work))
        self.turn()
        if len(self.inside) == 2 and len(self.waiting) == 3:
            assert isinstance(task.exception(), BulkheadFull)
            return
        self.tasks[number] = task
        self.waiting.append(number)
        self.admit()

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.inside))
        self.ends[number].set()
        self.leave(number, self.inside)

    @precondition(lambda self: self.inside or self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(self.inside + self.waiting))
        self.tasks[number].cancel()
        self.leave(number, self.inside if number in self.inside else self.waiting)

    def leave(self, number: int, where: list[int]) -> None:
        where.remove(number)
        self.admit()
        self.turn()
        assert self.tasks.pop(number).done()

    @invariant()
    def agrees(self) -> None:
        stats = self.bulkhead.stats()
        assert (len(self.inside), len(self.waiting)) == (stats.in_flight, stats.waiting)
        assert sorted(self.entered) == self.entered

    def teardown(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        self.turn()
        assert 0 == self.bulkhead.stats().in_flight
        self.loop.close()


class SingleFlightModel(RuleBasedStateMachine):
    """A cached async function under callers that come, leave and invalidate while loads end well or badly.

    Every load gives its own number. A caller may get any load's number but one that began before the last invalidation
    that he came after; and of the loads of one key since its last invalidation at most one runs.
    """

    keys = st.integers(0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.rounds = [0, 0]
        self.loads: list[tuple[int, int]] = []
        self.running: dict[int, asyncio.Future[int]] = {}
        self.callers: list[tuple[asyncio.Task[int], int, int]] = []

        async def load(key: int) -> int:
            number = len(self.loads)
            self.loads.append((key, self.rounds[key]))
            self.running[number] = self.loop.create_future()
            try:
                return await self.running[number]
            finally:
                del self.running[number]

        self.ask = cached(10, max_size=1, clock=self.clock)(load)

    def turn(self) -> None:
        async def some() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(some())

    @rule(key=keys, count=st.integers(1, 4))
    def come(self, key: int, count: int) -> None:
        for _ in range(count):
            self.callers.append((self.loop.create_task(self.ask(key)), key, self.rounds[key]))
        self.turn()

    def pending(self) -> list[int]:
        return sorted(number for number, future in self.running.items() if not future.done())

    @precondition(lambda self: self.pending())
    @rule(data=st.data(), good=st.booleans())
    def land(self, data: st.DataObject, good: bool) -> None:
        number = data.draw(st.sampled_from(self.pending()))
        future = self.running[number]
        future.set_result(number) if good else future.set_exception(ConnectionError(number))
        if data.draw(st.booleans()):
            self.turn()  # otherwise something else happens in the same turn of the loop

    @precondition(lambda self: any(not task.done() for task, _, _ in self.callers))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        waiting = [place for place, (task, _, _) in enumerate(self.callers) if not task.done()]
        self.callers[data.draw(st.sampled_from(waiting))][0].cancel()
        if data.draw(st.booleans()):
            self.turn()

    @rule(key=keys)
    def invalidate(self, key: int) -> None:
        self.turn()
        self.ask.invalidate(key)  # type: ignore[attr-defined]
        self.rounds[key] += 1

    @rule()
    def grow_old(self) -> None:
        self.clock.tick(10)

    @invariant()
    def one_load_per_key(self) -> None:
        loads = [self.loads[number] for number in self.running]
        current = [key for key, round_ in loads if round_ == self.rounds[key]]
        assert len(set(current)) == len(current)

    @invariant()
    def nobody_gets_what_was_invalidated_before_he_came(self) -> None:
        for task, key, round_ in self.callers:
            if task.done() and not task.cancelled():
                error = task.exception()
                number = task.result() if error is None else error.args[0]
                assert key == self.loads[number][0]
                assert self.loads[number][1] >= round_

    def teardown(self) -> None:
        for _ in range(50):
            self.turn()
            for number in self.pending():
                self.running[number].set_result(number)
        assert all(task.done() for task, _, _ in self.callers)
        self.nobody_gets_what_was_invalidated_before_he_came()
        assert self.ask.info().size <= 1  # type: ignore[attr-defined]
        self.loop.close()


def run(machine: type[RuleBasedStateMachine]) -> None:
    """Let hypothesis look for a sequence that breaks the machine."""
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(machine, settings=QUICK)


def test_the_breaker_agrees_with_its_model() -> None:
    """Promise (46): any sequence of calls, results, cancellations, waits and hands-on agrees with a plain model."""
    run(BreakerModel)


def test_the_cache_agrees_with_its_model() -> None:
    """Promise (1-6): so does the cache with a list in order of use."""
    run(CacheModel)


def test_the_bulkhead_agrees_with_its_model() -> None:
    """Promise (31, 32): so does the bulkhead with two lists, under any order of arrivals, ends and cancellations."""
    run(BulkheadModel)


def test_single_flight_agrees_with_its_model() -> None:
    """Promise (8, 10): under any order of callers, cancellations, loads and invalidations nobody hangs or is misled."""
    run(SingleFlightModel)
