"""How many at once, and how many per second."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self

from kimera.clock import Clock
from kimera.errors import BulkheadFull, ConfigurationError, RateLimited, RefusedError
from kimera.resilience.pipeline import CallRefused, Hook, Policy, Switch, awaits

__all__ = ["AdaptiveLimit", "Bulkhead", "BulkheadStats", "KeyedRateLimit", "RateLimit", "RateLimitStats"]


class AdaptiveLimit:
    """A concurrency limit that follows the latency it sees (Gradient2; Netflix concurrency-limits).

    ``sample(seconds, in_flight)`` takes one finished call and returns the new limit.
    """

    def __init__(
        self,
        initial: float = 20,
        minimum: float = 1,
        maximum: float = 200,
        smoothing: float = 0.2,
        tolerance: float = 1.5,
        long_window: int = 600,
        queue: float = 4,
    ) -> None:
        if not 1 <= minimum <= initial <= maximum:
            raise ConfigurationError("AdaptiveLimit takes 1 <= minimum <= initial <= maximum.", "adaptive")
        if not 0 < smoothing <= 1 or tolerance < 1 or long_window < 1 or queue < 0:
            raise ConfigurationError(
                "AdaptiveLimit takes 0 < smoothing <= 1, tolerance >= 1, long_window >= 1 and queue >= 0.", "adaptive"
            )
        self.limit = float(initial)
        self._minimum, self._maximum = minimum, maximum
        self._smoothing, self._tolerance, self._queue = smoothing, tolerance, queue
        self._alpha = 2 / (long_window + 1)
        self._first: list[float] = []
        self._long = 0.0

    def sample(self, seconds: float, in_flight: int) -> float:
        """Take the duration of one finished call and the calls then in flight; return the new limit."""
        if len(self._first) < 10:
            self._first.append(seconds)
            self._long = sum(self._first) / len(self._first)
        else:
            self._long = self._long * (1 - self._alpha) + seconds * self._alpha
        if self._long > 2 * seconds:
            self._long *= 0.95
        if in_flight < self.limit / 2:
            return self.limit
        gradient = max(0.5, min(1.0, self._tolerance * self._long / seconds)) if seconds > 0 else 1.0
        target = (1 - self._smoothing) * self.limit + self._smoothing * (gradient * self.limit + self._queue)
        self.limit = max(self._minimum, min(self._maximum, target))
        return self.limit


@dataclass(frozen=True, slots=True)
class BulkheadStats:
    """Slots, what is in them, what waits, what was refused."""

    limit: int
    in_flight: int
    waiting: int
    refused: int


class _Waiter(Protocol):
    def wake(self) -> None:
        """Tell the waiter that the slot is his."""


class _TaskWaiter:
    __slots__ = ("future", "granted", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.granted = False

    def wake(self) -> None:
        self.loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _ThreadWaiter:
    __slots__ = ("event", "granted")

    def __init__(self) -> None:
        self.event = threading.Event()
        self.granted = False

    def wake(self) -> None:
        self.event.set()


AnyWaiter = _TaskWaiter | _ThreadWaiter


class Bulkhead(Policy):
    """At most ``limit`` calls inside and ``queue`` waiting (None: no bound), strictly first come first served.

    A freed slot goes to the oldest waiter, never to a newcomer. Full: `BulkheadFull` at once; after ``max_wait``
    seconds: `BulkheadFull` with ``waited``. One object serves threads and several event loops.
    """

    kind = "bulkhead"

    def __init__(
        self,
        limit: int = 20,
        *,
        queue: int | None = 1024,
        max_wait: float | None = 30.0,
        adaptive: AdaptiveLimit | None = None,
        name: str | None = None,
        clock: Clock | None = None,
        on_event: Hook | None = None,
    ) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ConfigurationError(f"Bulkhead takes a limit of 1 or more, e.g. Bulkhead(20), not {limit!r}.", "limit")
        if queue is not None and (isinstance(queue, bool) or not isinstance(queue, int) or queue < 0):
            raise ConfigurationError(f"Bulkhead takes a queue of 0 or more, or None, not {queue!r}.", "queue")
        if max_wait is not None and not 0 <= max_wait < math.inf:
            raise ConfigurationError(f"Bulkhead takes max_wait seconds of 0 or more, not {max_wait!r}.", "max_wait")
        super().__init__(name, clock, on_event)
        self._fixed, self._queue, self._max_wait, self._adaptive = limit, queue, max_wait, adaptive
        self._lock = threading.Lock()
        self._inside = 0
        self._refused = 0
        self._waiters: deque[AnyWaiter] = deque()
        self._starts: ContextVar[tuple[float | None, ...]] = ContextVar("kimera_bulkhead", default=())

    @property
    def limit(self) -> int:
        """Return the slots there are now."""
        return self._fixed if self._adaptive is None else math.floor(self._adaptive.limit)

    def stats(self) -> BulkheadStats:
        """Return slots in use, waiters and refusals."""
        with self._lock:
            return BulkheadStats(self.limit, self._inside, len(self._waiters), self._refused)

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` inside a slot."""
        lock = self._lock

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            with lock:
                admitted = not self._waiters and self._inside < self.limit
                if admitted:
                    self._inside += 1
            if not admitted:
                await self._wait_async()
            return await self._inside_slot(fn(*args, **kwargs))

        if self._adaptive is not None:
            return guarded

        async def plain(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            with lock:
                admitted = not self._waiters and self._inside < self._fixed
                if admitted:
                    self._inside += 1
            if not admitted:
                await self._wait_async()
            try:
                return await fn(*args, **kwargs)
            finally:
                self._leave(None)

        return plain

    async def _inside_slot(self, call: Awaitable[Any]) -> Any:
        started: float | None = self._clock.monotonic()
        try:
            return await call
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, RefusedError):
                started = None
            raise
        finally:
            self._leave(started)

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` inside a slot."""

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            self._enter_sync()
            started: float | None = self._clock.monotonic() if self._adaptive is not None else None
            kept = True
            try:
                result = fn(*args, **kwargs)
                kept = not awaits(result)
                return result if kept else self._inside_slot(result)
            except BaseException as error:
                if not isinstance(error, Exception) or isinstance(error, RefusedError):
                    started = None
                raise
            finally:
                if kept:
                    self._leave(started)

        return guarded

    def __enter__(self) -> Self:
        if Switch.off:
            self._starts.set((*self._starts.get(), None))
        else:
            self._enter_sync()
            self._starts.set((*self._starts.get(), self._clock.monotonic()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        *rest, started = self._starts.get()
        self._starts.set(tuple(rest))
        if started is None:
            return
        neutral = error is not None and (not isinstance(error, Exception) or isinstance(error, RefusedError))
        self._leave(None if neutral else started)

    async def __aenter__(self) -> Self:
        if Switch.off:
            self._starts.set((*self._starts.get(), None))
            return self
        if not self._try_enter():
            await self._wait_async()
        self._starts.set((*self._starts.get(), self._clock.monotonic()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _try_enter(self) -> bool:
        with self._lock:
            if self._waiters or self._inside >= self.limit:
                return False
            self._inside += 1
            return True

    def _join(self, waiter: AnyWaiter) -> None:
        """Take a slot or a place in the queue; raises BulkheadFull when there is neither."""
        with self._lock:
            if not self._waiters and self._inside < self.limit:
                self._inside += 1
                waiter.granted = True
                return
            if self._queue is None or len(self._waiters) < self._queue:
                self._waiters.append(waiter)
                return
            self._refused += 1
        raise self._full(f"{self.name} is full and so is its queue.", 0.0)

    async def _wait_async(self) -> None:
        waiter = _TaskWaiter()
        self._join(waiter)
        if waiter.granted:
            return
        try:
            if self._max_wait is None:
                await waiter.future
            else:
                async with self._clock.timeout(self._max_wait):
                    await waiter.future
        except BaseException as error:
            granted = self._withdraw(waiter)
            if isinstance(error, TimeoutError):
                if granted:
                    return
                raise self._waited_out() from None
            if granted:
                self._leave(None)
            raise

    def _enter_sync(self) -> None:
        if self._try_enter():
            return
        waiter = _ThreadWaiter()
        self._join(waiter)
        if waiter.granted:
            return
        try:
            woken = waiter.event.wait(self._max_wait)
        except BaseException:
            if self._withdraw(waiter):
                self._leave(None)
            raise
        if not woken and not self._withdraw(waiter):
            raise self._waited_out()

    def _withdraw(self, waiter: AnyWaiter) -> bool:
        """Leave the queue; True when a slot had been handed over already."""
        with self._lock:
            if waiter.granted:
                return True
            self._waiters.remove(waiter)
            return False

    def _waited_out(self) -> BulkheadFull:
        with self._lock:
            self._refused += 1
        return self._full(f"{self.name} had no free slot within {self._max_wait:g} s.", self._max_wait or 0.0)

    def _full(self, message: str, waited: float) -> BulkheadFull:
        error = BulkheadFull(message, name=self.name, waited=waited)
        self.emit(CallRefused, error)
        return error

    def _leave(self, started: float | None) -> None:
        woken: list[AnyWaiter] = []
        with self._lock:
            if started is not None and self._adaptive is not None:
                self._adaptive.sample(self._clock.monotonic() - started, self._inside)
            self._inside -= 1
            while self._waiters and self._inside < self.limit:
                waiter = self._waiters.popleft()
                waiter.granted = True
                self._inside += 1
                woken.append(waiter)
        for waiter in woken:
            waiter.wake()


@dataclass(frozen=True, slots=True)
class RateLimitStats:
    """Calls admitted and refused."""

    admitted: int
    refused: int


_NS = 1_000_000_000


class RateLimit(Policy):
    """At most ``rate`` calls per ``per`` seconds, with a burst: GCRA in whole nanoseconds.

    ``try_acquire(cost)`` returns 0.0, or the seconds to wait without taking anything. The other faces wait when the wait
    is at most ``max_wait`` seconds (None: always), reserving at once so that order is that of arrival; else they raise
    `RateLimited`. A cancelled waiter's reservation is not given back.
    """

    kind = "rate_limit"

    def __init__(
        self,
        rate: float,
        per: float = 1.0,
        *,
        burst: int | None = None,
        max_wait: float | None = 0.0,
        name: str | None = None,
        clock: Clock | None = None,
        on_event: Hook | None = None,
    ) -> None:
        if not 0 < rate < math.inf or not 0 < per < math.inf:
            raise ConfigurationError(
                f"RateLimit takes a rate and a period above 0, e.g. RateLimit(10, per=60), not {rate!r} per {per!r}.",
                "rate",
            )
        if burst is not None and (isinstance(burst, bool) or not isinstance(burst, int) or burst < 1):
            raise ConfigurationError(f"RateLimit takes a burst of 1 or more, not {burst!r}.", "burst")
        if max_wait is not None and not max_wait >= 0:
            raise ConfigurationError(f"RateLimit takes max_wait seconds of 0 or more, not {max_wait!r}.", "max_wait")
        super().__init__(name, clock, on_event)
        self.burst = burst if burst is not None else max(1, math.floor(rate))
        self._step = round(per * _NS / rate)
        self._tolerance = self.burst * self._step
        self._max_wait = max_wait
        self._arrival = 0
        self._lock = threading.Lock()
        self._admitted = self._refused = 0

    @classmethod
    def keyed(cls, rate: float, per: float = 1.0, *, max_keys: int = 10_000, **options: Any) -> KeyedRateLimit:
        """Return one limit per key; the least recently used key is dropped above ``max_keys``."""
        return KeyedRateLimit(rate, per, max_keys=max_keys, **options)

    def stats(self) -> RateLimitStats:
        """Return admitted and refused calls."""
        return RateLimitStats(self._admitted, self._refused)

    def try_acquire(self, cost: int = 1) -> float:
        """Take ``cost`` and return 0.0, or return the seconds to wait and take nothing."""
        return self._reserve(cost, 0)

    def _reserve(self, cost: int, allowed: int | None) -> float:
        if not 1 <= cost <= self.burst:
            raise ValueError(f"A call of cost {cost} never fits a burst of {self.burst}; split it or raise the burst.")
        now = round(self._clock.monotonic() * _NS)
        with self._lock:
            new = max(now, self._arrival) + cost * self._step
            wait = new - self._tolerance - now
            if wait <= 0 or allowed is None or wait <= allowed:
                self._arrival = new
                self._admitted += 1
            else:
                self._refused += 1
        return max(0, wait) / _NS

    def _wait_or_raise(self, cost: int) -> float:
        allowed = None if self._max_wait is None or self._max_wait == math.inf else round(self._max_wait * _NS)
        wait = self._reserve(cost, allowed)
        if wait > 0 and allowed is not None and round(wait * _NS) > allowed:
            error = RateLimited(
                f"{self.name} allows no more calls now; try again in {wait:.3g} s.", name=self.name, retry_after=wait
            )
            self.emit(CallRefused, error)
            raise error
        return wait

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` admitted at this rate."""

        async def limited(*args: Any, **kwargs: Any) -> Any:
            if not Switch.off:
                wait = self._wait_or_raise(1)
                if wait:
                    await self._clock.sleep(wait)
            return await fn(*args, **kwargs)

        return limited

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` admitted at this rate."""

        def limited(*args: Any, **kwargs: Any) -> Any:
            if not Switch.off:
                wait = self._wait_or_raise(1)
                if wait:
                    self._clock.pause(wait)
            return fn(*args, **kwargs)

        return limited

    def __enter__(self) -> Self:
        if not Switch.off and (wait := self._wait_or_raise(1)):
            self._clock.pause(wait)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def __aenter__(self) -> Self:
        if not Switch.off and (wait := self._wait_or_raise(1)):
            await self._clock.sleep(wait)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class KeyedRateLimit:
    """One `RateLimit` per key, least recently used dropped first."""

    default_max_keys: ClassVar[int] = 10_000

    def __init__(self, rate: float, per: float = 1.0, *, max_keys: int = default_max_keys, **options: Any) -> None:
        if max_keys < 1:
            raise ConfigurationError(f"RateLimit.keyed takes max_keys of 1 or more, not {max_keys!r}.", "max_keys")
        self._make = lambda: RateLimit(rate, per, **options)
        self._make()
        self._max_keys = max_keys
        self._limits: OrderedDict[Hashable, RateLimit] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._limits)

    def of(self, key: Hashable) -> RateLimit:
        """Return the limit of ``key``, made when it is new."""
        with self._lock:
            limit = self._limits.get(key)
            if limit is None:
                limit = self._limits[key] = self._make()
                if len(self._limits) > self._max_keys:
                    self._limits.popitem(last=False)
            else:
                self._limits.move_to_end(key)
            return limit

    def try_acquire(self, key: Hashable, cost: int = 1) -> float:
        """Take ``cost`` from the key's limit, or return the seconds to wait."""
        return self.of(key).try_acquire(cost)
