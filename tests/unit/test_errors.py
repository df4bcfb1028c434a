"""The error tree: what each says, what can be retried, and how it travels."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from kimera import errors
from kimera.errors import (
    BreakerIsolated,
    BreakerOpen,
    BulkheadFull,
    ConfigurationError,
    ConflictError,
    DeadlineExceeded,
    ErrorContext,
    KimeraError,
    MemoryFault,
    ModelError,
    NotFoundError,
    OperationTimeout,
    PoolClosed,
    RateLimited,
    RefusedError,
    RetryableError,
    ServiceError,
    Severity,
    ValidationError,
    handle_error,
    is_recoverable,
    register_recoverable,
    retry_after_of,
)

TABLE: list[tuple[KimeraError, str, str, bool, int | None]] = [
    (KimeraError("m"), "KIMERA_ERROR", "medium", False, 500),
    (ConfigurationError("m"), "CONFIG_INVALID", "high", False, 500),
    (ConfigurationError("m", "api key"), "CONFIG_API_KEY", "high", False, 500),
    (ValidationError("m"), "VALIDATION_ERROR", "low", False, 422),
    (ValidationError("m", "user-name"), "VALIDATION_USER_NAME", "low", False, 422),
    (NotFoundError("m"), "NOT_FOUND", "low", False, 404),
    (ConflictError("m"), "CONFLICT", "low", False, 409),
    (MemoryFault("m"), "MEMORY_ERROR", "medium", True, 503),
    (ModelError("m"), "MODEL_ERROR", "medium", True, 502),
    (ModelError("m", "gpt-4.1 mini"), "MODEL_GPT_4_1_MINI", "medium", True, 502),
    (ModelError("m", recoverable=False), "MODEL_ERROR", "medium", False, 502),
    (ServiceError("m"), "SERVICE_ERROR", "medium", False, None),
    (ServiceError("m", http_status=404), "SERVICE_ERROR_404", "medium", False, 404),
    (ServiceError("m", "stripe api", 429), "SERVICE_STRIPE_API_429", "medium", True, 429),
    (ServiceError("m", "db", 503), "SERVICE_DB_503", "high", True, 503),
    (ServiceError("m", "db", 501, recoverable=False), "SERVICE_DB_501", "high", False, 501),
    (ServiceError("m", "db", 505), "SERVICE_DB_505", "high", False, 505),
    (OperationTimeout("m"), "TIMEOUT", "medium", True, 504),
    (DeadlineExceeded("m"), "DEADLINE", "medium", False, 504),
    (RetryableError("m"), "RETRYABLE", "low", True, 503),
    (RefusedError("m"), "REFUSED", "low", True, 503),
    (BreakerOpen("m"), "BREAKER_OPEN", "low", True, 503),
    (BreakerIsolated("m"), "BREAKER_ISOLATED", "low", True, 503),
    (BulkheadFull("m"), "BULKHEAD_FULL", "low", True, 503),
    (RateLimited("m"), "RATE_LIMITED", "low", True, 429),
    (PoolClosed("m"), "POOL_CLOSED", "low", True, 503),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{type(row[0]).__name__} {row[0].code} {row[3]}")
def test_the_error_table(row: tuple[KimeraError, str, str, bool, int | None]) -> None:
    """Promise (38): class, code, severity, recoverable and status are those of the table; str is [CODE] message."""
    error, code, severity, recoverable, status = row
    assert (code, code, severity, recoverable, status) == (
        error.code,
        error.error_code,
        error.severity,
        error.recoverable,
        error.http_status,
    )
    assert f"[{code}] m" == str(error)


def test_bases_let_old_handlers_catch_them() -> None:
    """Promise (38): the builtin bases of the tree; a MemoryFault is on purpose no MemoryError."""
    for kind, base in (
        (ConfigurationError, ValueError),
        (ValidationError, ValueError),
        (NotFoundError, LookupError),
        (OperationTimeout, TimeoutError),
        (DeadlineExceeded, OperationTimeout),
        (BreakerIsolated, BreakerOpen),
        (BreakerOpen, RefusedError),
    ):
        assert issubclass(kind, base)
    assert not issubclass(MemoryFault, MemoryError)


def all_classes() -> list[type[KimeraError]]:
    """Return every exported error class."""
    found = [getattr(errors, name) for name in errors.__all__]
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, KimeraError)]


@pytest.mark.parametrize("cls", all_classes())
def test_pickle_and_copy_keep_everything(cls: type[KimeraError]) -> None:
    """Promise (39): message, code, facts, retry_after and notes survive pickle and copy, for every class."""
    error: Any = cls("lost it", severity=Severity.CRITICAL, error_code="X", retry_after=3.0, http_status=418, hint="h")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert error.__dict__ == twin.__dict__
        assert (str(error), ("lost it",)) == (str(twin), twin.args)


def test_construction_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Promise (39): making an error, critical ones too, writes no log line."""
    with caplog.at_level(logging.DEBUG):
        for cls in all_classes():
            cls("m", severity=Severity.CRITICAL)
    assert [] == caplog.records


