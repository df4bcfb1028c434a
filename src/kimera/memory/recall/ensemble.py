"""The ensemble: every candidate with its figures in arrays, before anything is cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import RecallOptions
from kimera.memory.index.overlap import Overlap
from kimera.memory.index.view import View
from kimera.memory.recall import figures
from kimera.memory.recall.align import Aligned, blocks_of, character_similarity, pairs_of
from kimera.memory.recall.candidates import align_rows, possible_rows
from kimera.memory.recall.query import Query

__all__ = ["RANKS", "Ensemble", "Futures", "Weighted", "gather", "similarity_of_rows", "weighted_sums"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Weighted:
    """Hold the four figures with counts replaced by emotive weights, one element per row."""

    similarity: Floats
    evidence: Floats
    confidence: Floats
    snr: Floats


@dataclass(frozen=True)
class Futures:
    """Hold the distinct futures of an ensemble; ``share`` is that of each candidate's future."""

    numbers: Ints
    support: Ints
    weights: Floats
    shares: Floats
    share: Floats


@dataclass(frozen=True)
class Ensemble:
    """Hold all candidates of one query; element i of every array belongs to ``aligned.rows[i]``."""

    view: View
    query: Query
    options: RecallOptions
    affinity: Mapping[str, float]
    aligned: Aligned
    similarity: Floats

    @cached_property
    def frequency(self) -> Ints:
        """Return f."""
        return self.view.frequency[self.aligned.rows]

    @cached_property
    def length(self) -> Ints:
        """Return L."""
        return self.view.lengths[self.aligned.rows].astype(np.int64)

    @cached_property
    def total(self) -> int:
        """Return F, the summed frequency."""
        return int(self.frequency.sum())

    @cached_property
    def strengths(self) -> Floats:
        """Return f·similarity."""
        return self.frequency * self.similarity

    @cached_property
    def weight(self) -> float:
        """Return W, the sum of f·similarity."""
        return figures.exact_sum(self.strengths)

    @cached_property
    def extra(self) -> Ints:
        """Return e."""
        return len(self.query.texts) - self.aligned.matched

    @cached_property
    def evidence(self) -> Floats:
        """Return m/L."""
        return np.divide(self.aligned.matched, self.length)  # no pattern is empty

    @cached_property
    def confidence(self) -> Floats:
        """Return m/p."""
        return figures.ratio(self.aligned.matched, self.aligned.size)

    @cached_property
    def snr(self) -> Floats:
        """Return (2m - e)/(2m + e)."""
        return figures.snr_of(self.aligned.matched, self.extra)

    @cached_property
    def itfdf(self) -> Floats:
        """Return 1 - d·f/F."""
        return figures.itfdf(self.aligned.cosine, self.frequency, self.total)

    @cached_property
    def weighted(self) -> Weighted | None:
        """Return the emotive-weighted figures, None where no emotive was asked for."""
        return _weighted(self) if self.options.affinity_emotive is not None else None

    @cached_property
    def potential(self) -> Floats:
        """Return the potential, from the weighted figures where an emotive was asked for."""
        part: Any = self.weighted or self
        return figures.potential(part.evidence, part.confidence, part.snr, self.itfdf, self.aligned.blocks)

    @cached_property
    def posterior(self) -> Floats:
        """Return f·similarity/W."""
        return figures.ratio(self.strengths, np.float64(self.weight))

    @cached_property
    def weighted_strength(self) -> Floats:
        """Return similarity·f/F."""
        return self.similarity * self.frequency / self.total

    @cached_property
    def utility(self) -> Floats:
        """Return the shrunk utility."""
        rows, view = self.aligned.rows, self.view
        shrunk: Floats = figures.shrunk_utility(view.utility[rows], view.outcomes[rows], view.mean_utility)
        return shrunk

    @cached_property
    def future(self) -> Ints:
        """Return the number of each candidate's future, 0 where it has none."""
        view, rows = self.view, self.aligned.rows
        place = view.event_starts[rows] + self.aligned.last + 1
        inside = place < view.event_starts[rows + 1]
        return np.where(inside, view.futures[np.where(inside, place, 0)], 0).astype(np.int64)

    @cached_property
    def futures(self) -> Futures:
        """Return the distinct futures with their supporting patterns, summed f·similarity, and shares."""
        if len(self.future) == 1 and self.future[0] and self.weight:  # one future has all there is
            one = np.ones(1)
            return Futures(self.future, np.ones(1, dtype=np.int64), self.strengths, one, one)
        some = np.flatnonzero(self.future)
        numbers, element, support = _distinct(self.future[some])
        strengths = self.strengths[some]
        weights = figures.group_sums(strengths, element, support)
        shares = figures.ratio(weights, np.float64(figures.exact_sum(strengths)))
        share = np.zeros(len(self.future))
        share[some] = shares[element]
        return Futures(numbers, support, weights, shares, share)

    @cached_property
    def information(self) -> Floats:
        """Return weighted_strength / A, never above 1, 0 without a future."""
        return np.minimum(1.0, figures.ratio(self.weighted_strength, self.share))

    @cached_property
    def share(self) -> Floats:
        """Return A, the share of each candidate's future, 0 without one."""
        return self.futures.share

    def pick(self, places: Ints) -> Ensemble:
        """Return some candidates with figures that still refer to the whole ensemble; what is computed is kept."""
        if len(places) == len(self.similarity) == 1:
            return self
        picked = replace(self, aligned=self.aligned.take(places), similarity=self.similarity[places])
        known = picked.__dict__
        known.update(total=self.total, weight=self.weight, share=self.share[places])
        for name, value in self.__dict__.items():
            if name not in known and isinstance(value, np.ndarray):
                known[name] = value[places]
        if self.weighted is not None:
            known["weighted"] = Weighted(*(getattr(self.weighted, n)[places] for n in Weighted.__dataclass_fields__))
        return picked

    def spread(self, place: int) -> figures.Spread:
        """Return the entropy-like figures of one candidate."""
        low, high = (int(bounds[place]) for bounds in self.present)
        return self.view.spread(low, high, int(self.frequency[place]))

    @cached_property
    def present(self) -> tuple[Ints, Ints]:
        """Return where the symbols of each `present` begin and end among all tokens of the view."""
        view, rows = self.view, self.aligned.rows
        events, start = view.event_starts[rows], view.token_starts[rows]
        first, last = self.aligned.first, self.aligned.last
        low = np.where(first > 0, view.event_ends[np.maximum(events + first - 1, 0)], 0)
        high = np.where(last >= 0, view.event_ends[np.maximum(events + last, 0)], 0)
        return start + low, start + high

    def order(self, limit: int | None) -> Ints:
        """Return the places of the first ``limit`` candidates (all with None): by rank, ties by id."""
        value = RANKS[self.options.rank_by](self)
        value = value if self.options.rank_by == "fragmentation" else -value
        if len(value) < 2:
            return np.arange(min(len(value), limit or 1))
        places = np.arange(len(value))
        if limit is not None and limit < len(value):
            places = np.flatnonzero(value <= np.partition(value, limit - 1)[limit - 1])
        rows, ids = self.aligned.rows, self.view.ids
        places = places[np.lexsort((self.view.keys[rows[places]], value[places]))]
        end = len(places) if limit is None else min(limit, len(places))
        while end < len(places) and self._tied(value, places[end - 1], places[end]):
            end += 1
        best = sorted(places[:end].tolist(), key=lambda i: (value[i], ids[rows[i]]))
        return np.array(best[:limit], dtype=np.int64)

    def _tied(self, value: Floats, a: int, b: int) -> bool:
        keys, rows = self.view.keys, self.aligned.rows
        return bool(value[a] == value[b] and keys[rows[a]] == keys[rows[b]])


