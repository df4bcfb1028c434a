"""Search in a segment: words, meaning, and the sum of both."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from kimera.knowledge._fts import Row, TermIndex, content_words
from kimera.llm.embeddings import Encoder, Vectors

__all__ = ["Hit", "Mode", "Segment"]

Mode = Literal["hybrid", "lexical", "dense"]

POOL = 200  # candidates each half offers to the sum
_DIGITS = 6  # scores are rounded so that ties do not hang on the last bit of a float


@dataclass(frozen=True)
class Hit:
    """One passage found.

    ``score`` orders the hits: 0..1 for hybrid, BM25 for lexical, cosine for dense. ``lexical`` is BM25 (0 = no word in
    common), ``dense`` the cosine, None where no vectors were used.
    """

    number: int
    score: float
    lexical: float
    dense: float | None


class Segment:
    """An open segment. Searches may run from several threads at once; results depend on nothing but the segment."""

    def __init__(
        self,
        terms: TermIndex | None,
        name: str,
        root: Path,
        encoder: Encoder | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._terms = terms
        self._name = name
        self._root = root
        self._encoder = encoder
        self._should_stop = should_stop
        self._numbers = terms.numbers() if terms else []
        self._matrix: Vectors | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Segment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the segment file."""
        if self._terms is not None:
            self._terms.close()

    def __len__(self) -> int:
        return len(self._numbers)

    def search(self, query: str, k: int = 10, *, mode: Mode = "hybrid", graph: bool | None = None) -> list[Hit]:
        """Return up to ``k`` hits, best first, ties by passage number.

        Hybrid and dense fall back to lexical when there is no encoder or the computing of vectors was stopped.
        """
        if self._terms is None or not self._numbers or k <= 0:
            return []
        matrix = None if mode == "lexical" else self._vectors()
        if matrix is None:
            return [Hit(n, s, s, None) for n, s in self._lexical(query, k)]
        return self._fused(query, k, mode, matrix)

    def warm(self, progress: Callable[[int, int], None] | None = None) -> bool:
        """Compute the vectors now; return whether dense search is ready. ``progress`` gets (done, total)."""
        return self._vectors(progress) is not None

    @property
    def dense_ready(self) -> bool:
        """Return whether a hybrid search would answer at once, without computing vectors first."""
        return self._matrix is not None or (self._encoder is not None and self._load() is not None)

    def rank_sentences(self, query: str, sentences: Sequence[str]) -> list[float]:
        """Return one score per sentence, higher is better: words weighted by rarity here, plus meaning.

        With an encoder 0..2, the sum of both halves; without one 0..1.
        """
        lexical = self._sentence_words(query, sentences)
        if self._encoder is None or not sentences:
            return lexical
        vectors = self._encoder.encode([query, *sentences])
        cosines = (vectors[1:] @ vectors[0]).tolist()
        return [round(word + max(0.0, cosine), _DIGITS) for word, cosine in zip(lexical, cosines, strict=True)]

    def _lexical(self, query: str, limit: int) -> list[tuple[int, float]]:
        assert self._terms is not None
        return [(number, round(score, _DIGITS)) for number, score in self._terms.search(query, limit)]

    def _fused(self, query: str, k: int, mode: Mode, matrix: Vectors) -> list[Hit]:
        assert self._encoder is not None
        cosines = [round(c, _DIGITS) for c in (matrix @ self._encoder.encode([query])[0]).tolist()]
        dense = dict(zip(self._numbers, cosines, strict=True))
        words = dict(self._lexical(query, max(POOL, k)))
        nearest = sorted(dense, key=lambda number: (-dense[number], number))[: max(POOL, k)]
        if mode == "dense":
            return [Hit(n, dense[n], words.get(n, 0.0), dense[n]) for n in nearest[:k]]
        pool = sorted(words.keys() | set(nearest))
        lexical_part = _min_max([words.get(n, 0.0) for n in pool])
        dense_part = _min_max([dense[n] for n in pool])
        hits = [
            Hit(n, round(0.5 * a + 0.5 * b, _DIGITS), words.get(n, 0.0), dense[n])
            for n, a, b in zip(pool, lexical_part, dense_part, strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.number))[:k]

    def _load(self) -> Vectors | None:
        from kimera.knowledge._vectors import open_vectors, vectors_path

        if self._matrix is None and self._encoder is not None:
            path = vectors_path(self._root, self._name, self._encoder.id)
            self._matrix = open_vectors(path, len(self._numbers))
        return self._matrix

    def _vectors(self, progress: Callable[[int, int], None] | None = None) -> Vectors | None:
        from kimera.knowledge._vectors import compute_vectors, vectors_path

        if self._encoder is None or self._terms is None:
            return None
        with self._lock:
            if self._load() is None:
                path = vectors_path(self._root, self._name, self._encoder.id)
                texts = [passage_text(row) for row in self._terms.rows()]
                compute_vectors(path, self._encoder, texts, self._should_stop, progress or (lambda done, total: None))
            return self._load()

    def _sentence_words(self, query: str, sentences: Sequence[str]) -> list[float]:
        if self._terms is None:
            return [0.0] * len(sentences)
        wanted, *held = self._terms.tokens.split([" ".join(content_words(query)), *sentences])
        total = self._terms.count
        weights = {term: math.log(1 + (total + 0.5) / (self._terms.frequency(term) + 0.5)) for term in wanted}
        whole = sum(weights.values()) or 1.0
        return [round(sum(weights[t] for t in dict.fromkeys(terms) if t in weights) / whole, _DIGITS) for terms in held]


def passage_text(row: Row) -> str:
    """Return what is encoded for a passage: title, heading and body, each once."""
    parts = [part for part in (row.title, row.heading) if part]
    return ". ".join([*dict.fromkeys(parts), row.body])


def _min_max(values: Sequence[float]) -> list[float]:
    # All equal tells nothing apart, so it adds nothing.
    low, high = min(values), max(values)
    spread = high - low
    return [(value - low) / spread if spread else 0.0 for value in values]
