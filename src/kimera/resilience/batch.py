"""Many items, few at a time, results in order."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import deque
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Sized,
)
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
        _check(limit, on_error)
        self._fn = fn if timeout is None else Timeout(timeout, clock=clock).bind_async(fn)
        self._items, self._limit, self._on_error = items, limit, on_error

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._collect().__await__()

    async def _collect(self) -> list[T]:
        results: list[Any] = []
        one = self._one_of_many()
        size = len(self._items) if isinstance(self._items, Sized) else self._limit

        async def take_each(source: Iterator[Any]) -> None:
            for item in source:  # shared by the workers: each takes the next one when it is free
                place = len(results)
                results.append(None)
                results[place] = await one(item)

        async def take_each_async(source: AsyncIterator[Any], turn: asyncio.Lock) -> None:
            while True:
                async with turn:
                    item = await anext(source, _END)
                    if item is _END:
                        return
                    place = len(results)
                    results.append(None)
                results[place] = await one(item)

        if isinstance(self._items, AsyncIterable):
            source, turn = aiter(self._items), asyncio.Lock()
            await _Crew([take_each_async(source, turn) for _ in range(self._limit)]).finish()
        else:
            shared = iter(self._items)
            await _Crew([take_each(shared) for _ in range(min(self._limit, size))]).finish()
        return [value for value in results if value is not _DROPPED] if self._on_error == "drop" else results

    async def __aiter__(self) -> AsyncIterator[T]:
        stream = _Stream(self._items, self._one_of_many(), self._limit)
        crew = _Crew([stream.work() for _ in range(self._limit)], stream.wake)
        try:
            while True:
                value = await stream.next_value(crew)
                if value is _END:
                    return
                if value is not _DROPPED:
                    yield value
        finally:
            await crew.stop()

    def _one_of_many(self) -> Callable[[Any], Awaitable[Any]]:
        fn, on_error = self._fn, self._on_error
        if on_error == "raise":
            return fn

        async def one(item: Any) -> Any:
            try:
                value = await fn(item)
            except Exception as error:  # noqa: BLE001 - the caller asked for failures in place of results
                return {"outcome": Err(error), "none": None, "drop": _DROPPED}[on_error]
            return Ok(value) if on_error == "outcome" else value

        return one


class _Crew:
    """Workers of which the first error ends all and rises itself."""

    def __init__(self, work: Iterable[Coroutine[Any, Any, None]], at_end: Callable[[], object] | None = None) -> None:
        self.error: BaseException | None = None
        self._at_end = at_end
        self.left = 0
        self._tasks = [asyncio.ensure_future(part) for part in work]
        self.left = len(self._tasks)
        for task in self._tasks:
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.left -= 1
        if self.error is None:
            # a worker that cancelled itself awaited something that was cancelled: no result, and so an error
            self.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self._at_end is not None:
            self._at_end()

    async def finish(self) -> None:
        """Wait for all; cancel the others at the first error and raise it."""
        try:
            waiting: set[asyncio.Future[None]] = set(self._tasks)
            while waiting and self.error is None:
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            error = self.error
            await self.stop()
        if error is not None:
            raise error

    async def stop(self) -> None:
        """Cancel who is left, and wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Stream:
    """Results in order of their items, at most 2 * limit items ahead of the consumer."""

    def __init__(
        self, items: Iterable[Any] | AsyncIterable[Any], one: Callable[[Any], Awaitable[Any]], limit: int
    ) -> None:
        self._source: Any = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._asynchronous = isinstance(items, AsyncIterable)
        self._one, self._ahead = one, 2 * limit
        self._turn = asyncio.Lock()
        self._taken = self._given = 0
        self._over = False
        self._done: dict[int, Any] = {}
        self._consumer: asyncio.Future[None] | None = None
        self._parked: deque[asyncio.Future[None]] = deque()

    async def work(self) -> None:
        """Take items and work on them until there are none."""
        while True:
            async with self._turn:
                while self._taken >= self._given + self._ahead:
                    await self._park()
                item = _END if self._over else await self._take()
                if item is _END:
                    self._over = True
                    return
                place = self._taken
                self._taken += 1
            self._done[place] = await self._one(item)
            self.wake()

    async def _take(self) -> Any:
        return await anext(self._source, _END) if self._asynchronous else next(self._source, _END)

    async def _park(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked.append(future)
        await future

    def wake(self) -> None:
        """Let the consumer look again."""
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    async def next_value(self, crew: _Crew) -> Any:
        """Return the next result, or the end; raise the first error at once."""
        while self._given not in self._done:
            if crew.error is not None:
                error = crew.error
                await crew.stop()
                raise error
            if not crew.left:
                return _END
            self._consumer = asyncio.get_running_loop().create_future()
            await self._consumer
        value = self._done.pop(self._given)
        self._given += 1
        if self._parked:
            parked = self._parked.popleft()
            if not parked.done():
                parked.set_result(None)
        return value


def _check(limit: int, on_error: str, name: str = "limit") -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigurationError(f"{name} takes a whole number of 1 or more, not {limit!r}.", name)
    if on_error not in {"raise", "outcome", "none", "drop"}:
        raise ConfigurationError(f"on_error takes raise, outcome, none or drop, not {on_error!r}.", "on_error")


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


async def gather_with_limit(*coros: Awaitable[T], limit: int = 10) -> list[T]:
    """Await coroutines, at most ``limit`` at once, results in order.

    On the first error the siblings are cancelled and coroutines not yet started are closed.
    """

    async def run(coro: Awaitable[T]) -> T:
        """Await one of them."""
        return await coro

    try:
        return await amap(run, coros, limit=limit)
    finally:
        for coro in coros:
            if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
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
        _check(max_concurrent, on_error, "max_concurrent")
        if timeout is not None:
            Timeout(timeout)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigurationError(f"batch_size takes 1 or more, not {batch_size!r}.", "batch_size")
        if isinstance(interval, bool) or not 0 <= interval < math.inf:
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
