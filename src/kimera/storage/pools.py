"""Pools of connections that can say how they are: how many, how long one waits for one, what failed, when last checked.

`Waits` is asked around every hand-over of a connection; it takes no lock, so that measuring costs about a microsecond.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from kimera.clock import Clock
from kimera.errors import KimeraError

__all__ = ["Check", "MeasuredQueue", "MeasuredSingle", "RedisPool", "Waits", "figures", "spread"]

T = TypeVar("T")
KEPT = 1_000


class Check(NamedTuple):
    """One health check: when (seconds since 1970), how long it took, and what failed, None for nothing."""

    at: float
    seconds: float
    failure: str | None


class Waits:
    """Who waits for a connection, how long the last thousand waited, and how often there was none or one broke."""

    def __init__(self) -> None:
        self.failures = 0
        self.last: Check | None = None
        self._waiting: dict[int, float] = {}
        self._waited: deque[float] = deque(maxlen=KEPT)

    @property
    def waiting(self) -> int:
        """Return how many threads wait for a connection now."""
        return len(self._waiting)

    def waited(self) -> list[float]:
        """Return the latest waits in seconds, sorted."""
        return sorted(self._waited)

    def around(self, take: Callable[[], T], *, counts: bool = True) -> T:
        """Return the connection that ``take`` gives, timed; raises what it raises, and ``counts`` that as a failure."""
        thread, begun = threading.get_ident(), perf_counter()
        self._waiting[thread] = begun
        had = False
        try:
            taken = take()
            had = True
        finally:
            self._waiting.pop(thread, None)
            if had:
                self._waited.append(perf_counter() - begun)
            else:
                self.failures += counts
        return taken

    def failed(self, *_: object) -> None:
        """Count a connection that could not be had, or broke."""
        self.failures += 1

    def check(self, probe: Callable[[], object], clock: Clock, older_than: float = 0.0) -> Check:
        """Return the last health check; runs ``probe`` first when that is older than so many seconds.

        ``older_than`` infinite: never, as no connection is left for it.
        """
        now = clock.now().timestamp()
        if math.isinf(older_than):
            return self.last or Check(now, 0.0, "PoolFull")
        if self.last is None or now - self.last.at >= older_than:
            begun, failure = perf_counter(), None
            try:
                probe()
            except (KimeraError, sa.exc.SQLAlchemyError, OSError) as error:
                failure = type(error.__cause__ or error).__name__
            self.last = Check(now, perf_counter() - begun, failure)
        return self.last


def figures(
    waits: Waits, check: Check, *, size: int, idle: int, in_use: int, timeout: float | None, **more: Any
) -> dict[str, Any]:
    """Return a pool as plain data: ``size`` connections at most, waits in milliseconds, what failed, the last check."""
    waited = spread(waits.waited())
    return {
        "size": size,
        "in_use": in_use,
        "idle": idle,
        "waiting": waits.waiting,
        "wait_p95_ms": waited.get("p95_ms"),
        "wait_max_ms": waited.get("max_ms"),
        "wait_timeout_seconds": timeout,
        "failures": waits.failures,
        "last_health_check": {
            "at": datetime.fromtimestamp(check.at, UTC).isoformat(),
            "ok": check.failure is None,
            "failure": check.failure,
            "ms": check.seconds * 1e3,
        },
        **more,
    }


def spread(sorted_seconds: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max in milliseconds of sorted durations; empty for none."""
    if not sorted_seconds:
        return {}
    last = len(sorted_seconds) - 1
    shown = {f"p{share}_ms": sorted_seconds[round(last * share / 100)] * 1e3 for share in (50, 95, 99)}
    return {**shown, "max_ms": sorted_seconds[-1] * 1e3}


class MeasuredQueue(sa.QueuePool):
    """SQLAlchemy's pool with its waits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = Waits()
        sa.event.listen(self, "invalidate", self.waits.failed)

    def connect(self) -> Any:
        """Return a connection of the pool, waiting for one when all are lent."""
        return self.waits.around(super().connect)


class MeasuredSingle(sa.StaticPool):
    """The one connection of a database in memory, with its waits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waits = Waits()

    def connect(self) -> Any:
        """Return the connection."""
        return self.waits.around(super().connect)


class RedisPool:
    """Redis's pool with its waits and what is lent; needs the extra ``redis``."""

    def __init__(self, url: str, size: int, timeout: float, **options: Any) -> None:
        import redis

        waits = self.waits = Waits()
        lent = self.lent = set[int]()
        self.size, self.timeout = size, timeout

        class Pool(redis.BlockingConnectionPool):
            """Redis's pool, telling ours."""

            def get_connection(self, *args: Any, **more: Any) -> Any:
                """Return a connection, waiting for one when all are lent."""
                found = waits.around(
                    lambda: super(Pool, self).get_connection(*args, **more),  # type: ignore[no-untyped-call]
                    counts=False,
                )
                lent.add(id(found))
                return found

            def release(self, connection: Any) -> None:
                """Take a connection back."""
                lent.discard(id(connection))
                super().release(connection)  # type: ignore[no-untyped-call]

        self.pool = Pool.from_url(url, max_connections=size, timeout=timeout, **options)

    def figures(self, check: Check) -> dict[str, Any]:
        """Return the pool as plain data."""
        in_use = len(self.lent)
        idle = len(self.pool._connections) - in_use
        return figures(self.waits, check, size=self.size, idle=max(0, idle), in_use=in_use, timeout=self.timeout)
