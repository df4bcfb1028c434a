"""What a guarded call costs when all goes well: each policy and the same in other libraries, in one run.

Every figure is nanoseconds per call over the bare call: the minimum of rounds that alternate between all contestants,
so that a busy moment hits them alike; behind it how many times ours that is, and where that is less than one, why.
State: warm, one event loop, no listeners. A library that is not installed is left out by name
(`uv pip install --group peers`).

Run: python benchmarks/resilience.py [--calls 4000] [--rounds 15] [--check] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import importlib.metadata
import json
import logging
import os
import platform
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kimera.resilience import Breaker, Bulkhead, Cache, Pipeline, RateLimit, Retry, Timeout, amap, cached

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
PEERS = [
    *("tenacity", "stamina", "backoff", "aiobreaker", "circuitbreaker", "purgatory", "pybreaker", "hyx"),
    *("pyresilience", "cachebox", "async-lru", "aiocache", "aiolimiter"),
]
OURS = "kimera"
Contestants = dict[str, Callable[..., Any]]


def plain(x: int) -> int:
    """Return ``x``: the call under the policy."""
    return x


async def plain_async(x: int) -> int:
    """Return ``x``, asynchronously."""
    return x


def contestants(*makers: Callable[[], Contestants]) -> Contestants:
    """Return what can be made here; a maker whose library is absent gives nothing."""
    found: Contestants = {}
    for make in makers:
        try:
            found |= make()
        except ImportError:
            continue
    return found


def retries(fn: Callable[..., Any], asynchronous: bool) -> Contestants:
    """Return ``fn`` retried by each library."""

    def tenacity() -> Contestants:
        import tenacity as t

        return {"tenacity": t.retry(stop=t.stop_after_attempt(3), wait=t.wait_exponential())(fn)}

    def stamina() -> Contestants:
        import stamina as s

        return {"stamina": s.retry(on=ConnectionError, attempts=3)(fn)}

    def backoff() -> Contestants:
        import backoff as b

        return {"backoff": b.on_exception(b.expo, ConnectionError, max_tries=3)(fn)}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(retry=p.RetryConfig(max_attempts=3))(fn)}

    def hyx() -> Contestants:
        from hyx.retry import retry

        return {"hyx": retry(on=ConnectionError, attempts=3)(fn)} if asynchronous else {}

    return contestants(lambda: {OURS: Retry(attempts=3)(fn)}, tenacity, stamina, backoff, pyresilience, hyx)


def aiobreaker_of(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``fn`` under aiobreaker, which wants to be told that the function is async."""
    import aiobreaker

    return aiobreaker.CircuitBreaker()(fn)  # type: ignore[no-any-return]


def breakers(fn: Callable[..., Any], asynchronous: bool) -> Contestants:
    """Return ``fn`` under a closed breaker of each library."""

    def circuitbreaker() -> Contestants:
        import circuitbreaker as c

        return {"circuitbreaker": c.circuit(fn)}

    def pybreaker() -> Contestants:
        import pybreaker as p

        # raises ImportError where tornado, on which its async side runs, is absent
        return {"pybreaker": p.CircuitBreaker()(fn, **({"__pybreaker_call_async": True} if asynchronous else {}))}

    def purgatory() -> Contestants:
        import purgatory as p

        factory = p.AsyncCircuitBreakerFactory() if asynchronous else p.SyncCircuitBreakerFactory()
        return {"purgatory": factory("bench")(fn)}

    def aiobreaker() -> Contestants:
        return {"aiobreaker": aiobreaker_of(fn)}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(circuit_breaker=p.CircuitBreakerConfig())(fn)}

    def hyx() -> Contestants:
        from hyx.circuitbreaker import consecutive_breaker

        return {"hyx": consecutive_breaker()(fn)} if asynchronous else {}

    peers = (circuitbreaker, aiobreaker, pybreaker, purgatory, pyresilience, hyx)
    return contestants(lambda: {OURS: Breaker("bench")(fn)}, *peers)


