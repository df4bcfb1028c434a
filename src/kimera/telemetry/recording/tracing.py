"""The OpenTelemetry side of spans; imported only by commands that run work (it costs some 40 ms).

The process has one tracer provider, so that libraries that emit spans land in the same tree. What they attach is not
ours to trust: only the attributes in `FOREIGN` are kept.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace import Span as OtelSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags

from kimera.errors import ConfigurationError
from kimera.telemetry.recording.context import Context, current
from kimera.telemetry.recording.metrics import metric, own_cost
from kimera.telemetry.recording.recorder import Recorder, active
from kimera.telemetry.recording.spans import ALWAYS
from kimera.telemetry.retention.store import SpanRecord

__all__ = ["OpenSpan", "Tracing"]

EXPORT_SECONDS = 2.0
EXPORT_QUEUE = 2_048

FLUSHED = metric("kimera_telemetry_flush_duration_seconds").bind(sink="otlp")

CONTEXT = "kimera.context"
OURS = "kimera"
FOREIGN = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "db.operation.name",
        "error.type",
    }
)
TEXT_LIMIT = 280


class OpenSpan:
    """A span under way."""

    __slots__ = ("_span", "_token")

    def __init__(self, made: trace.Span, token: Any) -> None:
        self._span, self._token = made, token

    def set(self, attributes: dict[str, Any]) -> None:
        """Add attributes under ``kimera.``."""
        for name, value in attributes.items():
            self._span.set_attribute(f"kimera.{name}", _plain(value))

    def fail(self, error_type: str, code: str, module: str) -> None:
        """Note an error; the first one stays."""
        if isinstance(self._span, OtelSpan) and self._span.status.status_code is StatusCode.ERROR:
            return
        self._span.set_status(StatusCode.ERROR)
        self._span.set_attribute("error.type", error_type)
        self.set({"error_code": code, "module": module})

    def end(self, at: int) -> None:
        """End at ``at`` nanoseconds since 1970."""
        self._span.end(end_time=at)
        if self._token is not None:
            otel_context.detach(self._token)


class Tracing:
    """Makes spans for one recorder, and sends copies to an OTLP collector when there is one."""

    def __init__(self, recorder: Recorder, endpoint: str | None = None) -> None:
        self._export = None if endpoint is None else _exporting(recorder, endpoint)
        self._tracer = _provider().get_tracer(OURS)

    def begin(self, name: str, attributes: dict[str, Any], at: int, *, enter: bool = True) -> OpenSpan:
        """Begin a span at ``at`` nanoseconds since 1970; with ``enter`` it is the parent of what follows."""
        here = current()
        parent = _parent(here)
        made = self._tracer.start_span(
            name,
            context=parent,
            start_time=at,
            attributes={f"kimera.{key}": _plain(value) for key, value in attributes.items()},
            record_exception=False,
            set_status_on_exception=False,
        )
        token = otel_context.attach(trace.set_span_in_context(made, parent)) if enter else None
        return OpenSpan(made, token)

    def ids(self) -> tuple[str, str] | None:
        """Return the ids of the running span."""
        found = trace.get_current_span().get_span_context()
        return (f"{found.trace_id:032x}", f"{found.span_id:016x}") if found.is_valid else None

    def sent(self, done: ReadableSpan) -> None:
        """Hand an ended span to the exporter."""
        if self._export is not None:
            self._export.on_end(done)

    def close(self) -> None:
        """Send what waits, within the exporter's time-out."""
        if self._export is not None:
            self._export.shutdown()


def _parent(here: Context) -> otel_context.Context:
    """Return the running span's context; what was bound from elsewhere counts when no span runs here."""
    now = otel_context.get_current()
    if here.traceparent is None or trace.get_current_span(now).get_span_context().is_valid:
        return now
    _, trace_id, span_id, flags = here.traceparent.split("-")
    remote = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return trace.set_span_in_context(NonRecordingSpan(remote), now)


def _plain(value: Any) -> bool | int | float | str:
    if isinstance(value, bool | int | float):
        return value
    return active().redaction.text(str(value)[:TEXT_LIMIT])


class _ToRecorder(SpanProcessor):
    """Hands spans to the active recorder; tells those of an `ALWAYS` name twice."""

    def __init__(self) -> None:
        self._contexts: dict[int, Context] = {}
        self._lock = threading.Lock()

    def on_start(self, span: OtelSpan, parent_context: otel_context.Context | None = None) -> None:
        """Keep who the span is for."""
        here = current()
        with self._lock:
            self._contexts[_own(span).span_id] = here
        if span.name in ALWAYS:
            active().span(_record(span, here), urgent=True)

    def on_end(self, span: ReadableSpan) -> None:
        """Write the end, and send a copy."""
        with self._lock:
            here = self._contexts.pop(_own(span).span_id, None) or current()
        recorder = active()
        recorder.span(_record(span, here), urgent=span.name in ALWAYS)
        if recorder.tracing is not None:
            recorder.tracing.sent(span)


def _own(span: ReadableSpan) -> SpanContext:
    return cast("SpanContext", span.get_span_context())


def _record(span: ReadableSpan, here: Context) -> SpanRecord:
    found, own = dict(span.attributes or {}), _own(span)
    scope = span.instrumentation_scope
    if scope is None or scope.name != OURS:
        found = {name: value for name, value in found.items() if name in FOREIGN}
    error_type = found.pop("error.type", None)
    return SpanRecord(
        span_id=f"{own.span_id:016x}",
        trace_id=f"{own.trace_id:032x}",
        parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        name=span.name[:160],
        process=active().process,
        started_at=(span.start_time or 0) / 1e9,
        ended_at=None if span.end_time is None else span.end_time / 1e9,
        status=span.status.status_code.name.lower(),
        error_type=None if error_type is None else str(error_type),
        request_id=here.request_id,
        mission_id=here.mission_id,
        session_id=here.session_id,
        track=here.track,
        attempt=here.attempt,
        attributes={name.removeprefix("kimera."): value for name, value in found.items()},
    )


_shared: TracerProvider | None = None


def _provider() -> TracerProvider:
    global _shared
    if _shared is None:
        _shared = TracerProvider(resource=Resource({"service.name": "kimera"}), shutdown_on_exit=False)
        _shared.add_span_processor(_ToRecorder())
        trace.set_tracer_provider(_shared)
    return _shared


class _Counting(SpanExporter):
    """An exporter that counts what the collector did not take."""

    def __init__(self, recorder: Recorder, inner: SpanExporter) -> None:
        self._recorder, self._inner = recorder, inner

    def export(self, spans: Any) -> SpanExportResult:
        """Send a batch; one that fails is dropped and counted."""
        try:
            with own_cost(), FLUSHED.time():
                result = self._inner.export(spans)
        except Exception:  # noqa: BLE001 - telemetry may fail, the work must not notice; counted
            result = SpanExportResult.FAILURE
        if result is not SpanExportResult.SUCCESS:
            self._recorder.drops["otlp"] += len(spans)
        return result

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._inner.shutdown()


def _exporting(recorder: Recorder, endpoint: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed: pip install 'kimera[otel]', "
            "or unset it.",
            "otlp",
        ) from None
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # an absent collector is counted and shown by us; the exporter's own complaints would come once per batch
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    logging.getLogger("opentelemetry.sdk").setLevel(logging.CRITICAL)
    address = f"{endpoint.rstrip('/')}/v1/traces"
    return BatchSpanProcessor(
        _Counting(recorder, OTLPSpanExporter(endpoint=address, timeout=EXPORT_SECONDS)),
        max_queue_size=EXPORT_QUEUE,
        schedule_delay_millis=1_000,
    )
