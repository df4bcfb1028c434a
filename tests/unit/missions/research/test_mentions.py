"""Typed mentions."""

from __future__ import annotations

import pytest

from kimera.missions.research.mentions import find_mentions, same_value, strip_dateline


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It opened on 7 February 2021.", [("date", "2021-02-07")]),
        ("It opened on Feb. 7, 2021.", [("date", "2021-02-07")]),
        ("sales in Q1 2021", [("date", "2021-Q1")]),
        ("about $10.4 billion in cash", [("number", "10400000000")]),
        ("seven people", [("number", "7")]),
        ("one of them", []),
        ("we met Niels B. Christiansen there", [("name", "niels b. christiansen")]),
        ("they saw Toy Story 4.", [("name", "toy story 4")]),
        ("by Emma Stone and Ryan Gosling", [("name", "emma stone"), ("name", "ryan gosling")]),
    ],
)
def test_mentions_are_typed_and_normalised(text: str, expected: list[tuple[str, str]]) -> None:
    """Promise: dates, quantities and names are found whole and in one normal form."""
    assert expected == [(m.kind, m.value) for m in find_mentions(text)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("7 February 2021", "February 2021", True),
        ("7 February 2021", "8 February 2021", False),
        ("$10.4 billion", "$10.389 billion", True),
        ("$10.4 billion", "$1.39 billion", False),
        ("120 people", "150 people", False),
        ("about 120 people", "118 people", True),
        ("by Walt Disney Company", "by Disney", True),
        ("by N. Christiansen", "by Niels Christiansen", True),
        ("by Tampa", "by Glendale", False),
    ],
)
def test_values_compare_as_precisely_as_they_are_stated(one: str, other: str, same: bool) -> None:
    """Promise: rounding, missing days and shortened names are no difference; other values are."""
    assert same == same_value(find_mentions(one)[0], find_mentions(other)[0])


def test_a_dateline_is_not_part_of_the_sentence() -> None:
    """Promise: the date a snippet opens with is the text's own date, not what it speaks of."""
    text = "Jul 27, 2022 ... The bridge opened in 1932."
    assert "The bridge opened in 1932." == text[strip_dateline(text) :]
    assert 0 == strip_dateline("July 27, 2022 was a warm day.")
