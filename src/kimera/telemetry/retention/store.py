"""What is kept of logs and spans, the protocol of a place to keep it, and such a place in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

__all__ = ["KEPT_SECONDS", "LogRecord", "MemoryStore", "SpanRecord", "TelemetryStore"]

KEPT_SECONDS = 15 * 86_400.0
"""How long logs and spans are kept."""


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log line. ``at`` is seconds since 1970, ``body`` the whole line, redacted."""

    at: float
    level: str
    event: str
    request_id: str
    mission_id: str | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span, open while ``ended_at`` is None. Instants are seconds since 1970; ``status`` is unset, ok or error."""

    span_id: str
    trace_id: str
    parent_id: str | None
    name: str
    process: str
    started_at: float
    ended_at: float | None = None
    status: str = "unset"
    error_type: str | None = None
    request_id: str | None = None
    mission_id: str | None = None
    session_id: str | None = None
    track: str | None = None
    attempt: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class TelemetryStore(Protocol):
    """A place for logs and spans. Any method may raise; the caller counts and goes on."""

    def write(self, logs: Sequence[LogRecord], spans: Sequence[SpanRecord]) -> None:
        """Keep these, all or none; a span that is known takes its new end, and an ended one never opens again."""

    def logs(self, mission_id: str | None, limit: int = 10_000) -> list[LogRecord]:
        """Return the newest ``limit`` lines of a mission, or of none, oldest first."""

    def spans(self, mission_id: str, limit: int = 10_000) -> list[SpanRecord]:
        """Return the first ``limit`` spans of a mission by start."""

    def prune(self, before: float, batch: int = 500) -> int:
        """Delete at most ``batch`` lines and ``batch`` spans older than ``before``; return how many went."""

    def close(self) -> None:
        """Let go of what is held; closing twice is fine."""


class MemoryStore:
    """A store in this process's memory: for tests, and for whoever runs without a home."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._logs: list[LogRecord] = []
        self._spans: dict[str, SpanRecord] = {}

    def write(self, logs: Sequence[LogRecord], spans: Sequence[SpanRecord]) -> None:
        """Keep these."""
        with self._lock:
            self._logs += logs
            for span in spans:
                known = self._spans.get(span.span_id)
                if known is None or known.ended_at is None:
                    self._spans[span.span_id] = span

    def logs(self, mission_id: str | None, limit: int = 10_000) -> list[LogRecord]:
        """Return the newest lines of a mission, oldest first."""
        with self._lock:
            found = [one for one in self._logs if one.mission_id == mission_id]
        return [replace(one) for one in found[-limit:]]

    def spans(self, mission_id: str, limit: int = 10_000) -> list[SpanRecord]:
        """Return the first spans of a mission by start."""
        with self._lock:
            found = [one for one in self._spans.values() if one.mission_id == mission_id]
        return sorted(found, key=lambda one: (one.started_at, one.span_id))[:limit]

    def prune(self, before: float, batch: int = 500) -> int:
        """Delete what is older than ``before``, oldest first."""
        with self._lock:
            logs = sorted((one for one in self._logs if one.at < before), key=lambda one: one.at)[:batch]
            gone = {id(one) for one in logs}
            self._logs = [one for one in self._logs if id(one) not in gone]
            old = sorted((one for one in self._spans.values() if one.started_at < before), key=lambda o: o.started_at)
            for span in old[:batch]:
                del self._spans[span.span_id]
        return len(logs) + len(old[:batch])

    def close(self) -> None:
        """Do nothing."""
