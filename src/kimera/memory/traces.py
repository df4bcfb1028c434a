"""Recorded traces as event sequences: one trace is one pattern, one span or tool call is one event.

Formats: ``otlp`` (OTLP/JSON of OpenTelemetry), ``openai`` and ``anthropic`` (message logs), ``mcp`` (JSON-RPC
``tools/call``), ``kimera`` (our own step log). Values are made coarse so that like calls give like symbols, and values
whose key names a credential never enter.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kimera.errors import ValidationError
from kimera.memory._record import Record
from kimera.memory.keeping.episodes import Lesson, lesson, outcome_of
from kimera.memory.observing.observations import clean_label
from kimera.memory.symbols import clean_events, clean_text

if TYPE_CHECKING:
    from kimera.memory.memory import Memory

__all__ = [
    "ATTRIBUTES",
    "FORMATS",
    "Ingested",
    "Trace",
    "TraceLearned",
    "arguments",
    "convert",
    "ingest",
    "lessons_of",
    "value_text",
]

ATTRIBUTES = frozenset({
    "db.operation.name",
    "error.type",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "http.request.method",
    "http.response.status_code",
    "kimera.phase",
    "kimera.track",
    "messaging.operation.name",
    "rpc.method",
})  # fmt: skip
"""Span attributes that become symbols unless the caller names others."""

STEP_KEYS = ("kind", "status", "old", "new", "action", "reason_code", "error_code", "sufficient", "cause")
VERBATIM = 64
SMALL = 100
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
CREDENTIAL = frozenset({"token", "key", "password", "authorization", "cookie", "secret"})
SPAN_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
SPAN_STATUS = ("unset", "ok", "error")

Steps = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace as events; ``trace`` names it, None where the log has no name for it."""

    trace: str | None
    events: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class TraceLearned(Record):
    """What became of one trace: the pattern it taught, or why it taught none."""

    trace: str | None
    events: int
    pattern: str | None
    seq: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Ingested(Record):
    """What became of the traces, in the order of their first record."""

    format: str
    learned: int
    traces: tuple[TraceLearned, ...]


def convert(records: Iterable[Any], format: str, attributes: Iterable[str] = ATTRIBUTES) -> list[Trace]:  # noqa: A002
    """Return the traces in ``records``: JSON values, for message formats one trace each or one message each.

    Raises `ValidationError` (BODY_INVALID) naming the record that is not of the format.
    """
    reader = READERS.get(format)
    if reader is None:
        raise ValidationError(f"format takes one of {', '.join(FORMATS)}.", "format", error_code="BODY_INVALID")
    if isinstance(records, str | bytes | Mapping):
        raise _wrong("records", "a list of records")
    return reader(list(records), frozenset(attributes))


def lessons_of(
    records: Iterable[Any],
    format: str,  # noqa: A002
    source: str = "",
    attributes: Iterable[str] | None = None,
    outcome: Mapping[str, float] | None = None,
    now: float = 0.0,
) -> list[tuple[Trace, Lesson | None]]:
    """Return each trace with what it teaches, None below two symbols; raises `ValidationError`."""
    origin = clean_text(source, "source") or clean_text(format, "format")
    label, worth = clean_label(None, origin), outcome_of(outcome)
    found: list[tuple[Trace, Lesson | None]] = []
    for trace in convert(records, format, ATTRIBUTES if attributes is None else attributes):
        events = clean_events(trace.events, vectors={})
        short = sum(map(len, events)) < 2
        named = None if trace.trace is None else f"{format}:{trace.trace}"
        taught = None if short else lesson(
            events, at=now, labels=[label], outcome=worth, source=origin, unique_id=named
        )  # fmt: skip
        found.append((trace, taught))
    return found


