"""What is forgotten takes no room for long, and nobody can tell from an answer whether it still does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory.worlds import SMALL, VECTORS, WORDS, change, memory_and_query, pattern

from kimera.memory import Memory
from kimera.memory.contracts import MemoryTuning, NextOptions, RecallOptions
from kimera.memory.index import Index, Overlap
from kimera.memory.recall.next import next_events
from kimera.memory.recall.outgrown import Counts
from kimera.memory.recall.predict import predict

ALWAYS = {"GONE_ROWS": 0, "GONE_SYMBOLS": 0, "GONE_SHARE": 1 << 30}
NEVER = {"GONE_SHARE": 0}


@contextmanager
def clearing(when: dict[str, int]) -> Iterator[None]:
    """Clear the dead away after every change, or never."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in when.items():
            patch.setattr(f"kimera.memory.index.store.{name}", value)
        yield


def answers(index: Index, stm: Any, options: RecallOptions, overlap: Overlap | None) -> list[bytes]:
    """Return every kind of answer about some events as bytes."""
    view = index.view()
    found = predict(view, stm, options, vectors=VECTORS, overlap=overlap)
    return [found.to_json(), next_events(view, stm, NextOptions()).to_json()]


@settings(max_examples=60, deadline=None)
@given(
    memory_and_query([*WORDS, *VECTORS]) | memory_and_query(SMALL),
    st.lists(st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=1, max_size=5),
    st.sampled_from([0.0, 0.6]),
)
def test_a_rebuilt_index_gives_the_same_bytes(world: Any, steps: list[list[int]], fuzzy: float) -> None:
    """Promise: whenever the dead are cleared away, predictions, futures, statistics and what is next stay as they were.

    Sessions' counters go on over it, and a pattern that comes back is the one it was.
    """
    patterns, stm = world
    options = RecallOptions(recall_threshold=0.0, fuzzy_token_threshold=fuzzy)
    tidy, kept, overlaps = Index(), Index(MemoryTuning()), (Overlap(), Overlap())
    for seq, step in enumerate([[1] * 12, *steps], 1):
        changes = [change(dict(p, frequency=f), VECTORS) for p, f in zip(patterns, step, strict=False)]
        with clearing(ALWAYS):
            tidy.apply(seq, changes)
        with clearing(NEVER):
            kept.apply(seq, changes)
        assert answers(tidy, stm, options, overlaps[0]) == answers(kept, stm, options, overlaps[1])
        assert tidy.view().rows == tidy.view().N
    assert kept.view().generation == 0


def test_learning_and_forgetting_without_end_takes_no_more_room() -> None:
    """Promise: rows, symbols, events and ends of what is gone go too; the footprint returns to where it was."""
    index, largest = Index(), [0, 0]
    for lap in range(2):
        for seq in range(12):
            new = [pattern(((f"{lap}-{seq}-{n}",), ("b", "c"), ("d",))) for n in range(400)]
            index.apply(2 * seq + 1, [change(p) for p in new])
            largest[lap] = max(largest[lap], index.footprint)
            index.apply(2 * seq + 2, [change(dict(p, frequency=0)) for p in new])
        view = index.view()
        assert (0, 0, 0) == (view.N, view.V, view.T)
        assert view.rows <= 2_000 and len(view.symbol_table.texts) <= 2_002
        assert len(view.event_table) <= 2_002 and view.future_table.event.size <= 2_003
    assert largest[1] <= largest[0]


def test_few_long_patterns_go_as_many_short_ones_do() -> None:
    """Promise: the dead are counted by symbols too, so a handful of patterns of thousands of symbols does not stay."""
    index = Index()
    long = [pattern([[f"{n}-{place}" for place in range(5_000)]]) for n in range(4)]
    index.apply(1, [change(p) for p in [*long, pattern((("a",), ("b",)))]])
    before = index.footprint
    index.apply(2, [change(dict(p, frequency=0)) for p in long])
    assert 1 == index.view().rows and ["a", "b"] == index.view().symbol_table.texts
    assert index.footprint * 20 < before


def test_a_memory_verifies_and_keeps_its_name_over_a_rebuild() -> None:
    """Promise: state hash, verification and answers of a memory are those of one that never cleared anything away."""
    found = []
    for when in (ALWAYS, NEVER):
        with clearing(when), Memory.open(":memory:") as memory:
            for n in range(30):
                memory.learn([["a"], [f"b{n}"], ["c", f"d{n % 4}"]], source=f"s{n % 3}")
                if n % 5 == 4:
                    memory.predict([["a"]])
                    memory.forget(source=f"s{n % 3}")
            assert memory.verify().ok
            found.append(
                (memory.state_hash(), memory.predict([["a"], ["c"]]).to_json(), memory.next([["a"]]).to_json())
            )
    assert found[0] == found[1]


def test_counts_of_an_outgrown_memory_let_dead_symbols_go() -> None:
    """Promise: where only counts are kept, the vocabulary is that of what is learned, and figures stay."""
    counts = Counts()
    vector = next(iter(VECTORS))
    stays = pattern((("a",), ("b", vector)), frequency=3)
    counts.apply([change(stays, VECTORS)])
    for n in range(40):
        new = [pattern((("a",), (f"{n}-{each}",))) for each in range(100)]
        counts.apply([change(p) for p in new])
        counts.apply([change(dict(p, frequency=0)) for p in new])
    known = counts.known(1)
    symbols, near = known.shared
    assert (1, 3, 3) == (known.N, known.V, known.T)
    assert len(symbols.texts) <= 2_200
    held = {symbols.texts[n]: (int(known.holders[n]), int(known.occurrences[n])) for n in known.holders.nonzero()[0]}
    assert {"a": (1, 3), "b": (1, 3), vector: (1, 3)} == held
    assert VECTORS[vector] == near.coordinates(vector)
    assert [(symbols.number[vector], 1.0)] == near.vectors(VECTORS[vector], 0.0, len(symbols.texts))
