"""The building blocks of the figures: sums that are exactly rounded, bounds that never cut a candidate."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimera.memory.index.near import cosine_distance
from kimera.memory.index.overlap import needed_overlap
from kimera.memory.index.tables import EventTable, FutureTable, SymbolTable
from kimera.memory.recall import figures

fifty = settings(deadline=None, max_examples=50)


@fifty
@given(st.integers(0, 2**32), st.integers(0, 3_000), st.sampled_from([1, 10, 60, 300]))
def test_long_sums_are_those_of_fsum(seed: int, count: int, spread: int) -> None:
    """Promise: the sum of many numbers of any size and sign is rounded once, as math.fsum rounds it."""
    rng = random.Random(seed)
    values = [rng.uniform(-1, 1) * 2.0 ** rng.uniform(-spread, spread) for _ in range(count)]
    assert math.fsum(values) == figures.exact_sum(np.array(values))


def test_sums_out_of_the_ordinary_range_are_exact_too() -> None:
    """Promise: numbers near the limits of a float are added exactly."""
    values = [1e-300] * 700 + [1e250, -1e250] + [5e-324] * 3
    assert math.fsum(values) == figures.exact_sum(np.array(values))
    assert 0.0 == figures.exact_sum(np.zeros(1_000))


@fifty
@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e6)), min_size=1, max_size=60))
def test_group_sums_are_those_of_fsum(pairs: list[tuple[int, float]]) -> None:
    """Promise: each group's sum is rounded once, whatever the order of its members."""
    numbers, inverse, sizes = np.unique([k for k, _ in pairs], return_inverse=True, return_counts=True)
    sums = figures.group_sums(np.array([v for _, v in pairs]), inverse, sizes)
    assert [math.fsum(v for k, v in pairs if k == n) for n in numbers.tolist()] == sums.tolist()


@fifty
@given(st.integers(1, 80), st.integers(1, 80), st.floats(0, 1) | st.sampled_from([1 / 3, 2 / 3, 0.1, 0.5]))
def test_the_needed_overlap_is_the_least_that_reaches_the_threshold(length: int, seen: int, threshold: float) -> None:
    """Promise: one match less misses the threshold by the same float comparison that decides."""
    needed = int(needed_overlap(length, seen, threshold)[length])
    assert 2 * needed / (length + seen) >= threshold
    assert needed == 0 or 2 * (needed - 1) / (length + seen) < threshold


@fifty
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6), min_size=1, max_size=90), st.booleans())
def test_equal_futures_are_equal_numbers(sequences: list[list[str]], at_once: bool) -> None:
    """Promise: two ends get one number exactly when they are equal, learned one by one or in a batch."""
    symbols = SymbolTable()
    events = EventTable(symbols)
    table, found = FutureTable(events), {}
    rows = [[events.intern((x,))[0] for x in sequence] for sequence in sequences]
    events.flush()
    rest = np.zeros(len(rows), dtype=np.int64)
    for back in range(1, 7):
        active = np.array([i for i, row in enumerate(rows) if len(row) >= back], dtype=np.int64)
        keys = np.array([rows[i][-back] for i in active.tolist()], dtype=np.int64)
        parts = [np.arange(len(active))] if at_once else [np.array([k]) for k in range(len(active))]
        for part in parts:
            rest[active[part]] = table.intern(keys[part], rest[active[part]])
        for i in active.tolist():
            end = tuple(sequences[i][-back:])
            assert found.setdefault(end, int(rest[i])) == rest[i]
            assert tuple((x,) for x in end) == table.text(int(rest[i]))
    assert len(set(found.values())) == len(found)


def test_cosine_distance_survives_huge_and_tiny_coordinates() -> None:
    """Promise: scaling a vector does not change its distance, and nothing overflows; zero is near nothing."""
    assert cosine_distance((1.0, 2.0), (2.0, 1.0)) == cosine_distance((1e300, 2e300), (2e-300, 1e-300))
    assert 0.0 == pytest.approx(cosine_distance((1e308, 1e308), (1e-5, 1e-5)))
    assert math.inf == cosine_distance((0.0, 0.0), (1.0, 0.0))
    assert math.inf == cosine_distance((1.0,), (1.0, 0.0))
