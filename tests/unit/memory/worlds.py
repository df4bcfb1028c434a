"""Memories, queries and options for the memory's tests: drawn by hypothesis, or written as short strings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st
from tests.unit.memory import oracle

from kimera.memory.contracts import MemoryTuning, PatternChange, RecallOptions
from kimera.memory.index import Index
from kimera.memory.recall.ensemble import RANKS

Events = tuple[tuple[str, ...], ...]
SWITCHES = [name for name in MemoryTuning.__dataclass_fields__ if name not in {"threads", "cache_dir"}]
PLAIN = dict.fromkeys(SWITCHES, False)


def events(text: str) -> Events:
    """Read ``a (ab) c``: events apart by spaces, several one-letter symbols of one event in brackets."""
    return tuple(tuple(word[1:-1]) if word.startswith("(") else (word,) for word in text.split())


def pattern(
    content: Iterable[Iterable[str]], frequency: int = 1, outcomes: int = 0, utility: float = 0.0
) -> dict[str, Any]:
    """Return a pattern as the oracle takes it."""
    listed = tuple(map(tuple, content))
    return {"events": listed, "frequency": frequency, "outcomes": outcomes, "utility": utility}


def change(p: dict[str, Any], vectors: dict[str, Any] | None = None) -> PatternChange:
    """Return the same pattern as the index takes it."""
    held = {s: v for s, v in (vectors or {}).items() if any(s in event for event in p["events"])}
    return PatternChange(oracle.pattern_id(p["events"]), p["events"], p["frequency"], p["outcomes"], p["utility"], held)


def index_of(
    patterns: Sequence[dict[str, Any]], tuning: MemoryTuning | None = None, vectors: dict[str, Any] | None = None
) -> Index:
    """Return an index that holds the patterns."""
    index = Index(tuning)
    index.apply(1, [change(p, vectors) for p in patterns])
    return index


def shown(answer: Any) -> dict[str, Any]:
    """Return what oracle and product have in common of an answer."""
    data = answer.to_dict()
    for prediction in data["predictions"]:
        for name in ("name", "emotives", "metadata", "cost", "label", "type"):
            del prediction[name]
    return {name: data[name] for name in ("predictions", "future_potentials", "statistics")}


VECTORS: dict[str, tuple[float, ...]] = {
    "VCTR|v1:" + f"{i:064x}": v
    for i, v in enumerate([(1.0, 0.0), (0.9, 0.1), (0.8, 0.3), (0.0, 1.0), (-1.0, 0.2), (0.0, 0.0), (2.0, 0.2)])
}
SMALL = ["a", "b", "c"]
WORDS = ["apple", "apples", "aple", "banana", "bannana", "bandana", "cherry", "cheery", "date", "dates", "é", "ä😀b"]


def memories(vocabulary: Sequence[str], most: int = 12) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw distinct patterns over a vocabulary."""
    event = st.lists(st.sampled_from(vocabulary), min_size=1, max_size=4).map(tuple)
    content = st.lists(event, min_size=1, max_size=5).map(tuple).filter(lambda e: sum(map(len, e)) > 1)
    one = st.builds(
        lambda e, f, n, u: pattern(e, f, n, u * n),
        content,
        st.integers(1, 5),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    )
    return st.lists(one, max_size=most, unique_by=lambda p: p["events"])


def memory_and_query(vocabulary: Sequence[str]) -> st.SearchStrategy[tuple[list[dict[str, Any]], Events]]:
    """Draw patterns and a short-term memory over the same vocabulary and some unknown symbols."""
    seen = st.lists(st.sampled_from([*vocabulary, "unknown"]), min_size=1, max_size=4).map(tuple)
    return st.tuples(memories(vocabulary), st.lists(seen, max_size=6).map(tuple))


def all_options() -> st.SearchStrategy[RecallOptions]:
    """Draw recall options over their whole range."""
    return st.builds(
        RecallOptions,
        recall_threshold=st.sampled_from([0.0, 0.1, 0.4, 0.5, 2 / 3, 1.0]),
        max_predictions=st.sampled_from([1, 2, 100]),
        anchor=st.sampled_from(["anywhere", "anywhere", "start"]),
        matching=st.sampled_from(["tokens", "tokens", "tokens", "characters"]),
        fuzzy_token_threshold=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
        vector_max_distance=st.sampled_from([0.0, 0.1, 0.5, 2.0]),
        affinity_emotive=st.sampled_from([None, None, "joy"]),
        rank_by=st.sampled_from(sorted(RANKS)),
    )
