"""Errors that say what can be retried and what to do next.

::

    KimeraError                            MEDIUM  not recoverable  500   KIMERA_ERROR
    ├─ ConfigurationError (ValueError)     HIGH    not recoverable  500   CONFIG_<KEY> | CONFIG_INVALID
    ├─ ValidationError (ValueError)        LOW     not recoverable  422   VALIDATION_<FIELD> | VALIDATION_ERROR
    ├─ NotFoundError (LookupError)         LOW     not recoverable  404   NOT_FOUND
    ├─ ConflictError                       LOW     not recoverable  409   CONFLICT
    │  └─ HomeBusy                         LOW     recoverable      409   HOME_BUSY
    ├─ StorageError                        HIGH    recoverable      503   STORAGE
    │  ├─ StorageFull                      HIGH    recoverable      507   STORAGE_FULL
    │  └─ NewerSchema                      HIGH    not recoverable  500   NEWER_SCHEMA
    ├─ SandboxError                        MEDIUM  not recoverable  500   SANDBOX
    │  └─ SandboxRefused                   HIGH    not recoverable  503   NO_SANDBOX
    ├─ BudgetExceeded                      LOW     not recoverable  402   BUDGET
    ├─ Unauthenticated                     LOW     not recoverable  401   UNAUTHENTICATED
    ├─ Forbidden                           LOW     not recoverable  403   FORBIDDEN
    ├─ TooLarge                            LOW     not recoverable  413   TOO_LARGE
    ├─ UnsupportedMedia                    LOW     not recoverable  415   UNSUPPORTED_MEDIA
    ├─ MissionCancelled                    LOW     not recoverable  409   CANCELLED
    ├─ MemoryFault                         MEDIUM  recoverable      503   MEMORY_ERROR
    ├─ ModelError                          MEDIUM  recoverable      502   MODEL_<NAME> | MODEL_ERROR
    ├─ ServiceError                        HIGH from 500 on, else MEDIUM  SERVICE_<NAME>[_<status>] | SERVICE_ERROR
    ├─ OperationTimeout (TimeoutError)     MEDIUM  recoverable      504   TIMEOUT
    │  └─ DeadlineExceeded                 MEDIUM  not recoverable  504   DEADLINE
    ├─ RetryableError                      LOW     recoverable      503   RETRYABLE
    └─ RefusedError                        LOW     recoverable      503   REFUSED
       ├─ BreakerOpen                      LOW     recoverable      503   BREAKER_OPEN
       │  └─ BreakerIsolated               LOW     recoverable      503   BREAKER_ISOLATED
       ├─ BulkheadFull                     LOW     recoverable      503   BULKHEAD_FULL
       ├─ RateLimited                      LOW     recoverable      429   RATE_LIMITED
       └─ PoolClosed                       LOW     recoverable      503   POOL_CLOSED

One sentence per class is also its default message; facts are attributes; ``str(error)`` is ``[CODE] message``; a
message that a person sees ends with the next action.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Self

__all__ = [
    "BreakerIsolated",
    "BreakerOpen",
    "BudgetExceeded",
    "BulkheadFull",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceeded",
    "ErrorContext",
    "Forbidden",
    "HomeBusy",
    "KimeraError",
    "MemoryFault",
    "MissionCancelled",
    "ModelError",
    "NewerSchema",
    "NotFoundError",
    "OperationTimeout",
    "PoolClosed",
    "RateLimited",
    "RefusedError",
    "RetryableError",
    "SandboxError",
    "SandboxRefused",
    "ServiceError",
    "Severity",
    "StorageError",
    "StorageFull",
    "TooLarge",
    "Unauthenticated",
    "UnsupportedMedia",
    "ValidationError",
    "handle_error",
    "is_recoverable",
    "register_recoverable",
    "retry_after_of",
]


class Severity(StrEnum):
    """How bad an error is for the person running the system."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


def code_part(text: str) -> str:
    """Return ``text`` in upper case with each run of other characters as one underscore."""
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_")


class KimeraError(Exception):
    """Something in Kimera failed."""

    default_severity: ClassVar[Severity] = Severity.MEDIUM
    default_code: ClassVar[str] = "KIMERA_ERROR"
    default_recoverable: ClassVar[bool] = False
    default_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str = "",
        severity: Severity | None = None,
        error_code: str | None = None,
        recoverable: bool | None = None,
        *,
        retry_after: float | None = None,
        http_status: int | None = None,
        **facts: Any,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.severity = severity or self.default_severity
        self.code = error_code or self.default_code
        self.recoverable = self.default_recoverable if recoverable is None else recoverable
        self.retry_after = retry_after
        self.http_status: int | None = http_status or self.default_status
        self.facts = facts
        self.__dict__.update(facts)
        super().__init__(self.message)

    @property
    def error_code(self) -> str:
        """Return the same as ``code``."""
        return self.code

    def __str__(self) -> str:
        return f"[{self.code}] {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[KimeraError], state: dict[str, Any]) -> KimeraError:
    error = cls.__new__(cls)
    Exception.__init__(error, state.get("message", ""))
    error.__dict__.update(state)
    return error


