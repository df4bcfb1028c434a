"""The behaviours that matter when things go wrong, put to us and to the same libraries that the speed is compared with.

Each case is a small scene with many callers on the machine's clock; a library passes, fails, or has no such thing.
A case that a peer passes and Kimera fails ends the run with 1. Needs the group `peers`; what is absent is named.

Run: python benchmarks/resilience_correctness.py [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import logging
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from kimera.resilience import Breaker, Bulkhead, RateLimit, Retry, Timeout, cached

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
RECOVERY = 0.05
Call = Callable[..., Awaitable[Any]]
Make = Callable[[Call], Call]
US = "kimera"


# how each library guards a function


def breaker_makers() -> dict[str, Callable[[], Make]]:
    """Return, per library, what makes a breaker that opens at once and recovers after 50 ms."""

    def purgatory() -> Make:
        import purgatory as p

        factory = p.AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=RECOVERY)
        return factory("scene")  # type: ignore[return-value]

    def circuitbreaker() -> Make:
        import circuitbreaker as c

        return c.circuit(failure_threshold=1, recovery_timeout=RECOVERY)  # type: ignore[no-any-return]

    def aiobreaker() -> Make:
        import aiobreaker as a

        return a.CircuitBreaker(fail_max=1, timeout_duration=timedelta(seconds=RECOVERY))  # type: ignore[no-any-return]

    def hyx() -> Make:
        from hyx.circuitbreaker import consecutive_breaker

        return consecutive_breaker(failure_threshold=1, recovery_time_secs=RECOVERY, recovery_threshold=1)  # type: ignore[no-any-return]

    def pyresilience() -> Make:
        import pyresilience as p

        config = p.CircuitBreakerConfig(failure_threshold=1, recovery_timeout=RECOVERY, success_threshold=1)
        return p.resilient(circuit_breaker=config)  # type: ignore[no-any-return]

    def pybreaker() -> Make:
        import pybreaker as p
        import tornado  # noqa: F401 - on which its async side runs

        breaker = p.CircuitBreaker(fail_max=1, reset_timeout=RECOVERY)

        def guard(fn: Call) -> Call:
            async def guarded(*args: Any) -> Any:
                return await breaker.call_async(fn, *args)

            return guarded

        return guard

    return {
        US: lambda: Breaker("scene", failures=1, recovery=RECOVERY),
        "circuitbreaker": circuitbreaker,
        "aiobreaker": aiobreaker,
        "purgatory": purgatory,
        "pybreaker": pybreaker,
        "hyx": hyx,
        "pyresilience": pyresilience,
    }


def cache_makers() -> dict[str, Callable[[], Make]]:
    """Return, per library, what makes a cached function."""

    def async_lru() -> Make:
        from async_lru import alru_cache

        return alru_cache(maxsize=128)

    def aiocache() -> Make:
        import aiocache as a

        return a.cached(ttl=300)  # type: ignore[no-any-return]

    def cachebox() -> Make:
        import cachebox as c

        return c.cached(c.LRUCache(128))

    def pyresilience() -> Make:
        import pyresilience as p

        return p.resilient(cache=p.CacheConfig())  # type: ignore[no-any-return]

    return {
        US: cached,
        "async-lru": async_lru,
        "aiocache": aiocache,
        "cachebox": cachebox,
        "pyresilience": pyresilience,
    }


def retry_makers(predicate: Callable[[BaseException], bool]) -> dict[str, Callable[[], Make]]:
    """Return, per library, what retries whatever the predicate says, without waiting long."""

    def tenacity() -> Make:
        import tenacity as t

        return t.retry(retry=t.retry_if_exception(predicate), stop=t.stop_after_attempt(3), reraise=True)

    def stamina() -> Make:
        import stamina as s

        s.instrumentation.set_on_retry_hooks([])
        return s.retry(on=predicate, attempts=3, wait_initial=0, wait_jitter=0)  # type: ignore[arg-type]

    def backoff() -> Make:
        import backoff as b

        return b.on_exception(b.constant, BaseException, max_tries=3, interval=0, jitter=None)  # type: ignore[arg-type]

    def pyresilience() -> Make:
        import pyresilience as p

        config = p.RetryConfig(max_attempts=3, delay=0.001, retry_on=(BaseException,))
        return p.resilient(retry=config)  # type: ignore[no-any-return]

    def hyx() -> Make:
        from hyx.retry import retry

        return retry(on=BaseException, attempts=3, backoff=0.001)

    return {
        US: lambda: Retry(3, on=predicate, initial=0),
        "tenacity": tenacity,
        "stamina": stamina,
        "backoff": backoff,
        "hyx": hyx,
        "pyresilience": pyresilience,
    }


def timeout_makers() -> dict[str, Callable[[], Make]]:
    """Return, per library, what limits a call to a second."""

    def hyx() -> Make:
        from hyx.timeout import timeout

        return timeout(1)  # type: ignore[no-any-return]

    def pyresilience() -> Make:
        import pyresilience as p

        return p.resilient(timeout=p.TimeoutConfig(seconds=1))  # type: ignore[no-any-return]

    return {US: lambda: Timeout(1), "hyx": hyx, "pyresilience": pyresilience}


def bulkhead_makers() -> dict[str, Callable[[], Make]]:
    """Return, per library, what lets five in and a hundred wait."""

    def hyx() -> Make:
        from hyx.bulkhead import bulkhead

        return bulkhead(5, 100)  # type: ignore[no-any-return]

    def pyresilience() -> Make:
        import pyresilience as p

        return p.resilient(bulkhead=p.BulkheadConfig(max_concurrent=5, max_wait=5))  # type: ignore[no-any-return]

    def semaphore() -> Make:
        return within(asyncio.Semaphore(5))

    return {US: lambda: Bulkhead(5), "hyx": hyx, "pyresilience": pyresilience, "asyncio.Semaphore": semaphore}


def within(limiter: AbstractAsyncContextManager[Any]) -> Make:
    """Return what runs a function inside ``limiter``."""

    def guard(fn: Call) -> Call:
        async def guarded(*args: Any) -> Any:
            async with limiter:
                return await fn(*args)

        return guarded

    return guard


def rate_makers() -> dict[str, Callable[[], Make]]:
    """Return, per library, what lets ten calls in every 100 ms, all ten at once if they come at once."""

    def aiolimiter() -> Make:
        from aiolimiter import AsyncLimiter

        return within(AsyncLimiter(10, 0.1))

    def hyx() -> Make:
        from hyx.ratelimit import tokenbucket

        return tokenbucket(10, 0.1)  # type: ignore[no-any-return]

    def pyresilience() -> Make:
        import pyresilience as p

        return p.resilient(rate_limiter=p.RateLimiterConfig(max_calls=10, period=0.1))  # type: ignore[no-any-return]

    return {
        US: lambda: RateLimit(10, per=0.1, burst=10),
        "aiolimiter": aiolimiter,
        "hyx": hyx,
        "pyresilience": pyresilience,
    }


# the scenes


class Scene:
    """A callee that hangs until released, fails while told to, and counts."""

    def __init__(self) -> None:
        self.calls = self.inside = self.most = 0
        self.released = asyncio.Event()
        self.error: BaseException | None = None

    async def __call__(self, key: str = "x") -> str:
        self.calls += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.released.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.inside -= 1
        return key

    def function(self) -> Call:
        """Return a plain async function: some libraries look at nothing else."""

        async def scene(key: str = "x") -> str:
            return await self(key)

        return scene


async def turns(count: int = 30) -> None:
    """Let every task run a little."""
    for _ in range(count):
        await asyncio.sleep(0)


async def opened(make: Make) -> tuple[Scene, Call]:
    """Return a guarded scene whose breaker has opened and may be probed again."""
    scene = Scene()
    guarded = make(scene.function())
    scene.error = ConnectionError("down")
    scene.released.set()
    await asyncio.gather(guarded(), return_exceptions=True)
    scene.error = None
    scene.released.clear()
    scene.calls = scene.most = 0
    await asyncio.sleep(2 * RECOVERY)
    return scene, guarded


async def half_open_admits_one(make: Make) -> bool:
    """13: half-open admits 1 of 100 callers."""
    scene, guarded = await opened(make)
    calls = [asyncio.create_task(guarded()) for _ in range(100)]  # type: ignore[arg-type]
    await turns()
    probes = scene.calls
    scene.released.set()
    await asyncio.gather(*calls, return_exceptions=True)
    return probes == 1


async def cancelled_probe_frees_its_place(make: Make) -> bool:
    """15: a cancelled probe leaves the breaker ready for the next one."""
    scene, guarded = await opened(make)
    probe = asyncio.create_task(guarded())  # type: ignore[arg-type]
    await turns()
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    scene.released.set()
    results = await asyncio.gather(guarded(), return_exceptions=True)
    return results == ["x"]


async def cancellation_is_no_failure(make: Make) -> bool:
    """16: cancelling calls while closed opens nothing."""
    scene = Scene()
    guarded = make(scene.function())
    calls = [asyncio.create_task(guarded()) for _ in range(10)]  # type: ignore[arg-type]
    await turns()
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    scene.released.set()
    return await asyncio.gather(guarded(), return_exceptions=True) == ["x"]


async def no_lock_across_user_code(make: Make) -> bool:
    """20: 50 callers are inside at once while it is closed."""
    scene = Scene()
    guarded = make(scene.function())
    calls = [asyncio.create_task(guarded()) for _ in range(50)]  # type: ignore[arg-type]
    await turns()
    scene.released.set()
    await asyncio.gather(*calls, return_exceptions=True)
    return scene.most == 50


async def late_result_changes_nothing(make: Make) -> bool:
    """A call that began before the breaker opened and closed again, and fails afterwards, opens nothing."""
    old, quick = Scene(), Scene()
    pick = {"old": old, "quick": quick}

    async def both(key: str) -> str:
        return await pick[key](key)

    guarded = make(both)
    late = asyncio.create_task(guarded("old"))  # type: ignore[arg-type]
    await turns()
    quick.released.set()
    quick.error = ConnectionError("down")
    await asyncio.gather(guarded("quick"), return_exceptions=True)
    quick.error = None
    await asyncio.sleep(2 * RECOVERY)
    await asyncio.gather(guarded("quick"), return_exceptions=True)
    old.error = ConnectionError("late")
    old.released.set()
    await asyncio.gather(late, return_exceptions=True)
    return await asyncio.gather(guarded("quick"), return_exceptions=True) == ["quick"]


async def one_load_for_a_hundred(make: Make) -> bool:
    """8: 100 identical calls make one load."""
    scene = Scene()
    guarded = make(scene.function())
    calls = [asyncio.create_task(guarded("x")) for _ in range(100)]  # type: ignore[arg-type]
    await turns()
    scene.released.set()
    return await asyncio.gather(*calls) == ["x"] * 100 and scene.calls == 1


async def a_cancelled_first_caller_harms_nobody(make: Make) -> bool:
    """When the first of 20 callers is cancelled the other 19 get their value."""
    scene = Scene()
    guarded = make(scene.function())
    calls = [asyncio.create_task(guarded("x")) for _ in range(20)]  # type: ignore[arg-type]
    await turns()
    calls[0].cancel()
    await turns()
    scene.released.set()
    return (await asyncio.gather(*calls, return_exceptions=True))[1:] == ["x"] * 19


async def failures_are_not_stored(make: Make) -> bool:
    """10: after a failing load the next call loads again."""
    scene = Scene()
    guarded = make(scene.function())
    scene.error = ConnectionError("down")
    scene.released.set()
    await asyncio.gather(guarded("x"), return_exceptions=True)
    scene.error = None
    return await asyncio.gather(guarded("x"), return_exceptions=True) == ["x"]


async def cancel_ends_an_attempt(make: Make) -> bool:
    """24: cancelling during an attempt ends it, whatever is to be retried."""
    scene = Scene()
    call = asyncio.create_task(make(scene.function())())  # type: ignore[arg-type]
    await turns()
    call.cancel()
    await turns()
    ended = call.done() and call.cancelled() and scene.calls == 1
    scene.released.set()
    await asyncio.gather(call, return_exceptions=True)
    return ended


async def last_error_rises_itself(make: Make) -> bool:
    """21: after the last attempt the original exception rises, the same object."""
    scene = Scene()
    scene.error = error = ConnectionError("down")
    scene.released.set()
    results = await asyncio.gather(make(scene.function())(), return_exceptions=True)
    return results[0] is error and scene.calls == 3


async def own_timeout_error_is_untouched(make: Make) -> bool:
    """30: a TimeoutError of the callee rises as the same object."""
    scene = Scene()
    scene.error = error = TimeoutError("the socket's")
    scene.released.set()
    return (await asyncio.gather(make(scene.function())(), return_exceptions=True))[0] is error


async def cancel_passes_a_limit(make: Make) -> bool:
    """A cancel from outside stays a cancel."""
    call = asyncio.create_task(make(Scene().function())())  # type: ignore[arg-type]
    await turns()
    call.cancel()
    return type((await asyncio.gather(call, return_exceptions=True))[0]) is asyncio.CancelledError


async def slots_hold_and_come_back(make: Make) -> bool:
    """31, 32: never more than 5 inside; slots of cancelled callers and waiters come back."""
    scene = Scene()
    guarded = make(scene.function())
    calls = [asyncio.create_task(guarded()) for _ in range(50)]  # type: ignore[arg-type]
    await turns()
    for call in calls[::2]:
        call.cancel()
    await turns()
    scene.released.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    again = await asyncio.gather(*(guarded() for _ in range(5)), return_exceptions=True)
    return scene.most == 5 and results[1::2] == ["x"] * 25 and again == ["x"] * 5


async def one_burst_after_a_pause(make: Make) -> bool:
    """After a pause of three periods 40 callers at once find one burst of ten, not two."""
    scene = Scene()
    guarded = make(scene.function())
    scene.released.set()
    await guarded()
    await asyncio.sleep(0.3)
    began = time.monotonic()
    calls = [asyncio.create_task(guarded()) for _ in range(40)]  # type: ignore[arg-type]
    await turns()
    earned = (time.monotonic() - began) / 0.01  # one more every 10 ms of a slow machine
    admitted = scene.calls - 1
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    return 10 <= admitted <= 11 + earned


CASES: list[tuple[Callable[[Make], Awaitable[bool]], Callable[[], dict[str, Callable[[], Make]]]]] = [
    (half_open_admits_one, breaker_makers),
    (cancelled_probe_frees_its_place, breaker_makers),
    (cancellation_is_no_failure, breaker_makers),
    (no_lock_across_user_code, breaker_makers),
    (late_result_changes_nothing, breaker_makers),
    (one_load_for_a_hundred, cache_makers),
    (a_cancelled_first_caller_harms_nobody, cache_makers),
    (failures_are_not_stored, cache_makers),
    (cancel_ends_an_attempt, lambda: retry_makers(lambda error: True)),
    (last_error_rises_itself, lambda: retry_makers(lambda error: True)),
    (own_timeout_error_is_untouched, timeout_makers),
    (cancel_passes_a_limit, timeout_makers),
    (slots_hold_and_come_back, bulkhead_makers),
    (one_burst_after_a_pause, rate_makers),
]


async def judge(case: Callable[[Make], Awaitable[bool]], make: Callable[[], Make]) -> str:
    """Return yes, NO, hangs, absent, or the error that the scene ended with."""
    try:
        made = make()
    except ImportError:
        return "absent"
    try:
        async with asyncio.timeout(5):
            return "yes" if await case(made) else "NO"
    except TimeoutError:
        return "NO: hangs"
    except Exception as error:
        return f"NO: {type(error).__name__}"


def versions(names: list[str]) -> dict[str, str]:
    """Return the installed versions of the peers."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> int:
    """Run every case against everyone; end with 1 when a peer passes what we fail."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table: dict[str, dict[str, str]] = {}
    for case, makers in CASES:
        title = (case.__doc__ or "").strip()
        table[title] = {name: asyncio.run(judge(case, make)) for name, make in makers().items()}
    peers = sorted({name for row in table.values() for name in row} - {US, "asyncio.Semaphore"})
    blocked = [title for title, row in table.items() if row[US] != "yes" and "yes" in row.values()]
    if options.json:
        print(json.dumps({"versions": versions(peers), "cases": table, "blocks_a_release": blocked}))
    else:
        print(", ".join(f"{name} {version}" for name, version in versions(peers).items()))
        for title, row in table.items():
            print(f"\n{title}")
            print("  " + "; ".join(f"{name}: {answer}" for name, answer in row.items()))
        print(f"\n{sum(row[US] == 'yes' for row in table.values())} of {len(table)} cases pass here.")
    return 1 if blocked else 0


if __name__ == "__main__":
    sys.exit(main())
