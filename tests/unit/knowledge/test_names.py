"""Proper names found by their capitals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.knowledge._names import Titles, proper_names, title_name, tokens_of


def found(text: str) -> list[str]:
    """Return the names of a text, in order, as lower-case strings."""
    return [" ".join(name) for name, _ in proper_names(text, tokens_of(text))]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("They met Ludwig van Beethoven in Bonn.", ["ludwig van beethoven", "bonn"]),
        ("The Bank of England and Christopher Wren agreed.", ["bank of england", "christopher wren"]),
        ("In J. R. Hartley's house", ["j r hartley"]),
        ("It opened the 2014 World Cup, in Rio.", ["2014 world cup", "rio"]),
        ("Nothing here has a name", ["nothing"]),
        ("12 345 6", []),
        ("", []),
    ],
)
def test_names_are_runs_of_capital_words(text: str, names: list[str]) -> None:
    """Promise: small words join inside a name, `and` does not, initials and possessives are understood."""
    assert names == found(text)


def test_a_lone_word_that_opens_a_sentence_is_not_sure() -> None:
    """Promise: a capital that only a full stop explains is marked, so that the corpus can decide."""
    text = "Bridges carry roads. They cross the Vistula."
    assert [(("bridges",), False), (("vistula",), True)] == list(proper_names(text, tokens_of(text)))


def test_a_title_loses_what_tells_namesakes_apart() -> None:
    """Promise: a closing parenthesis is not part of the name, and the longest title wins in text."""
    titles = Titles([title_name("Lilu (mythology)"), title_name("Kiss and Tell (1945 film)"), title_name("Tell")])
    tokens = tokens_of("He saw kiss and tell with Lilu; tell me, Tell.")
    assert [("kiss", "and", "tell"), ("lilu",), ("tell",)] == list(titles.found_in(tokens))


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    """Promise: no text is an error, and no name has more words than the text."""
    assert all(len(name.split()) <= len(tokens_of(text)) for name in found(text))
