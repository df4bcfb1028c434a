"""Many items, few at a time, results in order."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from typing import Any, Generic, Literal, TypeVar

from kimera.clock import Clock
from kimera.errors import ConfigurationError
from kimera.resilience.pipeline import SYSTEM_CLOCK, Err, Ok
from kimera.resilience.timeout import Timeout

__all__ = ["AsyncBatchProcessor", "Mapping", "amap", "gather_with_limit"]

T = TypeVar("T")
R = TypeVar("R")
OnError = Literal["raise", "outcome", "none", "drop"]
_END: Any = object()
_DROPPED: Any = object()


class Mapping(Generic[T]):
    """What `amap` returns: await it for the list, or iterate over it with ``async for``."""

    def __init__(
        self,
        fn: Callable[[Any], Awaitable[Any]],
        items: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        timeout: float | None,
        on_error: OnError,
        clock: Clock | None,
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"amap takes a limit of 1 or more, not {limit!r}.", "limit")
        if on_error not in {"raise", "outcome", "none", "drop"}:
            raise ConfigurationError(f"amap takes on_error raise, outcome, none or drop, not {on_error!r}.", "on_error")
        self._fn = fn if timeout is None else Timeout(timeout, clock=clock).bind_async(fn)
        self._items, self._limit, self._on_error = items, limit, on_error

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._collect().__await__()

    async def _collect(self) -> list[T]:
        done: dict[int, Any] = {}
        await _Run(self._items, self._limit, self._one, done.__setitem__).finish()
        return [done[place] for place in sorted(done) if done[place] is not _DROPPED]

    async def __aiter__(self) -> AsyncIterator[T]:
        done: dict[int, Any] = {}
        ahead = asyncio.Semaphore(2 * self._limit)
        ready = asyncio.Condition()

        async def keep(place: int, value: Any) -> None:
            async with ready:
                done[place] = value
                ready.notify_all()

        run = _Run(self._items, self._limit, self._one, keep, ahead)
        work = asyncio.ensure_future(run.finish())
        work.add_done_callback(lambda _: asyncio.ensure_future(_wake(ready)))
        place = 0
        try:
            while True:
                async with ready:
                    while place not in done and not work.done():
                        await ready.wait()
                if place not in done:
                    work.result()
                    return
                value = done.pop(place)
                ahead.release()
                place += 1
                if value is not _DROPPED:
                    yield value
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _one(self, item: Any) -> Any:
        try:
            value = await self._fn(item)
        except Exception as error:
            if self._on_error == "raise":
                raise
            return {"outcome": Err(error), "none": None, "drop": _DROPPED}[self._on_error]
        return Ok(value) if self._on_error == "outcome" else value


async def _wake(ready: asyncio.Condition) -> None:
    async with ready:
        ready.notify_all()


class _Run:
    """``limit`` workers that share one iterator; the first error cancels the others and rises itself."""

    def __init__(
        self,
        items: Iterable[Any] | AsyncIterable[Any],
        limit: int,
        one: Callable[[Any], Awaitable[Any]],
        keep: Callable[[int, Any], Any],
        ahead: asyncio.Semaphore | None = None,
    ) -> None:
        self._source: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._lock = asyncio.Lock()
        self._limit, self._one, self._keep, self._ahead = limit, one, keep, ahead
        self._next_place = 0
        self._over = False

    async def _take(self) -> tuple[int, Any]:
        if self._ahead is not None:
            await self._ahead.acquire()
        if not isinstance(self._source, AsyncIterator):
            item = next(self._source, _END)
        else:
            async with self._lock:
                item = _END if self._over else await anext(self._source, _END)
        if item is _END:
            self._over = True
        place = self._next_place
        self._next_place += 1
        return place, item

    async def _worker(self, first: tuple[int, Any]) -> None:
        place, item = first
        while item is not _END:
            kept = self._keep(place, await self._one(item))
            if kept is not None:
                await kept
            place, item = await self._take()

    async def finish(self) -> None:
        """Work until the items are used up."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while len(tasks) < self._limit and not self._over:
                first = await self._take()
                if first[1] is _END:
                    break
                tasks.add(asyncio.ensure_future(self._worker(first)))
            if tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def amap(
    fn: Callable[[T], Awaitable[R]],
    items: Iterable[T] | AsyncIterable[T],
    *,
    limit: int = 10,
    timeout: float | None = None,
    on_error: OnError = "raise",
    clock: Clock | None = None,
) -> Mapping[R]:
    """Apply an async function to items, at most ``limit`` at once; results in input order.

    Items are taken lazily; when streaming, at most 2 * limit ahead of the consumer. ``timeout`` is seconds per item.
    ``raise`` cancels the others and raises the first error itself; ``outcome`` gives Ok or Err at each place; ``none``
    gives None at the failed places; ``drop`` leaves them out.
    """
    return Mapping(fn, items, limit, timeout, on_error, clock)


async def gather_with_limit(*coros: Coroutine[Any, Any, T], limit: int = 10) -> list[T]:
    """Await coroutines, at most ``limit`` at once, results in order.

    On the first error the siblings are cancelled and coroutines not yet started are closed.
    """

    async def run(coro: Coroutine[Any, Any, T]) -> T:
        return await coro

    try:
        return await amap(run, coros, limit=limit)
    finally:
        for coro in coros:
            if inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
                coro.close()


class AsyncBatchProcessor:
    """Waves of ``batch_size`` items, at most ``max_concurrent`` at once within a wave.

    A wave starts when the one before is done, and not sooner than ``interval`` seconds after that one's start.
    """

    def __init__(
        self,
        batch_size: int = 10,
        max_concurrent: int = 5,
        timeout: float | None = None,
        *,
        on_error: OnError = "raise",
        interval: float = 0.0,
        clock: Clock | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigurationError(f"batch_size takes 1 or more, not {batch_size!r}.", "batch_size")
        if interval < 0:
            raise ConfigurationError(f"interval takes 0 seconds or more, not {interval!r}.", "interval")
        self.batch_size, self.max_concurrent, self.timeout = batch_size, max_concurrent, timeout
        self.on_error: OnError = on_error
        self.interval = interval
        self._clock: Clock = clock if clock is not None else SYSTEM_CLOCK

    async def process(self, items: Iterable[T], fn: Callable[[T], Awaitable[R]]) -> list[R]:
        """Return ``fn`` of every item, in order."""
        results: list[R] = []
        source = iter(items)
        started: float | None = None
        while wave := [item for _, item in zip(range(self.batch_size), source, strict=False)]:
            if started is not None and (left := started + self.interval - self._clock.monotonic()) > 0:
                await self._clock.sleep(left)
            started = self._clock.monotonic()
            results += await amap(
                fn,
                wave,
                limit=self.max_concurrent,
                timeout=self.timeout,
                on_error=self.on_error,
                clock=self._clock,
            )
        return results
