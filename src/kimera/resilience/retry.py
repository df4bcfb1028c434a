"""Try again, but only what may help, never for ever, and never past a deadline."""

from __future__ import annotations

import math
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from kimera.clock import Clock
from kimera.errors import (
    BreakerIsolated,
    ConfigurationError,
    DeadlineExceeded,
    is_recoverable,
    retry_after_of,
)
from kimera.resilience.pipeline import (
    PLAIN,
    SYSTEM_CLOCK,
    Hook,
    Policy,
    RetryGivenUp,
    RetryScheduled,
    Switch,
    attempt_counter,
    awaits,
    describe,
    error_kinds,
    grown,
    guard,
)
from kimera.resilience.timeout import Timeout, enter_limit, leave_limit, remaining

__all__ = ["Attempt", "Retry", "RetryBudget", "RetryStats"]

Condition = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool | float]
_FINAL = (DeadlineExceeded, BreakerIsolated)


class RetryBudget:
    """A shared allowance: every first attempt adds ``per_call`` up to ``capacity``, every retry takes 1."""

    def __init__(self, capacity: float = 10.0, per_call: float = 0.1) -> None:
        if capacity < 1 or not 0 <= per_call <= capacity:
            raise ConfigurationError("RetryBudget takes capacity >= 1 and 0 <= per_call <= capacity.", "budget")
        self.capacity, self.per_call = capacity, per_call
        self._level = float(capacity)
        self._lock = threading.Lock()

    def deposit(self) -> None:
        """Count one first attempt."""
        with self._lock:
            self._level = min(self.capacity, self._level + self.per_call)

    def take(self) -> bool:
        """Take one retry out of the allowance; False when less than one is left."""
        with self._lock:
            if self._level < 1:
                return False
            self._level -= 1
            return True

    @property
    def level(self) -> float:
        """Return what is left."""
        return self._level


@dataclass(frozen=True, slots=True)
class RetryStats:
    """Retries made and calls given up."""

    retries: int
    given_up: int


