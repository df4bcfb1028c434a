"""How often each operation ran, how long it took, and which errors it ended with."""

from __future__ import annotations

import resource
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

from kimera import telemetry
from kimera.errors import KimeraError
from kimera.storage.pools import spread

__all__ = ["Meters", "note_events", "note_patterns", "note_predictions", "process_use"]

STATM = Path("/proc/self/statm")
KEPT = 1_000

_SECONDS = {
    name: telemetry.metric("kimera_memory_operation_duration_seconds").bind(operation=name)
    for name in ("observe", "learn", "predict", "index")
}
_OBSERVED = {
    name: telemetry.metric("kimera_memory_observations_total").bind(outcome=name)
    for name in ("ok", "rejected", "error")
}
_PREDICTED = {
    name: telemetry.metric("kimera_memory_predictions_total").bind(result=name) for name in ("hit", "empty", "error")
}
_CANDIDATES = telemetry.metric("kimera_memory_candidates").bind()
_PATTERNS = telemetry.metric("kimera_memory_patterns").bind()
_LAG = telemetry.metric("kimera_memory_index_lag_patterns").bind()
_EVENTS = telemetry.metric("kimera_memory_stm_events").bind()


OPERATIONS = ("observe", "observe_sequence", "learn", "predict", "next", "why", "guard", "forget")
"""Shown from the start; others once they ran."""


class Meters:
    """Counts operations; durations are kept for the latest thousand of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[list[int], Counter[str], deque[float]]] = {}
        self._since = perf_counter()

    def timed(self, operation: str) -> _Timed:
        """Return a ``with`` block that counts one run."""
        return _Timed(self, operation)

    @contextmanager
    def watched(self, operation: str) -> Iterator[None]:
        """Count a run that fails; one that goes well is counted where it is done."""
        timed = self.timed(operation)
        timed.__enter__()
        try:
            yield
        except KimeraError as error:
            timed.__exit__(type(error), error, None)
            raise

    def note(self, operation: str, seconds: float, error: str | None = None) -> None:
        """Count one run."""
        with self._lock:
            seen = self._seen.get(operation)
            if seen is None:
                seen = self._seen[operation] = [0], Counter(), deque(maxlen=KEPT)
            count, errors, durations = seen
            count[0] += 1
            durations.append(seconds)
            if error is not None:
                errors[error] += 1
        if operation in _SECONDS:
            _SECONDS[operation].observe(seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return per operation its count, errors by code, durations in milliseconds and rate per second."""
        with self._lock:
            seen = {
                name: (count[0], dict(errors), sorted(times)) for name, (count, errors, times) in self._seen.items()
            }
        seen = {name: (0, {}, []) for name in OPERATIONS} | seen
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
        if error is not None and self._operation in {"observe", "observe_sequence"}:
            ours = isinstance(error, KimeraError) and (error.http_status or 500) < 500
            _OBSERVED["rejected" if ours else "error"].inc()
        elif error is not None and self._operation == "predict":
            _PREDICTED["error"].inc()


def note_events(observed: int, held: int) -> None:
    """Count observations that were taken, and show how many events the short-term memory holds now."""
    _OBSERVED["ok"].inc(observed)
    _EVENTS.set(held)


def note_predictions(shown: int, candidates: int) -> None:
    """Count one prediction with what it showed and how many patterns it compared."""
    _PREDICTED["hit" if shown else "empty"].inc()
    _CANDIDATES.observe(candidates)


def note_patterns(patterns: int, behind: int, seconds: float) -> None:
    """Show how many patterns are learned, how many the index had to take in, and how long that took."""
    _PATTERNS.set(patterns)
    _LAG.set(behind)
    _SECONDS["index"].observe(seconds)


def process_use() -> dict[str, float | None]:
    """Return the process's resident bytes (None where the system does not tell), their peak, and CPU seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(STATM.read_text().split()[1]) * resource.getpagesize() if STATM.exists() else None
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"rss_bytes": resident, "peak_rss_bytes": peak, "cpu_seconds": used.ru_utime + used.ru_stime}
