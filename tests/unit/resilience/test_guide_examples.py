"""Every name of Kor'tana's guide, used as the guide's table says, with the import line of ours."""

from __future__ import annotations

import asyncio
import builtins
import json
from datetime import datetime
from typing import Any

import pytest
from tests.unit.resilience.callees import Flaky, Gate, settle

import kimera.resilience
from kimera.clock import FakeClock
from kimera.resilience import (
    AsyncBatchProcessor,
    AsyncCache,
    AsyncRetry,
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitState,
    ConfigurationError,
    ConnectionPool,
    Email,
    ErrorContext,
    ErrorSeverity,
    InRange,
    KortanaError,
    MaxLength,
    MemoryError,  # noqa: A004, TID251 - the guide's own import line
    MetricsCollector,
    MinLength,
    ModelError,
    NotEmpty,
    OneOf,
    Pattern,
    PerfMetrics,
    RetryableError,
    ServiceError,
    TimeoutError,  # noqa: A004, TID251 - the guide's own import line
    TTLCache,
    ValidationError,
    ValidationRule,
    Validator,
    cached_async,
    gather_with_limit,
    handle_error,
    kortana,
    sanitize_text,
    timed_execution,
    validate_type,
    with_validation,
)


async def external_api(x: int = 1) -> int:
    """Stand for the guide's service."""
    await asyncio.sleep(0)
    return x * 10


async def test_ttl_cache() -> None:
    """Promise: TTLCache(max_size, default_ttl) with awaitable get, set and clear; an own ttl per key."""
    clock = FakeClock()
    cache = TTLCache(max_size=100, default_ttl=300, clock=clock)
    await cache.set("user:1", {"name": "Ada"})
    await cache.set("token", "t", ttl=60)
    assert {"name": "Ada"} == await cache.get("user:1")
    clock.tick(60)
    assert ["gone", {"name": "Ada"}] == [await cache.get("token", "gone"), await cache.get("user:1")]
    await cache.clear()
    assert await cache.get("user:1") is None


async def test_async_cache() -> None:
    """Promise: AsyncCache(max_size) never expires and drops the least recently used."""
    cache = AsyncCache(max_size=2)
    for key in "abc":
        await cache.set(key, key)
    assert [None, "b", "c"] == [await cache.get(key) for key in "abc"]


async def test_cached_async() -> None:
    """Promise: @cached_async(ttl=300) loads once for 100 callers; a plain function is refused."""
    gate = Gate()

    @cached_async(ttl=300)
    async def fetch_user(user_id: int) -> int:
        return await gate(user_id)  # type: ignore[no-any-return]

    calls = [asyncio.create_task(fetch_user(7)) for _ in range(100)]
    await settle()
    gate.open()
    assert ([7] * 100, 1) == (await asyncio.gather(*calls), gate.calls)
    with pytest.raises(TypeError, match="async functions"):
        cached_async(300)(len)


async def test_circuit_breaker() -> None:
    """Promise: config, call, state that prints `closed`, and counts that stay while open."""
    config = CircuitBreakerConfig(failure_threshold=3, recovery_timeout=60, expected_exception=ConnectionError)
    clock = FakeClock()
    breaker = CircuitBreaker(config, clock=clock)
    assert ("closed", CircuitState.CLOSED, None) == (str(breaker.state), breaker.state, breaker.last_failure_time)
    assert 10 == await breaker.call(external_api, 1)
    assert 3 == breaker.call(len, "abc")
    with pytest.raises(ValueError):
        await breaker.call(Flaky([ValueError()]))  # not expected: no failure
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await breaker.call(Flaky([ConnectionError()]))
    assert (CircuitState.OPEN, 3, 2) == (breaker.state, breaker.failure_count, breaker.success_count)
    assert isinstance(breaker.last_failure_time, datetime)
    clock.tick(60)
    with pytest.raises(ConnectionError):
        await breaker.call(Flaky([ConnectionError()]))
    assert 4 == breaker.failure_count
    clock.tick(60)
    gate = Gate()
    probe = asyncio.create_task(breaker.call(gate))
    await settle()
    assert CircuitState.HALF_OPEN == breaker.state
    gate.open()
    await probe
    assert (CircuitState.CLOSED, 0) == (breaker.state, breaker.failure_count)
    assert (5, 60, Exception) == (
        CircuitBreakerConfig().failure_threshold,
        CircuitBreakerConfig().recovery_timeout,
        CircuitBreakerConfig().expected_exception,
    )
    assert CircuitState.CLOSED == CircuitBreaker().state


async def test_metrics_collector() -> None:
    """Promise: `await record(...)` works and is not needed; the summary has the guide's keys and is JSON."""
    for collector in (MetricsCollector(), PerfMetrics()):
        await collector.record("api_call", 12.5, success=True)
        collector.record("api_call", 37.5, False)
        summary = json.loads(json.dumps(collector.get_summary()))["api_call"]
        assert [25.0, 12.5, 37.5, 50.0, 2] == [
            summary[key] for key in ("avg_time_ms", "min_time_ms", "max_time_ms", "success_rate", "total_requests")
        ]


