"""Every operation of the storage room is timed, whether it succeeds or fails, under a name from the metric catalogue.

The name comes from where the work is written (`OPERATIONS` by module, `NAMED` by function), so that no caller can
forget it; a caller that knows better passes ``operation=``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from sqlalchemy.exc import IntegrityError

from kimera.errors import KimeraError, StorageError
from kimera.telemetry import metric
from kimera.telemetry.recording.children import Child

__all__ = ["NAMED", "OPERATIONS", "Meter", "Timing", "operation_of", "timed"]

OPERATIONS = {
    "alerts": "telemetry",
    "artifacts": "mission",
    "attempts": "attempt",
    "audit": "audit",
    "database": "schema",
    "idempotency": "access",
    "keys": "access",
    "missions": "mission",
    "outcomes": "telemetry",
    "rollups": "telemetry",
    "spend": "spend",
    "tickets": "access",
    "trail": "telemetry",
    "warehouse": "telemetry",
    "workers": "worker",
}
"""Operation by module of this room; those of `SPLIT` get ``_read`` or ``_write`` behind it."""

SPLIT = frozenset({"mission", "attempt"})
NAMED = {"Missions.append": "event_append"}

ANSWERS = (KimeraError, IntegrityError)

Way = Literal["read", "write"]


_known: dict[tuple[object, Way], str] = {}


class _Children(NamedTuple):
    seconds: Child
    ok: Child
    error: Child


def operation_of(work: Callable[..., Any], way: Way) -> str:
    """Return the operation that a function given to `Database.read` or `Database.write` belongs to."""
    code = getattr(work, "__code__", None), way
    known = _known.get(code)
    if known is None:
        known = _known[code] = _name(work, way)
    return known


def _name(work: Callable[..., Any], way: Way) -> str:
    owner = ".".join(getattr(work, "__qualname__", "").split(".")[:2])
    if owner in NAMED:
        return NAMED[owner]
    base = OPERATIONS.get(getattr(work, "__module__", "").rpartition(".")[2], "other")
    return f"{base}_{way}" if base in SPLIT else base


class Meter:
    """The pre-bound children of one back end: sqlite, postgresql or files."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._bound: dict[str, _Children] = {}

    def children(self, operation: str) -> _Children:
        """Return what counts an operation."""
        return self._bound.get(operation) or self._bind(operation)

    def _bind(self, operation: str) -> _Children:
        labels = {"operation": operation, "backend": self._backend}
        counted = metric("kimera_storage_operations_total")
        bound = self._bound[operation] = _Children(
            metric("kimera_storage_operations_duration_seconds").bind(**labels),
            counted.bind(**labels, outcome="ok"),
            counted.bind(**labels, outcome="error"),
        )
        return bound


class Timing:
    """A block timed under an operation; one object serves one block.

    What the store itself did wrong counts as an error; an answer such as "not found" or "exists already" does not.
    """

    __slots__ = ("_children", "_started")

    def __init__(self, meter: Meter, operation: str) -> None:
        self._children = meter.children(operation)

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        seconds, ok, wrong = self._children
        seconds.observe(time.perf_counter() - self._started)
        failed = kind is not None and (issubclass(kind, StorageError) or not issubclass(kind, ANSWERS))
        (wrong if failed else ok).inc()


FILES = Meter("files")


def timed(operation: str) -> Timing:
    """Return a block that times an operation on blobs."""
    return Timing(FILES, operation)
