"""A limit on how long a call or block may take."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from asyncio import CancelledError, current_task, get_running_loop
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from kimera.clock import Clock
from kimera.errors import ConfigurationError, DeadlineExceeded, OperationTimeout
from kimera.resilience.pipeline import (
    SYSTEM_CLOCK,
    Hook,
    Policy,
    Switch,
    TimedOut,
    await_it,
    awaits,
    describe,
    guard,
    origin,
)

__all__ = ["Timeout", "TimeoutStats", "remaining"]


class Limit:
    """A moment on a clock until which the code below may run."""

    __slots__ = ("clock", "deadline")

    def __init__(self, deadline: float, clock: Clock) -> None:
        self.deadline, self.clock = deadline, clock


class _Cut:
    """One call under a limit of the machine's clock, and the task to cancel when it lasts too long."""

    __slots__ = ("before", "deadline", "fired", "task")
    clock = SYSTEM_CLOCK

    def __init__(self, task: asyncio.Task[Any], deadline: float, before: int) -> None:
        self.task, self.deadline, self.before = task, deadline, before
        self.fired = False


CAUSELESS = sys.version_info < (3, 11, 4)
"""Early releases of Python 3.11 do not say that the TimeoutError of a scope came from its cancellation."""

_limit: ContextVar[Limit | _Cut | None] = ContextVar("kimera_limit", default=None)


def remaining() -> float | None:
    """Return the seconds left to the nearest enclosing limit, or None outside of any; never below 0."""
    limit = _limit.get()
    return None if limit is None else max(0.0, limit.deadline - limit.clock.monotonic())


def enter_limit(seconds: float, clock: Clock) -> Token[Any]:
    """Let `remaining` count down from ``seconds``, unless an outer limit ends sooner; `leave_limit` undoes it."""
    outer = _limit.get()
    if outer is not None and outer.deadline - outer.clock.monotonic() < seconds:
        return _limit.set(outer)
    return _limit.set(Limit(clock.monotonic() + seconds, clock))


def leave_limit(token: Token[Any]) -> None:
    """Undo `enter_limit`."""
    _limit.reset(token)


def forget_limit() -> None:
    """Lift every limit for the rest of this context: what runs on its own is under nobody's deadline."""
    _limit.set(None)


