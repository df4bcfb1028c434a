"""The answer format: names, descriptions, rounding, options."""

from __future__ import annotations

from kimera.missions.analysis.question.slots import decimals_of, read_format


def test_slots_get_the_description_and_rounding_of_their_own_placeholder() -> None:
    """Promise: each placeholder's sentence belongs to its slot and to no other."""
    asked = read_format(
        'Do it.\n@r[a], @p[b], where "a" is a number rounded to two decimals. where "b" is rounded to four decimals.'
    )
    assert [("r", (2,)), ("p", (4,))] == [(slot.name, slot.decimals) for slot in asked.slots]
    assert "Do it.\n" == asked.body


def test_a_shared_sentence_belongs_to_all_it_names() -> None:
    """Promise: ``"a" and "b" are rounded to ...`` rounds both."""
    asked = read_format('@x[a] @y[b] where "a" and "b" are numbers rounded to three decimals.')
    assert [(3,), (3,)] == [slot.decimals for slot in asked.slots]


def test_options_are_read_without_the_placeholders() -> None:
    """Promise: quoted words after a choice are the options."""
    asked = read_format('@kind[label] where "label" is a string that can be either "up", "down", or "flat".')
    assert ("up", "down", "flat") == asked.slots[0].options


def test_decimals_are_read_from_words_and_digits() -> None:
    """Promise: spelled and written numbers of decimals are the same, whole numbers have none."""
    assert [2, 3, 0, None] == [
        decimals_of(t) for t in ("two decimal places", "3 decimals", "rounded to the nearest integer", "as it is")
    ]
