"""The names in a corpus as a graph: passages that share a rare name are neighbours, a name's own article is nearest.

Personalized PageRank over it (Haveliwala 2002; for retrieval: Gutiérrez et al. 2024, HippoRAG) carries score from what
a question finds to what those passages talk about.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kimera.knowledge._fts import Row
from kimera.knowledge._names import Name, Titles, proper_names, title_name, tokens_of

__all__ = ["EntityGraph", "carry"]

# The walk. Flat optimum on the development set: see docs/design/retrieval.md.
TITLE_WEIGHT = 3.0  # a passage belongs to the name in its title more than to those it mentions
COMMON_SHARE = 0.05  # a name in more passages than this tells none of them apart
SEEDS = 10
SEED_POWER = 8  # the best hits seed the walk; equal seeds would only return their own neighbourhood
NAME_SHARE = 0.3
DAMPING = 0.6
ROUNDS = 12  # 0.6 ** 12 < 0.003
WALK_WEIGHT = 0.4

Array: TypeAlias = NDArray[np.float64]


class EntityGraph:
    """Passages and names, each joined to the other with the rarity of the name as weight."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.size = len(rows)
        owners = [title_name(row.title) for row in rows]
        self._titles = Titles(owners)
        mentions, sure = self._read(rows)
        counts = Counter(name for names in mentions for name in names)
        owned = Counter(owners)
        most = max(5.0, COMMON_SHARE * self.size)
        linking = sorted(n for n in sure | owned.keys() if n and counts[n] + (n in owned) >= 2 and counts[n] <= most)
        self._column = {name: column for column, name in enumerate(linking)}
        self._rarity = {name: math.log(1 + self.size / max(1, counts[name])) for name in linking}
        self._to_name, self._to_passage = self._steps(mentions, owners)

    def walk(self, seeds: Array, question: str) -> Array:
        """Return what the walk brings to each passage beyond its own seed, not scaled; zeros if nothing."""
        names = self._seed_names(question)
        passages = seeds / (seeds.sum() or 1.0)
        if names.any():
            passages, names = passages * (1 - NAME_SHARE), names / names.sum() * NAME_SHARE
        at_passage, at_name = passages, names
        for _ in range(ROUNDS):
            at_passage, at_name = (
                (1 - DAMPING) * passages + DAMPING * (self._to_passage @ at_name),
                (1 - DAMPING) * names + DAMPING * (self._to_name @ at_passage),
            )
        brought: Array = at_passage - (1 - DAMPING) * passages
        return brought

    def _read(self, rows: Sequence[Row]) -> tuple[list[set[Name]], set[Name]]:
        mentions: list[set[Name]] = []
        sure: set[Name] = set()
        for row in rows:
            tokens = tokens_of(row.body)
            named = dict(sorted(proper_names(row.body, tokens)))
            sure.update(name for name, certain in named.items() if certain)
            mentions.append({*named, *self._titles.found_in(tokens)})
        return mentions, sure

    def _steps(self, mentions: Sequence[set[Name]], owners: Sequence[Name]) -> tuple[Any, Any]:
        rows: list[int] = []
        columns: list[int] = []
        weights: list[float] = []
        for number, (names, owner) in enumerate(zip(mentions, owners, strict=True)):
            for name in sorted(names | {owner}):
                if name in self._column:
                    rows.append(number)
                    columns.append(self._column[name])
                    weights.append(self._rarity[name] * (TITLE_WEIGHT if name == owner else 1.0))
        joined = sparse.csr_array((weights, (rows, columns)), shape=(self.size, len(self._column)))
        return _normalised(joined).T.tocsr(), _normalised(joined.T.tocsr()).T.tocsr()

    def _seed_names(self, question: str) -> Array:
        tokens = tokens_of(question)
        seeds = np.zeros(len(self._column))
        for name in {*self._titles.found_in(tokens), *(name for name, _ in proper_names(question, tokens))}:
            if name in self._column:
                seeds[self._column[name]] = self._rarity[name]
        return seeds


def carry(graph: EntityGraph, base: Mapping[int, float], question: str) -> list[tuple[int, float]]:
    """Return (row, score 0..1), best first: the base score plus a share of what the walk brings.

    ``base`` maps rows to scores 0..1 and may not be empty. The row that was first stays first.
    """
    order = sorted(base, key=lambda row: (-base[row], row))
    seeds = np.zeros(graph.size)
    for row in order[:SEEDS]:
        seeds[row] = base[row] ** SEED_POWER
    first = order[0]
    brought = graph.walk(seeds, question)
    # The first row leads anyway and gets most of its own mass back: the scale is what the best other row is brought.
    highest = float(np.delete(brought, first).max(initial=0.0))
    gain = np.minimum(1.0, brought / highest) if highest > 0 else np.zeros(graph.size)
    rows = base.keys() | {int(row) for row in np.flatnonzero(gain)}
    scores = {row: (base.get(row, 0.0) + WALK_WEIGHT * float(gain[row])) / (1 + WALK_WEIGHT) for row in rows}
    scores[first] = max(scores.values())
    ranked = ((row, round(score, 6)) for row, score in scores.items())
    return sorted(ranked, key=lambda item: (item[0] != first, -item[1], item[0]))


def _normalised(matrix: Any) -> Any:
    sums = matrix.sum(axis=1)
    return sparse.csr_array(matrix.multiply(1 / np.where(sums == 0, 1.0, sums)[:, None]))