class ConfigurationError(KimeraError, ValueError):
    """A setting is wrong."""

    default_severity = Severity.HIGH
    default_code = "CONFIG_INVALID"

    def __init__(self, message: str = "", config_key: str | None = None, **options: Any) -> None:
        if config_key and "error_code" not in options:
            options["error_code"] = f"CONFIG_{code_part(config_key)}"
        super().__init__(message, **options)
        self.config_key = config_key


class ValidationError(KimeraError, ValueError):
    """An input does not have the form it must have."""

    default_severity = Severity.LOW
    default_code = "VALIDATION_ERROR"
    default_status = 422

    def __init__(self, message: str = "", field: str | None = None, **options: Any) -> None:
        if field and "error_code" not in options:
            options["error_code"] = f"VALIDATION_{code_part(field)}"
        super().__init__(message, **options)
        self.field = field


class NotFoundError(KimeraError, LookupError):
    """No such thing is stored."""

    default_severity = Severity.LOW
    default_code = "NOT_FOUND"
    default_status = 404


class ConflictError(KimeraError):
    """The thing is in a state that does not allow this."""

    default_severity = Severity.LOW
    default_code = "CONFLICT"
    default_status = 409


class HomeBusy(ConflictError):
    """Another Kimera process is working in this home."""

    default_code = "HOME_BUSY"
    default_recoverable = True


class StorageError(KimeraError):
    """The store did not answer."""

    default_severity = Severity.HIGH
    default_code = "STORAGE"
    default_recoverable = True
    default_status = 503


class StorageFull(StorageError):
    """The disk is full; free some space and resume the mission."""

    default_code = "STORAGE_FULL"
    default_status = 507


class NewerSchema(StorageError):
    """The database was written by a newer Kimera; upgrade this installation or use another home."""

    default_code = "NEWER_SCHEMA"
    default_recoverable = False
    default_status = 500


class SandboxError(KimeraError):
    """A sandboxed job could not be run."""

    default_code = "SANDBOX"


class SandboxRefused(SandboxError):
    """The host offers less isolation than the configured minimum."""

    default_severity = Severity.HIGH
    default_code = "NO_SANDBOX"
    default_status = 503


class BudgetExceeded(KimeraError):
    """The call does not fit under the cap."""

    default_severity = Severity.LOW
    default_code = "BUDGET"
    default_status = 402


class Unauthenticated(KimeraError):
    """The request carries no valid key."""

    default_severity = Severity.LOW
    default_code = "UNAUTHENTICATED"
    default_status = 401


class Forbidden(KimeraError):
    """The caller may not do this."""

    default_severity = Severity.LOW
    default_code = "FORBIDDEN"
    default_status = 403


class TooLarge(KimeraError):
    """The request is larger than it may be."""

    default_severity = Severity.LOW
    default_code = "TOO_LARGE"
    default_status = 413


class UnsupportedMedia(KimeraError):
    """The request's body has a type that is not read here."""

    default_severity = Severity.LOW
    default_code = "UNSUPPORTED_MEDIA"
    default_status = 415


class MissionCancelled(KimeraError):
    """The mission was cancelled."""

    default_severity = Severity.LOW
    default_code = "CANCELLED"
    default_status = 409


class MemoryFault(KimeraError):
    """The memory store failed; the machine's own memory did not."""

    default_code = "MEMORY_ERROR"
    default_recoverable = True
    default_status = 503


class ModelError(KimeraError):
    """The model did not give a usable answer."""

    default_code = "MODEL_ERROR"
    default_recoverable = True
    default_status = 502

    def __init__(
        self, message: str = "", model_name: str | None = None, recoverable: bool | None = None, **options: Any
    ) -> None:
        if model_name and not options.get("error_code"):
            options["error_code"] = f"MODEL_{code_part(model_name)}"
        super().__init__(message, recoverable=recoverable, **options)
        self.model_name = model_name


_RECOVERABLE_STATUS = frozenset({408, 429, *range(500, 505)})


class ServiceError(KimeraError):
    """A service that we called answered with an error."""

    default_code = "SERVICE_ERROR"
    default_status = 502

    def __init__(
        self,
        message: str = "",
        service_name: str | None = None,
        http_status: int | None = None,
        *,
        retry_after: float | None = None,
        recoverable: bool | None = None,
        severity: Severity | None = None,
        error_code: str | None = None,
        **facts: Any,
    ) -> None:
        stem = f"SERVICE_{code_part(service_name)}" if service_name else "SERVICE_ERROR"
        super().__init__(
            message,
            severity or (Severity.HIGH if http_status is not None and http_status >= 500 else Severity.MEDIUM),
            error_code or (f"{stem}_{http_status}" if http_status is not None else stem),
            http_status in _RECOVERABLE_STATUS if recoverable is None else recoverable,
            retry_after=retry_after,
            http_status=http_status,
            **facts,
        )
        self.http_status = http_status  # what the service said, which may be nothing
        self.service_name = service_name