_Rank = Callable[[Ensemble], Floats]


def _by_spread(name: str) -> _Rank:
    def values(ensemble: Ensemble) -> Floats:
        return np.array([getattr(ensemble.spread(i), name) for i in range(len(ensemble.similarity))], dtype=np.float64)

    return values


#: What predictions can be ordered by.
RANKS: Mapping[str, _Rank] = {
    "potential": lambda e: e.potential,
    "similarity": lambda e: e.similarity,
    "evidence": lambda e: e.evidence,
    "confidence": lambda e: e.confidence,
    "snr": lambda e: e.snr,
    "fragmentation": lambda e: (e.aligned.blocks - 1).astype(np.float64),
    "frequency": lambda e: e.frequency.astype(np.float64),
    "itfdf_similarity": lambda e: e.itfdf,
    "confluence": _by_spread("confluence"),
    "entropy": _by_spread("entropy"),
    "normalized_entropy": _by_spread("normalized_entropy"),
    "global_normalized_entropy": _by_spread("global_normalized_entropy"),
    "tfidf_score": _by_spread("tfidf_score"),
    "bayesian_posterior": lambda e: e.posterior,
    "predictive_information": lambda e: e.information,
    "utility": lambda e: e.utility,
}


def gather(
    view: View, query: Query, options: RecallOptions, affinity: Mapping[str, float] | None, session: Overlap | None
) -> Ensemble:
    """Find every candidate of the query; an empty short-term memory has none."""
    rows = possible_rows(view, query, options, session) if query.texts else np.zeros(0, dtype=np.int64)
    aligned = align_rows(view, query, rows)
    similarity = similarity_of_rows(view, query, options, aligned)
    kept = similarity >= options.recall_threshold
    if options.anchor == "start":
        kept &= (aligned.first == 0) & (aligned.matched > 0)
    return Ensemble(view, query, options, affinity or {}, aligned.take(kept), similarity[kept])


