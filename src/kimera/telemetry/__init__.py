"""What happened, as facts: context, logs, spans, mission events and metrics.

Safe to use anywhere and at any time: before `configure` logs wait in a ring of 10,000 and spans are nothing.
"""

from typing import TYPE_CHECKING, Any

from kimera.telemetry.recording.context import Context, accept_request_id, bind, carry, current, headers
from kimera.telemetry.recording.events import CATALOGUE, MissionEvent, coerce, parse
from kimera.telemetry.recording.logs import Logger, code_of, frames_of, get_logger, room_of
from kimera.telemetry.recording.metrics import (
    Reading,
    collecting,
    detailed,
    metric,
    own_cost,
    register_collector,
    switch_metrics,
)
from kimera.telemetry.recording.recorder import Recorder, active
from kimera.telemetry.recording.resilience import on_resilience_event, watch
from kimera.telemetry.recording.setup import configure, dropped, flush, redact, shutdown
from kimera.telemetry.recording.spans import Span, span, span_over, spanned
from kimera.telemetry.retention.store import LogRecord, MemoryStore, SpanRecord, TelemetryStore

if TYPE_CHECKING:
    from kimera.telemetry.reading.exposition import serve_metrics
    from kimera.telemetry.reading.series import series
    from kimera.telemetry.reading.slo import slo
    from kimera.telemetry.reading.summary import summary
    from kimera.telemetry.reading.warehouse import export
    from kimera.telemetry.running import run_metrics

__all__ = [
    "CATALOGUE",
    "Context",
    "LogRecord",
    "Logger",
    "MemoryStore",
    "MissionEvent",
    "Reading",
    "Recorder",
    "Span",
    "SpanRecord",
    "TelemetryStore",
    "accept_request_id",
    "active",
    "bind",
    "carry",
    "code_of",
    "coerce",
    "collecting",
    "configure",
    "current",
    "detailed",
    "dropped",
    "export",
    "flush",
    "frames_of",
    "get_logger",
    "headers",
    "metric",
    "on_resilience_event",
    "own_cost",
    "parse",
    "redact",
    "register_collector",
    "room_of",
    "run_metrics",
    "series",
    "serve_metrics",
    "shutdown",
    "slo",
    "span",
    "span_over",
    "spanned",
    "summary",
    "switch_metrics",
    "watch",
]

LATE = {
    "export": "reading.warehouse",
    "run_metrics": "running",
    "serve_metrics": "reading.exposition",
    "series": "reading.series",
    "slo": "reading.slo",
    "summary": "reading.summary",
}
"""Public names whose modules are loaded when they are first asked for, because few processes need them."""


def __getattr__(name: str) -> Any:
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{LATE[name]}"), name)
