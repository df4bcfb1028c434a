"""What a request may weigh: bytes, header fields, JSON depth, time, rate, and how many at once."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from kimera import telemetry
from kimera.clock import Clock
from kimera.errors import RateLimited, ValidationError
from kimera.resilience import RateLimit
from kimera.settings import Settings

__all__ = ["MAX_DEPTH", "Rates", "read_json"]

MAX_DEPTH = 64
MAX_DIGITS = 308  # what a double holds
NAME = 64  # characters of a key that are shown
TWICE = "an object has the same key twice"
HALF = "a text holds half a surrogate pair"
MAX_KEYS = 10_000  # addresses and keys whose rate is remembered

# Any quote begins a match, so a body full of quotes is read once, not once per quote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
Place = tuple[str | int, ...]

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


CODES = {
    "strings": "SYMBOL_INVALID",
    "events": "SYMBOL_INVALID",
    "vectors": "VECTOR_INVALID",
    "emotives": "EMOTIVES_INVALID",
    "metadata": "METADATA_INVALID",
    "config": "CONFIG_INVALID",
}
"""Codes of values that JSON may spell and nothing can hold, by the field they stand in; elsewhere BODY_INVALID."""


class _Unfit(Exception):
    """A value that no reader, or not every reader, can hold."""


def _constant(name: str) -> Any:
    raise _Unfit(f"{name} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _Unfit(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise _Unfit("a number is larger than any that can be held")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Unfit(TWICE)
    return value


def _marking(rule: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the rule with what it refuses as a value, so that the place can be found."""

    def read(given: Any) -> Any:
        try:
            return rule(given)
        except _Unfit as unfit:
            return unfit

    return read


def _marked_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        value[key] = _Unfit(TWICE) if key in value else item
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)
_MARKER = json.JSONDecoder(
    object_pairs_hook=_marked_object,
    parse_constant=_marking(_constant),
    parse_int=_marking(_integer),
    parse_float=_marking(_number),
)


def read_json(body: bytes) -> Any:
    """Return what ``body`` says; raises `ValidationError` (422, naming the place) unless all readers read it alike.

    UTF-8, at most 64 levels, no key twice, no NaN, infinity or number beyond a double, no lone surrogate.
    """
    _check_depth(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused(f"byte {error.start} is not UTF-8") from None
    try:
        value = _DECODER.decode(text)
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except (_Unfit, json.JSONDecodeError, UnicodeEncodeError):
        raise _fault(text) from None


def _fault(text: str) -> ValidationError:
    """Return what is wrong with a text that was refused: its grammar, or the first value that is unfit."""
    try:
        value = _MARKER.decode(text)
    except json.JSONDecodeError as error:
        return _refused(f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}")
    place, why = next(_unfit(value, ()))
    return _refused(why, place, next((CODES[str(part)] for part in place if part in CODES and why != TWICE), None))


def _unfit(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, _Unfit):
        yield place, str(value)
    elif isinstance(value, str):
        if not _whole(value):
            yield place, HALF
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unfit(item, (*place, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _whole(key):
                yield place, HALF
            yield from _unfit(item, (*place, key))


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(why: str, place: Place = (), code: str | None = None) -> ValidationError:
    field = ".".join(str(part)[:NAME] for part in place)
    return ValidationError(f"The body is not acceptable JSON: {why}.", field, error_code=code or "BODY_INVALID")


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _STRING.sub(b"", body).translate(None, _OTHERS):
        depth += 1 if mark in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _refused(f"it is nested deeper than {MAX_DEPTH} levels")


class Rates:
    """One token bucket per address and one per key."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._addresses = _buckets(settings.rate_per_address, clock)
        self._keys = _buckets(settings.rate_per_key, clock)

    def address(self, client: tuple[str, int] | None) -> None:
        """Count a request of an address; raises `RateLimited` with the seconds to wait."""
        self._take(self._addresses, _network(client[0]) if client else "local", "address")

    def key(self, key_id: str) -> None:
        """Count a request of a key; raises `RateLimited` with the seconds to wait."""
        self._take(self._keys, key_id, "key")

    def _take(self, buckets: Any, key: str, limit: str) -> None:
        wait = buckets.try_acquire(key)
        if wait:
            telemetry.metric("kimera_rate_limited_total").bind(limit=limit).inc()
            raise RateLimited(f"Too many requests of this {limit}; wait {wait:.2g} s.", retry_after=wait)


def _buckets(rate: float, clock: Clock) -> Any:
    return RateLimit.keyed(rate, burst=max(1, round(2 * rate)), max_keys=MAX_KEYS, clock=clock)


def _network(address: str) -> str:
    """Return the address, for IPv6 its /64: one caller has all of that."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
    except ValueError:
        return address