def ingest(
    memory: Memory,
    records: Iterable[Any],
    format: str,  # noqa: A002
    source: str,
    learn: bool,
    attributes: Iterable[str] | None,
    outcome: Mapping[str, float] | None,
) -> Ingested:
    """Learn the traces in ``records`` in one transaction; see `Memory.ingest`."""
    found = lessons_of(records, format, source, attributes, outcome, memory.now())
    lessons = [taught for _, taught in found if taught is not None]
    answers = memory.store.learn(lessons) if learn and lessons else None
    learned = iter(answers or ())
    traces = []
    for trace, taught in found:
        answer = next(learned, None) if taught is not None else None
        reason = "fewer than two symbols" if taught is None else None
        pattern = None if taught is None else taught.id
        traces.append(TraceLearned(trace.trace, len(trace.events), pattern, answer.seq if answer else None, reason))
    return Ingested(format, len(answers or ()), tuple(traces))


def arguments(given: Any, prefix: str = "arg") -> tuple[str, ...]:
    """Return ``<prefix>:<key>=<value>`` per argument, objects opened one dotted level."""
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else {}
        except (ValueError, RecursionError):
            return (f"{prefix}:unparsed={_digest(given)}",)
    if not isinstance(given, Mapping):
        return () if given is None else (f"{prefix}:{_value('', given)}",)
    symbols: list[str] = []
    for key, value in given.items():
        if isinstance(value, Mapping) and value and not _is_credential(str(key)):
            symbols += [f"{prefix}:{_key(key)}.{_key(inner)}={_value(str(inner), v)}" for inner, v in value.items()]
        else:
            symbols.append(f"{prefix}:{_key(key)}={_value(str(key), value)}")
    return tuple(sorted(symbols))


