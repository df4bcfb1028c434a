"""Comparing what was stated with what was found: typed values, roundings, and the numbers in a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

__all__ = [
    "RELATIVE",
    "Written",
    "agrees",
    "around",
    "at_path",
    "first_difference",
    "numbers_in",
    "same_value",
    "values_in",
]

RELATIVE = 1e-9
"""Two floats are the same result when they differ by less than this share (missions.md, section 8)."""

NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same_value(old: Any, new: Any, *, unordered: bool = False) -> bool:
    """Return whether two JSON values are equal: exactly, but floats to 1e-9 relative.

    An integer equals a float of the same value (JSON does not keep the difference); true is never 1. ``unordered``
    compares every list as a multiset.
    """
    return first_difference(old, new, unordered=unordered) is None


def first_difference(old: Any, new: Any, *, unordered: bool = False) -> tuple[tuple[str | int, ...], Any, Any] | None:
    """Return (path, old, new) of the first place where two JSON values differ, or None."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key not in old or key not in new:
                return (key,), old.get(key), new.get(key)
            found = first_difference(old[key], new[key], unordered=unordered)
            if found:
                return (key, *found[0]), found[1], found[2]
        return None
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return (), old, new
        if unordered:
            old, new = sorted(old, key=_order), sorted(new, key=_order)
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            found = first_difference(one, other, unordered=unordered)
            if found:
                return (index, *found[0]), found[1], found[2]
        return None
    return None if _same_scalar(old, new) else ((), old, new)


def _order(value: Any) -> tuple[str, Any, str]:
    return (type(value).__name__ if not _is_number(value) else "number", value if _is_number(value) else 0, repr(value))


def _same_scalar(old: Any, new: Any) -> bool:
    if _is_number(old) and _is_number(new):
        if isinstance(old, int) and isinstance(new, int):
            return old == new
        return math.isclose(old, new, rel_tol=RELATIVE, abs_tol=1e-300)
    return bool(type(old) is type(new) and old == new)


def at_path(result: Any, path: Sequence[str | int]) -> Any:
    """Return the value at ``path`` inside a result; KeyError when there is none."""
    value = result
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            raise KeyError(step) from None
    return value


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def agrees(stated: Any, found: Any) -> bool:
    """Return whether a stated value is the found one, or the found one rounded to the decimals that are stated.

    A stated integer must be met exactly; 45.2 is met by 45.18 and not by 45.26.
    """
    if _same_scalar(stated, found):
        return True
    if isinstance(stated, float) and _is_number(found):
        half = 0.5 * 10.0 ** -_decimals(repr(stated))
        return bool(abs(stated - found) <= half * (1 + RELATIVE) and abs(found) >= half)
    return False


class Written(NamedTuple):
    """A number in a text: as written, its value, half of its last digit, whether a % sign follows, where it starts."""

    text: str
    value: float
    half: float
    percent: bool
    start: int


def numbers_in(text: str) -> list[Written]:
    """Return the numbers written in a text; digits inside names and versions are not numbers."""
    found = []
    for match in NUMBER.finditer(text):
        plain = match.group().replace(",", "").replace("−", "-")
        percent = text[match.end() : match.end() + 2].lstrip().startswith("%")
        found.append(Written(match.group(), float(plain), 0.5 * 10.0 ** -_decimals(plain), percent, match.start()))
    return found


def values_in(value: Any) -> Iterator[float]:
    """Yield every number inside a JSON value, also those written inside its texts and keys."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from values_in(key)
            yield from values_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from values_in(item)
    elif isinstance(value, str):
        yield from (number.value for number in numbers_in(value))
    elif _is_number(value):
        yield float(value)


def around(result: Any, path: Sequence[str | int]) -> Iterator[float]:
    """Yield the numbers that belong to the value at ``path``: those a sentence about it may name.

    That is what stands beside it and beside each of its parents, everything in the nearest row of a list that holds it,
    and everything another section of the result keeps under one of the names on the path.
    """
    value, row = result, None
    for step in path:
        yield from _beside(value)
        try:
            following = value[step]
        except (KeyError, IndexError, TypeError):
            return
        if isinstance(value, list) and isinstance(following, dict):
            row = following
        value = following
    yield from values_in(value)
    yield from values_in(row)
    sections = result.values() if isinstance(result, dict) else ()
    for section in sections:
        if isinstance(section, dict):
            for step in path[1:]:
                yield from values_in(section.get(str(step)))


def _beside(value: Any) -> Iterator[float]:
    """Yield the plain numbers directly inside a dict or list, and how many entries each of its lists has."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        if isinstance(item, list):
            yield float(len(item))
        elif not isinstance(item, dict):
            yield from values_in(item)
