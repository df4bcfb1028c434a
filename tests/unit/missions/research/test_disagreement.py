"""Statements that cannot both hold."""

from __future__ import annotations

from datetime import date

import pytest

from kimera.missions.research.disagreement import Statement, find_disagreements


def values(question: str, *texts: str) -> list[set[str]]:
    """Return the opposed values of each disagreement among texts of different sources."""
    found = find_disagreements(question, [Statement(text, f"source-{n}") for n, text in enumerate(texts)])
    return [{side.value for side in disagreement.sides} for disagreement in found]


@pytest.mark.parametrize(
    ("question", "one", "other", "expected"),
    [
        (
            "Where was the fair of 1904 held?",
            "The great fair of 1904 was held in the gardens of Lindow, Marland.",
            "The great fair of 1904 was held in the gardens of Oster, Friesia.",
            {"Lindow, Marland", "Oster, Friesia"},
        ),
        (
            "When did the bridge open?",
            "The bridge over the Sund was opened for traffic on 3 May 1932.",
            "The bridge over the Sund was opened for traffic on 9 June 1934.",
            {"3 May 1932", "9 June 1934"},
        ),
        (
            "What does the survey say about households?",
            "The survey found that 42 % of households sort their waste.",
            "The survey found that 37 % of households sort their waste.",
            {"42 %", "37 %"},
        ),
    ],
)
def test_the_same_words_with_another_value_disagree(question: str, one: str, other: str, expected: set[str]) -> None:
    """Promise: two sources that use one frame with two places, dates or numbers are set against each other."""
    assert [expected] == values(question, one, other)


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        (
            "How many people live in Marland?",
            "In 2019 the town of Lindow had a population of 4,100 people.",
            "In 2021 the town of Lindow had a population of 4,300 people.",
        ),
        (
            "How many people live in the town?",
            "The town of Lindow in the north has a population of 4,100 people.",
            "The town of Oster in the north has a population of 4,300 people.",
        ),
        (
            "How long is the pier?",
            "The old pier of the harbour measures 120 metres end to end.",
            "The old pier of the harbour measures 394 feet end to end.",
        ),
        (
            "What was the revenue?",
            "Revenue of the whole group reached $10.4 billion that spring.",
            "Revenue of the whole group reached $10.39 billion that spring.",
        ),
        (
            "Which results are shown?",
            "The results of the second trial are listed in Table 3 below.",
            "The results of the second trial are listed in Table 4 below.",
        ),
    ],
)
def test_other_periods_subjects_units_labels_and_roundings_are_no_conflict(question: str, one: str, other: str) -> None:
    """Promise: statements about different periods, subjects or units, labels and roundings are not set in conflict."""
    assert [] == values(question, one, other)


def test_a_newer_vintage_supersedes() -> None:
    """Promise: within one series of vintages the disagreement is temporal and the newest side is current."""
    text = "The harbour of Elmsund employs {} people on two piers."
    old, new = (
        Statement(text.format(n), f"report-{year}", dated=date(year, 1, 1), series="report")
        for n, year in ((120, 2019), (150, 2023))
    )
    (found,) = find_disagreements("How many people work there?", [new, old])
    assert ("temporal", "150") == (found.kind, found.sides[found.current or 0].value)


def test_the_order_of_statements_does_not_change_what_is_found() -> None:
    """Promise: the same statements in another order give the same opposed values."""
    texts = [
        "The cup was won by Ann Berg of Lindow in the final.",
        "The cup was won by Eva Dahl of Lindow in the final.",
    ]
    assert values("Who won the cup?", *texts) == values("Who won the cup?", *reversed(texts))


def test_a_quantity_in_other_words_is_set_against_another_number() -> None:
    """Promise: the same share of the same group, worded differently, is compared by its number."""
    assert [{"42 %", "37 %"}] == values(
        "What does the survey say about waste?",
        "The survey found that 42 % of households sort their waste.",
        "According to the report, 37 % of households sort waste.",
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Coffee raises the blood pressure of adults.", "Coffee does not raise the blood pressure of adults."),
        ("The fee for berths will increase next winter.", "The fee for berths will decrease next winter."),
    ],
)
def test_a_denial_and_an_opposite_disagree(one: str, other: str) -> None:
    """Promise: a sentence and its negation, or its opposite, are set against each other."""
    assert [{one, other}] == values("What is known?", one, other)


def test_a_denied_opposite_is_no_conflict() -> None:
    """Promise: "will increase" and "will not decrease" can both hold."""
    one, other = "The fee for berths will increase next winter.", "The fee for berths will not decrease next winter."
    assert [] == values("What is known?", one, other)


@pytest.mark.parametrize(
    ("titles", "expected"),
    [(("North Station", "South Harbour"), []), (("Rainfall report 2019", "Press summary"), [{"512", "611"}])],
)
def test_the_same_words_under_other_titles_speak_of_other_things(
    titles: tuple[str, str], expected: list[set[str]]
) -> None:
    """Promise: one sentence in the papers of two stations is no conflict; a kind of text is no subject."""
    texts = ("The annual rainfall of the station was 512 mm.", "The annual rainfall of the station was 611 mm.")
    pair = [Statement(t, t, title=title) for t, title in zip(texts, titles, strict=True)]
    found = find_disagreements("How much rain fell?", pair)
    assert expected == [{side.value for side in disagreement.sides} for disagreement in found]
