"""The compiled kernels of the memory give, byte for byte, what plain Python gives."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory import oracle
from tests.unit.memory.worlds import (
    SMALL,
    SWITCHES,
    VECTORS,
    WORDS,
    all_options,
    change,
    index_of,
    memory_and_query,
    pattern,
    shown,
)

from kimera.memory.contracts import MemoryTuning, RecallOptions
from kimera.memory.index import Index, Overlap
from kimera.memory.recall.align import align_rows_plainly, blocks_of, pairs_of
from kimera.memory.recall.candidates import align_rows, pairs_of_rows
from kimera.memory.recall.predict import predict
from kimera.memory.recall.query import build_query
from kimera.memory.recall.rehearsal import rehearse

pytest.importorskip("numba")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
many = settings(deadline=None, max_examples=150)
tunings = st.fixed_dictionaries({name: st.booleans() for name in SWITCHES}).map(lambda s: MemoryTuning(**s))


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile the kernels once, into a folder of their own."""
    folder: Path = tmp_path_factory.mktemp("kernels")
    assert rehearse(MemoryTuning(cache_dir=str(folder)))
    assert any(folder.rglob("*.nbi"))


@many
@given(memory_and_query(SMALL) | memory_and_query([*WORDS, *VECTORS]), all_options(), tunings)
def test_every_combination_of_switches_agrees_with_the_definition(
    world: Any, options: RecallOptions, tuning: MemoryTuning
) -> None:
    """Promise: no switch, and no kernel, changes a byte of an answer."""
    patterns, stm = world
    view = index_of(patterns, tuning, VECTORS).view()
    answer = predict(view, stm, options, vectors=VECTORS, affinity={"a": 3.0, "apple": 0.25})
    expected = oracle.predict(patterns, stm, options.to_dict(), VECTORS, {"a": 3.0, "apple": 0.25})
    assert json.dumps(expected, sort_keys=True) == json.dumps(shown(answer), sort_keys=True)


def test_long_sequences_align_as_the_standard_library_does() -> None:
    """Promise: thousands of symbols, few or many of them equal, more than fit one word or one list of pairs."""
    rng = random.Random(3)
    for letters, length in (("ab", 700), ("abcdefghij", 300), ("abcdefghijklmnopqrstuvwxyz", 90), ("a", 400)):
        patterns = [pattern([tuple(rng.choices(letters, k=rng.randint(1, length)))]) for _ in range(12)]
        patterns = list({p["events"]: p for p in patterns}.values())
        view = index_of(patterns).view()
        for size in (1, 63, 64, 65, 500):
            stm = (tuple(rng.choices(letters, k=size)),)
            query = build_query(view, stm, RecallOptions())
            pairs, ends = pairs_of_rows(view, query, view.alive)
            for p, found in zip(view.alive.tolist(), np.split(pairs, ends[:-1]), strict=True):
                assert pairs_of(blocks_of(view.row_tokens(p), query.numbers)) == [*map(tuple, found.tolist())]
            plain, fast = align_rows_plainly(view, query, view.alive), align_rows(view, query, view.alive)
            for name in plain.__dataclass_fields__:
                assert getattr(plain, name).tolist() == getattr(fast, name).tolist(), name


def test_large_memories_agree_across_segments_threads_and_sessions() -> None:
    """Promise: with several segments, a tail, gone patterns, threads and session counters the answers stay the same."""
    rng = random.Random(5)
    words = [f"w{i}" for i in range(60)]
    patterns = [pattern([tuple(rng.choices(words, k=3)) for _ in range(4)], rng.randint(1, 3)) for _ in range(6_000)]
    patterns = list({p["events"]: p for p in patterns}.values())
    fast, plain = Index(), Index(MemoryTuning(**dict.fromkeys(SWITCHES, False)))
    for index in (fast, plain):
        for low, high in pairwise([0, 4_000, 5_300, 5_800, len(patterns)]):
            index.apply(low, [change(p) for p in patterns[low:high]])
            index.view()
        index.apply(9_999, [change(dict(p, frequency=0)) for p in patterns[::7]])
    assert len(fast.view().segments) > 1 and fast.view().tail < fast.view().rows
    overlap, stm = Overlap(), []
    for _ in range(8):
        stm = [*stm[-4:], tuple(rng.choices(words, k=3))]
        for threshold in (0.1, 0.3):
            options = RecallOptions(recall_threshold=threshold)
            warm_one = predict(fast.view(), tuple(stm), options, overlap=overlap)
            assert shown(predict(plain.view(), tuple(stm), options)) == shown(warm_one)
