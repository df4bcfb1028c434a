"""Words, stems and the closed lists the research track reasons with. English; every list is of function words."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

__all__ = ["MONTHS", "NUMBER_WORDS", "STOP", "content_stems", "fold", "lexical_share", "stem", "words"]


def _row(text: str) -> list[str]:
    return text.split()


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP = _set("""
    a about above after again against all also although always am an and any are as at be because been before being
    below between both but by can could did do does doing done down during each either else ever every few for from
    further get give given got had has have having he her here hers him his how however i if in into is it its itself
    just many may me might more most much must my neither no nor not now of off often on once one only or other our out
    over own per please rather said same say says shall she should since so some such tell than that the their theirs
    them then there these they this those though through thus to too under until up upon us very was we were what when
    where whether which while who whom whose why will with within without would yes yet you your
""")

MONTHS = {
    name: index // 3 + 1
    for index, name in enumerate(
        _row("""
            jan january jan. feb february feb. mar march mar. apr april apr. may may may. jun june jun. jul july jul.
            aug august aug. sep september sept oct october oct. nov november nov. dec december dec.
        """)
    )
}

NUMBER_WORDS = {
    **{
        name: float(value)
        for value, name in enumerate(
            _row("""
                zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
                seventeen eighteen nineteen twenty
            """)
        )
    },
    **{name: 10.0 * tens for tens, name in enumerate(_row("thirty forty fifty sixty seventy eighty ninety"), 3)},
    "hundred": 100.0,
    "half": 0.5,
    "dozen": 12.0,
}

_ABBREVIATION = re.compile(r"\b(?:[^\W\d_]\.){2,}")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, accents kept, possessive endings and the points of U.S. removed."""
    plain = _ABBREVIATION.sub(lambda match: match.group().replace(".", ""), text.lower())
    return [re.sub(r"['’]s?$", "", word) for word in _WORD.findall(plain)]


def fold(text: str) -> str:
    """Return ``text`` casefolded, without accents, with single spaces and without outer punctuation."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.casefold().split()).strip(" .,;:'\"’“”()[]")


@cache
def _stemmer() -> object:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the Porter2 stem of one lower-case word."""
    stemmed: str = _stemmer().stemWord(fold(word))  # type: ignore[attr-defined]
    return stemmed


def content_stems(text: str) -> list[str]:
    """Return the stems of the words of ``text`` that carry meaning, in order, duplicates kept."""
    return [stem(word) for word in words(text) if word not in STOP]


def lexical_share(question: str, text: str) -> float:
    """Return the share of the question's content stems that occur in ``text``, 0..1."""
    asked = set(content_stems(question))
    return len(asked & set(content_stems(text))) / len(asked) if asked else 0.0