class OperationTimeout(KimeraError, TimeoutError):
    """The operation took longer than it may."""

    default_code = "TIMEOUT"
    default_recoverable = True
    default_status = 504

    def __init__(
        self,
        message: str = "",
        operation: str | None = None,
        timeout_seconds: float | None = None,
        *,
        elapsed: float | None = None,
        **options: Any,
    ) -> None:
        if not message and operation and timeout_seconds is not None:
            message = f"{operation} took longer than {timeout_seconds:g} s."
        super().__init__(message, **options)
        self.operation = operation
        self.timeout_seconds = timeout_seconds
        self.elapsed = elapsed


class DeadlineExceeded(OperationTimeout):
    """The total time for the operation is used up."""

    default_code = "DEADLINE"
    default_recoverable = False


class RetryableError(KimeraError):
    """The operation failed in a way that trying again may cure."""

    default_severity = Severity.LOW
    default_code = "RETRYABLE"
    default_recoverable = True
    default_status = 503

    def __init__(self, message: str = "", max_retries: int = 3, backoff_seconds: float = 1.0, **options: Any) -> None:
        super().__init__(message, **options)
        self.max_retries = max_retries
        self.backoff_seconds = backoff_seconds
        self.attempt = 0

    def next_backoff(self) -> float:
        """Count one more attempt and return the seconds to wait before it: 1, 2, 4, ... times the base, at most 60."""
        delay = self.backoff_seconds * 2.0 ** min(self.attempt, 60)
        self.attempt += 1
        return min(delay, 60.0)


class RefusedError(KimeraError):
    """The call was refused before it was made."""

    default_severity = Severity.LOW
    default_code = "REFUSED"
    default_recoverable = True
    default_status = 503

    def __init__(self, message: str = "", *, name: str | None = None, **options: Any) -> None:
        super().__init__(message, **options)
        self.name = name


class BreakerOpen(RefusedError):
    """The circuit breaker is open."""

    default_code = "BREAKER_OPEN"


class BreakerIsolated(BreakerOpen):
    """The circuit breaker was isolated by hand and refuses until it is closed."""

    default_code = "BREAKER_ISOLATED"


class BulkheadFull(RefusedError):
    """All slots are taken and the queue is full."""

    default_code = "BULKHEAD_FULL"


class RateLimited(RefusedError):
    """The rate limit is used up for now."""

    default_code = "RATE_LIMITED"
    default_status = 429


class PoolClosed(RefusedError):
    """The pool is closed."""

    default_code = "POOL_CLOSED"


_recoverable_types: tuple[type[BaseException], ...] = (ConnectionError, TimeoutError)


def register_recoverable(*types: type[BaseException]) -> None:
    """Let `is_recoverable` answer yes for these foreign exception types from now on."""
    global _recoverable_types
    _recoverable_types = (*_recoverable_types, *types)


def is_recoverable(error: BaseException) -> bool:
    """Return whether trying again may help: our errors by their flag, foreign ones by type or HTTP status."""
    if isinstance(error, KimeraError):
        return error.recoverable
    if isinstance(error, _recoverable_types):
        return True
    return getattr(getattr(error, "response", None), "status_code", None) in _RECOVERABLE_STATUS


def retry_after_of(error: BaseException) -> float | None:
    """Return the seconds the error asks us to wait (attribute, or the response's Retry-After), never below 0."""
    value = getattr(error, "retry_after", None)
    if value is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
        value = headers.get("Retry-After") or headers.get("retry-after") if headers is not None else None
    return _seconds(value)


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return max(0.0, value.total_seconds())
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(str(value))
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(text: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())


def handle_error(error: BaseException) -> tuple[bool, str]:
    """Return ``(recoverable, message)`` for any exception."""
    message = str(error) if isinstance(error, KimeraError) else f"[{code_part(type(error).__name__)}] {error}"
    return is_recoverable(error), message


class ErrorContext:
    """A ``with`` or ``async with`` block that notes an ``Exception`` and, if told so, swallows it.

    Cancellation, KeyboardInterrupt and SystemExit always pass. ``error`` and ``ok`` tell how the block ended; a
    swallowed error is logged with its traceback.
    """

    def __init__(
        self, operation: str, on_error: Callable[[Exception], object] | None = None, raise_on_error: bool = True
    ) -> None:
        self.operation = operation
        self.on_error = on_error
        self.raise_on_error = raise_on_error
        self.error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Return whether no error was seen."""
        return self.error is None

    def __enter__(self) -> Self:
        self.error = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        if self.on_error is not None:
            self.on_error(error)
        if self.raise_on_error:
            return False
        logging.getLogger(__name__).error("%s failed", self.operation, exc_info=error)
        return True

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, error, trace)
