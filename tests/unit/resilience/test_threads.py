"""The sync faces under many threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from kimera.clock import FakeClock
from kimera.errors import BreakerOpen, RefusedError
from kimera.resilience import Breaker, Bulkhead, Cache, Pipeline, RateLimit, Retry, cached


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Let threads change places a thousand times as often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(count: int, work: Callable[[int], object]) -> list[BaseException]:
    """Run ``work(number)`` in threads that begin together; return what they raised."""
    start, raised = threading.Barrier(count), []

    def run(number: int) -> None:
        try:
            start.wait(5)
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert [False] * count == [thread.is_alive() for thread in threads]
    return raised


def test_fifty_threads_are_inside_user_code_at_once() -> None:
    """Promise (20): no policy holds a lock while user code runs: all 50 meet at a barrier inside it."""
    policy = Pipeline(Retry(), Breaker("b"), RateLimit(1e6), Bulkhead(50))
    windowed = Breaker("w", window_calls=100, failure_rate=0.5, slow_after=60, slow_rate=0.5)
    for guard in (policy, windowed, Breaker("plain"), cached()):
        meeting = threading.Barrier(50)

        def meet(number: int, meeting: threading.Barrier = meeting) -> int:
            meeting.wait(10)
            return number

        guarded = guard(meet)
        assert [] == in_threads(50, guarded)


def test_counts_are_exact_under_contention() -> None:
    """Promise: a breaker counts every one of 20 x 300 calls, whichever path they took."""
    breaker = Breaker("count", failures=None, window_calls=50, failure_rate=1.0, min_calls=50)

    @breaker
    def work(i: int) -> None:
        if i % 10 == 0:
            raise ValueError

    def many(number: int) -> None:
        for i in range(300):
            try:
                work(i + number)
            except ValueError:
                continue

    assert [] == in_threads(20, many)
    stats = breaker.stats()
    assert (6000, 600, "closed") == (stats.calls, stats.failures, stats.state)
    assert stats == breaker.stats()


def test_half_open_admits_one_of_fifty_threads() -> None:
    """Promise (13): of 50 threads one probes."""
    clock = FakeClock()
    breaker = Breaker("probe", failures=1, clock=clock)
    with pytest.raises(ValueError), breaker:
        raise ValueError
    clock.tick(60)
    gate, inside = threading.Event(), []

    @breaker
    def probe(number: int) -> None:
        inside.append(number)
        gate.wait(5)

    def ask(number: int) -> None:
        try:
            probe(number)
        except BreakerOpen:
            if breaker.stats().refused == 49:
                gate.set()
            raise

    raised = in_threads(50, ask)
    assert (1, 49, {BreakerOpen}) == (len(inside), len(raised), {type(error) for error in raised})
    assert "closed" == breaker.state


def test_caches_hold_under_contention() -> None:
    """Promise: readers without a lock and writers with one never see a wrong value, nor more than max_size."""
    cache: Cache[tuple[int, str], int] = Cache(max_size=20, ttl=1000)

    class Odd(str):
        """Equal by Python code, so that threads change places inside a dict lookup."""

        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return str.__eq__(self, other)  # type: ignore[arg-type]

        __hash__ = str.__hash__

    def churn(number: int) -> None:
        for i in range(400):
            key = (i * (number + 1) % 40, Odd("k"))
            found = cache.get(key)
            assert found in {None, key[0]}
            cache.set(key, key[0])
            if i % 50 == 0:
                cache.delete(key)

    assert [] == in_threads(12, churn)
    assert len(cache) <= 20
    stats = cache.stats()
    assert 12 * 400 == stats.hits + stats.misses


def test_rate_limits_admit_exactly_the_burst_to_a_crowd() -> None:
    """Promise (33): on a standing clock 40 threads with 50 tries get the burst between them and nothing more."""
    limit = RateLimit(10, burst=37, clock=FakeClock())
    admitted: list[int] = []

    def ask(number: int) -> None:
        for _ in range(50):
            if limit.try_acquire() == 0.0:
                admitted.append(number)

    assert [] == in_threads(40, ask)
    assert 37 == len(admitted)


def test_everything_together_ends_clean() -> None:
    """Promise: 16 threads of calls that succeed, fail and are refused leave no slot taken and no thread waiting."""
    bulkhead = Bulkhead(3, queue=4)
    policy = Pipeline(Retry(2, initial=0, on=ConnectionError), Breaker("mix", failures=50), bulkhead)
    done = []

    @policy
    def work(i: int) -> int:
        if i % 7 == 0:
            raise ConnectionError
        return i

    def many(number: int) -> None:
        for i in range(150):
            try:
                done.append(work(number + i))
            except (ConnectionError, RefusedError) as error:
                done.append(error)  # type: ignore[arg-type]

    assert [] == in_threads(16, many)
    assert (16 * 150, 0, 0) == (len(done), bulkhead.stats().in_flight, bulkhead.stats().waiting)
