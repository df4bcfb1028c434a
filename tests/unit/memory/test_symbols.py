"""Symbols and names: the vectors of the design, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.errors import ValidationError
from kimera.memory.symbols import (
    clean_emotives,
    clean_event,
    clean_metadata,
    clean_symbol,
    clean_vector,
    pattern_id,
    pattern_name,
    vector_symbol,
)

ABCD = (("a",), ("b",), ("c",), ("d",))
QUOTES = (("don't",), ('say "hi"',))
UNIT = "VCTR|v1:959bc28f636d0da61d6338510ea133af1b9c69af5c9cc29b84cf68edaf1aa844"


def test_patterns_have_the_ids_and_names_of_the_design() -> None:
    """Promise: identity and older name of a pattern are what the design's table says."""
    assert "p1:07766ceeed73e6dc48dfbdf309331f6fc97a2191615a49f4e34a855f423c7da8" == pattern_id(ABCD)
    assert "08765292ef1217264602ed4b06d2cddbe94fba09" == pattern_name(ABCD)
    assert "p1:60db5627dea9435bd518c51b7896b675a2716e0b4a4cb30c67c245071247c67d" == pattern_id(QUOTES)
    assert "cf9705973de707a3a0e0ef579dc7563d0c246196" == pattern_name(QUOTES)


@pytest.mark.parametrize("vector", [[1.0, 0.0], [1, -0.0]])
def test_vectors_have_the_symbol_of_the_design(vector: list[float]) -> None:
    """Promise: a vector's symbol is what the design's table says, and minus zero is zero."""
    assert UNIT == vector_symbol(clean_vector(vector))


@given(st.lists(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=4))
def test_different_patterns_have_different_ids(events: list[list[str]]) -> None:
    """Promise: where one symbol ends and the next begins is part of the identity."""
    pattern = tuple(tuple(event) for event in events)
    flat = (tuple(symbol for event in pattern for symbol in event),)
    joined = (("".join(flat[0]),),)
    same = [other for other in (flat, joined) if other != pattern and _storable(other)]
    assert all(pattern_id(other) != pattern_id(pattern) for other in same if _storable(pattern))


def _storable(events: tuple[tuple[str, ...], ...]) -> bool:
    return not any("\ud800" <= c <= "\udfff" for event in events for symbol in event for c in symbol)


def test_an_event_is_vectors_first_then_strings_each_by_code_point() -> None:
    """Promise: events are ordered by code point, not by locale, and duplicates stay."""
    vectors: dict[str, tuple[float, ...]] = {}
    event = clean_event(["b", "a", "Z", "a", [1.0, 0.0], "é"], vectors=vectors)
    assert (UNIT, "Z", "a", "a", "b", "é") == event
    assert {UNIT: (1.0, 0.0)} == vectors
    assert (UNIT, "b", "a") == clean_event(["b", [1.0, 0.0], "a"], vectors={}, sort=False)


@pytest.mark.parametrize("symbol", ["'", '"', "\\", "%s", "a\nb", "'; DROP TABLE memory_log; --", "x" * 4_096, " a "])
def test_any_text_is_a_symbol(symbol: str) -> None:
    """Promise: quotes, backslashes, percent signs, newlines and SQL are ordinary symbols, kept as they are."""
    assert symbol == clean_symbol(symbol)


@pytest.mark.parametrize(
    ("symbol", "code"),
    [
        ("", "SYMBOL_INVALID"),
        ("a\0b", "SYMBOL_INVALID"),
        ("\ud800", "SYMBOL_INVALID"),
        ("x" * 4_097, "SYMBOL_INVALID"),
        ("é" * 2_049, "SYMBOL_INVALID"),
        ("VCTR|", "SYMBOL_RESERVED"),
        (UNIT[:-1], "SYMBOL_RESERVED"),
        (UNIT + "\n", "SYMBOL_RESERVED"),
        (3, "BODY_INVALID"),
    ],
)
def test_what_is_no_symbol_is_refused(symbol: object, code: str) -> None:
    """Promise: each kind of bad symbol has its code."""
    with pytest.raises(ValidationError) as refused:
        clean_symbol(symbol)
    assert code == refused.value.code


@pytest.mark.parametrize("vector", [[], [float("nan")], [float("inf")], [True], ["1"], [10**400]])
def test_what_is_no_vector_is_refused(vector: list[object]) -> None:
    """Promise: vectors are non-empty and finite, and booleans are no numbers."""
    with pytest.raises(ValidationError) as refused:
        clean_vector(vector)
    assert "VECTOR_INVALID" == refused.value.code


@pytest.mark.parametrize("emotives", [{"joy": True}, {"joy": float("nan")}, {"joy": "1"}, {"joy": None}, [1], {3: 1.0}])
def test_what_is_no_emotive_is_refused(emotives: object) -> None:
    """Promise: an emotive is a finite number under a name."""
    with pytest.raises(ValidationError) as refused:
        clean_emotives(emotives)
    assert "EMOTIVES_INVALID" == refused.value.code


@pytest.mark.parametrize(
    "metadata", [{"a": {1, 2}}, {"a": float("nan")}, {3: 1}, {"a": {3: 1}}, {"a": "\ud800"}, {"a": "x" * 70_000}, [1]]
)
def test_what_is_no_metadata_is_refused(metadata: object) -> None:
    """Promise: metadata is JSON of at most 64 KiB with text keys."""
    with pytest.raises(ValidationError) as refused:
        clean_metadata(metadata)
    assert "METADATA_INVALID" == refused.value.code


def test_metadata_keeps_its_types() -> None:
    """Promise: 3 stays 3, 3.0 stays 3.0, true stays true."""
    kept = clean_metadata({"a": 3, "b": 3.0, "c": True, "d": None})
    assert [3, 3.0, True, None] == list(kept.values())
    assert [int, float, bool, type(None)] == [type(value) for value in kept.values()]
