"""Proper names in running text, by their capitals alone: no model, no word list of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kimera.knowledge._fts import STOP_WORDS

__all__ = ["Name", "Titles", "Token", "proper_names", "title_name", "tokens_of"]

Name = tuple[str, ...]  # lower-case words

_TOKEN = re.compile(r"[^\W_]+(?:['’.\-&][^\W_]+)*")
_PARENTHESIS = re.compile(r"\s*\([^()]*\)\s*$")
_SENTENCE_END = re.compile(r"[.!?:;\"“”()\n]\s*$")
# Small words that stand inside a name ("Bank of England", "Ludwig van Beethoven"), not between two ("X and Y").
_INNER = frozenset(["of", "the", "de", "da", "di", "du", "del", "la", "le", "van", "von", "der", "den", "y", "e", "al"])
_LONGEST = 8


class Token(NamedTuple):
    """A word as written, where it starts and ends, and its lower-case form without a possessive."""

    text: str
    start: int
    end: int
    key: str


def tokens_of(text: str) -> list[Token]:
    """Return the words of ``text``; hyphens, apostrophes and inner dots hold a word together."""
    return [Token(m.group(), m.start(), m.end(), _key(m.group())) for m in _TOKEN.finditer(text)]


def title_name(title: str) -> Name:
    """Return a title as a name, without a closing parenthesis that only tells namesakes apart."""
    return tuple(token.key for token in tokens_of(_PARENTHESIS.sub("", title)))


def proper_names(text: str, tokens: Sequence[Token]) -> Iterator[tuple[Name, bool]]:
    """Yield each run of capital words as (name, sure); a lone word that opens a sentence may be no name: not sure."""
    run: list[Token] = []
    opening = True
    end = 0
    for token in tokens:
        gap = text[end : token.start]
        capital = token.text[0].isupper() or token.text[0].isdigit()
        if run and not (_joined(run[-1], gap) and (capital or token.key in _INNER)):
            yield from _closed(run, opening)
            run = []
        if run or capital:
            opening = opening if run else end == 0 or _SENTENCE_END.search(gap) is not None
            run.append(token)
        end = token.end
    yield from _closed(run, opening)


class Titles:
    """The titles of a corpus, found again in text; a title of one word must be written with a capital."""

    def __init__(self, names: Iterable[Name]) -> None:
        self._by_word: dict[str, list[Name]] = {}
        for name in sorted(set(names), key=lambda name: (-len(name), name)):
            if 0 < len(name) <= _LONGEST and not (len(name) == 1 and name[0] in STOP_WORDS):
                self._by_word.setdefault(name[0], []).append(name)

    def found_in(self, tokens: Sequence[Token]) -> Iterator[Name]:
        """Yield the longest title at each place where one is mentioned."""
        keys = [token.key for token in tokens]
        for place, key in enumerate(keys):
            for name in self._by_word.get(key, ()):
                if tuple(keys[place : place + len(name)]) == name and (
                    len(name) > 1 or tokens[place].text[0].isupper()
                ):
                    yield name
                    break


def _key(word: str) -> str:
    return word.lower().removesuffix("'s").removesuffix("’s")


def _joined(last: Token, gap: str) -> bool:
    # A dot after one letter is an initial, not the end of a sentence.
    return gap.isspace() or (len(last.text) == 1 and gap.strip() == ".")


def _closed(run: Sequence[Token], opening: bool) -> Iterator[tuple[Name, bool]]:
    keys = [token.key for token in run]
    first, last = 0, len(keys)
    while first < last and (keys[first] in STOP_WORDS or keys[first] in _INNER):
        first, opening = first + 1, False
    while first < last and (keys[last - 1] in STOP_WORDS or keys[last - 1] in _INNER):
        last -= 1
    name = tuple(keys[first:last])
    if 0 < len(name) <= _LONGEST and any(len(key) > 1 and not key.isdigit() for key in name):
        yield name, len(name) > 1 or not opening