def value_text(value: Any) -> str:
    """Return a value coarsely: small whole numbers and short text as they are, the rest by size or hash."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, str):
        return _short(value)
    return f"object:{len(value)}" if isinstance(value, Mapping) else f"list:{len(value)}"


def _value(key: str, value: Any) -> str:
    return "redacted" if _is_credential(key) else value_text(value)


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if abs(value) <= SMALL and value == int(value):
        return str(int(value))
    try:
        mantissa, exponent = format(value, ".0e").split("e")
    except OverflowError:  # a whole number beyond the floats
        digits = str(abs(value))
        mantissa, exponent = ("-" if value < 0 else "") + digits[0], str(len(digits) - 1)
    return f"~{mantissa}e{int(exponent)}"


def _short(text: str) -> str:
    # a symbol may hold neither U+0000 nor half a surrogate pair, so such text is named by its hash
    clean = len(text) <= VERBATIM and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
    return text if clean else _digest(text)


def _digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _key(key: Any) -> str:
    return _short(str(key))


def _is_credential(key: str) -> bool:
    return any(word.lower() in CREDENTIAL for word in WORD.findall(key))


def _wrong(where: str, wanted: str) -> ValidationError:
    return ValidationError(f"{where} takes {wanted}.", where, error_code="BODY_INVALID")


# -- OpenTelemetry ----------------------------------------------------------------------------------------------------


def _read_otlp(records: list[Any], attributes: frozenset[str]) -> list[Trace]:
    traces: dict[str, list[tuple[int, str, tuple[str, ...]]]] = {}
    for number, record in enumerate(records):
        for span in _spans(record, f"records[{number}]"):
            trace = str(span.get("traceId") or "")
            start, span_id = span.get("startTimeUnixNano", 0), str(span.get("spanId") or "")
            if not trace or not str(start).isdigit():
                raise _wrong(f"records[{number}]", "spans with traceId and startTimeUnixNano")
            traces.setdefault(trace, []).append((int(start), span_id, _span_event(span, attributes)))
    ordered = {trace: sorted(spans, key=lambda one: one[:2]) for trace, spans in traces.items()}
    return [Trace(trace, tuple(event for _, _, event in spans)) for trace, spans in ordered.items()]


def _spans(record: Any, where: str) -> list[Mapping[str, Any]]:
    """Return the spans of an export document, or the one span the record is."""
    if isinstance(record, Mapping) and "traceId" in record:
        return [record]
    try:
        spans = [
            span for part in record["resourceSpans"] for scope in part.get("scopeSpans", ()) for span in scope["spans"]
        ]
        if not all(isinstance(span, Mapping) for span in spans):
            raise TypeError
        return spans
    except (TypeError, KeyError, AttributeError):
        raise _wrong(where, "an OTLP/JSON document with resourceSpans, or one span") from None


def _span_event(span: Mapping[str, Any], allowed: frozenset[str]) -> tuple[str, ...]:
    status = span.get("status")
    code = status.get("code", 0) if isinstance(status, Mapping) else 0
    symbols = [
        f"span:{_short(str(span.get('name', '')))}",
        f"kind:{_enumerated(span.get('kind', 0), SPAN_KINDS, 'SPAN_KIND_')}",
        f"status:{_enumerated(code, SPAN_STATUS, 'STATUS_CODE_')}",
    ]
    for attribute in _listed(span, "attributes"):
        if not isinstance(attribute, Mapping):
            continue
        key, value = str(attribute.get("key", "")), _any_value(attribute.get("value"))
        if key == "gen_ai.tool.name":
            symbols.append(f"tool:{_short(str(value))}")
        elif key in allowed:
            symbols.append(f"attr:{_key(key)}={_value(key, value)}")
    return tuple(sorted(symbols))


def _enumerated(value: Any, names: Sequence[str], prefix: str) -> str:
    if isinstance(value, str) and not value.isdigit():
        return _short(value.removeprefix(prefix).lower())
    number = int(value) if isinstance(value, int | str) else 0
    return names[number] if 0 <= number < len(names) else names[0]


def _any_value(value: Any) -> Any:
    """Return the plain value of an OTLP ``AnyValue``."""
    if not isinstance(value, Mapping) or not value:
        return None
    kind, inner = next(iter(value.items()))
    if kind == "intValue":
        return int(inner) if str(inner).lstrip("-").isdecimal() else inner
    values = inner.get("values") if isinstance(inner, Mapping) else None
    if kind == "arrayValue":
        return values or []
    if kind == "kvlistValue":
        return {str(each.get("key")): None for each in values or () if isinstance(each, Mapping)}
    return inner


# -- message logs -----------------------------------------------------------------------------------------------------


def _read_messages(
    records: list[Any], markers: tuple[str, ...], events_of: Callable[[list[Mapping[str, Any]], str], Steps]
) -> list[Trace]:
    """Read logs where a record is a conversation (a list, or an object with ``messages``), or all are one."""
    if records and all(isinstance(record, Mapping) and any(m in record for m in markers) for record in records):
        return [Trace(None, tuple(events_of(records, "records")))]
    traces = []
    for number, record in enumerate(records):
        named = isinstance(record, Mapping)
        messages = record.get("messages") if named else record
        if not isinstance(messages, list) or not all(isinstance(each, Mapping) for each in messages):
            raise _wrong(f"records[{number}]", "a list of messages, or an object with messages")
        name = record.get("id") or record.get("trace_id") if named else None
        events = events_of(messages, f"records[{number}]")
        traces.append(Trace(None if name is None else _short(str(name)), tuple(events)))
    return traces


def _call(name: Any, given: Any, status: str | None) -> tuple[str, ...]:
    symbols = [f"tool:{_short(str(name))}", *arguments(given)]
    if status is not None:
        symbols.append(f"status:{status}")
    return tuple(sorted(symbols))


def _listed(message: Mapping[str, Any], key: str) -> list[Any]:
    found = message.get(key)
    return found if isinstance(found, list) else []


def _openai_events(messages: list[Mapping[str, Any]], where: str) -> Steps:
    """Read chat completions (``tool_calls``) and responses (``function_call`` items)."""
    told = {"completed": "ok", "incomplete": "error", "failed": "error"}
    ends = {
        str(m.get("call_id")): told.get(str(m.get("status")))
        for m in messages
        if m.get("type") == "function_call_output" and "status" in m
    }
    steps: Steps = []
    for message in messages:
        if message.get("type") == "function_call":
            status = ends.get(str(message.get("call_id")))
            steps.append(_call(message.get("name"), message.get("arguments"), status))
        for call in _listed(message, "tool_calls"):
            function = call.get("function") if isinstance(call, Mapping) else None
            if not isinstance(function, Mapping):
                raise _wrong(where, "tool_calls with a function")
            steps.append(_call(function.get("name"), function.get("arguments"), None))
    return steps


def _anthropic_events(messages: list[Mapping[str, Any]], where: str) -> Steps:
    blocks = [
        block
        for message in messages
        if isinstance(message.get("content"), list)
        for block in message["content"]
        if isinstance(block, Mapping)
    ]
    ends = {
        b.get("tool_use_id"): "error" if b.get("is_error") else "ok" for b in blocks if b.get("type") == "tool_result"
    }
    return [
        _call(b.get("name"), b.get("input"), ends.get(str(b.get("id")))) for b in blocks if b.get("type") == "tool_use"
    ]


def _mcp_events(messages: list[Mapping[str, Any]], where: str) -> Steps:
    ends: dict[Any, str] = {}
    for message in messages:
        if "error" in message:
            ends[str(message.get("id"))] = "error"
        elif "result" in message:
            result = message["result"]
            ends[str(message.get("id"))] = "error" if isinstance(result, Mapping) and result.get("isError") else "ok"
    steps: Steps = []
    for message in messages:
        if message.get("method") == "tools/call":
            params = message.get("params")
            if not isinstance(params, Mapping):
                raise _wrong(where, "tools/call with params")
            steps.append(_call(params.get("name"), params.get("arguments"), ends.get(str(message.get("id")))))
    return steps


# -- our own step log -------------------------------------------------------------------------------------------------


def _read_kimera(records: list[Any], attributes: frozenset[str]) -> list[Trace]:
    """Read mission events; the tracks of a mission run side by side, so each is a trace of its own."""
    tracks: dict[tuple[str, str], list[tuple[int, tuple[str, ...]]]] = {}
    for number, record in enumerate(records):
        seq = record.get("seq") if isinstance(record, Mapping) else None
        named = seq is not None and isinstance(record.get("type"), str) and isinstance(record.get("mission_id"), str)
        if not named or isinstance(seq, bool) or not isinstance(seq, int):
            raise _wrong(f"records[{number}]", "a mission event with mission_id, seq and type")
        event = _step_event(record)
        if event is not None:
            place = (record["mission_id"], str(record.get("track") or ""))
            tracks.setdefault(place, []).append((seq, event))
    return [
        Trace(_short(f"{mission}:{track}" if track else mission), _without_repeats(sorted(steps)))
        for (mission, track), steps in tracks.items()
    ]


def _step_event(record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return a step's symbols; None for a sign of progress, which says how fast a machine is, not what was done."""
    payload = record.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    if payload.get("kind") == "progress":
        return None
    symbols = [f"event:{_short(record['type'])}"]
    if payload.get("kind") == "phase":
        symbols.append(f"phase:{value_text(payload.get('step'))}")
    symbols += [f"{key}:{value_text(payload[key])}" for key in STEP_KEYS if payload.get(key) not in (None, "")]
    return tuple(sorted(symbols))


def _without_repeats(steps: list[tuple[int, tuple[str, ...]]]) -> tuple[tuple[str, ...], ...]:
    """Keep one of equal events in a row: how many claims were checked is a matter of the folder, not of the way."""
    events = [event for _, event in steps]
    return tuple(event for before, event in zip([None, *events], events, strict=False) if event != before)


READERS: dict[str, Callable[[list[Any], frozenset[str]], list[Trace]]] = {
    "otlp": _read_otlp,
    "openai": lambda records, _: _read_messages(records, ("role", "type"), _openai_events),
    "anthropic": lambda records, _: _read_messages(records, ("role",), _anthropic_events),
    "mcp": lambda records, _: _read_messages(records, ("jsonrpc",), _mcp_events),
    "kimera": _read_kimera,
}
FORMATS = tuple(READERS)
