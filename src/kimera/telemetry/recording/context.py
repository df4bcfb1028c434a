"""Who a piece of work is for: one record that follows it through tasks, threads, queues and outgoing requests.

asyncio tasks inherit it by themselves, threads through `carry`, queues through the envelope, HTTP through `headers`.
"""

from __future__ import annotations

import contextvars
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, wraps
from typing import ParamSpec, TypeVar

__all__ = [
    "Context",
    "accept_request_id",
    "adopt",
    "bind",
    "carry",
    "current",
    "headers",
    "new_id",
    "process_id",
    "utc",
]

P = ParamSpec("P")
T = TypeVar("T")

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of the work at hand. ``traceparent`` (W3C) is the span that the work continues."""

    request_id: str
    mission_id: str | None = None
    session_id: str | None = None
    track: str | None = None
    attempt: int | None = None
    traceparent: str | None = None


_bound: contextvars.ContextVar[Context | None] = contextvars.ContextVar("kimera_context", default=None)


def new_id() -> str:
    """Return a ULID: 48 bits of milliseconds and 80 random bits in 26 characters, sortable by time."""
    value = (int(time.time() * 1000) << 80) | secrets.randbits(80)
    digits = []
    for _ in range(26):
        value, digit = divmod(value, 32)
        digits.append(CROCKFORD[digit])
    return "".join(reversed(digits))


def utc(at: float) -> str:
    """Return an instant in seconds since 1970 as a log line writes it: UTC to the microsecond."""
    fraction, whole = math.modf(at)
    seconds, micros = divmod(round(fraction * 1e6), 1_000_000)
    return f"{_second(int(whole) + seconds)}.{micros:06d}Z"


@lru_cache(8)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").removesuffix("+00:00")


@cache
def process_id() -> str:
    """Return the request id of everything that this process does outside any request."""
    return f"process:{new_id()}"


def accept_request_id(incoming: str | None) -> str:
    """Return the caller's own id when it has 1 to 64 of ``A-Za-z0-9._-``, else a new one."""
    return incoming if incoming is not None and REQUEST_ID.fullmatch(incoming) else new_id()


def current() -> Context:
    """Return the context of the running code."""
    return _bound.get() or Context(process_id())


@contextmanager
def bind(
    *,
    request_id: str | None = None,
    mission_id: str | None = None,
    session_id: str | None = None,
    track: str | None = None,
    attempt: int | None = None,
    traceparent: str | None = None,
) -> Iterator[Context]:
    """Add to the context for the length of the block; what is None stays as it was.

    A ``traceparent`` that is not a W3C one is left out. Spans opened inside continue it.
    """
    given = {"request_id": request_id, "mission_id": mission_id, "session_id": session_id, "track": track}
    change: dict[str, str | int] = {name: value for name, value in given.items() if value is not None}
    if attempt is not None:
        change["attempt"] = attempt
    if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
        change["traceparent"] = traceparent
    after = replace(current(), **change)  # type: ignore[arg-type]
    token = _bound.set(after)
    try:
        yield after
    finally:
        # a task that is thrown away unfinished is closed in another context, where there is nothing to take back
        with suppress(ValueError):
            _bound.reset(token)


def adopt(context: Context) -> None:
    """Make ``context`` that of the running task until its end; for doors with one task per request."""
    _bound.set(context)


def carry(work: Callable[P, T]) -> Callable[P, T]:
    """Return ``work`` tied to the context of this moment, for a thread or a pool; it may run many times at once."""
    here = contextvars.copy_context()

    @wraps(work)
    def carried(*args: P.args, **options: P.kwargs) -> T:
        return here.copy().run(work, *args, **options)

    return carried


def headers() -> dict[str, str]:
    """Return the headers of an outgoing request: ``X-Request-ID`` and, inside a trace, ``traceparent``."""
    from kimera.telemetry.recording.recorder import active

    known = current()
    parent = active().traceparent() or known.traceparent
    found = {"X-Request-ID": known.request_id}
    return found | {"traceparent": parent} if parent else found
