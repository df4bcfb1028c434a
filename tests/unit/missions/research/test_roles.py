"""Answers in other words."""

from __future__ import annotations

import pytest
from tests.unit.missions.research.test_disagreement import values

from kimera.missions.research.disagreement.roles import anchored, asserted
from kimera.missions.research.question import read_question


@pytest.mark.parametrize(
    ("question", "text", "expected"),
    [
        ("Who won the Lindow Cup in 2019?", "Ann Berg beat Eva Dahl to win the 2019 Lindow Cup.", ["Ann Berg"]),
        ("Who won the Lindow Cup in 2019?", "The 2019 Lindow Cup was won by Friesia's Ann Berg.", ["Ann Berg"]),
        ("Who directed Night Ferry?", "Night Ferry is a drama directed and written by Ann Berg.", ["Ann Berg"]),
        ("Who is the CEO of Hafnia?", "Ann Berg, CEO of the Hafnia Group, spoke on Monday.", ["Ann Berg"]),
        ("Who is the CEO of Hafnia?", "Ann Berg, CEO of the Hafnia Foundation, spoke on Monday.", []),
        ("Who is the CEO of Hafnia?", "Ann Berg, the former CEO of Hafnia, spoke on Monday.", []),
        ("When was Night Ferry released?", "Night Ferry was released on 3 May 1994 in Lindow.", ["3 May 1994"]),
        ("Where is the fair held?", "The fair is held every May in Lindow, Marland.", ["Lindow, Marland"]),
    ],
)
def test_plain_answers_are_read_off_the_wording(question: str, text: str, expected: list[str]) -> None:
    """Promise: who acts, is named, or stands in apposition is the answer; losers, owners and predecessors are not."""
    assert expected == [m.text for m in asserted(read_question(question), text).answers]


@pytest.mark.parametrize(
    ("text", "year", "expected"),
    [
        ("Ann Berg won the 2019 Lindow Cup.", None, True),
        ("Ann Berg won the 2018 Lindow Cup.", None, False),
        ("Ann Berg won the Lindow Cup.", 2019, True),
        ("Ann Berg won the Lindow Cup.", None, False),
        ("Ann Berg won the Oster Shield in 2019.", None, False),
    ],
)
def test_a_sentence_counts_only_for_the_subject_and_year_asked_for(text: str, year: int | None, expected: bool) -> None:
    """Promise: sentences of another year, of no known year, or of another subject take no part."""
    assert expected == anchored(read_question("Who won the Lindow Cup in 2019?"), text, year)


def test_different_answers_in_different_words_are_opposed() -> None:
    """Promise: two sources that answer plainly and differently are in conflict even if they share no frame."""
    assert [{"Ann Berg", "Eva Dahl"}] == values(
        "Who directed Night Ferry?",
        "Night Ferry is a drama of 1994 directed by Ann Berg.",
        "Eva Dahl, who directed the film Night Ferry, lives in Lindow.",
    )


@pytest.mark.parametrize(
    ("question", "one", "other"),
    [
        (
            "When was Night Ferry released?",
            "Night Ferry was released on 3 May 1994.",
            "Night Ferry 2 was released on 9 June 1997.",
        ),
        (
            "Who acquired Hafnia Foods?",
            "Hafnia Foods was acquired by Berg Holding in 1981.",
            "Dahl Capital acquired Hafnia Foods in 2019.",
        ),
        (
            "Who directed Night Ferry?",
            "Night Ferry was directed by Ann Berg.",
            "Ann Berg and not Eva Dahl directed Night Ferry.",
        ),
    ],
)
def test_sequels_other_years_and_shared_answers_are_no_conflict(question: str, one: str, other: str) -> None:
    """Promise: sequels, events of different years and sentences that name the other's answer are not opposed."""
    assert [] == values(question, one, other)
