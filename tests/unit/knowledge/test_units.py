"""Units in column names."""

from __future__ import annotations

import pytest

from kimera.knowledge.units import split_unit


@pytest.mark.parametrize(
    ("words", "unit", "name"),
    [
        ("body_mass", "g", "body_mass_g"),
        ("Mean body mass", "g", "Mean body mass (g)"),
        ("Price", "EUR", "Price [EUR]"),
        ("flipper length", "mm", "flipper length mm"),
        ("share", "%", "share_pct"),
        ("Temperature", "°C", "Temperature (C)"),
        ("height", "m", "height (m)"),
        ("vitamin_c", None, "vitamin_c"),
        ("plan_m", None, "plan_m"),
        ("Name (short)", None, "Name (short)"),
        ("g", None, "g"),
        ("hazard_k", None, "hazard_k"),
    ],
)
def test_a_unit_is_read_off_a_name_only_when_it_is_one(words: str, unit: str | None, name: str) -> None:
    """Promise: units in brackets or after the last word are found; letters that may mean anything are left alone."""
    assert (words, unit) == split_unit(name)
