"""A limit on how long a call or block may take."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kimera.clock import Clock
from kimera.errors import ConfigurationError, DeadlineExceeded, OperationTimeout
from kimera.resilience.pipeline import SYSTEM_CLOCK, Hook, Policy, Switch, TimedOut, awaits, describe

__all__ = ["Timeout", "TimeoutStats", "remaining"]

# (deadline on that clock, clock): the nearest enclosing limit
_deadline: ContextVar[tuple[float, Clock] | None] = ContextVar("kimera_deadline", default=None)


def remaining() -> float | None:
    """Return the seconds left to the nearest enclosing limit, or None outside of any; never below 0."""
    limit = _deadline.get()
    if limit is None:
        return None
    return max(0.0, limit[0] - limit[1].monotonic())


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

    def stats(self) -> TimeoutStats:
        """Return the limit and how often it was hit."""
        return TimeoutStats(self.seconds, self._timed_out)

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` cut after the limit."""
        return self.bind_role(fn, None)

    def bind_role(self, fn: Callable[..., Awaitable[Any]], role: str | None) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` cut after the limit; in the role ``total`` the error is `DeadlineExceeded`."""
        seconds, clock = self.seconds, self._clock
        system = clock is SYSTEM_CLOCK
        scope_of = asyncio.timeout if system else clock.timeout
        error = DeadlineExceeded if role == "total" else OperationTimeout

        async def timed(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return await fn(*args, **kwargs)
            token = _enter_limit(seconds, clock)
            scope: Any = None
            try:
                async with scope_of(seconds) as scope:
                    return await fn(*args, **kwargs)
            except TimeoutError as cut:
                if _is_ours(cut, scope):
                    raise self._expired(error, describe(fn)) from cut
                raise
            finally:
                _deadline.reset(token)

        return timed

    def bind_plain(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse: a plain function cannot be cut."""
        raise TypeError(
            f"Timeout cannot cut the plain function {describe(fn)}; make it async, or give its driver remaining()."
        )

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``fn``; only an awaitable it returns can be cut, and `remaining` holds while it runs."""
        guard = self.bind_async(_await_it)

        def timed(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            token = _enter_limit(self.seconds, self._clock)
            try:
                result = fn(*args, **kwargs)
            finally:
                _deadline.reset(token)
            return guard(result) if awaits(result) else result

        return functools.wraps(_named(fn))(timed)

    async def __aenter__(self) -> Self:
        token = _enter_limit(self.seconds, self._clock)
        scope = self._clock.timeout(self.seconds)
        entered = await scope.__aenter__()
        self._blocks.set((*self._blocks.get(), (scope, entered, token)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        *rest, (scope, entered, token) = self._blocks.get()
        self._blocks.set(tuple(rest))
        _deadline.reset(token)
        try:
            return await scope.__aexit__(kind, error, trace)  # type: ignore[no-any-return]
        except TimeoutError as cut:
            if _is_ours(cut, entered) and cut is not error:
                raise self._expired(OperationTimeout, self.name) from cut
            raise

    def _expired(self, error: type[OperationTimeout], operation: str) -> OperationTimeout:
        self._timed_out += 1
        self.emit(TimedOut, self.seconds)
        return error("", operation, self.seconds, elapsed=self.seconds)


async def _await_it(value: Awaitable[Any]) -> Any:
    return await value


def _named(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn if hasattr(fn, "__name__") else _await_it


def _enter_limit(seconds: float, clock: Clock) -> Token[tuple[float, Clock] | None]:
    deadline = clock.monotonic() + seconds
    outer = _deadline.get()
    if outer is not None and outer[0] - outer[1].monotonic() < seconds:
        return _deadline.set(outer)
    return _deadline.set((deadline, clock))


def _is_ours(error: TimeoutError, scope: Any) -> bool:
    # asyncio.timeout turns the cancellation it asked for into a bare TimeoutError; anything else is the callee's own
    return (
        type(error) is TimeoutError
        and scope is not None
        and scope.expired()
        and isinstance(error.__cause__, asyncio.CancelledError)
    )
