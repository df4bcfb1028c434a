"""What a request may weigh: bytes, header fields, JSON depth, time, rate, and how many at once."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from kimera import telemetry
from kimera.clock import Clock
from kimera.errors import RateLimited, ValidationError
from kimera.resilience import RateLimit
from kimera.settings import Settings

__all__ = ["MAX_DEPTH", "Rates", "read_json"]

MAX_DEPTH = 64
MAX_DIGITS = 400
MAX_KEYS = 10_000  # addresses and keys whose rate is remembered

# Any quote begins a match, so a body full of quotes is read once, not once per quote.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(set(range(256)) - set(_BRACKETS))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _refuse(why: str) -> ValidationError:
    return ValidationError(f"The body is not acceptable JSON: {why}.", error_code="JSON_INVALID", http_status=400)


def _constant(name: str) -> Any:
    raise _refuse(f"{name} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _refuse(f"a number has more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise _refuse("a number is larger than any that can be held")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _refuse("an object has the same key twice")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
)


def read_json(body: bytes) -> Any:
    """Return the value of ``body``; raises `ValidationError` (400) unless it is JSON that every reader reads alike.

    UTF-8, at most 64 levels, no key twice, no NaN, infinity or number beyond a double, no lone surrogate.
    """
    _check_depth(body)
    try:
        value = _DECODER.decode(body.decode("utf-8"))
        if _SURROGATE.search(body):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except UnicodeDecodeError as error:
        raise _refuse(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise _refuse("a text holds half a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise _refuse(f"{error.msg} at character {error.pos}") from None


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _STRING.sub(b"", body).translate(None, _OTHERS):
        depth += 1 if mark in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _refuse(f"it is nested deeper than {MAX_DEPTH} levels")


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
