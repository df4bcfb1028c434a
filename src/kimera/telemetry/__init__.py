"""What happened, as facts: context, logs, spans and mission events.

Safe to use anywhere and at any time: before `configure` logs wait in a ring of 10,000 and spans are nothing.
"""

from kimera.telemetry.recording.context import Context, accept_request_id, bind, carry, current, headers
from kimera.telemetry.recording.events import CATALOGUE, MissionEvent, coerce, parse
from kimera.telemetry.recording.logs import Logger, code_of, frames_of, get_logger, room_of
from kimera.telemetry.recording.recorder import active
from kimera.telemetry.recording.setup import configure, dropped, flush, redact, shutdown
from kimera.telemetry.recording.spans import Span, span, span_over
from kimera.telemetry.retention.store import LogRecord, MemoryStore, SpanRecord, TelemetryStore

__all__ = [
    "CATALOGUE",
    "Context",
    "LogRecord",
    "Logger",
    "MemoryStore",
    "MissionEvent",
    "Span",
    "SpanRecord",
    "TelemetryStore",
    "accept_request_id",
    "active",
    "bind",
    "carry",
    "code_of",
    "coerce",
    "configure",
    "current",
    "dropped",
    "flush",
    "frames_of",
    "get_logger",
    "headers",
    "parse",
    "redact",
    "room_of",
    "shutdown",
    "span",
    "span_over",
]
