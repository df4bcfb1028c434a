"""The names of Kor'tana's optimisation guide, with its parameter names, over the same tested cores.

Further keywords of ours (``clock``, ``name``, ``on_event`` ...) are accepted everywhere. `MemoryError` and
`TimeoutError` hide builtins and are therefore imported by name only; our own code says `MemoryFault` and
`OperationTimeout`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Hashable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kimera.clock import Clock
from kimera.errors import (
    ConfigurationError,
    ErrorContext,
    KimeraError,
    MemoryFault,
    ModelError,
    OperationTimeout,
    RefusedError,
    RetryableError,
    ServiceError,
    Severity,
    ValidationError,
    handle_error,
)
from kimera.resilience.batch import AsyncBatchProcessor, gather_with_limit
from kimera.resilience.breaker import Breaker
from kimera.resilience.cache import UNSET, Cache, Cached, CacheStats
from kimera.resilience.metrics import Metrics, timed_execution
from kimera.resilience.pipeline import BreakerChanged, Event, Hook, describe
from kimera.resilience.pool import Pool
from kimera.resilience.retry import Condition, Retry
from kimera.validation import (
    Email,
    InRange,
    MaxLength,
    MinLength,
    NotEmpty,
    OneOf,
    Pattern,
    ValidationRule,
    Validator,
    sanitize_text,
    validate_type,
    with_validation,
)

__all__ = [
    "AsyncBatchProcessor",
    "AsyncCache",
    "AsyncRetry",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitState",
    "ConfigurationError",
    "ConnectionPool",
    "Email",
    "ErrorContext",
    "ErrorSeverity",
    "InRange",
    "KortanaError",
    "MaxLength",
    "MetricsCollector",
    "MinLength",
    "ModelError",
    "NotEmpty",
    "OneOf",
    "Pattern",
    "PerfMetrics",
    "RetryableError",
    "ServiceError",
    "TTLCache",
    "ValidationError",
    "ValidationRule",
    "Validator",
    "cached_async",
    "gather_with_limit",
    "handle_error",
    "sanitize_text",
    "timed_execution",
    "validate_type",
    "with_validation",
]

KortanaError = KimeraError
ErrorSeverity = Severity
MemoryError = MemoryFault  # noqa: A001 - the guide's name, in no __all__
TimeoutError = OperationTimeout  # noqa: A001 - the guide's name, in no __all__


class TTLCache:
    """The awaitable face of `Cache`; any number of event loops and threads may share one."""

    def __init__(self, max_size: int = 100, default_ttl: float | None = 300, *, clock: Clock | None = None) -> None:
        self._cache: Cache[Any, Any] = Cache(max_size, default_ttl, clock=clock)

    async def get(self, key: Hashable, default: Any = None) -> Any:
        """Return the value, or ``default``."""
        return self._cache.get(key, default)

    async def set(self, key: Hashable, value: Any, ttl: Any = UNSET) -> None:
        """Store ``value`` for ``ttl`` seconds (None: no expiry)."""
        self._cache.set(key, value, ttl)

    async def delete(self, key: Hashable) -> bool:
        """Remove one entry; return whether it was there."""
        return self._cache.delete(key)

    async def clear(self) -> None:
        """Remove everything."""
        self._cache.clear()

    def stats(self) -> CacheStats:
        """Return size and counters."""
        return self._cache.stats()

    def __len__(self) -> int:
        return len(self._cache)


class AsyncCache(TTLCache):
    """The same without expiry."""

    def __init__(self, max_size: int = 1000, *, clock: Clock | None = None) -> None:
        super().__init__(max_size, None, clock=clock)


class _CachedAsync(Cached):
    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        raise TypeError(f"cached_async decorates async functions; use cached() for {describe(fn)}.")


def cached_async(ttl: float | None = 300, *, max_size: int = 100, **options: Any) -> Cached:
    """Return `cached` for async functions only; a plain one is refused with TypeError."""
    fixed = {"key": None, "typed": True, "stale": 0.0, "name": None, "clock": None, "on_event": None}
    return _CachedAsync(ttl, max_size, **{**fixed, **options})


class CircuitState(StrEnum):
    """The breaker's states."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass
class CircuitBreakerConfig:
    """How many failures open the circuit, for how many seconds, and which exceptions are failures."""

    failure_threshold: int = 5
    recovery_timeout: float = 60
    expected_exception: type[BaseException] | tuple[type[BaseException], ...] = Exception


class CircuitBreaker(Breaker):
    """`Breaker` under the guide's names; `call` takes sync and async functions."""

    def __init__(
        self,
        config: CircuitBreakerConfig | None = None,
        *,
        name: str = "circuit",
        clock: Clock | None = None,
        on_event: Hook | None = None,
        **options: Any,
    ) -> None:
        config = config if config is not None else CircuitBreakerConfig()
        super().__init__(
            name,
            failures=config.failure_threshold,
            recovery=config.recovery_timeout,
            on=config.expected_exception,
            clock=clock,
            on_event=on_event,
            **options,
        )
        self.circuit_config = config
        self.last_failure_time: datetime | None = None
        self._failures_kept = 0
        self.subscribe(self._keep_count)

    @property
    def state(self) -> CircuitState:  # type: ignore[override]
        """Return the state; a breaker isolated by hand counts as open."""
        return CircuitState.OPEN if self._state == "isolated" else CircuitState(self._state)

    @property
    def failure_count(self) -> int:
        """Return the failures in a row; kept while open, one more for each failed probe."""
        return self._run if self._state == "closed" else self._failures_kept

    @property
    def success_count(self) -> int:
        """Return the calls that succeeded."""
        stats = self.stats()
        return stats.calls - stats.failures

    def _keep_count(self, event: Event) -> None:
        if isinstance(event, BreakerChanged) and event.new == "open":
            self._failures_kept = self._failures_kept + 1 if event.old == "half_open" else self._limit_of_run()
        elif isinstance(event, BreakerChanged) and event.new == "closed":
            self._failures_kept = 0

    def _limit_of_run(self) -> int:
        return self.circuit_config.failure_threshold

    def _record(self, permit: Any, error: BaseException | None) -> None:
        if error is not None and isinstance(error, self._on) and not isinstance(error, RefusedError):
            self.last_failure_time = self._clock.now()
        super()._record(permit, error)


class _Recorded:
    """What `MetricsCollector.record` returns: awaiting it is allowed, not needed."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class MetricsCollector(Metrics):
    """`Metrics` whose `record` may be awaited; it has recorded either way."""

    def record(  # type: ignore[override]
        self, op: str, duration_ms: float, success: bool = True, error: BaseException | None = None
    ) -> Awaitable[None]:
        """Count one call now."""
        super().record(op, duration_ms, success, error)
        return _Recorded()


PerfMetrics = MetricsCollector


class ConnectionPool(Pool[Any]):
    """`Pool` under the guide's names."""

    def __init__(self, factory: Callable[[], Any], pool_size: int = 10, **options: Any) -> None:
        super().__init__(factory, max_size=pool_size, **options)

    async def close_all(self) -> None:
        """Close the pool and all connections."""
        await self.close()


class AsyncRetry(Retry):
    """`Retry` under the guide's names, with full jitter."""

    def __init__(
        self,
        max_attempts: int = 3,
        backoff_factor: float = 2.0,
        initial_delay: float = 1.0,
        max_delay: float = 60.0,
        exceptions: Condition = (Exception,),
        **options: Any,
    ) -> None:
        super().__init__(
            max_attempts,
            on=exceptions,
            initial=initial_delay,
            factor=backoff_factor,
            max_delay=max_delay,
            **options,
        )
