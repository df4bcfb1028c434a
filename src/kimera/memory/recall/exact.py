"""Sums of floats that do not depend on order and can be taken back.

A float is a whole number of 2**-1074, so a sum is one whole number; reading it rounds once, correctly, as `math.fsum`
does. What was added can be subtracted again without a trace.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

__all__ = ["Exact", "exact", "mean", "pack", "rounded", "unpack"]

Exact = int

SCALE = 1074
UNIT = 1 << SCALE


def exact(value: float) -> Exact:
    """Return a finite float as a whole number of 2**-1074."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << (SCALE - denominator.bit_length() + 1)


def rounded(total: Exact, count: int = 1) -> float:
    """Return ``total / count`` rounded once; what exceeds the largest float becomes the largest float."""
    try:
        return total / (UNIT * count)
    except OverflowError:
        return sys.float_info.max if total > 0 else -sys.float_info.max


def mean(values: Iterable[float]) -> float:
    """Return the mean of one or more floats, rounded once."""
    known = list(values)
    return rounded(sum(map(exact, known)), len(known))


def pack(total: Exact) -> list[int]:
    """Return the sum as two small whole numbers for JSON."""
    shift = (total & -total).bit_length() - 1 if total else 0
    return [total >> shift, shift]


def unpack(packed: Iterable[int]) -> Exact:
    """Return the sum that `pack` wrote."""
    number, shift = packed
    return number << shift
