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
    ├─ OperationTimeout (TimeoutError)     MEDIUM  recoverable      504   TIMEOUT
    │  └─ DeadlineExceeded                 MEDIUM  not recoverable  504   DEADLINE
    └─ MissionCancelled                    LOW     not recoverable  409   CANCELLED

One sentence per class is also its default message; facts are attributes; ``str(error)`` is ``[CODE] message``.
A message that a person sees ends with the next action.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, ClassVar

__all__ = [
    "BudgetExceeded",
    "ConfigurationError",
    "ConflictError",
    "DeadlineExceeded",
    "HomeBusy",
    "KimeraError",
    "MissionCancelled",
    "NewerSchema",
    "NotFoundError",
    "OperationTimeout",
    "SandboxError",
    "SandboxRefused",
    "Severity",
    "StorageError",
    "StorageFull",
    "ValidationError",
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
        self.http_status = http_status or self.default_status
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)
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


class OperationTimeout(KimeraError, TimeoutError):
    """The operation took longer than it may."""

    default_code = "TIMEOUT"
    default_recoverable = True
    default_status = 504


class DeadlineExceeded(OperationTimeout):
    """The total time for the operation is used up."""

    default_code = "DEADLINE"
    default_recoverable = False


class MissionCancelled(KimeraError):
    """The mission was cancelled."""

    default_severity = Severity.LOW
    default_code = "CANCELLED"
    default_status = 409