class _Watch:
    """The running calls of one Timeout on one event loop, with one timer for all of them.

    Calls under the same limit fall due in the order in which they began, so the oldest is the only one to be watched;
    a call that ends in time costs one insertion and one removal instead of a timer.
    """

    __slots__ = ("armed", "calls", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: dict[_Cut, None] = {}
        self.armed = False

    def arm(self, seconds: float) -> None:
        self.armed = True
        self.loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        self.armed = False
        now = time.monotonic()
        for cut in self.calls:
            if cut.deadline > now:
                self.arm(cut.deadline - now)
                return
            if not cut.fired:
                cut.fired = True
                cut.task.cancel()


@dataclass(frozen=True, slots=True)
class TimeoutStats:
    """How many calls were cut."""

    seconds: float
    timed_out: int


class Timeout(Policy):
    """Cut an async call or block after ``seconds`` (finite, above 0) with `OperationTimeout`.

    The callee's own TimeoutError and a cancellation from outside pass unchanged. A plain function cannot be cut and is
    refused at decoration; `remaining` tells it how long it may take.
    """

    kind = "timeout"

    def __init__(
        self, seconds: float, *, name: str | None = None, clock: Clock | None = None, on_event: Hook | None = None
    ) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
            raise ConfigurationError(
                f"Timeout takes finite seconds above 0, e.g. Timeout(30), not {seconds!r}.", "seconds"
            )
        super().__init__(name, clock, on_event)
        self.seconds = float(seconds)
        self._timed_out = 0
        self._blocks: ContextVar[tuple[Any, ...]] = ContextVar("kimera_timeout_blocks", default=())
        self._watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()
        self._watches_lock = threading.Lock()
        self._watch: _Watch | None = None

    def stats(self) -> TimeoutStats:
        """Return the limit and how often it was hit."""
        return TimeoutStats(self.seconds, self._timed_out)

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` cut after the limit."""
        return self.bind_role(fn, None)

    def bind_role(self, fn: Callable[..., Awaitable[Any]], role: str | None) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` cut after the limit; in the role ``total`` the error is `DeadlineExceeded`."""
        error = DeadlineExceeded if role == "total" else OperationTimeout
        bound = self._bind_watched(fn, error) if self._clock is SYSTEM_CLOCK else self._bind_scoped(fn, error)
        return guard(bound, fn)  # type: ignore[no-any-return]

    def _bind_watched(
        self, fn: Callable[..., Awaitable[Any]], error: type[OperationTimeout]
    ) -> Callable[..., Awaitable[Any]]:
        seconds, monotonic, outermost = self.seconds, time.monotonic, _limit.get

        async def timed(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            watch = self._watch
            loop = get_running_loop()
            if watch is None or watch.loop is not loop:
                watch = self._watch_on(loop)
            task = current_task(loop)
            if task is None:
                raise RuntimeError("Timeout cuts a task; run the coroutine in one, e.g. with asyncio.run().")
            cut = _Cut(task, monotonic() + seconds, task.cancelling())
            calls = watch.calls
            calls[cut] = None
            if not watch.armed:
                watch.arm(seconds)
            outer = outermost()
            token = _limit.set(cut if outer is None or _sooner(cut, outer) else outer)
            try:
                return await fn(*args, **kwargs)
            except CancelledError as cancelled:
                if cut.fired:
                    cut.fired = False
                    if task.uncancel() <= cut.before:
                        elapsed = monotonic() - cut.deadline + seconds
                        raise self._expired(error, describe(fn, args), elapsed) from cancelled
                raise
            finally:
                del calls[cut]
                if cut.fired:  # asked to stop, and came out by another way: the request is spent
                    task.uncancel()
                _limit.reset(token)

        return timed

    def _watch_on(self, loop: asyncio.AbstractEventLoop) -> _Watch:
        with self._watches_lock:
            watch = self._watches.get(loop)
            if watch is None:
                watch = self._watches[loop] = _Watch(loop)
            self._watch = watch
        return watch

    def _bind_scoped(
        self, fn: Callable[..., Awaitable[Any]], error: type[OperationTimeout]
    ) -> Callable[..., Awaitable[Any]]:
        seconds, clock = self.seconds, self._clock

        async def timed(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            token = enter_limit(seconds, clock)
            started = clock.monotonic()
            scope: Any = None
            try:
                async with clock.timeout(seconds) as scope:
                    return await fn(*args, **kwargs)
            except TimeoutError as cut:
                if is_ours(cut, scope):
                    raise self._expired(error, describe(fn, args), clock.monotonic() - started) from cut
                raise
            finally:
                leave_limit(token)

        return timed

    def bind_plain(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse: a plain function cannot be cut."""
        raise TypeError(
            f"Timeout cannot cut the plain function {describe(fn)}; make it async, or give its driver remaining()."
        )

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``fn``; only an awaitable it returns can be cut, and `remaining` holds while it runs."""
        finish = self.bind_async(await_it)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            token = enter_limit(self.seconds, self._clock)
            try:
                result = fn(*args, **kwargs)
            finally:
                leave_limit(token)
            return finish(result, origin(fn, args)) if awaits(result) else result

        return guard(timed, fn)  # type: ignore[no-any-return]

    async def __aenter__(self) -> Self:
        if Switch.off:
            self._blocks.set((*self._blocks.get(), None))
            return self
        token = enter_limit(self.seconds, self._clock)
        scope = self._clock.timeout(self.seconds)
        entered = await scope.__aenter__()
        self._blocks.set((*self._blocks.get(), (scope, entered, token, self._clock.monotonic())))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        blocks = self._blocks.get()
        if not blocks:
            raise RuntimeError("A Timeout block must be left in the task that entered it.")
        self._blocks.set(blocks[:-1])
        if blocks[-1] is None:
            return None
        scope, entered, token, started = blocks[-1]
        leave_limit(token)
        try:
            return await scope.__aexit__(kind, error, trace)  # type: ignore[no-any-return]
        except TimeoutError as cut:
            if is_ours(cut, entered) and cut is not error:
                raise self._expired(OperationTimeout, self.name, self._clock.monotonic() - started) from cut
            raise

    def _expired(self, error: type[OperationTimeout], operation: str, elapsed: float) -> OperationTimeout:
        self._timed_out += 1
        self.emit(TimedOut, self.seconds)
        return error("", operation, self.seconds, elapsed=elapsed)


def _sooner(cut: _Cut, outer: Limit | _Cut) -> bool:
    if outer.clock is SYSTEM_CLOCK:
        return cut.deadline < outer.deadline
    return cut.deadline - time.monotonic() < outer.deadline - outer.clock.monotonic()


def is_ours(error: TimeoutError, scope: Any) -> bool:
    """Return whether ``error`` is how the clock's ``scope`` ended what ran in it, and not the callee's own."""
    # asyncio.timeout turns the cancellation it asked for into a bare TimeoutError; anything else is the callee's own
    if type(error) is not TimeoutError or scope is None or not scope.expired():
        return False
    return isinstance(error.__cause__, CancelledError) or (CAUSELESS and _raised_by_scope(error))


def _raised_by_scope(error: TimeoutError) -> bool:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and place.tb_frame.f_code.co_filename == asyncio.timeouts.__file__
