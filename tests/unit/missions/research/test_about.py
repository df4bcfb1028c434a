"""What a sentence speaks about."""

from __future__ import annotations

import pytest

from kimera.missions.contracts import About
from kimera.missions.research import read_about


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "The mean body mass of gentoo penguins was 5,076 g.",
            About(entity="gentoo penguins", attribute="mean body mass", unit="g", value=5076.0),
        ),
        (
            "In 2021, the population of Lindow reached 4.1 thousand.",
            About(entity="lindow", attribute="population", period="2021", value=4100.0),
        ),
        (
            "Lindow's budget was $2.5 million in 2020.",
            About(entity="lindow", attribute="budget", period="2020", unit="usd", value=2_500_000.0),
        ),
        ("Lindow has 40 employees.", About(entity="lindow", attribute="employees", value=40.0)),
        (
            "Longer flippers go with mass: the correlation between flipper length and mass is 0.87.",
            About(entity="flipper length mass", attribute="correlation", value=0.87),
        ),
        ("Turnout: 61 %.", About(entity=None, attribute="turnout", unit="%", value=61.0)),
    ],
)
def test_entity_attribute_period_unit_and_value_are_read_off(sentence: str, expected: About) -> None:
    """Promise: plain statements of a number give who, what, when, how much and in which unit."""
    assert expected == read_about(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The results are listed in Table 3.",
        "The mean is 805 g in gentoo penguins, 675 g in Adelie penguins and 412 g in chinstrap penguins.",
        "A higher delta-15N goes with nothing else.",
    ],
)
def test_a_value_is_not_guessed(sentence: str) -> None:
    """Promise: labels, lists of several values and names with digits give no value."""
    assert None is read_about(sentence).value


def test_the_heading_and_the_title_name_what_the_sentence_leaves_out() -> None:
    """Promise: without an entity of its own a sentence takes that of its heading, then that of the title."""
    assert "lindow" == read_about("Turnout: 61 %.", "The town of Lindow", "Marland").entity
    assert "marland" == read_about("Turnout: 61 %.", "", "The vote in Marland").entity
