"""The short-term memory as a query: its symbols by number, and what an unseen one may be taken for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kimera.memory.contracts import Events, RecallOptions
from kimera.memory.index.near import Near
from kimera.memory.index.view import View

__all__ = ["Query", "build_query"]


@dataclass(frozen=True)
class Query:
    """Hold the flattened short-term memory *S* against one view.

    ``texts`` are the observed symbols, ``numbers`` theirs in the view (-1 = in no pattern), ``event_of`` the event of
    each. ``near`` gives for an observed symbol what it stands for in patterns that do not hold it, the nearest first.
    ``kept`` holds what the kernels make of the query.
    """

    texts: tuple[str, ...]
    numbers: tuple[int, ...]
    event_of: tuple[int, ...]
    events: int
    near: Mapping[str, Near]
    kept: dict[str, Any] = field(default_factory=dict, compare=False)

    @cached_property
    def counts(self) -> dict[int, int]:
        """Return how often each known symbol was observed."""
        return dict(Counter(number for number in self.numbers if number >= 0))

    @cached_property
    def similarity(self) -> dict[tuple[str, int], float]:
        """Return how similar an observed symbol is to one it stands for."""
        return {(text, number): value for text, pairs in self.near.items() for number, value in pairs}

    def numbers_for(self, pattern: Sequence[int]) -> Sequence[int]:
        """Return *S* with every symbol that the pattern does not hold replaced by the pattern's nearest."""
        if not self.near:
            return self.numbers
        held = set(pattern)
        stand_in: dict[str, int] = {}
        for text, number in zip(self.texts, self.numbers, strict=True):
            if text not in stand_in:
                taken = number in held
                stand_in[text] = number if taken else next((n for n, _ in self.near.get(text, ()) if n in held), number)
        return [stand_in[text] for text in self.texts]


def build_query(
    view: View, events: Events, options: RecallOptions, vectors: Mapping[str, Sequence[float]] | None = None
) -> Query:
    """Read the short-term memory against a view; ``vectors`` are the coordinates of observed vector symbols."""
    texts = tuple([symbol for event in events for symbol in event])
    known, numbering = len(view.holders), view.symbol_table.number
    numbers = {text: numbering.get(text, -1) for text in texts}
    fuzzy = options.fuzzy_token_threshold > 0
    asked = [text for text in numbers if fuzzy or text.startswith("VCTR|")]
    near = {text: found for text in asked if (found := _near(view, text, options, vectors or {}))}
    at = tuple([place for place, event in enumerate(events) for _ in event])
    seen = [numbers[text] for text in texts]
    return Query(texts, tuple([n if n < known else -1 for n in seen]), at, len(events), near)


def _near(view: View, text: str, options: RecallOptions, vectors: Mapping[str, Sequence[float]]) -> Near:
    known = len(view.holders)
    if text.startswith("VCTR|"):
        coordinates = vectors.get(text) or view.near.coordinates(text)
        found = view.near.vectors(coordinates, options.vector_max_distance, known) if coordinates else []
    elif options.fuzzy_token_threshold > 0:
        found = view.near.strings(text, options.fuzzy_token_threshold, known, keep=view.tuning.caches)
    else:
        return []
    own = view.symbol(text)
    return [pair for pair in found if pair[0] != own]
