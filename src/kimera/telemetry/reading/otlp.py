"""A mission's spans in the form that OTLP collectors and trace viewers read (OTLP/JSON, protocol version 1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kimera.telemetry.reading.trace import Node, Trace
from kimera.telemetry.recording.events import MissionEvent
from kimera.telemetry.retention.store import SpanRecord

__all__ = ["otlp"]

INTERNAL = 1
STATUS = {"unset": 0, "ok": 1, "error": 2}


def otlp(story: Trace, spans: list[SpanRecord]) -> dict[str, Any]:
    """Return an ExportTraceServiceRequest; an interrupted span ends at the mission's last record and says so."""
    nodes = {node.span_id: node for root in story.tree for node in _walk(root)}
    by_seq = {event.seq: event for event in story.events}
    last = max(
        [span.ended_at or span.started_at for span in spans] + [event.at.timestamp() for event in story.events],
        default=story.begun,
    )
    processes: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        events = [by_seq[seq] for seq in nodes[span.span_id].events]
        processes.setdefault(span.process, []).append(_span(span, events, last))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": "kimera", "service.instance.id": process})},
                "scopeSpans": [{"scope": {"name": "kimera"}, "spans": made}],
            }
            for process, made in processes.items()
        ]
    }


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def _span(span: SpanRecord, events: list[MissionEvent], last: float) -> dict[str, Any]:
    bound = {"mission_id": span.mission_id, "session_id": span.session_id, "track": span.track}
    bound |= {"request_id": span.request_id}
    facts: dict[str, Any] = {f"kimera.{name}": value for name, value in bound.items() if value is not None}
    if span.attempt is not None:
        facts["kimera.attempt"] = span.attempt
    facts |= {f"kimera.{name}" if "." not in name else name: value for name, value in span.attributes.items()}
    if span.error_type is not None:
        facts["error.type"] = span.error_type
    if span.ended_at is None:
        facts["kimera.interrupted"] = True
    made: dict[str, Any] = {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": INTERNAL,
        "startTimeUnixNano": _nano(span.started_at),
        "endTimeUnixNano": _nano(max(span.started_at, last if span.ended_at is None else span.ended_at)),
        "attributes": _attributes(facts),
        "events": [{"timeUnixNano": _nano(event.at.timestamp()), "name": event.type} for event in events],
        "status": {"code": STATUS[span.status]},
    }
    return made if span.parent_id is None else made | {"parentSpanId": span.parent_id}


def _nano(at: float) -> str:
    """Return nanoseconds as the text that OTLP/JSON wants for 64-bit numbers."""
    return str(round(at * 1e6) * 1000)


def _attributes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in facts.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": str(value)}
