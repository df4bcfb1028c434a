"""Reading JSON that hostile code wrote: bounded, finite, without double keys, or a reason in one sentence."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["parse"]

MAX_DEPTH = 32
MAX_ITEMS = 1_000_000
MAX_DIGITS = 400


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"{text[:20]} is not a finite number")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same key twice")
    return value


def parse(text: str, max_items: int = MAX_ITEMS) -> Any:
    """Return the value of ``text``; ValueError says why it is not acceptable JSON."""
    try:
        value = json.loads(
            text, parse_constant=_constant, parse_int=_integer, parse_float=_number, object_pairs_hook=_pairs
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    _measure(value, max_items)
    return value


def _measure(value: Any, max_items: int) -> None:
    level, items = [value], 0
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += item.values()
            elif isinstance(item, list):
                following += item
        items += len(level)
        if items > max_items:
            raise ValueError(f"it has more than {max_items} items")
        if not following:
            return
        level = following
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
