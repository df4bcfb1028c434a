"""Near symbols: which learned symbols an unseen one may be taken for, the nearest first."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.index.tables import SymbolTable

__all__ = ["NearSymbols", "cosine_distance", "subsequence_length"]

#: The symbols an observed one may stand for, as (number, similarity), the nearest first, ties by code point.
Near = list[tuple[int, float]]
_SLACK = 1e-9  # the arrays only pre-sort; what lies within this of the limit is decided by `cosine_distance`
_KEPT, _KEPT_PAIRS = 4_096, 262_144  # answers, and what they may hold together: about 30 MiB


def subsequence_length(masks: dict[str, int], size: int, other: str) -> int:
    """Return the length of the longest common subsequence (bit-parallel, after Hyyrö 2004).

    ``masks`` are the positions of each character in the first text as bits, ``size`` its length.
    """
    full = (1 << size) - 1
    row = full
    for character in other:
        hit = row & masks.get(character, 0)
        row = ((row + hit) | (row - hit)) & full
    return size - row.bit_count()


def cosine_distance(u: Sequence[float], v: Sequence[float]) -> float:
    """Return 1 - cosine, never below 0; infinite for a zero vector or different dimensions.

    Both sides are scaled by a power of two first, which changes no digit and keeps the squares finite.
    """
    if len(u) != len(v) or not any(u) or not any(v):
        return math.inf
    u, v = _scaled(u), _scaled(v)
    squares = math.fsum(x * x for x in u) * math.fsum(x * x for x in v)
    return max(0.0, 1 - math.fsum(x * y for x, y in zip(u, v, strict=True)) / math.sqrt(squares))


def _scaled(values: Sequence[float]) -> list[float]:
    exponent = math.frexp(max(map(abs, values)))[1]
    return [math.ldexp(x, -exponent) for x in values]


class NearSymbols:
    """Find near symbols over the whole vocabulary and keep the answers; new symbols are looked at when they come."""

    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols = symbols
        self._lock = threading.Lock()
        self._by_length: dict[int, list[int]] = {}
        self._sorted = 0
        self._vectors: dict[int, tuple[list[int], list[tuple[float, ...]]]] = {}
        self._units: dict[int, NDArray[Any]] = {}
        self._known: dict[str, tuple[float, ...]] = {}
        self._kept: dict[tuple[str, float], tuple[int, Near]] = {}
        self._pairs = 0
        self.hits = self.misses = 0

    def add_vector(self, symbol: str, coordinates: Sequence[float]) -> None:
        """Give the coordinates of a learned vector symbol."""
        if symbol not in self._known:
            with self._lock:
                self._known[symbol] = values = tuple(map(float, coordinates))
                numbers, rows = self._vectors.setdefault(len(values), ([], []))
                numbers.append(self._symbols.intern(symbol))
                rows.append(values)

    def coordinates(self, symbol: str) -> tuple[float, ...] | None:
        """Return the coordinates of a learned vector symbol."""
        return self._known.get(symbol)

    def strings(self, symbol: str, threshold: float, known: int, *, keep: bool = True) -> Near:
        """Return the string symbols below number ``known`` with 2·LCS/(len+len) >= ``threshold``."""
        with self._lock:
            upto, found = self._kept.get((symbol, threshold), (0, [])) if keep else (0, [])
            self.hits, self.misses = self.hits + (upto >= known), self.misses + (upto < known)
            if upto < known:
                upto = self._index_lengths()
                found = self._scan_strings(symbol, threshold)
                if keep:
                    self._keep((symbol, threshold), upto, found)
        return [pair for pair in found if pair[0] < known]

    def vectors(self, coordinates: Sequence[float], limit: float, known: int) -> Near:
        """Return the vector symbols below number ``known`` within cosine distance ``limit``, with 1 - distance."""
        with self._lock:
            numbers, rows = self._vectors.get(len(coordinates), ([], []))
            units = self._unit_rows(len(coordinates), rows)
        if not len(units) or not any(coordinates):
            return []
        unit = np.array(_scaled(coordinates))
        close = np.flatnonzero(1 - units @ (unit / math.sqrt(float(unit @ unit))) <= limit + _SLACK)
        found = [(cosine_distance(coordinates, rows[i]), numbers[i]) for i in close.tolist()]
        texts = self._symbols.texts
        kept = sorted((d, texts[n], n) for d, n in found if d <= limit and n < known)
        return [(number, 1 - distance) for distance, _, number in kept]

    @property
    def kept(self) -> int:
        """Return how many near symbols are held, those of all answers together."""
        return self._pairs

    def _keep(self, key: tuple[str, float], upto: int, found: Near) -> None:
        self._drop(key)
        if len(found) > _KEPT_PAIRS:
            return
        self._kept[key] = (upto, found)
        self._pairs += len(found)
        while len(self._kept) > _KEPT or self._pairs > _KEPT_PAIRS:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: tuple[str, float]) -> None:
        self._pairs -= len(self._kept.pop(key, (0, []))[1])

    def _index_lengths(self) -> int:
        texts = self._symbols.texts
        upto = len(texts)
        for number in range(self._sorted, upto):
            if not texts[number].startswith("VCTR|"):
                self._by_length.setdefault(len(texts[number]), []).append(number)
        self._sorted = upto
        return upto

    def _scan_strings(self, symbol: str, threshold: float) -> Near:
        masks: dict[str, int] = {}
        for place, character in enumerate(symbol):
            masks[character] = masks.get(character, 0) | 1 << place
        size, texts, found = len(symbol), self._symbols.texts, []
        for length, numbers in self._by_length.items():
            if 2 * min(size, length) / (size + length) < threshold:
                continue
            for number in numbers:
                similarity = 2 * subsequence_length(masks, size, texts[number]) / (size + length)
                if similarity >= threshold:
                    found.append((-similarity, texts[number], number))
        return [(number, -similarity) for similarity, _, number in sorted(found)]

    def _unit_rows(self, dimension: int, rows: list[tuple[float, ...]]) -> NDArray[Any]:
        units = self._units.get(dimension)
        if units is None or len(units) < len(rows):
            fresh = [_unit(row) for row in rows[0 if units is None else len(units) :]]
            added = np.array(fresh, dtype=np.float64).reshape(-1, dimension)
            units = self._units[dimension] = added if units is None else np.concatenate([units, added])
        return units


def _unit(values: Sequence[float]) -> list[float]:
    if not any(values):
        return [0.0] * len(values)  # distance 1 for the pre-sort; the exact distance is infinite
    scaled = _scaled(values)
    norm = math.sqrt(math.fsum(x * x for x in scaled))
    return [x / norm for x in scaled]