async def test_timed_execution() -> None:
    """Promise: @timed_execution("name") records into the default metrics."""

    @timed_execution("guide.operation")
    async def operation() -> int:
        return await external_api(2)

    assert 20 == await operation()
    from kimera.resilience.metrics import DEFAULT

    assert DEFAULT.get_summary()["guide.operation"]["total_requests"] >= 1


def test_errors_under_the_guides_names() -> None:
    """Promise: each class with the guide's parameters, by position and by name."""
    assert ("[E1] boom", "high", True) == (
        str(KortanaError("boom", ErrorSeverity.HIGH, "E1", True)),
        KortanaError("boom", severity=ErrorSeverity.HIGH).severity,
        KortanaError("boom", recoverable=True).recoverable,
    )
    assert ["LOW", "MEDIUM", "HIGH", "CRITICAL"] == [severity.name for severity in ErrorSeverity]
    assert "CONFIG_API_KEY" == ConfigurationError("missing", config_key="api_key").code
    assert "MODEL_GPT" == ModelError("bad answer", model_name="gpt", recoverable=True).code
    assert "SERVICE_STRIPE_503" == ServiceError("down", service_name="stripe", http_status=503).code
    assert "VALIDATION_EMAIL" == ValidationError("wrong", field="email").code
    assert MemoryError("store is down", recoverable=True).recoverable
    late = TimeoutError("late", operation="fetch", timeout_seconds=30)
    assert ("fetch", 30) == (late.operation, late.timeout_seconds)
    assert isinstance(late, builtins.TimeoutError)
    assert not issubclass(MemoryError, builtins.MemoryError)
    error = RetryableError("again", max_retries=5, backoff_seconds=2.0)
    assert ([2.0, 4.0], 5) == ([error.next_backoff(), error.next_backoff()], error.max_retries)
    assert (True, "[RETRYABLE] again") == handle_error(error)


async def test_error_context() -> None:
    """Promise: ErrorContext(operation, on_error, raise_on_error) as async block."""
    seen: list[Exception] = []
    async with ErrorContext("load", on_error=seen.append, raise_on_error=False) as context:
        raise KortanaError("x")
    assert (1, False) == (len(seen), context.ok)


async def test_batches() -> None:
    """Promise: AsyncBatchProcessor(batch_size, max_concurrent, timeout).process and gather_with_limit(limit=)."""
    processor = AsyncBatchProcessor(batch_size=10, max_concurrent=5, timeout=None)
    assert [10 * x for x in range(25)] == await processor.process(range(25), external_api)
    assert [0, 10, 20] == await gather_with_limit(*(external_api(x) for x in range(3)), limit=2)


async def test_connection_pool() -> None:
    """Promise: ConnectionPool(factory, pool_size), acquire, release, close_all."""
    made: list[object] = []

    async def create_connection() -> object:
        made.append(object())
        return made[-1]

    pool = ConnectionPool(create_connection, pool_size=2)
    one, two = await pool.acquire(), await pool.acquire()
    await pool.release(one)
    assert one is await pool.acquire()
    await pool.release(one)
    await pool.release(two)
    await pool.close_all()
    assert 2 == len(made)


async def test_async_retry() -> None:
    """Promise: AsyncRetry with the guide's five parameters; full jitter, so each delay is at most the guide's."""
    clock = FakeClock(auto=True)
    retry = AsyncRetry(
        max_attempts=3,
        backoff_factor=2.0,
        initial_delay=1.0,
        max_delay=60.0,
        exceptions=(ValueError,),
        clock=clock,
        rng=lambda: 0.5,
    )
    some_service = Flaky([ValueError(), ValueError()])

    @retry
    async def call_service() -> Any:
        return await some_service()

    assert "fine" == await call_service()
    assert [0.5, 1.0] == clock.sleeps
    with pytest.raises(KeyError):
        await retry.call(Flaky([KeyError()]))


async def test_validators() -> None:
    """Promise: the rules, Validator, with_validation, validate_type and sanitize_text under one import."""
    rule: ValidationRule = MinLength(3)
    assert rule("abc")
    rules = [MaxLength(3), Pattern(r"[a-z]+"), NotEmpty(), OneOf(["abc"])]
    assert all(each("abc") for each in rules)
    assert Email()("ada@example.org")

    @with_validation(age=InRange(0, 150), name=Validator("name").not_empty())
    async def register(name: str, age: int) -> str:
        return name

    assert "Ada" == await register("Ada", 36)
    with pytest.raises(ValidationError):
        await register("", 200)
    assert validate_type([1], list[int])
    assert "hello" == sanitize_text("  hel\x00lo ")


def test_the_names_that_hide_builtins_are_in_no_all() -> None:
    """Promise: `import *` never hides TimeoutError or MemoryError, and everything in __all__ is there."""
    for module in (kimera.resilience, kortana):
        assert not {"TimeoutError", "MemoryError"} & set(module.__all__)
        assert [] == [name for name in module.__all__ if not hasattr(module, name)]
    assert set(kortana.__all__) <= set(kimera.resilience.__all__)