def windows() -> Contestants:
    """Return an async function under breakers that watch a window of calls."""

    def pyresilience() -> Contestants:
        import pyresilience as p

        config = p.CircuitBreakerConfig(sliding_window_size=100, minimum_calls=20)
        return {"pyresilience, 100": p.resilient(circuit_breaker=config)(plain_async)}

    def ours() -> Contestants:
        make = functools.partial(Breaker, failures=None, failure_rate=0.5)
        guarded = {f"{OURS}, {n}": make(f"window {n}", window_calls=n)(plain_async) for n in (100, 1000)}
        # a window that is not full, or holds a failure, has to be written at every call
        return {**guarded, f"{OURS}, 10**7 (never full)": make("window", window_calls=10**7)(plain_async)}

    return contestants(ours, pyresilience)


def cache_of_pyresilience(fn: Callable[..., Any]) -> Callable[[], Contestants]:
    """Return what makes ``fn`` remembered by pyresilience."""

    def make() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(cache=p.CacheConfig(max_size=128, ttl=300))(fn)}

    return make


def caches_async() -> Contestants:
    """Return an async function whose result is remembered."""

    def async_lru() -> Contestants:
        from async_lru import alru_cache

        return {"async-lru": alru_cache(maxsize=128, ttl=300)(plain_async)}

    def aiocache() -> Contestants:
        import aiocache as a

        return {"aiocache": a.cached(ttl=300)(plain_async)}

    def cachebox() -> Contestants:
        import cachebox as c

        return {"cachebox": c.cached(c.TTLCache(128, 300))(plain_async)}

    ours = cached(300)(plain_async)
    return contestants(lambda: {OURS: ours}, async_lru, aiocache, cachebox, cache_of_pyresilience(plain_async))


def caches() -> Contestants:
    """Return a plain function whose result is remembered."""

    def cachebox() -> Contestants:
        import cachebox as c

        return {"cachebox": c.cached(c.TTLCache(128, 300))(plain)}

    return contestants(lambda: {OURS: cached(300)(plain)}, cachebox, cache_of_pyresilience(plain))


def raw_caches() -> Contestants:
    """Return ``get`` of caches that hold the key."""

    def cachebox() -> Contestants:
        import cachebox as c

        box: Any = c.TTLCache(128, 300)
        box[1] = 1
        return {"cachebox (compiled)": box.get}

    store: Cache[int, int] = Cache()
    store.set(1, 1)
    return contestants(lambda: {OURS: store.get}, cachebox)


def timeouts() -> Contestants:
    """Return an async function under a limit of 30 s."""

    async def bare(x: int) -> int:
        async with asyncio.timeout(30):
            return await plain_async(x)

    def hyx() -> Contestants:
        from hyx.timeout import timeout

        return {"hyx": timeout(30)(plain_async)}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(timeout=p.TimeoutConfig(seconds=30))(plain_async)}

    return contestants(lambda: {OURS: Timeout(30)(plain_async), "asyncio.timeout": bare}, hyx, pyresilience)


def bulkheads(fn: Callable[..., Any], asynchronous: bool) -> Contestants:
    """Return ``fn`` of which ten run at once."""
    gate, lock = asyncio.Semaphore(10), threading.Semaphore(10)

    async def bare_async(x: int) -> int:
        async with gate:
            return await plain_async(x)

    def bare(x: int) -> int:
        with lock:
            return plain(x)

    def hyx() -> Contestants:
        from hyx.bulkhead import bulkhead

        return {"hyx": bulkhead(10, 100)(fn)} if asynchronous else {}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(bulkhead=p.BulkheadConfig(max_concurrent=10, max_wait=30))(fn)}

    baseline = {"asyncio.Semaphore": bare_async} if asynchronous else {"threading.Semaphore": bare}
    return contestants(lambda: {OURS: Bulkhead(10)(fn), **baseline}, hyx, pyresilience)


