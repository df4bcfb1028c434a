"""How often each operation ran, how long it took, and which errors it ended with."""

from __future__ import annotations

import threading
from collections import Counter, deque
from time import perf_counter
from types import TracebackType
from typing import Any

from kimera.errors import KimeraError
from kimera.telemetry import metric

__all__ = ["Meters", "observed", "predicted", "spread"]

KEPT = 1_000
FAULTS = frozenset({"STORE_UNAVAILABLE", "STORAGE", "STORAGE_FULL", "MEMORY_ERROR"})
OBSERVING = frozenset({"observe", "observe_sequence"})
TOLD = {"observe": "observe", "observe_sequence": "observe", "learn": "learn", "predict": "predict", "index": "index"}

_duration = metric("kimera_memory_operation_duration_seconds")
_observations = metric("kimera_memory_observations_total")
_predictions = metric("kimera_memory_predictions_total")
DURATION = {name: _duration.bind(operation=name) for name in ("observe", "learn", "predict", "index")}
OBSERVATIONS = {name: _observations.bind(outcome=name) for name in ("ok", "rejected", "error")}
PREDICTIONS = {name: _predictions.bind(result=name) for name in ("hit", "empty", "error")}
CANDIDATES = metric("kimera_memory_candidates").bind()


class Meters:
    """Counts operations; durations are kept for the latest thousand of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[list[int], Counter[str], deque[float]]] = {}
        self._since = perf_counter()

    def timed(self, operation: str) -> _Timed:
        """Return a ``with`` block that counts one run."""
        return _Timed(self, operation)

    def note(self, operation: str, seconds: float, error: str | None = None) -> None:
        """Count one run."""
        with self._lock:
            count, errors, durations = self._seen.setdefault(operation, ([0], Counter(), deque(maxlen=KEPT)))
            count[0] += 1
            durations.append(seconds)
            if error is not None:
                errors[error] += 1
        told = TOLD.get(operation)
        if told is not None:
            DURATION[told].observe(seconds)
        if operation in OBSERVING and (error is not None or operation == "observe"):
            OBSERVATIONS[_outcome(error)].inc()
        elif operation == "predict" and error is not None:
            PREDICTIONS["error"].inc()

    def to_dict(self) -> dict[str, Any]:
        """Return per operation its count, errors by code, durations in milliseconds and rate per second."""
        with self._lock:
            seen = {
                name: (count[0], dict(errors), sorted(times)) for name, (count, errors, times) in self._seen.items()
            }
        elapsed = max(perf_counter() - self._since, 1e-9)
        return {
            name: {"count": count, "errors": errors, "rate": count / elapsed, **spread(times)}
            for name, (count, errors, times) in sorted(seen.items())
        }


class _Timed:
    __slots__ = ("_begun", "_meters", "_operation")

    def __init__(self, meters: Meters, operation: str) -> None:
        self._meters = meters
        self._operation = operation

    def __enter__(self) -> None:
        self._begun = perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        code = None
        if error is not None:
            code = error.code if isinstance(error, KimeraError) else type(error).__name__
        self._meters.note(self._operation, perf_counter() - self._begun, code)


def predicted(ensemble: int) -> None:
    """Count one prediction that compared with ``ensemble`` candidates."""
    PREDICTIONS["hit" if ensemble else "empty"].inc()
    CANDIDATES.observe(ensemble)


def observed(events: int) -> None:
    """Count the events of a sequence."""
    OBSERVATIONS["ok"].inc(events)


def _outcome(error: str | None) -> str:
    if error is None:
        return "ok"
    return "error" if error in FAULTS else "rejected"


def spread(sorted_seconds: list[float]) -> dict[str, float]:
    """Return p50, p95, p99 and max in milliseconds of sorted durations; empty for none."""
    if not sorted_seconds:
        return {}
    last = len(sorted_seconds) - 1
    shown = {f"p{share}_ms": sorted_seconds[round(last * share / 100)] * 1e3 for share in (50, 95, 99)}
    return {**shown, "max_ms": sorted_seconds[-1] * 1e3}
