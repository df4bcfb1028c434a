"""The keyword half of a segment: one SQLite file with an FTS5 index, and queries that no input can break."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

__all__ = ["Row", "TermIndex", "Tokens", "content_words", "write_segment"]

TITLE_WEIGHT, HEADING_WEIGHT, BODY_WEIGHT = 2.0, 2.0, 1.0
QUERY_TERMS = 64  # a longer question keeps its rarest words
_WORDS_READ = 2_000  # distinct words read of a question

_PRAGMAS = (
    "PRAGMA page_size = 4096",
    "PRAGMA journal_mode = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA encoding = 'UTF-8'",
    "PRAGMA application_id = 1263748423",  # "KSEG", for the file command and for a curious reader
    "PRAGMA user_version = 1",  # of the tables below
)
_CREATE = (
    """CREATE TABLE passage(
        number INTEGER PRIMARY KEY, source_id TEXT NOT NULL,
        title TEXT NOT NULL, heading TEXT NOT NULL, body TEXT NOT NULL)""",
    """CREATE VIRTUAL TABLE terms USING fts5(
        title, heading, body, content='passage', content_rowid='number',
        tokenize='porter unicode61 remove_diacritics 2')""",
)
_INSERT = "INSERT INTO passage(number, source_id, title, heading, body) VALUES (?, ?, ?, ?, ?)"
_FILL = "INSERT INTO terms(terms) VALUES ('rebuild')"
_OPTIMIZE = "INSERT INTO terms(terms) VALUES ('optimize')"
_SEARCH = """SELECT rowid, -bm25(terms, ?, ?, ?) AS score FROM terms
    WHERE terms MATCH ? ORDER BY score DESC, rowid LIMIT ?"""
_ROWS = "SELECT number, source_id, title, heading, body FROM passage ORDER BY number"
_SAMPLE = "SELECT number, source_id, title, heading, body FROM passage WHERE number % ? = 0 ORDER BY number"
_NUMBERS = "SELECT number FROM passage ORDER BY number"
_COUNT = "SELECT count(*) FROM passage"
_VOCABULARY = "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, 'terms', 'row')"
_FREQUENCY = "SELECT doc FROM vocabulary WHERE term = ?"
_SCRATCH = (
    "CREATE VIRTUAL TABLE scratch USING fts5(body, tokenize='porter unicode61 remove_diacritics 2')",
    "CREATE VIRTUAL TABLE token USING fts5vocab('scratch', 'instance')",
)
_SCRATCH_INSERT = "INSERT INTO scratch(rowid, body) VALUES (?, ?)"
_SCRATCH_READ = "SELECT doc, term FROM token ORDER BY doc, offset"
_SCRATCH_CLEAR = "DELETE FROM scratch"

_WORD = re.compile(r"[^\W_]+")

# Function words of English questions and statements; other languages lose nothing but a little speed.
STOP_WORDS = frozenset(
    _WORD.findall(
        """
        a about above after again against all also although am an and any are as at be because been before
        being below between both but by can cannot could did do does doing down during each either else ever
        every few for from further had has have having he her here hers herself him himself his how however i
        if in into is it its itself just may me might more most much must my myself neither no nor not now of
        off on once only or other our ours ourselves out over own per same shall she should since so some such
        than that the their theirs them themselves then there therefore these they this those though through
        thus to too under until up upon us very was we were what when where whether which while who whom whose
        why will with within without would yet you your yours yourself yourselves s t
        """
    )
)


class Row(NamedTuple):
    """One passage as the segment stores it."""

    number: int
    source_id: str
    title: str
    heading: str
    body: str


def storable(text: str) -> str:
    """Return ``text`` with lone surrogates as ``?`` so that every string can be UTF-8; the length stays the same."""
    return text.encode("utf-8", "replace").decode("utf-8")


def write_segment(target: Path, rows: Iterable[Row]) -> None:
    """Write a new segment file; the same rows give the same bytes under one SQLite version."""
    new = sqlite3.connect(target, isolation_level=None)
    try:
        for pragma in _PRAGMAS:
            new.execute(pragma)
        new.execute("BEGIN")
        for statement in _CREATE:
            new.execute(statement)
        new.executemany(_INSERT, ((r.number, *map(storable, r[1:])) for r in rows))
        new.execute(_FILL)
        new.execute(_OPTIMIZE)
        new.execute("COMMIT")
        new.execute("VACUUM")
    finally:
        new.close()


def content_words(text: str) -> list[str]:
    """Return the first 2,000 distinct words in order, as written, without stop words unless nothing else is left."""
    words: dict[str, str] = {}
    # Decomposed accents would split a word; lower case is only for comparing, as it can itself decompose a letter.
    for match in _WORD.finditer(normalize("NFC", text)):
        words.setdefault(match.group().lower(), match.group())
        if len(words) == _WORDS_READ:
            break
    return [word for key, word in words.items() if key not in STOP_WORDS] or list(words.values())


class Tokens:
    """FTS5's own tokenizer and stemmer, so that a sentence and the index agree on what a term is. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for statement in _SCRATCH:
            self._memory.execute(statement)

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the stemmed terms of each text in reading order."""
        terms: list[list[str]] = [[] for _ in texts]
        with self._lock:
            self._memory.execute("BEGIN")
            self._memory.executemany(_SCRATCH_INSERT, ((n, storable(text)) for n, text in enumerate(texts)))
            for number, term in self._memory.execute(_SCRATCH_READ):
                terms[number].append(term)
            self._memory.execute("ROLLBACK")
        return terms

    def close(self) -> None:
        """Free the scratch database."""
        self._memory.close()


class TermIndex:
    """A segment file opened read-only and immutable. Thread-safe: one connection under one lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = sqlite3.connect(
            path.absolute().as_uri() + "?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._file.execute(_VOCABULARY)
            self.count: int = self._file.execute(_COUNT).fetchone()[0]
        except sqlite3.DatabaseError:
            self._file.close()
            raise
        self.tokens = Tokens()
        self._frequencies: dict[str, int] = {}

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self.tokens.close()

    def numbers(self) -> list[int]:
        """Return the passage numbers in ascending order."""
        with self._lock:
            return [number for (number,) in self._file.execute(_NUMBERS)]

    def rows(self) -> list[Row]:
        """Return every passage in ascending order of number."""
        with self._lock:
            return [Row(*row) for row in self._file.execute(_ROWS)]

    def sample(self, size: int) -> list[Row]:
        """Return about ``size`` evenly spaced passages, all of them if there are fewer."""
        with self._lock:
            return [Row(*row) for row in self._file.execute(_SAMPLE, (max(1, self.count // size),))]

    def frequency(self, term: str) -> int:
        """Return in how many passages a stemmed term occurs."""
        found = self._frequencies.get(term)
        if found is None:
            with self._lock:
                row = self._file.execute(_FREQUENCY, (term,)).fetchone()
            found = self._frequencies[term] = row[0] if row else 0
        return found

    def search(self, question: str, limit: int) -> list[tuple[int, float]]:
        """Return up to ``limit`` (number, BM25) pairs, best first, ties by number; empty for a question of no words."""
        words = self._query_words(question)
        if not words:
            return []
        # Words hold only letters and digits, so quoting them leaves FTS5 no operator to find.
        expression = " OR ".join(f'"{word}"' for word in words)
        values = (TITLE_WEIGHT, HEADING_WEIGHT, BODY_WEIGHT, expression, limit)
        with self._lock:
            return [(number, score) for number, score in self._file.execute(_SEARCH, values)]

    def _query_words(self, question: str) -> list[str]:
        words = content_words(question)
        if len(words) <= QUERY_TERMS:
            return words
        stems = self.tokens.split(words)
        rarity = {word: min((self.frequency(s) or self.count + 1 for s in stem), default=self.count + 1)
                  for word, stem in zip(words, stems, strict=True)}  # fmt: skip
        kept = sorted(words, key=lambda word: rarity[word])[:QUERY_TERMS]
        return sorted(kept)
