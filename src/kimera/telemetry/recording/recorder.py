"""Where everything recorded in this process goes: through redaction, to stderr, and to the ring before the store.

There is always one active recorder. Before `configure` it only keeps records in its ring; they are redacted and
written once it is known how and where.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from kimera.telemetry.recording.context import current, new_id
from kimera.telemetry.recording.redaction import Redaction
from kimera.telemetry.retention.ring import Record, Ring
from kimera.telemetry.retention.store import LogRecord, SpanRecord, TelemetryStore
from kimera.telemetry.retention.writer import Writer

__all__ = ["LEVELS", "Recorder", "activate", "active", "lives", "place_of", "process_name"]

LEVELS = {"DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40}

Sink = Callable[[dict[str, Any]], None]


@cache
def _incarnation() -> str:
    return new_id()


def process_name(name: str) -> str:
    """Return ``name@host:pid:begun:ulid``; ``begun`` (kernel ticks) tells a process from a later one with its pid."""
    return f"{name}@{os.uname().nodename}:{os.getpid()}:{begun(os.getpid()) or 0}:{_incarnation()}"


def begun(pid: int) -> int | None:
    """Return when a process of this machine began, in kernel ticks; None when there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(words.rsplit(")", 1)[1].split()[19])


def lives(process: str) -> bool | None:
    """Return whether the process of a `process_name` still runs; None when it is another machine's."""
    host, pid, ticks = place_of(process)
    return begun(pid) == ticks if host == os.uname().nodename else None


def place_of(process: str) -> tuple[str, int, int]:
    """Return host, process id and beginning of a `process_name`; ("", 0, 0) for anything else."""
    try:
        host, pid, ticks, _ = process.rsplit("@", 1)[1].rsplit(":", 3)
        return host, int(pid), int(ticks)
    except (IndexError, ValueError):
        return "", 0, 0


class Recorder:
    """One process's telemetry. ``level`` is the least that is logged, ``printer`` takes each line for stderr."""

    def __init__(self, level: int = LEVELS["INFO"], process: str = "process") -> None:
        self.level = level
        self.process = process_name(process)
        self.redaction = Redaction()
        self.ring = Ring()
        self.writer: Writer | None = None
        self.printer: Sink | None = None
        self.tracing: Any = None  # `spans.Tracing`, when this process makes spans
        self.configured = False
        self.drops: Counter[str] = Counter()

    def attach(self, store: TelemetryStore) -> None:
        """Give the records that wait, and all that come, a place to stay."""
        self.writer = Writer(self.ring, store)

    def ids(self) -> tuple[str, str] | None:
        """Return the trace and span id of the running code, None outside any span."""
        return None if self.tracing is None else self.tracing.ids()

    def traceparent(self) -> str | None:
        """Return the running span in W3C form, None outside any span."""
        ids = self.ids()
        return None if ids is None else f"00-{ids[0]}-{ids[1]}-01"

    def dropped(self) -> dict[str, int]:
        """Return how many records were lost, by sink: store, otlp, log."""
        return {"store": self.ring.dropped, "otlp": self.drops["otlp"], "log": self.drops["log"]}

    def log(self, level: str, line: dict[str, Any], at: float) -> None:
        """Take one line: printed when there is a printer, kept when it has a mission id or is WARN or above."""
        if self.configured:
            line = self.redaction.fields(line)
        if self.printer is not None:
            try:
                self.printer(line)
            except Exception:  # noqa: BLE001 - a closed or full stderr must not stop the work; counted
                self.drops["log"] += 1
        mission_id = line.get("mission_id")
        if mission_id is None and LEVELS[level] < LEVELS["WARN"]:
            return
        self.put(LogRecord(at, level, line["event"], line["request_id"], mission_id, line), urgent=level == "ERROR")

    def put(self, record: Record, *, urgent: bool = False) -> None:
        """Let a record wait for the writer."""
        waiting = self.ring.put(record)
        if self.writer is not None:
            self.writer.told(waiting, urgent)

    def redact_waiting(self) -> None:
        """Redact what came before the secrets were known."""
        again: list[tuple[int, Record]] = []
        for order, record in self.ring.take():
            if isinstance(record, LogRecord):
                body = self.redaction.fields(record.body)
                again.append((order, replace(record, event=body["event"], body=body)))
            else:
                again.append((order, replace(record, attributes=self.redaction.fields(record.attributes))))
        self.ring.give_back(again)

    def span(self, record: SpanRecord, *, urgent: bool) -> None:
        """Take one span, at its start or at its end."""
        self.put(record, urgent=urgent)

    def close(self) -> None:
        """Write what waits (2 s at most) and let go of the store and the exporter."""
        if self.tracing is not None:
            self.tracing.close()
        if self.writer is not None:
            self.writer.close()
            self.writer.store.close()
            self.writer = None


_active = Recorder()


def active() -> Recorder:
    """Return the recorder of this process."""
    return _active


def activate(recorder: Recorder) -> Recorder:
    """Make a recorder the active one; return the one it replaces."""
    global _active
    before, _active = _active, recorder
    return before


def stamp() -> tuple[float, dict[str, Any]]:
    """Return now in seconds since 1970 and the fields of the context that every line begins with."""
    here = current()
    fields: dict[str, Any] = {"request_id": here.request_id}
    for name in ("mission_id", "session_id", "track", "attempt"):
        value = getattr(here, name)
        if value is not None:
            fields[name] = value
    ids = _active.ids()
    if ids is not None:
        fields["trace_id"], fields["span_id"] = ids
    return time.time(), fields
