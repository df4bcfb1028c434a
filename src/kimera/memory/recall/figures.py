"""The figures of a prediction, each computed by exactly one function.

The array functions use +, -, *, / and square roots only, one operation at a time, so numpy gives the same bits as
Python would. What needs logarithms or long sums is computed per pattern with `math.log2` and `math.fsum`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kimera.memory.index.view import View

__all__ = [
    "Rarity",
    "Spread",
    "exact_sum",
    "group_sums",
    "itfdf",
    "potential",
    "ratio",
    "shrunk_utility",
    "snr_of",
    "spread_of",
]

Floats = NDArray[np.float64]
_LONG = 512
_SMALLEST = 1e-100  # below this the units would leave the range of normal numbers


def ratio(numerator: Any, denominator: Any) -> Floats:
    """Return numerator / denominator elementwise, 0.0 where the denominator is 0."""
    there = np.not_equal(denominator, 0)
    if there.all():
        whole: Floats = np.divide(numerator, denominator)
        return whole
    quotient: Floats = np.zeros(np.broadcast(numerator, denominator).shape)
    np.divide(numerator, denominator, out=quotient, where=there)
    return quotient


def snr_of(matched: Any, extra: Any) -> Floats:
    """Return (2m - e)/(2m + e), 0.0 where both are 0."""
    return ratio(2 * matched - extra, 2 * matched + extra)


def itfdf(cosine: Floats, frequency: Any, ensemble_frequency: int) -> Floats:
    """Return 1 - d·f/F with d = 1 - cosine."""
    value: Floats = 1 - (1 - cosine) * frequency / ensemble_frequency
    return value


def potential(evidence: Floats, confidence: Floats, snr: Floats, itfdf_similarity: Floats, blocks: Any) -> Floats:
    """Return (evidence + confidence)·snr + itfdf_similarity + 1/(fragmentation + 1), 0.0 without a match."""
    value = (evidence + confidence) * snr + itfdf_similarity + ratio(1, blocks)
    return np.where(blocks == 0, 0.0, value)


def shrunk_utility(utility: Any, outcomes: Any, mean: float) -> Any:
    """Return (sum of utilities + 2·mean)/(n + 2)."""
    return (utility + 2 * mean) / (outcomes + 2)


def exact_sum(values: Floats) -> float:
    """Return the exactly rounded sum, whatever the order: what `math.fsum` gives, faster for long arrays.

    Each pass cuts the values to multiples of a unit so large that their sum has at most 53 bits, which makes adding
    them exact in any order; what was cut off goes into the next pass.
    """
    if len(values) < _LONG:
        return math.fsum(values.tolist())
    sizes = np.abs(values[values != 0])
    top, low = float(sizes.max(initial=0.0)), float(sizes.min(initial=1.0))
    if not _SMALLEST < low <= top < 1 / _SMALLEST:
        return math.fsum(values.tolist())
    room = len(values).bit_length() + 1
    unit = math.frexp(top)[1] + room - 53
    sums, rest = [], values
    while rest.any():
        anchor = math.ldexp(1.5, unit + 52)
        part = (rest + anchor) - anchor
        sums.append(float(part.sum()))
        rest = rest - part
        unit += room - 53
    return math.fsum(sums)


def group_sums(values: Floats, group: Any, sizes: Any) -> Floats:
    """Return the exactly rounded sum per group; up to two values need no more than one addition."""
    if len(values) < 2:
        return values.astype(np.float64)
    sums: Floats = np.bincount(group, weights=values, minlength=len(sizes)).astype(np.float64)
    large = np.flatnonzero(sizes > 2)
    if len(large) and values.dtype.kind == "f":  # whole numbers add up exactly anyway
        order = np.argsort(group, kind="stable")
        ends = np.cumsum(sizes)
        for number in large.tolist():
            members = order[ends[number] - sizes[number] : ends[number]]
            sums[number] = math.fsum(values[members].tolist())
    return sums


@dataclass(frozen=True, slots=True)
class Spread:
    """Hold the figures that depend on which symbols stand in `present`."""

    confluence: float
    entropy: float
    normalized_entropy: float
    global_normalized_entropy: float
    tfidf_score: float


class Rarity(dict[int, tuple[float, float, float]]):
    """Keep per symbol pr = n/N, pr·log2 pr and log2(N/n) + 1; they change with the view only."""

    def __init__(self, holders: Any, patterns: int) -> None:
        super().__init__()
        self._holders, self._patterns = holders, patterns

    def __missing__(self, symbol: int) -> tuple[float, float, float]:
        held = int(self._holders[symbol])
        share = held / self._patterns
        found = self[symbol] = (share, share * math.log2(share), math.log2(self._patterns / held) + 1)
        return found


def spread_of(view: View, present: Sequence[int], frequency: int) -> Spread:
    """Compute the entropy-like figures of one pattern from the symbol numbers in `present`."""
    size = len(present)
    if not size:
        return Spread(0.0, 0.0, 0.0, 0.0, 0.0)
    counts, rarity = Counter(present), view.rarity
    rare = [rarity[symbol] for symbol in counts]
    if len(counts) == size:
        weights, held = [1 / size] * size, [one[0] for one in rare]
    else:
        weights, held = [count / size for count in counts.values()], [rarity[symbol][0] for symbol in present]
    held.sort()
    entropy = _entropy(tuple(sorted(counts.values())), size)
    overall = -math.fsum([one[1] for one in rare]) + 0.0  # + 0.0 turns -0.0 into 0.0
    scale = view.bits
    return Spread(
        confluence=frequency / view.T * (1 - math.prod(held)),
        entropy=entropy,
        normalized_entropy=entropy / scale if scale else 0.0,
        global_normalized_entropy=overall / scale if scale else 0.0,
        tfidf_score=math.fsum([weight * one[2] for weight, one in zip(weights, rare, strict=True)]) / len(counts),
    )


@lru_cache(4_096)
def _entropy(counts: tuple[int, ...], size: int) -> float:
    shares = [count / size for count in counts]
    return -math.fsum([q * math.log2(q) for q in shares]) + 0.0
