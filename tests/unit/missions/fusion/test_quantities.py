"""Quantities: numbers as people write them, one unit per dimension, compared as precisely as they were stated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.missions.fusion.quantities import agree, canonical, find_quantities


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ([(4200.0, "g")], "The mean is 4,200 g."),
        ([(4200.0, "g")], "about 4.2 kg in 2008"),
        ([(0.45, "share"), (344.0, "")], "45% of 344 penguins"),
        ([(0.025, "share")], "a rate of 2.5 percent"),
        ([(3.5e6, "usd"), (12e9, "eur")], "$3.5 million and €12bn"),
        ([(293.15, "K")], "a mean of 20 °C"),
        ([(4e9, "m2")], "an area of 4 000 km2"),
        ([(-3.1, "")], "fell by −3.1 points"),
        ([(5.0, "m")], "a wall of 5 m"),
        ([], "In 2008 and 1999, the 3rd edition of COVID-19, version 1.2.3, and PM2.5"),
    ],
)
def test_numbers_are_read_with_their_units(expected: list[tuple[float, str]], text: str) -> None:
    """Promise: thousands, decimals, scales, currencies, percent and units are read; years and names are not."""
    found = [(quantity.value, quantity.unit) for quantity in find_quantities(text)]
    assert [pytest.approx(value) for value, _ in expected] == [value for value, _ in found]
    assert [unit for _, unit in expected] == [unit for _, unit in found]


@pytest.mark.parametrize(
    ("expected", "text", "value", "unit"),
    [
        (True, "4,200 g", 4201.75, "g"),
        (True, "4.2 kg", 4201.75, "g"),
        (True, "4,202 g", 4201.754, "g"),
        (False, "4,500 g", 4201.75, "g"),
        (False, "4,201 g", 4201.75, "g"),
        (False, "4,000 g", 4201.75, "g"),
        (True, "about 4,300 g", 4201.75, "g"),
        (True, "45%", 0.4512, None),
        (True, "45%", 45.12, "%"),
        (None, "45%", 30.0, None),
        (None, "4.2 km", 4201.75, "g"),
        (None, "4,500", 4201.75, "g"),
        (True, "9.3 lb", 4201.75, "g"),
        (True, "68 °F", 20.0, "°C"),
    ],
)
def test_a_computed_value_agrees_when_it_rounds_to_what_was_stated(
    expected: bool | None, text: str, value: float, unit: str | None
) -> None:
    """Promise: tolerance is the stated precision; where units cannot be compared there is no verdict."""
    (quantity,) = find_quantities(f"It is {text}.")
    assert expected == agree(quantity, value, unit)


def test_bounds_are_marked() -> None:
    """Promise: "more than" and "between" are not statements of a value."""
    assert [True] == [q.bound for q in find_quantities("more than 4,000 g")]
    assert [True, True] == [q.bound for q in find_quantities("between 3 and 5 km")]
    assert [False] == [q.bound for q in find_quantities("it weighs 4,000 g")]


@given(st.floats(0.01, 1e6), st.integers(0, 4), st.sampled_from(["g", "kg", "mm", "km", "%", "kWh", "ml", "days"]))
def test_every_rounding_of_a_value_agrees_with_it(value: float, decimals: int, unit: str) -> None:
    """Promise: a value written with any number of decimals, in any known unit, agrees with itself."""
    written = f"{value:,.{decimals}f}"
    quantities = find_quantities(f"x {written} {unit}")
    assert all(agree(quantity, value, unit) for quantity in quantities)


@given(
    st.floats(-1e6, 1e6),
    st.sampled_from([("g", "kg", 1000), ("mm", "cm", 10), ("Wh", "MWh", 1e6), ("s", "hours", 3600)]),
)
def test_units_of_a_dimension_meet(value: float, pair: tuple[str, str, float]) -> None:
    """Promise: a value in the small unit and the same in the large one are one canonical value."""
    small, large, factor = pair
    assert canonical(value, large)[1] == canonical(value, small)[1]
    assert pytest.approx(canonical(value * factor, small)[0]) == canonical(value, large)[0]
