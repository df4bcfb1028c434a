"""Spans: what took how long inside what. Where nothing was configured they are nothing.

A span of an `ALWAYS` name is written at its start and at its end, so that one whose process was killed is seen as
interrupted; the others wait at most a second. Attributes are numbers, ids and codes, never prompts, completions,
file contents or values.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from kimera.telemetry.recording.logs import code_of, room_of
from kimera.telemetry.recording.phases import observe_phase
from kimera.telemetry.recording.recorder import active

__all__ = ["ALWAYS", "Span", "span", "span_over", "spanned"]

P = ParamSpec("P")
T = TypeVar("T")

ALWAYS = frozenset(
    {
        "mission.accept",
        "mission.transition",
        "mission.close",
        "dispatch.enqueue",
        "dispatch.claim",
        "agent.run",
        "agent.step",
        "fusion.run",
    }
)


class Span:
    """A span as a context manager; an error that leaves the block becomes its status."""

    __slots__ = ("_attributes", "_begun", "_name", "_open", "_start", "_started")

    def __init__(self, name: str, attributes: dict[str, Any]) -> None:
        self._name = name
        self._attributes = attributes
        self._open: Any = None

    def __enter__(self) -> Self:
        self._begun = time.perf_counter()
        tracing = active().tracing
        if tracing is not None:
            self._start, self._started = time.time_ns(), time.monotonic_ns()
            self._open = tracing.begin(self._name, self._attributes, self._start)
        return self

    def set(self, **attributes: Any) -> None:
        """Add attributes; nothing happens on a span that is not recorded."""
        if self._open is not None:
            self._open.set(attributes)

    def fail(self, error_type: str, code: str, module: str) -> None:
        """Give the span an error that was handled inside it."""
        if self._open is not None:
            self._open.fail(error_type, code, module)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        failed = isinstance(error, Exception) and not getattr(error, "orderly", False)
        if error is None or failed:
            observe_phase(self._name, self._attributes, time.perf_counter() - self._begun)
        if self._open is None:
            return
        # an error that only says that work is given back in order is no failure
        if failed and error is not None:
            self._open.fail(type(error).__name__, code_of(error), room_of(error))
        # the wall clock may step back while the span is open; its duration may not
        self._open.end(self._start + time.monotonic_ns() - self._started)
        self._open = None


def span(name: str, /, **attributes: Any) -> Span:
    """Return a span to be used in a ``with``; attribute ``phase`` becomes ``kimera.phase``."""
    return Span(name, attributes)


def spanned(name: str, /) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator: each call of the function is a span."""

    def decorate(work: Callable[P, T]) -> Callable[P, T]:
        @wraps(work)
        def inside(*args: P.args, **options: P.kwargs) -> T:
            with Span(name, {}):
                return work(*args, **options)

        return inside

    return decorate


def span_over(name: str, seconds: float, /, *, error: BaseException | None = None, **attributes: Any) -> None:
    """Record a span that took ``seconds`` and ends now."""
    tracing = active().tracing
    if tracing is None:
        return
    end = time.time_ns()
    done = tracing.begin(name, attributes, end - int(seconds * 1e9), enter=False)
    if error is not None:
        done.fail(type(error).__name__, code_of(error), room_of(error))
    done.end(end)
