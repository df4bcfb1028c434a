"""Counts of values in logarithmic buckets: any quantile within one percent, and two sketches add up exactly."""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["RELATIVE_ERROR", "place_of", "quantile", "value_at"]

RELATIVE_ERROR = 0.01

GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
PER_LOG = 1 / math.log(GAMMA)
LEAST = 1e-9
"""Durations below a nanosecond are one nanosecond."""


def place_of(value: float) -> int:
    """Return the bucket of a value: the least k with gamma**k >= value (DDSketch, Masson, Rim and Lee 2019)."""
    return math.ceil(math.log(value if value > LEAST else LEAST) * PER_LOG)


def value_at(place: int) -> float:
    """Return the value that stands for a bucket, within one percent of all values in it."""
    return 2 * GAMMA**place / (GAMMA + 1)


def quantile(places: Mapping[int, int], q: float) -> float | None:
    """Return the nearest-rank quantile of the counted values, None when there are none."""
    rank = max(1, math.ceil(q * sum(places.values())))
    seen = 0
    for place in sorted(places):
        seen += places[place]
        if seen >= rank:
            return value_at(place)
    return None