def similarity_of_rows(view: View, query: Query, options: RecallOptions, aligned: Aligned) -> Floats:
    """Return the similarity of aligned rows, over symbols or over characters."""
    if options.matching == "tokens":
        shares: Floats = np.divide(2 * aligned.matched, view.lengths[aligned.rows] + len(query.texts))
        return shares
    texts = view.symbol_table.texts
    patterns = ([texts[number] for number in view.row_tokens(row)] for row in aligned.rows.tolist())
    return np.array([character_similarity(pattern, query.texts) for pattern in patterns], dtype=np.float64)


def _distinct(numbers: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the distinct numbers, for each element its place among them, and how often each occurs."""
    if len(numbers) < 2:
        return numbers, np.zeros(len(numbers), dtype=np.int64), np.ones(len(numbers), dtype=np.int64)
    top = int(numbers.max())
    if top > 16 * len(numbers):  # sorting few numbers is cheaper than counting through all that exist
        return np.unique(numbers, return_inverse=True, return_counts=True)
    counts = np.bincount(numbers, minlength=1)
    distinct = np.flatnonzero(counts)
    place = np.zeros(len(counts), dtype=np.int64)
    place[distinct] = np.arange(len(distinct))
    return distinct, place[numbers], counts[distinct]


def _weighted(ensemble: Ensemble) -> Weighted:
    rows = [weighted_sums(ensemble, row) for row in ensemble.aligned.rows.tolist()]
    matched, whole, present, observed, extra = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    return Weighted(
        similarity=figures.ratio(2 * matched, whole + observed),
        evidence=figures.ratio(matched, whole),
        confidence=figures.ratio(matched, present),
        snr=figures.snr_of(matched, extra),
    )


def weighted_sums(ensemble: Ensemble, row: int) -> tuple[float, float, float, float, float]:
    """Return the summed weights of the matched, all, present, observed and extra symbols of one candidate."""
    view, query = ensemble.view, ensemble.query
    pattern = view.row_tokens(row)
    observed = query.numbers_for(pattern)
    pairs = pairs_of(blocks_of(pattern, observed))
    texts, affinity, occurrences = view.symbol_table.texts, ensemble.affinity, view.occurrences

    def weight(number: int) -> float:
        if number < 0 or not occurrences[number]:
            return 0.01
        return abs(affinity.get(texts[number], 0.0)) / int(occurrences[number]) + 0.01

    ends = [0, *view.row_event_ends(row)]
    at = [event for event in range(len(ends) - 1) for _ in range(ends[event], ends[event + 1])]
    present = range(ends[at[pairs[0][0]]], ends[at[pairs[-1][0]] + 1]) if pairs else range(0)
    matched = {j for _, j in pairs}
    return (
        math.fsum(weight(pattern[i]) for i, _ in pairs),
        math.fsum(map(weight, pattern)),
        math.fsum(weight(pattern[i]) for i in present),
        math.fsum(map(weight, observed)),
        math.fsum(weight(number) for j, number in enumerate(observed) if j not in matched),
    )