def test_a_message_is_never_empty() -> None:
    """Promise: without a message the class's sentence is the message; a time-out then names what it knows."""
    assert "The pool is closed." == PoolClosed().message
    assert "[TIMEOUT] ask took longer than 3 s." == str(OperationTimeout(operation="ask", timeout_seconds=3))
    assert isinstance(OperationTimeout(), TimeoutError)


def test_what_can_be_retried() -> None:
    """Promise: ours by flag, connection and time-out errors, responses by status, registered types; nothing else."""

    class Foreign(Exception):
        pass

    answer = SimpleNamespace(status_code=503, headers={})
    http = Foreign()
    http.response = answer  # type: ignore[attr-defined]
    assert all(map(is_recoverable, [ConnectionResetError(), TimeoutError(), http, RetryableError("x")]))
    assert not any(map(is_recoverable, [ValueError(), OSError(), Foreign(), ModelError("x", recoverable=False)]))

    class Registered(Exception):
        pass

    register_recoverable(Registered)
    assert is_recoverable(Registered())


def test_retry_after_is_read_from_where_it_stands() -> None:
    """Promise: a number, a timedelta, or the response's header as seconds or date; never below 0; nonsense is None."""

    def with_header(value: str) -> Exception:
        error = ConnectionError()
        error.response = SimpleNamespace(status_code=429, headers={"Retry-After": value})  # type: ignore[attr-defined]
        return error

    def with_attribute(value: object) -> Exception:
        error = ConnectionError()
        error.retry_after = value  # type: ignore[attr-defined]
        return error

    assert [5.0, 90.0, 0.0, None, None] == [
        retry_after_of(with_attribute(value)) for value in (5, timedelta(minutes=1.5), -3, True, float("nan"))
    ]
    assert [7.0, None] == [retry_after_of(with_header(value)) for value in ("7", "soon")]
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 95 < (retry_after_of(with_header(date)) or 0) <= 100
    assert 0.0 == retry_after_of(with_header("Wed, 21 Oct 2015 07:28:00 GMT"))
    assert retry_after_of(ValueError()) is None


def test_handle_error_answers_for_any_exception() -> None:
    """Promise: (recoverable, message) for ours and foreign ones."""
    assert (True, "[RETRYABLE] again") == handle_error(RetryableError("again"))
    assert (True, "[CONNECTIONERROR] down") == handle_error(ConnectionError("down"))
    assert (False, "[KEYERROR] 'x'") == handle_error(KeyError("x"))


def test_back_off_doubles_to_sixty() -> None:
    """Promise: next_backoff gives 1, 2, 4 ... times the base, at most 60, and counts attempts."""
    error = RetryableError("again", backoff_seconds=3)
    assert [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0] == [error.next_backoff() for _ in range(7)]
    assert (7, 3) == (error.attempt, error.max_retries)


async def test_an_error_context_lets_cancellation_through() -> None:
    """Promise (40): CancelledError, KeyboardInterrupt and SystemExit pass even when it swallows, unseen."""
    for passing in (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
        seen: list[Exception] = []
        context = ErrorContext("work", on_error=seen.append, raise_on_error=False)
        with pytest.raises(passing):
            async with context:
                raise passing
        assert (True, []) == (context.ok, seen)


async def test_an_error_context_notes_swallows_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: it tells on_error, raises or swallows as asked, and logs with traceback only when it swallows."""
    seen: list[Exception] = []
    raising, swallowing = ErrorContext("a", on_error=seen.append), ErrorContext("b", raise_on_error=False)
    with pytest.raises(ValueError), raising:
        raise ValueError
    assert [] == caplog.records
    async with swallowing:
        raise KeyError
    assert (False, ValueError, KeyError) == (raising.ok, type(seen[0]), type(swallowing.error))
    assert [True] == [record.exc_info is not None for record in caplog.records]
    with swallowing:
        pass
    assert swallowing.ok