def rates(fn: Callable[..., Any], asynchronous: bool) -> Contestants:
    """Return ``fn`` with its rate limited far above what a loop reaches."""

    def aiolimiter() -> Contestants:
        from aiolimiter import AsyncLimiter

        limiter = AsyncLimiter(1e9, 1)

        async def bare(x: int) -> int:
            async with limiter:
                return await plain_async(x)

        return {"aiolimiter": bare} if asynchronous else {}

    def hyx() -> Contestants:
        from hyx.ratelimit import tokenbucket

        return {"hyx": tokenbucket(1e9, 1)(fn)} if asynchronous else {}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {"pyresilience": p.resilient(rate_limiter=p.RateLimiterConfig(max_calls=10**9))(fn)}

    return contestants(lambda: {OURS: RateLimit(1e9)(fn)}, aiolimiter, hyx, pyresilience)


def stacks() -> Contestants:
    """Return an async function under retry, breaker, timeout and bulkhead."""

    def ours() -> Contestants:
        return {OURS: Pipeline(Retry(3), Breaker("stack"), Timeout(30), Bulkhead(10))(plain_async)}

    def pyresilience() -> Contestants:
        import pyresilience as p

        return {
            "pyresilience": p.resilient(
                retry=p.RetryConfig(),
                circuit_breaker=p.CircuitBreakerConfig(),
                timeout=p.TimeoutConfig(seconds=30),
                bulkhead=p.BulkheadConfig(max_concurrent=10),
            )(plain_async)
        }

    async def limited(x: int) -> int:
        async with asyncio.timeout(30):
            return await plain_async(x)

    def stamina() -> Contestants:
        import circuitbreaker as c
        import stamina as s

        stack = s.retry(on=ConnectionError, attempts=3)(c.circuit(limited))
        return {"stamina + circuitbreaker + asyncio.timeout": stack}

    def tenacity() -> Contestants:
        import tenacity as t

        stack = t.retry(stop=t.stop_after_attempt(3))(aiobreaker_of(limited))
        return {"tenacity + aiobreaker + asyncio.timeout": stack}

    return contestants(ours, pyresilience, stamina, tenacity)


async def measure_async(found: Contestants, calls: int, rounds: int) -> dict[str, float]:
    """Return nanoseconds per call over the bare call; the contestants take turns in every round."""
    everyone: Contestants = {"": plain_async, **found}
    best = dict.fromkeys(everyone, float("inf"))
    repeat = range(calls)
    for _ in range(rounds):
        for name, fn in everyone.items():
            begin = time.perf_counter_ns()
            for _ in repeat:
                await fn(1)
            best[name] = min(best[name], (time.perf_counter_ns() - begin) / calls)
    bare = best.pop("")
    return {name: value - bare for name, value in best.items()}


def measure(found: Contestants, calls: int, rounds: int, bare: Callable[..., Any] | None = plain) -> dict[str, float]:
    """Return the same for plain functions; ``bare`` None subtracts nothing."""
    everyone: Contestants = {**({"": bare} if bare else {}), **found}
    best = dict.fromkeys(everyone, float("inf"))
    repeat = range(calls)
    for _ in range(rounds):
        for name, fn in everyone.items():
            begin = time.perf_counter_ns()
            for _ in repeat:
                fn(1)
            best[name] = min(best[name], (time.perf_counter_ns() - begin) / calls)
    taken = best.pop("", 0.0)
    return {name: value - taken for name, value in best.items()}


