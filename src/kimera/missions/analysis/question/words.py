"""Words, stems, sentences and numbers of a question."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["NUMBER", "STOP", "Word", "number_of", "sentences", "split_name", "stem", "words"]

NUMBER = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|\d)(?:[eE][-+]?\d+)?"
_WORD = re.compile(r"[A-Za-z]+(?:['’][a-z]+)?|\d+(?:\.\d+)?(?:st|nd|rd|th)?\b|\d+(?:\.\d+)?|#|%")
_CARDINALS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ORDINALS = ["zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]

STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "both",
        "by",
        "can",
        "column",
        "columns",
        "compared",
        "data",
        "dataset",
        "did",
        "do",
        "does",
        "each",
        "feature",
        "field",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "level",
        "more",
        "most",
        "number",
        "of",
        "on",
        "or",
        "over",
        "per",
        "received",
        "recorded",
        "should",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "total",
        "used",
        "using",
        "value",
        "values",
        "variable",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "who",
        "whose",
        "will",
        "with",
        "within",
        "you",
        "your",
        "all",
        "any",
        "given",
        "specific",
    ]
)


@dataclass(frozen=True)
class Word:
    """A word of the text with its stem and its place, ``text[start:end]``."""

    text: str
    stem: str
    start: int
    end: int


@lru_cache(maxsize=1)
def _stemmer():  # type: ignore[no-untyped-def]
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Return the lower-case English stem of a word; numbers stay as they are."""
    lower = word.lower().replace("’", "'")
    return str(_stemmer().stemWord(lower.removesuffix("'s"))) if lower[:1].isalpha() else lower


def words(text: str) -> list[Word]:
    """Return the words and numbers of ``text`` in order."""
    return [Word(m[0], stem(m[0]), m.start(), m.end()) for m in _WORD.finditer(text)]


def split_name(name: str) -> list[str]:
    """Return the lower-case parts of a column or slot name: snake, camel, digits and punctuation part words."""
    spaced = re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", name
    )
    return [part.lower() for part in re.findall(r"[^\W_]+|#|%", spaced)]


def number_of(word: str) -> float | None:
    """Return the number a word stands for: digits, ``three``, ``third``, ``3rd``; None if it is no number."""
    lower = word.lower().replace(",", "")
    for names in (_CARDINALS, _ORDINALS):
        if lower in names:
            return float(names.index(lower))
    match = re.fullmatch(r"([-+]?\d*\.?\d+(?:e[-+]?\d+)?)(st|nd|rd|th)?", lower)
    return float(match[1]) if match else None


_BREAK = re.compile(r"\n+|(?<=[.?!;])[\"'”]?\s+(?=[\"'“(@A-Z0-9])|(?<=[.;])\s+(?=where\b)|\s(?=\d\.\s+[A-Z])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|vs|etc|no|approx|Mr|Mrs|Ms|Dr|St)|^\s*\d)\.$", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """Return the sentences, list items and lines of a question, without list numbers and bare brackets."""
    pieces: list[str] = []
    start = 0
    for match in _BREAK.finditer(text):
        if "\n" not in match[0] and _ABBREVIATION.search(text[start : match.start()]):
            continue
        pieces.append(text[start : match.start()])
        start = match.end()
    pieces.append(text[start:])
    cleaned = (re.sub(r"^\s*(?:\d+\s*[.)]|[-*•])\s+", "", piece).strip(" \t{}") for piece in pieces)
    return [piece for piece in cleaned if piece]