class Retry(Policy):
    """Repeat a failed call. ``attempts`` counts the first; None needs ``total`` (seconds from the first attempt).

    ``on`` is an exception class, a tuple, or a predicate that may return the delay as a number. Only `Exception` is
    looked at: cancellation ends everything at once. After the last attempt the original exception rises. Delay after
    failure n: min(max_delay, initial * factor**(n-1)), times chance with ``full`` jitter; an error's retry-after is
    waited for in full, or given up on when longer than ``max_retry_after``.
    """

    kind = "retry"

    def __init__(
        self,
        attempts: int | None = 3,
        *,
        on: Condition = is_recoverable,
        give_up_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        initial: float = 0.1,
        factor: float = 2.0,
        max_delay: float = 60.0,
        jitter: Literal["none", "full", "decorrelated"] = "full",
        total: float | None = None,
        budget: RetryBudget | None = None,
        max_retry_after: float = 300.0,
        name: str | None = None,
        clock: Clock | None = None,
        rng: Callable[[], float] | None = None,
        on_event: Hook | None = None,
    ) -> None:
        super().__init__(name, clock, on_event)
        _check(attempts, total, initial, factor, max_delay, jitter, max_retry_after)
        self.attempts, self.total, self.budget = attempts, total, budget
        self.initial, self.factor, self.max_delay, self.jitter = initial, factor, max_delay, jitter
        self.max_retry_after = max_retry_after
        self._on, self._named_classes = on, _classes(on)
        self._give_up_on = error_kinds("Retry", "give_up_on", give_up_on)
        self._rng = rng or random.random
        self._lock = threading.Lock()
        self._retries = self._given_up = 0

    @classmethod
    def transient(cls, **options: Any) -> Self:
        """Return the rule for 408, 429 and 500-504: 3 attempts, first delay 1 s, at most 60 s."""
        return cls(3, **{"initial": 1.0, "max_delay": 60.0, **options})

    def stats(self) -> RetryStats:
        """Return how often was retried and given up."""
        return RetryStats(self._retries, self._given_up)

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` repeated by this rule."""
        if self.total is not None or self.budget is not None:
            return self._bind_bounded(fn)

        async def retrying(*args: Any, **kwargs: Any) -> Any:
            """Call until it succeeds or the rule says enough."""
            try:
                return await fn(*args, **kwargs)
            except Exception as error:
                if Switch.off:
                    raise
                course = _Course(self)
                delay = course.delay_after(error)
                if delay is None:
                    raise
            await self._clock.sleep(delay)
            return await course.go_on(fn, args, kwargs)

        return guard(retrying, fn)  # type: ignore[no-any-return]

    def _bind_bounded(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def attempts(course: _Course, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return await course.go_on(fn, args, kwargs)

        cut: Callable[..., Awaitable[Any]] = attempts
        if self.total is not None:
            limit = Timeout(self.total, clock=None if self._clock is SYSTEM_CLOCK else self._clock)
            cut = limit.bind_role(attempts, "total")

        async def retrying(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            course = self._begin()
            try:
                return await cut(course, args, kwargs)
            except DeadlineExceeded as late:
                if late is course.last or late.operation != describe(attempts):
                    raise
                course.give_up(course.last or late)
                raise DeadlineExceeded("", describe(fn, args), self.total, elapsed=late.elapsed) from course.last

        return guard(retrying, fn)  # type: ignore[no-any-return]

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` repeated by this rule; waits with ``clock.pause``."""
        if self.total is not None or self.budget is not None:
            return self._bind_bounded_sync(fn)

        def retrying(*args: Any, **kwargs: Any) -> Any:
            try:
                result = fn(*args, **kwargs)
            except Exception as error:
                if Switch.off:
                    raise
                course = _Course(self)
                delay = course.delay_after(error)
                if delay is None:
                    raise
            else:
                if type(result) in PLAIN or not awaits(result):
                    return result
                return self._finish(result, _Course(self), fn, args, kwargs)
            self._clock.pause(delay)
            return self._repeat(course, fn, args, kwargs)

        return guard(retrying, fn)  # type: ignore[no-any-return]

    def _bind_bounded_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        def retrying(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            course = self._begin()
            if self.total is None:
                return self._repeat(course, fn, args, kwargs)
            token = enter_limit(self.total, self._clock)
            try:
                return self._repeat(course, fn, args, kwargs)
            finally:
                leave_limit(token)

        return guard(retrying, fn)  # type: ignore[no-any-return]

    def _repeat(self, course: _Course, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        while True:
            try:
                result = fn(*args, **kwargs)
            except Exception as error:
                delay = course.delay_after(error)
                if delay is None:
                    raise
            else:
                return self._finish(result, course, fn, args, kwargs) if awaits(result) else result
            self._clock.pause(delay)

    async def _finish(
        self,
        first: Awaitable[Any],
        course: _Course,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        # a plain function gave an awaitable: its first attempt has begun, the others call the function again
        pending: list[Any] = [first]

        async def attempt(*inner: Any, **named: Any) -> Any:
            result = pending.pop() if pending else fn(*inner, **named)
            return await result if awaits(result) else result

        return await course.go_on(attempt, args, kwargs)

    def __iter__(self) -> Iterator[Attempt]:
        course = self._begin()
        while not course.done:
            yield Attempt(course)
            if course.next_pause() is not None:
                self._clock.pause(course.delay or 0.0)

    async def __aiter__(self) -> AsyncIterator[Attempt]:
        course = self._begin()
        while not course.done:
            yield Attempt(course, cuts=self.total is not None and not Switch.off)
            if course.next_pause() is not None:
                await self._clock.sleep(course.delay or 0.0)

    def _begin(self) -> _Course:
        if self.budget is not None:
            self.budget.deposit()
        return _Course(self)

    def _wanted(self, error: Exception) -> tuple[bool, float | None]:
        """Return whether to retry, and the delay when the predicate names one."""
        if self._give_up_on and isinstance(error, self._give_up_on):
            return False, None
        if isinstance(error, _FINAL) and type(error) not in self._named_classes:
            return False, None
        if self._named_classes:
            return isinstance(error, self._named_classes), None
        answer = self._on(error)  # type: ignore[operator]
        if isinstance(answer, bool) or not isinstance(answer, int | float):
            return bool(answer), None
        return True, max(0.0, float(answer))


class _Course:
    """One call's way through its attempts."""

    __slots__ = ("begun", "delay", "done", "failures", "last", "policy", "previous", "until")

    def __init__(self, policy: Retry) -> None:
        self.policy = policy
        self.failures = 0
        self.previous = policy.initial
        self.until = None if policy.total is None else policy._clock.monotonic() + policy.total
        self.last: Exception | None = None
        self.delay: float | None = None
        self.begun = False
        self.done = False

    async def go_on(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Attempt until one succeeds or the rule says enough."""
        sleep = self.policy._clock.sleep
        while True:
            try:
                return await fn(*args, **kwargs)
            except Exception as error:
                delay = self.delay_after(error)
                if delay is None:
                    raise
            await sleep(delay)

    def delay_after(self, error: Exception) -> float | None:
        """Count one failure; return the seconds to wait before the next attempt, or None when there is none."""
        policy = self.policy
        self.failures += 1
        self.last = error
        delay = self._next_delay(error)
        if delay is None:
            self.give_up(error)
            return None
        with policy._lock:
            policy._retries += 1
        counter = attempt_counter.get()
        if counter is not None and counter[1] is policy:
            counter[0] = self.failures + 1
        policy.emit(RetryScheduled, self.failures, delay, error)
        return delay

    def give_up(self, error: Exception) -> None:
        """Count and tell that no attempt follows."""
        policy = self.policy
        with policy._lock:
            policy._given_up += 1
        policy.emit(RetryGivenUp, max(1, self.failures), error)

    def next_pause(self) -> float | None:
        """Return the wait before the block's next attempt; None when the block is over."""
        if not self.begun:
            raise RuntimeError("Retry's loop needs `with attempt:` around its body, or it cannot see how it ended.")
        self.begun = False
        return None if self.done else self.delay

    def _next_delay(self, error: Exception) -> float | None:
        policy = self.policy
        wanted, delay = policy._wanted(error)
        if not wanted or (policy.attempts is not None and self.failures >= policy.attempts):
            return None
        if delay is None:
            delay = self._backoff()
        asked = retry_after_of(error)
        if asked is not None:
            if asked > policy.max_retry_after:
                return None
            delay = max(delay, asked)
        left = self._left()
        if left is not None and delay >= left:
            return None
        if policy.budget is not None and not policy.budget.take():
            return None
        return delay

    def _backoff(self) -> float:
        policy = self.policy
        if policy.jitter == "decorrelated":
            spread = 3 * self.previous - policy.initial
            self.previous = min(policy.max_delay, policy.initial + spread * policy._rng())
            return self.previous
        base = grown(policy.initial, policy.factor, self.failures - 1, policy.max_delay)
        return base * policy._rng() if policy.jitter == "full" else base

    def _left(self) -> float | None:
        outer = remaining()
        if self.until is None:
            return outer
        own = self.until - self.policy._clock.monotonic()
        return own if outer is None else min(own, outer)


class Attempt:
    """One attempt of the block face: an error inside the ``with`` is swallowed when another attempt follows.

    In an ``async for`` over a Retry with ``total`` an attempt that still runs then is cut with `DeadlineExceeded`.
    """

    __slots__ = ("_course", "_cuts", "_scope", "number")

    def __init__(self, course: _Course, cuts: bool = False) -> None:
        self._course, self._cuts = course, cuts
        self._scope: Any = None
        self.number = course.failures + 1

    def __enter__(self) -> Self:
        course = self._course
        course.delay = None
        course.begun = True
        if self._cuts and course.until is not None:
            clock = course.policy._clock
            self._scope = clock.timeout(max(0.0, course.until - clock.monotonic()))
            _drive(self._scope.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        course = self._course
        if self._scope is not None:
            try:
                _drive(self._scope.__aexit__(kind, error, trace))
            except TimeoutError as cut:
                if cut is not error:
                    course.done = True
                    raise self._late() from course.last
        if isinstance(error, Exception) and not Switch.off:
            course.delay = course.delay_after(error)
        course.done = course.delay is None
        return not course.done

    def _late(self) -> DeadlineExceeded:
        course, total = self._course, self._course.policy.total
        late = DeadlineExceeded("", course.policy.name, total, elapsed=total)
        course.give_up(course.last or late)
        return late


def _drive(step: Awaitable[Any]) -> None:
    # entering and leaving a clock's scope awaits nothing, so a sync block may do it by hand
    try:
        next(step.__await__())
    except StopIteration:
        return
    raise RuntimeError("A clock's timeout() must not wait on entering or leaving.")


def _classes(on: Condition) -> tuple[type[BaseException], ...]:
    if callable(on) and not isinstance(on, type):
        return ()
    found = error_kinds("Retry", "on", on)
    if not found:
        raise ConfigurationError("Retry(on=()) would never retry; it takes at least one exception class.", "on")
    return found


def _check(
    attempts: int | None,
    total: float | None,
    initial: float,
    factor: float,
    max_delay: float,
    jitter: str,
    max_retry_after: float,
) -> None:
    if attempts is None:
        if total is None:
            raise ConfigurationError("Retry(attempts=None) needs total=SECONDS, or it would never end.", "attempts")
    elif isinstance(attempts, bool) or not isinstance(attempts, int) or attempts < 1:
        raise ConfigurationError(
            f"Retry takes attempts of 1 or more (the first one counts), not {attempts!r}.", "attempts"
        )
    if total is not None and not 0 < total < math.inf:
        raise ConfigurationError(f"Retry takes total seconds above 0, not {total!r}.", "total")
    if not 0 <= initial < math.inf or not 0 <= max_delay < math.inf or not max_retry_after >= 0:
        raise ConfigurationError("Retry takes delays of 0 seconds or more.", "initial")
    if not 1 <= factor < math.inf:
        raise ConfigurationError(f"Retry takes a factor of 1 or more, not {factor!r}.", "factor")
    if jitter not in {"none", "full", "decorrelated"}:
        raise ConfigurationError(f"Retry takes jitter none, full or decorrelated, not {jitter!r}.", "jitter")