async def many_items(rounds: int) -> dict[str, Any]:
    """Return nanoseconds per item for 10,000 items ten at a time, tasks alive, and memory for 10,000 and 100,000."""

    async def with_amap() -> None:
        await amap(plain_async, range(10_000), limit=10)

    async def with_group() -> None:
        gate = asyncio.Semaphore(10)

        async def one(x: int) -> int:
            async with gate:
                return await plain_async(x)

        async with asyncio.TaskGroup() as group:
            [group.create_task(one(x)) for x in range(10_000)]

    best = {OURS: float("inf"), "TaskGroup + Semaphore": float("inf")}
    for _ in range(max(3, rounds // 3)):
        for name, run in ((OURS, with_amap), ("TaskGroup + Semaphore", with_group)):
            begin = time.perf_counter_ns()
            await run()
            best[name] = min(best[name], (time.perf_counter_ns() - begin) / 10_000)
    peaks = {count: await peak_of_stream(count) for count in (10_000, 100_000)}
    return {"ns": best, "tasks": await tasks_alive(), "peak_kb": peaks}


async def tasks_alive() -> int:
    """Return the most tasks alive while 10,000 items are worked on, this one included."""
    most = 0

    async def look(x: int) -> int:
        nonlocal most
        if x % 500 == 0:
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
        return x

    await amap(look, range(10_000), limit=10)
    return most


async def peak_of_stream(count: int) -> float:
    """Return the peak kilobytes of streaming ``count`` items."""
    tracemalloc.start()
    async for _ in amap(plain_async, iter(range(count)), limit=10):
        pass
    peak = tracemalloc.get_traced_memory()[1] / 1024
    tracemalloc.stop()
    return round(peak, 1)


@dataclass
class Bar:
    """One line of the specification: ours against another, and how many times its cost or speed is asked for."""

    case: str
    other: str
    times_faster: float | None = None
    times_cost: float | None = None
    ours: str = OURS

    def judge(self, figures: dict[str, dict[str, float]]) -> tuple[str, bool | None]:
        """Return the line to print and whether the bar is met; None when the peer is absent."""
        row = figures[self.case]
        if self.other not in row:
            return f"{self.case}: {self.other} is not installed", None
        mine, its = max(row[self.ours], 1.0), max(row[self.other], 1.0)
        if self.times_faster is not None:
            met, ratio, asked = its / mine >= self.times_faster, its / mine, f">= {self.times_faster:g}x faster"
        else:
            met, ratio, asked = mine / its <= (self.times_cost or 1), mine / its, f"<= {self.times_cost:g}x its cost"
        return f"{self.case}: {ratio:.2f}x, {asked} than {self.other}: {'yes' if met else 'NO'}", met


STACK = "retry + breaker + timeout + bulkhead"
BARS = [
    *(
        Bar(f"retry, {kind}", peer, times_faster=times)
        for kind in ("sync", "async")
        for peer, times in (("pyresilience", 6), ("stamina", 50), ("tenacity", 50))
    ),
    *(
        Bar(f"breaker, {kind}", peer, times_faster=times)
        for kind in ("sync", "async")
        for peer, times in (("circuitbreaker", 2.5), ("aiobreaker", 5), ("pyresilience", 8))
    ),
    Bar("breaker with a window", f"{OURS}, 100", times_cost=1.2, ours=f"{OURS}, 1000"),
    Bar("breaker with a window", "pyresilience, 100", times_faster=6, ours=f"{OURS}, 1000"),
    Bar("cached hit, async", "async-lru", times_faster=1.2),
    Bar("cached hit, async", "cachebox", times_faster=1.1),
    Bar("cached hit, sync", "cachebox", times_cost=1.2),
    Bar("raw Cache.get", "cachebox (compiled)", times_cost=3),
    Bar("timeout", "asyncio.timeout", times_cost=1.25),
    Bar(STACK, "pyresilience", times_faster=1.7),
    Bar(STACK, "stamina + circuitbreaker + asyncio.timeout", times_faster=5),
    Bar(STACK, "tenacity + aiobreaker + asyncio.timeout", times_faster=8),
    Bar("10,000 items, limit 10", "TaskGroup + Semaphore", times_faster=5),
]


LEVEL = 0.95  # what busy cores make of a tie
WHY = {
    (
        "bulkhead, async",
        "asyncio.Semaphore",
    ): "it serves one loop; a Bulkhead serves threads and several loops: two locks",
    ("rate limit, async", "hyx"): "it reads the clock only when empty, and lets two bursts through after a pause",
    ("raw Cache.get", "cachebox (compiled)"): "compiled; a get here is Python",
}


def compare(figures: dict[str, dict[str, float]]) -> list[tuple[str, str, float, str]]:
    """Return row, peer, how many times our cost it takes, and, where that is less than ours, why."""
    found = []
    for case, row in figures.items():
        mine = max(row.get(OURS) or row[f"{OURS}, 1000"], 1.0)
        for peer, ns in row.items():
            if not peer.startswith(OURS):
                times = max(ns, 1.0) / mine
                why = "" if times >= 1 else WHY.get((case, peer), "level" if times >= LEVEL else "not explained")
                found.append((case, peer, round(times, 2), why))
    return found


def show(figures: dict[str, dict[str, float]], compared: list[tuple[str, str, float, str]]) -> None:
    """Print the rows, the cheapest first, each peer with its ratio."""
    ratios = {(case, peer): (times, why) for case, peer, times, why in compared}
    for case, row in figures.items():
        print(f"\n{case}")
        for name, ns in sorted(row.items(), key=lambda pair: pair[1]):
            times, why = ratios.get((case, name), (None, ""))
            behind = f"  ours takes {1 / times - 1:.0%} longer: {why}" if times and why else ""
            print(f"  {name:45} {ns:9.0f}" + (f" {times:8.2f}x{behind}" if times else ""))


async def run_async(calls: int, rounds: int) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Return the figures of everything that needs an event loop."""
    cases: dict[str, Contestants] = {
        "retry, async": retries(plain_async, True),
        "breaker, async": breakers(plain_async, True),
        "breaker with a window": windows(),
        "cached hit, async": caches_async(),
        "timeout": timeouts(),
        "bulkhead, async": bulkheads(plain_async, True),
        "rate limit, async": rates(plain_async, True),
        STACK: stacks(),
    }
    figures = {case: await measure_async(found, calls, rounds) for case, found in cases.items()}
    many = await many_items(rounds)
    figures["10,000 items, limit 10"] = many.pop("ns")
    return figures, many


def versions() -> dict[str, str]:
    """Return the versions of the installed peers, and which are absent."""
    found = {}
    for peer in PEERS:
        try:
            found[peer] = importlib.metadata.version(peer)
        except importlib.metadata.PackageNotFoundError:
            found[peer] = "not installed"
    return found


def main() -> int:
    """Measure, print, and with --check end with 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures, many = asyncio.run(run_async(options.calls, options.rounds))
    figures["retry, sync"] = measure(retries(plain, False), options.calls, options.rounds)
    figures["breaker, sync"] = measure(breakers(plain, False), options.calls, options.rounds)
    figures["cached hit, sync"] = measure(caches(), options.calls, options.rounds)
    figures["bulkhead, sync"] = measure(bulkheads(plain, False), options.calls, options.rounds)
    figures["rate limit, sync"] = measure(rates(plain, False), options.calls, options.rounds)
    figures["raw Cache.get"] = measure(raw_caches(), options.calls, options.rounds, None)
    judged = [bar.judge(figures) for bar in BARS]
    compared = compare(figures)
    ahead = sum(times >= LEVEL for _, _, times, _ in compared)
    unexplained = any(why == "not explained" for *_, why in compared)
    judged.append((f"ahead of or level with {ahead} of {len(compared)}; each of the rest has its why", not unexplained))
    peaks = many["peak_kb"]
    judged.append((f"10,000 items: {many['tasks']} tasks alive, <= 12", many["tasks"] <= 12))
    judged.append((f"streaming: peak {peaks} KB, independent of the count", peaks[100_000] <= 1.5 * peaks[10_000] + 16))
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    if options.json:
        rounded = {case: {name: round(ns) for name, ns in row.items()} for case, row in figures.items()}
        report = {
            "machine": machine,
            "versions": versions(),
            "ns_per_call": rounded,
            "ratios": compared,
            **many,
            "bars": judged,
        }
        print(json.dumps(report, ensure_ascii=False))
    else:
        print(f"{machine}; {options.calls} calls, best of {options.rounds} rounds; ns per call over the bare call")
        print(", ".join(f"{name} {version}" for name, version in versions().items()))
        show(figures, compared)
        print("\n" + "\n".join(line for line, _ in judged))
    return 1 if options.check and any(met is False for _, met in judged) else 0


if __name__ == "__main__":
    sys.exit(main())
