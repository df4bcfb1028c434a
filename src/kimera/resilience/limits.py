"""How many at once, and how many per second."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kimera.clock import Clock
from kimera.errors import BulkheadFull, ConfigurationError, RateLimited, RefusedError
from kimera.resilience._adaptive import AdaptiveLimit
from kimera.resilience.pipeline import PLAIN, SYSTEM_CLOCK, CallRefused, Hook, Policy, Switch, await_it, awaits, guard

__all__ = ["AdaptiveLimit", "Bulkhead", "BulkheadStats", "KeyedRateLimit", "RateLimit", "RateLimitStats"]


@dataclass(frozen=True, slots=True)
class BulkheadStats:
    """Slots, what is in them, what waits, what was refused."""

    limit: int
    in_flight: int
    waiting: int
    refused: int


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class _TaskWaiter:
    __slots__ = ("future", "granted", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()
        self.granted = False

    def wake(self) -> None:
        """Tell the task; raises RuntimeError when its event loop is closed."""
        if _running_loop() is self.loop:
            self._set()
        else:
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
    seconds: `BulkheadFull` with ``waited``. ``adaptive`` lowers the limit below ``limit``, never above it. One object
    serves threads and several event loops.
    """

    kind = "bulkhead"

    def __init__(
        self,
        limit: int,
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
        self._waiters: OrderedDict[AnyWaiter, None] = OrderedDict()
        self._starts: ContextVar[tuple[float | None, ...]] = ContextVar("kimera_bulkhead", default=())

    @property
    def limit(self) -> int:
        """Return the slots there are now."""
        return self._fixed if self._adaptive is None else min(self._fixed, math.floor(self._adaptive.limit))

    def stats(self) -> BulkheadStats:
        """Return slots in use, waiters and refusals."""
        with self._lock:
            return BulkheadStats(self.limit, self._inside, len(self._waiters), self._refused)

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` inside a slot."""
        if self._adaptive is not None:

            async def adapting(*args: Any, **kwargs: Any) -> Any:
                """Call inside a slot, and learn from its duration."""
                if Switch.off:
                    return await fn(*args, **kwargs)
                if not self._try_enter():
                    await self._wait_async()
                return await self._inside_slot(fn, args, kwargs)

            return guard(adapting, fn)  # type: ignore[no-any-return]
        lock, waiters, limit = self._lock, self._waiters, self._fixed

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            """Call inside a slot."""
            if Switch.off:
                return await fn(*args, **kwargs)
            with lock:
                admitted = not waiters and self._inside < limit
                if admitted:
                    self._inside += 1
            if not admitted:
                await self._wait_async()
            try:
                return await fn(*args, **kwargs)
            finally:
                with lock:
                    handing = bool(waiters)
                    if not handing:
                        self._inside -= 1
                if handing:
                    self._leave(None)

        return guard(guarded, fn)  # type: ignore[no-any-return]

    async def _inside_slot(
        self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        started: float | None = self._clock.monotonic()
        try:
            return await fn(*args, **kwargs)
        except BaseException as error:
            if _gives_no_sample(error):
                started = None
            raise
        finally:
            self._leave(started)

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` inside a slot."""
        timed = self._adaptive is not None

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            if not self._try_enter():
                self._wait_sync()
            started: float | None = self._clock.monotonic() if timed else None
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                self._leave(None if _gives_no_sample(error) else started)
                raise
            if type(result) not in PLAIN and awaits(result):
                return self._inside_slot(await_it, (result, fn), {})
            self._leave(started)
            return result

        return guard(guarded, fn)  # type: ignore[no-any-return]

    def __enter__(self) -> Self:
        if Switch.off:
            self._starts.set((*self._starts.get(), None))
            return self
        if not self._try_enter():
            self._wait_sync()
        self._starts.set((*self._starts.get(), self._clock.monotonic()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        starts = self._starts.get()
        self._starts.set(starts[:-1])
        if not starts:  # left in another context than it was entered: the slot is free all the same
            self._leave(None)
        elif starts[-1] is not None:
            self._leave(None if _gives_no_sample(error) else starts[-1])

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
            if self._max_wait != 0 and (self._queue is None or len(self._waiters) < self._queue):
                self._waiters[waiter] = None
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

    def _wait_sync(self) -> None:
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
            del self._waiters[waiter]
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
                waiter, _ = self._waiters.popitem(last=False)
                waiter.granted = True
                self._inside += 1
                woken.append(waiter)
        for waiter in woken:
            try:
                waiter.wake()
            except RuntimeError:  # its event loop was closed over its head: the slot goes to the next one
                self._leave(None)


def _gives_no_sample(error: BaseException | None) -> bool:
    return error is not None and (not isinstance(error, Exception) or isinstance(error, RefusedError))


@dataclass(frozen=True, slots=True)
class RateLimitStats:
    """Calls admitted and refused."""

    admitted: int
    refused: int


_NS = 1_000_000_000


class RateLimit(Policy):
    """At most ``rate`` calls per ``per`` seconds, with a burst: GCRA in whole nanoseconds.

    ``try_acquire(cost)`` returns 0.0, or the seconds to wait without taking anything. The other faces wait when that
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
        if isinstance(rate, bool) or not 0 < rate < math.inf or not 0 < per < math.inf:
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
        self._step = max(1, round(per * _NS / rate))
        self._tolerance = self.burst * self._step
        self._max_wait = max_wait
        self._arrival = 0
        self._now: Callable[[], int] = time.monotonic_ns if self._clock is SYSTEM_CLOCK else self._fake_ns
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
        now = self._now()
        with self._lock:
            new = max(now, self._arrival) + cost * self._step
            wait = new - self._tolerance - now
            if wait <= 0 or allowed is None or wait <= allowed:
                self._arrival = new
                self._admitted += 1
            else:
                self._refused += 1
        return max(0, wait) / _NS

    def _fake_ns(self) -> int:
        return round(self._clock.monotonic() * _NS)

    def _admits(self) -> bool:
        # the happy path of _reserve(1)
        now = self._now()
        with self._lock:
            arrival = self._arrival
            new = (now if now > arrival else arrival) + self._step
            if new - self._tolerance > now:
                return False
            self._arrival = new
            self._admitted += 1
        return True

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
        admits = self._admits

        async def limited(*args: Any, **kwargs: Any) -> Any:
            """Call at this rate."""
            if not Switch.off and not admits() and (wait := self._wait_or_raise(1)):
                await self._clock.sleep(wait)
            return await fn(*args, **kwargs)

        return guard(limited, fn)  # type: ignore[no-any-return]

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` admitted at this rate."""
        admits = self._admits

        def limited(*args: Any, **kwargs: Any) -> Any:
            if not Switch.off and not admits() and (wait := self._wait_or_raise(1)):
                self._clock.pause(wait)
            return fn(*args, **kwargs)

        return guard(limited, fn)  # type: ignore[no-any-return]

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

    def __init__(self, rate: float, per: float = 1.0, *, max_keys: int = 10_000, **options: Any) -> None:
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            raise ConfigurationError(f"RateLimit.keyed takes max_keys of 1 or more, not {max_keys!r}.", "max_keys")
        self._make: Callable[[], RateLimit] = functools.partial(RateLimit, rate, per, **options)
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
