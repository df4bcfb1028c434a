"""One alignment for every field: the Ratcliff-Obershelp matching blocks of a pattern and the short-term memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kimera.memory.index.view import View
from kimera.memory.recall.query import Query

__all__ = ["Aligned", "Block", "align_rows_plainly", "blocks_of", "character_similarity", "cosine_of_row", "pairs_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Aligned:
    """Hold what the alignments of many rows came to, one element per row.

    ``matched`` is m, ``blocks`` b, ``first`` and ``last`` the events of `present` (0 and -1 without a match), ``size``
    its symbols p, ``cosine`` the cosine behind `itfdf_similarity`.
    """

    rows: Ints
    matched: Ints
    blocks: Ints
    first: Ints
    last: Ints
    size: Ints
    cosine: Floats

    def take(self, kept: Any) -> Aligned:
        """Return the rows that ``kept`` (a mask or positions) selects."""
        columns = (self.rows, self.matched, self.blocks, self.first, self.last, self.size, self.cosine)
        return Aligned(*[column[kept] for column in columns])


class Block(NamedTuple):
    """Name a run of ``size`` symbols common to the pattern at ``a`` and the query at ``b``."""

    a: int
    b: int
    size: int


def blocks_of(pattern: Sequence[int], observed: Sequence[int]) -> list[Block]:
    """Return the matching blocks, in order, the empty last one left out."""
    found = SequenceMatcher(None, pattern, observed, autojunk=False).get_matching_blocks()
    return [Block(*block) for block in found if block.size]


def pairs_of(blocks: Iterable[Block]) -> list[tuple[int, int]]:
    """Return the matched index pairs, in order."""
    return [(a + k, b + k) for a, b, size in blocks for k in range(size)]


def cosine_of(dot: int, left: int, right: int) -> float:
    """Return dot / sqrt(left * right) from exact integers, 0.0 where a side is zero."""
    return dot / math.sqrt(left * right) if left and right else 0.0


def cosine_of_counts(present: Counter[int], observed: Counter[int], holders: Any) -> float:
    """Return the cosine of two count vectors over the symbols of `present`, each weighted by n(x)."""
    dot = left = right = 0
    for symbol, count in present.items():
        weight = int(holders[symbol]) ** 2
        seen = observed[symbol]
        dot += count * seen * weight
        left += count * count * weight
        right += seen * seen * weight
    return cosine_of(dot, left, right)


def align_rows_plainly(view: View, query: Query, rows: Ints) -> Aligned:
    """Align many rows with the standard library alone; every other way must give exactly this."""
    found = [_align_row(view, query, row) for row in rows.tolist()]
    numbers = np.array([f[:5] for f in found], dtype=np.int64).reshape(len(found), 5)
    cosine = np.array([f[5] for f in found], dtype=np.float64)
    matched, blocks, first, last, size = np.ascontiguousarray(numbers.T)
    return Aligned(rows, matched, blocks, first, last, size, cosine)


def cosine_of_row(view: View, query: Query, row: int, first: int, last: int) -> float:
    """Return one row's cosine with integers of any size; ``first`` and ``last`` bound the events of `present`."""
    pattern = view.row_tokens(row)
    ends = view.row_event_ends(row)
    present = pattern[ends[first - 1] if first else 0 : ends[last] if last >= 0 else 0]
    return cosine_of_counts(Counter(present), Counter(query.numbers_for(pattern)), view.holders)


def _align_row(view: View, query: Query, row: int) -> tuple[int, int, int, int, int, float]:
    pattern = view.row_tokens(row)
    observed = query.numbers_for(pattern)
    blocks = blocks_of(pattern, observed)
    if not blocks:
        return 0, 0, 0, -1, 0, 0.0
    ends = view.row_event_ends(row)
    first, last = _event_at(ends, blocks[0].a), _event_at(ends, blocks[-1].a + blocks[-1].size - 1)
    low, high = ends[first - 1] if first else 0, ends[last]
    cosine = cosine_of_counts(Counter(pattern[low:high]), Counter(observed), view.holders)
    return sum(b.size for b in blocks), len(blocks), first, last, high - low, cosine


def _event_at(ends: Iterable[int], place: int) -> int:
    return next(event for event, end in enumerate(ends) if place < end)


def character_similarity(pattern: Sequence[str], observed: Sequence[str]) -> float:
    """Return 2M/(lengths) over the characters of both sides joined by spaces."""
    left, right = " ".join(pattern), " ".join(observed)
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks) / (len(left) + len(right))
