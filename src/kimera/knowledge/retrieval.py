"""Search in a segment: words, meaning, and the sum of both."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from kimera import telemetry
from kimera.knowledge._fts import Row, TermIndex, content_words
from kimera.knowledge.graph import SAMPLE, GateDecision, decide, name_density
from kimera.llm.embeddings import Encoder, Vectors

if TYPE_CHECKING:
    from kimera.knowledge._pagerank import EntityGraph
    from kimera.knowledge._vectors import Dense

__all__ = ["Hit", "Mode", "Segment"]

_log = logging.getLogger(__name__)

STAGES = telemetry.metric("kimera_retrieval_duration_seconds")
KEYWORD, VECTOR, MERGE, GRAPH = (STAGES.bind(stage=stage) for stage in ("keyword", "vector", "merge", "graph"))

Mode = Literal["hybrid", "lexical", "dense"]

POOL = 100  # candidates each half offers to the sum
_TEXTS_KEPT = 20_000  # vectors remembered between questions, 30 MB
_DIGITS = 6  # scores are rounded so that ties do not hang on the last bit of a float


@dataclass(frozen=True)
class Hit:
    """One passage found.

    ``score`` orders the hits: 0..1 for hybrid, BM25 for lexical, cosine for dense (BM25 where it fell back to words).
    ``lexical`` is BM25 (0 = no word in common, or not in the pool); ``dense`` is the cosine, None without vectors.
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
        self._row_of = {number: row for row, number in enumerate(self._numbers)}
        self._remembered = _Remembered(encoder) if encoder is not None else None
        self._dense: Dense | None = None
        self._density: float | None = None
        self._graph: EntityGraph | None = None
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

        Hybrid and dense fall back to words when there is no encoder or the computing of vectors was stopped. The
        entity graph re-ranks hybrid hits when the gate says so (`gate`); ``graph`` True or False overrides the gate.
        """
        if self._terms is None or not self._numbers or k <= 0:
            return []
        vectors = None if mode == "lexical" else self._vectors()
        if mode == "hybrid":
            return self._hybrid(query, k, vectors, graph)
        if vectors is None:
            return [Hit(n, s, s, None) for n, s in self._lexical(query, k)]
        cosines, nearest = self._dense_search(query, vectors, k)
        words = dict(self._lexical(query, POOL))
        found = ((self._numbers[row], cosines[row]) for row in nearest)
        return [Hit(number, cosine, words.get(number, 0.0), cosine) for number, cosine in found]

    def gate(self, query: str) -> GateDecision:
        """Return whether the entity graph re-ranks this question, and why; logged at debug level."""
        decision = decide(query, len(self._numbers), self._name_density)
        _log.debug("graph gate %s: %s", "open" if decision.used else "shut", decision.reason)
        return decision

    def warm(self, progress: Callable[[int, int], None] | None = None) -> bool:
        """Compute the vectors now; return whether dense search is ready. ``progress`` gets (done, total)."""
        return self._vectors(progress) is not None

    @property
    def dense_ready(self) -> bool:
        """Return whether a hybrid search would answer at once, without computing vectors first."""
        return self._load() is not None

    def rank_sentences(self, query: str, sentences: Sequence[str]) -> list[float]:
        """Return one score per sentence, higher is better: words weighted by rarity here, plus meaning.

        With an encoder 0..2, the sum of both halves; without one 0..1.
        """
        lexical = self._sentence_words(query, sentences)
        if self._remembered is None or not sentences:
            return lexical
        question, *vectors = self._remembered.encode([query, *sentences])
        return [
            round(word + max(0.0, float(vector @ question)), _DIGITS)
            for word, vector in zip(lexical, vectors, strict=True)
        ]

    def _lexical(self, query: str, limit: int) -> list[tuple[int, float]]:
        assert self._terms is not None
        with KEYWORD.time():
            return [(number, round(score, _DIGITS)) for number, score in self._terms.search(query, limit)]

    def _dense_search(self, query: str, vectors: Dense, k: int) -> tuple[list[float], list[int]]:
        assert self._remembered is not None
        with VECTOR.time():
            return vectors.search(self._remembered.encode([query])[0], k)

    def _hybrid(self, query: str, k: int, vectors: Dense | None, graph: bool | None) -> list[Hit]:
        size = max(POOL, k)
        words = {self._row_of[number]: score for number, score in self._lexical(query, size)}
        cosines, nearest = self._dense_search(query, vectors, size) if vectors is not None else ([], [])
        with MERGE.time():
            pool = sorted(words.keys() | set(nearest))
            halves = [_min_max([words.get(row, 0.0) for row in pool])]
            if cosines:
                halves.append(_min_max([cosines[row] for row in pool]))
            scores = {row: round(sum(parts) / len(halves), _DIGITS) for row, *parts in zip(pool, *halves, strict=True)}
            ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
        if ranked and graph is not False and (graph or self.gate(query).used):
            ranked = self._carried(query, scores)
        return [
            Hit(self._numbers[row], score, words.get(row, 0.0), cosines[row] if cosines else None)
            for row, score in ranked[:k]
        ]

    def _carried(self, query: str, scores: dict[int, float]) -> list[tuple[int, float]]:
        from kimera.knowledge._pagerank import EntityGraph, carry

        with GRAPH.time():
            with self._lock:
                if self._graph is None:
                    self._graph = EntityGraph(self._rows())
            return carry(self._graph, scores, query)

    def _name_density(self) -> float:
        if self._density is None:
            self._density = name_density(self._terms.sample(SAMPLE)) if self._terms else 0.0
        return self._density

    def _rows(self) -> list[Row]:
        assert self._terms is not None
        return self._terms.rows()

    def _load(self) -> Dense | None:
        from kimera.knowledge._vectors import open_vectors, vectors_path

        if self._dense is None and self._encoder is not None and self._numbers:
            self._dense = open_vectors(vectors_path(self._root, self._name, self._encoder.id), len(self._numbers))
        return self._dense

    def _vectors(self, progress: Callable[[int, int], None] | None = None) -> Dense | None:
        from kimera.knowledge._vectors import compute_vectors, vectors_path

        if self._encoder is None or not self._numbers:
            return None
        with self._lock:
            if self._load() is None:
                folder = vectors_path(self._root, self._name, self._encoder.id)
                tell = progress or (lambda done, total: None)
                compute_vectors(folder, self._encoder, self._rows(), self._should_stop, tell)
            return self._load()

    def _sentence_words(self, query: str, sentences: Sequence[str]) -> list[float]:
        if self._terms is None:
            return [0.0] * len(sentences)
        wanted, *held = self._terms.tokens.split([" ".join(content_words(query)), *sentences])
        total = self._terms.count
        weights = {term: math.log(1 + (total + 0.5) / (self._terms.frequency(term) + 0.5)) for term in wanted}
        whole = sum(weights.values()) or 1.0
        return [round(sum(weights[t] for t in dict.fromkeys(terms) if t in weights) / whole, _DIGITS) for terms in held]


class _Remembered:
    """An encoder that keeps what it encoded: questions and sentences come back many times in one mission."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._kept: dict[str, Vectors] = {}
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> list[Vectors]:
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, self._encoder.encode(new), strict=True))
            with self._lock:
                if len(self._kept) + len(new) > _TEXTS_KEPT:
                    self._kept.clear()
                self._kept.update((text, known[text]) for text in new)
        return [known[text] for text in texts]


def _min_max(values: Sequence[float]) -> list[float]:
    if not values:
        return []
    low, high = min(values), max(values)
    # All equal tells nothing apart: everything counts fully, or not at all if there is nothing.
    return [(value - low) / (high - low) if high > low else float(high > 0) for value in values]
