"""Durations per operation: counts, errors and quantiles within one percent."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kimera.resilience.pipeline import is_async

__all__ = ["DEFAULT", "Metrics", "timed_execution"]

F = TypeVar("F", bound=Callable[..., Any])
_GAMMA = 1.01 / 0.99
_LOG_GAMMA = math.log(_GAMMA)
_log = logging.getLogger("kimera.resilience")


class _Series:
    __slots__ = ("buckets", "cancelled", "errors", "failed", "high", "low", "n", "total", "zeros")

    def __init__(self) -> None:
        self.n = self.failed = self.cancelled = self.zeros = 0
        self.total, self.low, self.high = 0.0, math.inf, 0.0
        self.buckets: dict[int, int] = {}
        self.errors: dict[str, int] = {}

    def add(self, duration: float) -> None:
        self.n += 1
        self.total += duration
        self.low = min(self.low, duration)
        self.high = max(self.high, duration)
        if duration == 0:
            self.zeros += 1
        else:
            place = math.ceil(math.log(duration) / _LOG_GAMMA)
            self.buckets[place] = self.buckets.get(place, 0) + 1

    def quantile(self, q: float) -> float:
        """Return the ceil(q * n)-th smallest, within one percent (DDSketch, Masson et al. 2019)."""
        rank = math.ceil(q * self.n)
        if rank <= self.zeros:
            return 0.0
        seen = self.zeros
        for place in sorted(self.buckets):
            seen += self.buckets[place]
            if seen >= rank:
                return min(self.high, max(self.low, 2 * _GAMMA**place / (_GAMMA + 1)))
        return self.high

    def merge(self, other: _Series) -> None:
        self.n += other.n
        self.failed += other.failed
        self.cancelled += other.cancelled
        self.zeros += other.zeros
        self.total += other.total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        for place, count in other.buckets.items():
            self.buckets[place] = self.buckets.get(place, 0) + count
        for code, count in other.errors.items():
            self.errors[code] = self.errors.get(code, 0) + count

    def summary(self) -> dict[str, Any]:
        n = self.n
        return {
            "avg_time_ms": self.total / n if n else 0.0,
            "min_time_ms": self.low if n else 0.0,
            "max_time_ms": self.high,
            "success_rate": 100.0 * (n - self.failed) / n if n else 0.0,
            "total_requests": n,
            "p50_ms": self.quantile(0.5) if n else 0.0,
            "p95_ms": self.quantile(0.95) if n else 0.0,
            "p99_ms": self.quantile(0.99) if n else 0.0,
            "errors": dict(sorted(self.errors.items())),
            "cancelled": self.cancelled,
        }


class Metrics:
    """Durations in milliseconds per operation; any thread may record."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._lock = threading.Lock()

    def record(self, op: str, duration_ms: float, success: bool = True, error: BaseException | None = None) -> None:
        """Count one call. Raises ValueError for a negative or non-finite duration."""
        if not 0 <= duration_ms < math.inf:
            raise ValueError(f"A duration is 0 or more milliseconds, not {duration_ms!r}.")
        with self._lock:
            series = self._series.setdefault(op, _Series())
            series.add(duration_ms)
            if error is not None or not success:
                series.failed += 1
                code = getattr(error, "code", None) if error is not None else "FAILED"
                code = code if isinstance(code, str) else type(error).__name__
                series.errors[code] = series.errors.get(code, 0) + 1

    def record_cancelled(self, op: str) -> None:
        """Count one call that was cancelled; it is neither success nor failure."""
        with self._lock:
            self._series.setdefault(op, _Series()).cancelled += 1

    def get_summary(self) -> dict[str, dict[str, Any]]:
        """Return per operation the mean, extremes, success rate in percent, counts and quantiles; JSON-safe."""
        with self._lock:
            return {op: series.summary() for op, series in sorted(self._series.items())}

    def merge(self, other: Metrics) -> None:
        """Add everything ``other`` has counted."""
        with other._lock:
            taken = {op: _copy(series) for op, series in other._series.items()}
        with self._lock:
            for op, series in taken.items():
                self._series.setdefault(op, _Series()).merge(series)

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._series.clear()


def _copy(series: _Series) -> _Series:
    fresh = _Series()
    fresh.merge(series)
    return fresh


DEFAULT = Metrics()
"""The process-wide collection."""


def timed_execution(name: str = "", metrics: Metrics | None = None, slow_ms: float = 100.0) -> Callable[[F], F]:
    """Record every call of a sync or async function, and log those slower than ``slow_ms`` milliseconds."""
    target = metrics if metrics is not None else DEFAULT

    def decorate(fn: F) -> F:
        op = name or getattr(fn, "__qualname__", type(fn).__qualname__)

        def note(started: float, error: BaseException | None) -> None:
            elapsed = (time.perf_counter() - started) * 1000
            if error is not None and not isinstance(error, Exception):
                target.record_cancelled(op)
                return
            target.record(op, elapsed, error is None, error)
            if elapsed > slow_ms:
                _log.warning("%s took %.1f ms", op, elapsed)

        if is_async(fn):

            async def timed_async(*args: Any, **kwargs: Any) -> Any:
                """Call and note how long it took."""
                started = time.perf_counter()
                try:
                    result = await fn(*args, **kwargs)
                except BaseException as error:
                    note(started, error)
                    raise
                note(started, None)
                return result

            return functools.update_wrapper(timed_async, fn)  # type: ignore[return-value]

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:
                note(started, error)
                raise
            note(started, None)
            return result

        return functools.update_wrapper(timed, fn)  # type: ignore[return-value]

    return decorate
