"""Every constructor rejects nonsense, and says what to write instead."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from kimera.errors import ConfigurationError
from kimera.resilience import (
    AdaptiveLimit,
    AsyncBatchProcessor,
    AsyncCache,
    AsyncRetry,
    Breaker,
    Bulkhead,
    Cache,
    CircuitBreaker,
    CircuitBreakerConfig,
    ConnectionPool,
    Pool,
    RateLimit,
    Retry,
    RetryBudget,
    Timeout,
    TTLCache,
    amap,
    cached,
    cached_async,
)


def pool(**options: Any) -> Pool[object]:
    """Return a pool of plain objects."""
    return Pool(object, **options)


def breaker(**options: Any) -> Breaker:
    """Return a breaker."""
    return Breaker("b", **options)


def adaptive(**options: Any) -> AdaptiveLimit:
    """Return an adaptive limit."""
    return AdaptiveLimit(**options)


def batch(**options: Any) -> AsyncBatchProcessor:
    """Return a batch processor."""
    return AsyncBatchProcessor(**options)


NUMBERS = [0, -1, math.nan, math.inf, True, "3"]
CASES: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (Timeout, "seconds", [*NUMBERS, None]),
    (Retry, "attempts", [0, -1, 1.5, True, "3"]),
    (Retry, "total", [0, -1, math.nan, math.inf]),
    (Retry, "initial", [-1, math.inf, math.nan]),
    (Retry, "factor", [0.5, math.inf, math.nan]),
    (Retry, "max_delay", [-1, math.inf]),
    (Retry, "max_retry_after", [-1, math.nan]),
    (Retry, "jitter", ["some", None]),
    (Retry, "on", ["ValueError", (), (ValueError, "x"), 3]),
    (Retry, "give_up_on", ["ValueError", (ValueError, "x"), 3]),
    (RetryBudget, "capacity", [0, -1]),
    (RetryBudget, "per_call", [-1, 99]),
    (breaker, "failures", [0, -1, 1.5, True]),
    (breaker, "recovery", NUMBERS[:4]),
    (breaker, "recovery_factor", [0.5, math.nan]),
    (breaker, "max_recovery", [0, math.inf]),
    (breaker, "probes", [0, None]),
    (breaker, "successes", [0, None]),
    (breaker, "probe_lease", [0, math.inf]),
    (breaker, "window_calls", [0, 50, True]),
    (breaker, "window_seconds", [0, 60]),
    (breaker, "failure_rate", [0, 1.1, 0.5]),
    (breaker, "slow_rate", [0.5]),
    (breaker, "min_calls", [0]),
    (breaker, "on", ["x", (ValueError, 3)]),
    (breaker, "ignore", ["x", (ValueError, 3)]),
    (Bulkhead, "limit", [0, -1, 1.5, True]),
    (lambda **o: Bulkhead(1, **o), "queue", [-1, 1.5]),
    (lambda **o: Bulkhead(1, **o), "max_wait", [-1, math.nan, math.inf]),
    (adaptive, "initial", [0, 500]),
    (adaptive, "minimum", [0, 21]),
    (adaptive, "smoothing", [0, 1.5]),
    (adaptive, "tolerance", [0.5]),
    (adaptive, "long_window", [0]),
    (adaptive, "queue", [-1]),
    (RateLimit, "rate", NUMBERS[:5]),
    (lambda **o: RateLimit(1, **o), "per", NUMBERS[:4]),
    (lambda **o: RateLimit(1, **o), "burst", [0, 1.5, True]),
    (lambda **o: RateLimit(1, **o), "max_wait", [-1, math.nan]),
    (lambda **o: RateLimit.keyed(1, **o), "max_keys", [0, 1.5]),
    (Cache, "max_size", [-1, 1.5, True, None]),
    (Cache, "ttl", [math.nan, "300", True]),
    (cached, "max_size", [-1, None]),
    (cached, "ttl", ["300"]),
    (cached, "stale", [-1, math.inf, "x"]),
    (cached, "key", ["a"]),
    (pool, "max_size", [0, 1.5, True]),
    (pool, "max_idle", [0, -1, math.inf]),
    (pool, "max_age", [0, math.inf]),
    (pool, "acquire_timeout", [0, math.inf]),
    (Pool, "factory", [3]),
    (batch, "batch_size", [0, 1.5]),
    (batch, "max_concurrent", [0]),
    (batch, "timeout", [0]),
    (batch, "interval", [-1, math.inf]),
    (batch, "on_error", ["ignore"]),
    (lambda **o: amap(AsyncCache().clear, [], **o), "timeout", [0, -1]),  # type: ignore[arg-type]
    (TTLCache, "max_size", [-1]),
    (TTLCache, "default_ttl", ["x"]),
    (AsyncCache, "max_size", [-1]),
    (cached_async, "ttl", ["x"]),
    (AsyncRetry, "max_attempts", [0]),
    (lambda **o: CircuitBreaker(CircuitBreakerConfig(**o)), "failure_threshold", [0]),
    (lambda **o: CircuitBreaker(CircuitBreakerConfig(**o)), "recovery_timeout", [0]),
    (lambda **o: ConnectionPool(object, **o), "pool_size", [0]),
]


@pytest.mark.parametrize(
    ("make", "parameter", "wrong"),
    [(make, parameter, value) for make, parameter, values in CASES for value in values],
    ids=[f"{i} {parameter}={value!r}" for i, (_, parameter, values) in enumerate(CASES) for value in values],
)
def test_nonsense_is_refused_with_words(make: Callable[..., Any], parameter: str, wrong: Any) -> None:
    """Promise: a ConfigurationError, in words that say what is taken, before anything is called."""
    with pytest.raises(ConfigurationError) as caught:
        make(**{parameter: wrong})
    said = caught.value.message
    assert any(word in said for word in ("take", "need", "go together", "never"))
    assert caught.value.config_key
