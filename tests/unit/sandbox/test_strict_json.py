"""JSON written by hostile code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.sandbox.strict_json import parse

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_plain_values_pass_unchanged(value: object) -> None:
    """Promise: what an honest job returns is read back as it was."""
    assert value == parse(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NaN", "finite"),
        ("[Infinity]", "finite"),
        ("-1e999", "finite"),
        ("9" * 401, "digits"),
        ("9" * 5000, "digits"),
        ('{"a": 1, "a": 2}', "same key"),
        ("[" * 33 + "]" * 33, "deeper"),
        ("[" * 200_000, "deeper"),
        ("[" + "0," * 1_000_000 + "0]", "items"),
        ("{", "Expecting"),
    ],
)
def test_what_could_hurt_a_reader_is_refused(text: str, said: str) -> None:
    """Promise: bombs, ambiguity and numbers that are none end in one sentence, never in a crash."""
    with pytest.raises(ValueError, match=said):
        parse(text)
