"""When two values are the same, and which numbers a sentence names."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kimera.missions.verify._compare import agrees, around, at_path, first_difference, numbers_in, same_value, values_in

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    """Promise: comparison is reflexive, ordered or not."""
    assert same_value(value, value)
    assert same_value(value, value, unordered=True)


@given(VALUES, VALUES)
def test_comparison_does_not_depend_on_the_side(one: Any, other: Any) -> None:
    """Promise: comparison is symmetric."""
    assert same_value(one, other) == same_value(other, one)


@given(st.lists(st.integers() | st.text()), st.randoms())
def test_order_counts_only_where_it_should(items: list[Any], random: Any) -> None:
    """Promise: a shuffled list is the same set, and another list unless the shuffle changed nothing."""
    shuffled = items.copy()
    random.shuffle(shuffled)
    assert same_value(items, shuffled, unordered=True)
    assert same_value(items, shuffled) == (items == shuffled)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ("1", 1, False), (None, 0, False),
        (2**60, 2**60 + 1, False),
        (1.0, 1.0 + 1e-10, True), (1.0, 1.0 + 1e-8, False), (0.0, 1e-12, False), (0.0, -0.0, True), ([], {}, False),
        ({"a": 1}, {"a": 1, "b": None}, False), ("a", "a ", False),
    ],
)  # fmt: skip
def test_types_count_and_floats_have_a_margin(old: Any, new: Any, same: bool) -> None:
    """Promise: exact for whole numbers, text and booleans, one part in a billion for reals."""
    assert same is same_value(old, new)


def test_the_place_of_a_difference_is_named() -> None:
    """Promise: the first difference comes with its path and both values."""
    assert (("a", 1, "b"), 2, 3) == first_difference({"a": [0, {"b": 2}]}, {"a": [0, {"b": 3}]})


@given(NUMBERS, st.integers(1, 6))
def test_any_honest_rounding_is_accepted(value: float, decimals: int) -> None:
    """Promise: a value rounded to the decimals it states agrees with what it was rounded from."""
    stated = round(value, decimals)
    assume("e" not in repr(stated) and abs(value) >= 10.0**-decimals)
    assert agrees(stated, value)


@given(NUMBERS, st.integers(1, 4))
def test_one_more_in_the_last_digit_is_not(value: float, decimals: int) -> None:
    """Promise: a value off by one and a half of its last digit never agrees, where that is more than float noise."""
    step = 10.0**-decimals
    stated = round(round(value, decimals) + 1.5 * step, decimals)
    assume(1e-9 * abs(value) < step)  # below, the relative tolerance of verification decides
    assume(abs(value) < 1e6 and math.isclose(abs(stated - value), abs(stated - value), rel_tol=0))
    assume(abs(stated - value) > 0.51 * 10.0 ** -len(repr(stated).partition(".")[2]))
    assert not agrees(stated, value)


@pytest.mark.parametrize(
    ("stated", "found", "yes"),
    [
        (45.2, 45.18, True), (45.2, 45.26, False), (45, 45.2, False), (45, 45.0, True), (45.0, 45.04, True),
        (0.0, 0.04, False), (True, 1, False), (1, True, False), ("a", "a", True),
        ("45.2", 45.2, False), (1e-9, 1.04e-9, True),
        (0.5, None, False), (0.5, [0.5], False),
    ],
)  # fmt: skip
def test_stated_values(stated: Any, found: Any, yes: bool) -> None:
    """Promise: rounding helps reals only, and never turns something into nothing."""
    assert yes is agrees(stated, found)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Mass is 4,201.75 g (n = 342).", [4201.75, 342]),
        ("from 2010-2015, p < 0.001", [2010, 2015, 0.001]),
        ("−3.5 and -2 and 1e-5", [-3.5, -2, 1e-5]),
        ("col_2 of v1.2.3 in Q3", []),
        ("12,34 of 1,000,000", [12, 34, 1_000_000]),
        ("50% of 3kg", [50, 3]),
        ("", []),
    ],
)
def test_the_numbers_of_a_sentence(text: str, values: list[float]) -> None:
    """Promise: thousands, minus signs and exponents are read; digits inside names are not numbers."""
    assert values == [number.value for number in numbers_in(text)]


def test_paths_lead_to_values_or_nowhere() -> None:
    """Promise: a path that does not exist is a KeyError, whatever it meets."""
    assert 2 == at_path({"a": [1, 2]}, ("a", 1))
    for path in (("b",), ("a", 2), ("a", "x"), ("a", 0, 0)):
        with pytest.raises(KeyError):
            at_path({"a": [1, 2]}, path)


def test_every_number_of_a_result_can_be_named() -> None:
    """Promise: numbers are found in values, texts and keys."""
    assert [7.0, 1.0, 2.5] == list(values_in({"group 7": [1, "x is 2.5"]}))


def test_a_sentence_may_name_what_stands_around_its_value() -> None:
    """Promise: neighbours, the row of a list and sections under the same name belong to a value, other tables not."""
    result = {
        "answers": {"mean": 41.5, "max": 77.0}, "n": {"mean": 12, "max": 13}, "rows": 99, "keys": [1, 2, 3],
        "other": {"deep": {"far": 555.0}},
    }  # fmt: skip
    assert {41.5, 77.0, 12.0, 99.0, 3.0} == set(around(result, ("answers", "mean")))
    rows = {"found": [{"r": 0.5, "groups": [{"n": 4}]}, {"r": 0.6}]}
    assert {0.5, 4.0, 2.0, 1.0} == set(around(rows, ("found", 0, "r")))
