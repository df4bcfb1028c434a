"""Symbols, events and the names of patterns: what may enter a memory, and under which identity it is kept."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kimera.errors import ValidationError

__all__ = [
    "Event",
    "Events",
    "clean_emotives",
    "clean_event",
    "clean_events",
    "clean_metadata",
    "clean_symbol",
    "clean_text",
    "clean_vector",
    "is_plain",
    "is_vector_symbol",
    "pattern_id",
    "pattern_name",
    "vector_symbol",
]

Event = tuple[str, ...]
Events = tuple[Event, ...]
Vectors = dict[str, tuple[float, ...]]

SYMBOL_BYTES = 4_096
EVENT_SYMBOLS = 10_000
METADATA_BYTES = 64 * 1024
TEXT_LENGTH = 1_024
VECTOR_PREFIX = "VCTR|"
LISTS = (list, tuple)
VECTOR_NAME = re.compile(r"VCTR\|v1:[0-9a-f]{64}")


def clean_symbol(value: object, where: str = "strings") -> str:
    """Return ``value`` when it may be a symbol; raises `ValidationError` (SYMBOL_INVALID, SYMBOL_RESERVED)."""
    if not isinstance(value, str):
        raise _wrong_type(where, "text", value)
    if not value or "\0" in value:
        raise ValidationError("A symbol is text of at least one character and without U+0000.", **_symbol(where))
    if len(value) > SYMBOL_BYTES or not value.isascii():
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise ValidationError("A symbol may not hold half of a surrogate pair.", **_symbol(where)) from None
        if size > SYMBOL_BYTES:
            raise ValidationError(f"A symbol has at most {SYMBOL_BYTES} UTF-8 bytes.", **_symbol(where))
    if value.startswith(VECTOR_PREFIX) and not VECTOR_NAME.fullmatch(value):
        raise ValidationError(
            "Symbols that begin with VCTR| are names of vectors; give the vector itself or its full name.",
            where,
            error_code="SYMBOL_RESERVED",
        )
    return value


def is_plain(events: Iterable[Any]) -> bool:
    """Return whether events hold nothing but string symbols beyond doubt; most do, and need no second look."""
    symbols: list[str] = []
    for event in events:
        if type(event) not in LISTS or len(event) > EVENT_SYMBOLS:
            return False
        symbols += event
    try:
        text = "\0".join(symbols)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, UnicodeEncodeError):
        return False
    return (
        size <= SYMBOL_BYTES  # together, so each of them
        and VECTOR_PREFIX not in text
        and text.count("\0") == max(0, len(symbols) - 1)
        and "" not in symbols
    )


def is_vector_symbol(symbol: str) -> bool:
    """Return whether a clean symbol names a vector."""
    return symbol.startswith(VECTOR_PREFIX)


def clean_vector(values: object, where: str = "vectors") -> tuple[float, ...]:
    """Return the coordinates as floats, -0.0 as 0.0; raises `ValidationError` (VECTOR_INVALID)."""
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise _wrong_type(where, "a list of numbers", values)
    numbers = tuple(_number(value, where, "VECTOR_INVALID", "a vector holds numbers") for value in values)
    if not numbers:
        raise ValidationError("A vector has at least one coordinate.", where, error_code="VECTOR_INVALID")
    return numbers


def vector_symbol(vector: Sequence[float]) -> str:
    """Return the symbol of a clean vector: SHA-256 over u32be(dimension), then little-endian float64 coordinates."""
    data = len(vector).to_bytes(4) + struct.pack(f"<{len(vector)}d", *vector)
    digest = hashlib.sha256(b"kimera.vector.v1\0" + data)
    return f"{VECTOR_PREFIX}v1:{digest.hexdigest()}"


def clean_event(symbols: object, *, vectors: Vectors, sort: bool = True, where: str = "events") -> Event:
    """Return one event in canonical order: vector symbols first, then strings, each part by code point.

    An item that is a list of numbers is a vector; it becomes its symbol and is added to ``vectors``. With ``sort``
    off, the given order stays inside each part. Raises `ValidationError`.
    """
    if is_plain((symbols,)):
        return tuple(sorted(symbols) if sort else symbols)  # type: ignore[call-overload, arg-type]
    if isinstance(symbols, str | bytes | Mapping) or not isinstance(symbols, Iterable):
        raise _wrong_type(where, "a list of symbols", symbols)
    strings: list[str] = []
    named: list[str] = []
    for item in symbols:
        if isinstance(item, str):
            (named if item.startswith(VECTOR_PREFIX) else strings).append(clean_symbol(item, where))
        else:
            vector = clean_vector(item, where)
            name = vector_symbol(vector)
            vectors[name] = vector
            named.append(name)
    if len(strings) + len(named) > EVENT_SYMBOLS:
        raise ValidationError(f"An event has at most {EVENT_SYMBOLS} symbols.", **_symbol(where))
    if sort:
        strings.sort()
        named.sort()
    return (*named, *strings)


def clean_events(events: object, *, vectors: Vectors, sort: bool = True, where: str = "events") -> Events:
    """Return a list of events in canonical form, empty ones left out; raises `ValidationError`."""
    if isinstance(events, str | bytes | Mapping) or not isinstance(events, Iterable):
        raise _wrong_type(where, "a list of events", events)
    if type(events) in LISTS and is_plain(events):
        return tuple([tuple(sorted(event) if sort else event) for event in events if event])
    cleaned = (
        clean_event(event, vectors=vectors, sort=sort, where=f"{where}[{number}]")
        for number, event in enumerate(events)
    )
    return tuple(event for event in cleaned if event)


def clean_emotives(emotives: object, where: str = "emotives") -> dict[str, float]:
    """Return named finite numbers as floats; raises `ValidationError` (EMOTIVES_INVALID)."""
    if emotives is None:
        return {}
    if not isinstance(emotives, Mapping):
        raise _wrong_type(where, "an object of names and numbers", emotives, "EMOTIVES_INVALID")
    words = "an emotive is a finite number"
    return {
        clean_text(name, where, code="EMOTIVES_INVALID"): _number(value, where, "EMOTIVES_INVALID", words)
        for name, value in emotives.items()
    }


def clean_metadata(metadata: object, where: str = "metadata") -> dict[str, Any]:
    """Return a copy of JSON metadata with its types kept; raises `ValidationError` (METADATA_INVALID)."""
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        raise _wrong_type(where, "an object", metadata, "METADATA_INVALID")
    if not metadata:
        return {}
    problem = "Metadata is JSON: text keys, and values of text, numbers, true, false, null, lists and objects."
    try:
        data = json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as wrong:
        raise ValidationError(problem, where, error_code="METADATA_INVALID") from wrong
    if not _text_keys(metadata):  # the encoder would have turned other keys into text
        raise ValidationError(problem, where, error_code="METADATA_INVALID")
    if len(data) > METADATA_BYTES:
        raise ValidationError(
            f"Metadata has at most {METADATA_BYTES} bytes as JSON.", where, error_code="METADATA_INVALID"
        )
    copy: dict[str, Any] = json.loads(data)
    return copy


def clean_text(value: object, where: str, *, code: str = "BODY_INVALID", limit: int = TEXT_LENGTH) -> str:
    """Return text that every store can hold: no U+0000, no lone surrogate, at most ``limit`` characters."""
    if not isinstance(value, str):
        raise _wrong_type(where, "text", value, code)
    if "\0" in value or len(value) > limit or not (value.isascii() or _encodable(value)):
        raise ValidationError(
            f"{where} takes text of at most {limit} characters without U+0000 and surrogates.", where, error_code=code
        )
    return value


def pattern_id(events: Events) -> str:
    """Return the identity of a pattern: SHA-256 over the lengths and bytes of its events and symbols."""
    parts = [b"kimera.pattern.v1\0", len(events).to_bytes(4)]
    for event in events:
        parts.append(len(event).to_bytes(4))
        for symbol in event:
            data = symbol.encode()
            parts += (len(data).to_bytes(4), data)
    return f"p1:{hashlib.sha256(b''.join(parts)).hexdigest()}"


def pattern_name(events: Events) -> str:
    """Return the older name of a pattern: SHA-1 of the Python text of its list of lists; an alias, never a key."""
    return hashlib.sha1(repr([list(event) for event in events]).encode(), usedforsecurity=False).hexdigest()


def _symbol(where: str) -> dict[str, Any]:
    return {"field": where, "error_code": "SYMBOL_INVALID"}


def _number(value: object, where: str, code: str, words: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValidationError(f"{where}: {words}, not {type(value).__name__}.", where, error_code=code)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValidationError(f"{where}: {words}, and finite.", where, error_code=code)
    return number + 0.0  # -0.0 becomes 0.0


def _text_keys(value: object) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            if not all(isinstance(key, str) for key in item):
                return False
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
    return True


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _wrong_type(where: str, wanted: str, value: object, code: str = "BODY_INVALID") -> ValidationError:
    return ValidationError(f"{where} takes {wanted}, not {type(value).__name__}.", where, error_code=code)
