"""Columns and values as people write them."""

from __future__ import annotations

import pytest

from kimera.missions.analysis.naming import in_words, rows_in_words, say_exact, say_p, say_rounded
from kimera.missions.analysis.plan import Condition


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("body_mass_g", "body mass"),
        ("Mean body mass (g)", "mean body mass"),
        ("Unit Price (EUR)", "unit price"),
        ("Order ID", "order ID"),
        ("GDP per head", "GDP per head"),
        ("delta_15n", "delta_15n"),
        ("_", "_"),
    ],
)
def test_a_header_is_said_in_words_without_its_unit(name: str, words: str) -> None:
    """Promise: underscores and units leave the name, abbreviations and numbers in it stay."""
    assert words == in_words(name)


@pytest.mark.parametrize(
    ("value", "said"),
    [(5076.016, "5,076 g"), (217.187, "217.2 g"), (0.20274, "0.2027 g"), (1234567.8, "1,234,568 g"), (0.0, "0 g")],
)
def test_computed_values_have_four_digits_and_their_unit(value: float, said: str) -> None:
    """Promise: digits beyond the fourth are dropped after the point, never before it."""
    assert said == say_rounded(value, "g")


def test_values_of_the_data_are_said_whole() -> None:
    """Promise: a value that stands in the data is not rounded to four digits."""
    values = ((12345.67, "kg"), (4050.0, None), (True, None), ("Oak", None))
    assert ["12,345.67 kg", "4,050", "yes", "Oak"] == [say_exact(value, unit) for value, unit in values]


def test_a_p_value_is_never_zero() -> None:
    """Promise: a tiny p-value is said as a bound."""
    assert ["p < 0.001", "adjusted p = 0.049"] == [say_p(0.0), say_p(0.049, "adjusted p")]


def test_rows_are_said_in_words() -> None:
    """Promise: conditions name the column in words, compare with the unit, and never separate the digits of a year."""
    where = (
        Condition(column="kind", op="=", value="Oak"),
        Condition(column="trunk_mass_kg", op=">", value=4000),
        Condition(column="year", op="=", value=2008),
    )
    assert "kind Oak, trunk mass above 4,000 kg and year 2008" == rows_in_words(where, {"trunk_mass_kg": "kg"})
