"""A memory that has outgrown its index: counts of the whole stay here, candidates come from the database.

PostgreSQL gives a superset of the patterns a question is about, by a GIN index over their symbols and the bounds of
length and overlap. They become a small index of their own whose view tells the figures of the whole memory; from
there on everything is as in an index that holds all patterns, so the answers are the same bytes.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from kimera.memory.contracts import Events, MemoryTuning, NextOptions, PatternChange, RecallOptions
from kimera.memory.index import Index, View
from kimera.memory.index.columns import Column
from kimera.memory.index.near import NearSymbols
from kimera.memory.index.overlap import needed_overlap
from kimera.memory.index.tables import SymbolTable
from kimera.memory.keeping.episodes import read_events
from kimera.memory.recall.query import Query, build_query
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["Counts", "Known", "Wanted", "part_of"]

GONE = 2_048  # symbols in no pattern that are let go, once they are more than half
PREFIX = 16  # bytes of a pattern's digest that name it here
_generations = itertools.count(-2, -1)  # below those of whole indexes, so that no session's counters are built upon


@dataclass(frozen=True, slots=True)
class Wanted:
    """Say what a question needs of the memory: candidates of ``events``, what follows ``context``, one pattern."""

    events: Events = ()
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    recall: RecallOptions | None = None
    context: Events | None = None
    following: NextOptions | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """Hold the figures of the whole memory as of log record ``seq``; nothing in it changes again."""

    seq: int
    N: int
    V: int
    T: int
    mean_utility: float
    holders: Any
    occurrences: Any
    shared: tuple[SymbolTable, NearSymbols]


class Counts:
    """Keep n(x), occurrences, N, V, T and the sums of utility level with the log, without the patterns themselves.

    Takes about 150 bytes per pattern, to know what a change changes, and 250 per symbol.
    """

    def __init__(self) -> None:
        self._symbols = SymbolTable()
        self._near = NearSymbols(self._symbols)
        self._holders, self._occurrences = Column(np.int64), Column(np.int64)
        self._frequency: dict[bytes, int] = {}
        self._results: dict[bytes, tuple[int, float]] = {}
        self._total = 0

    def apply(self, changes: Iterable[PatternChange]) -> bool:
        """Take in patterns as they stand now; False when one that went has left no events to subtract."""
        tokens, presences, differences = array("i"), array("q"), array("q")
        for change in changes:
            for symbol, coordinates in change.vectors.items():
                self._near.add_vector(symbol, coordinates)
            key = bytes.fromhex(change.id[3:])[:PREFIX]
            before, after = self._frequency.get(key, 0), change.frequency
            if before == after == 0:
                continue
            if not change.events:
                return False
            self._note(key, change)
            for symbol, count in Counter(s for event in change.events for s in event).items():
                tokens.append(self._symbols.intern(symbol))
                presences.append((after > 0) - (before > 0))
                differences.append((after - before) * count)
            self._total += after - before
        at = np.frombuffer(tokens, dtype=np.int32)
        for column, amounts in ((self._holders, presences), (self._occurrences, differences)):
            column.grow(len(self._symbols.texts))
            if len(at):
                np.add.at(column.writable(), at, np.frombuffer(amounts, dtype=np.int64))
        self._compact()
        return True

    def known(self, seq: int) -> Known:
        """Return the figures as they stand."""
        holders = self._holders.publish()
        outcomes = sum(count for count, _ in self._results.values())
        mean = math.fsum(utility for _, utility in self._results.values()) / outcomes if outcomes else 0.5
        symbols, shared = int(np.count_nonzero(holders)), (self._symbols, self._near)
        patterns = len(self._frequency)
        return Known(seq, patterns, symbols, self._total, mean, holders, self._occurrences.publish(), shared)

    @property
    def footprint(self) -> int:
        """Return an estimate of the bytes taken."""
        arrays = self._holders.footprint + self._occurrences.footprint
        return arrays + 150 * len(self._frequency) + 230 * len(self._symbols.texts) + 220 * len(self._results)

    def _compact(self) -> None:
        """Number the symbols anew without those that stand in no pattern any more, when they are many."""
        alive = np.flatnonzero(self._holders.values)
        texts, near = self._symbols.texts, self._near
        gone = len(texts) - len(alive)
        if gone <= GONE or gone <= len(alive):
            return
        holders, occurrences = self._holders.values[alive], self._occurrences.values[alive]
        self._symbols = SymbolTable()
        self._near = NearSymbols(self._symbols)
        self._holders, self._occurrences = Column(np.int64), Column(np.int64)
        for number in alive.tolist():
            self._symbols.intern(texts[number])
            coordinates = near.coordinates(texts[number])
            if coordinates is not None:
                self._near.add_vector(texts[number], coordinates)
        self._holders.extend(holders)
        self._occurrences.extend(occurrences)

    def _note(self, key: bytes, change: PatternChange) -> None:
        self._results.pop(key, None)
        if not change.frequency:
            del self._frequency[key]
            return
        self._frequency[key] = change.frequency
        if change.outcomes:
            self._results[key] = (change.outcomes, change.utility)


def part_of(rows: Rows, memory: int, known: Known, wanted: Wanted, tuning: MemoryTuning) -> View:
    """Return a view that holds what the question needs and tells the figures of the whole.

    A question that admits every pattern (threshold 0, matching by characters, weighing what follows by utility) reads
    every pattern, and holds them while it is answered.
    """
    index = Index(tuning, known.shared)
    found: list[tuple[Any, ...]] = []
    if wanted.recall is not None and wanted.events:
        found += _candidates(rows, memory, _shown(index, known), wanted, wanted.recall)
    if wanted.following is not None:
        found += _following(rows, memory, wanted.context or (), wanted.following)
    if wanted.pattern is not None:
        row = rows.one(sql.READ_PATTERN, {"memory": memory, "pattern": wanted.pattern})
        found += [(row[0], row[2], row[4], row[6], row[7])] if row is not None and row[4] else []
    counts: dict[int, int] = {}
    if wanted.following is not None:
        every = rows.all(sql.EVENT_COUNTS, {"memory": memory})
        numbers = index.number_events(tuple(json.loads(event)) for event, _ in every)
        counts = dict(zip(numbers, (count for _, count in every), strict=True))
    changes = {r[0]: PatternChange(r[0], read_events(r[1]), r[2], r[3], r[4]) for r in found}
    index.apply(known.seq, list(changes.values()))
    view = _shown(index, known)
    return _with_events(view, counts) if counts else view


def _shown(index: Index, known: Known) -> View:
    """Return the view of an index with the figures of the whole memory in place of its own."""
    view = replace(
        index.view(),
        seq=known.seq,
        generation=next(_generations),
        N=known.N,
        V=known.V,
        T=known.T,
        holders=known.holders,
        occurrences=known.occurrences,
    )
    view.__dict__["mean_utility"] = known.mean_utility
    return view


def _with_events(view: View, counts: Mapping[int, int]) -> View:
    kinds = len(view.event_table)
    frequency = np.zeros(kinds, dtype=np.int64)
    frequency[list(counts)] = list(counts.values())
    shown = replace(view, kinds=kinds, event_counts=lambda: frequency)
    shown.__dict__["mean_utility"] = view.mean_utility
    return shown


def _following(rows: Rows, memory: int, context: Events, options: NextOptions) -> list[tuple[Any, ...]]:
    """Return the patterns in which the context may occur: those that hold the symbols of its last event."""
    if options.weight != "frequency":
        return rows.all(sql.EVERY_PATTERN, {"memory": memory})
    if not context or not options.max_order:
        return []
    return rows.all(sql.HOLDING, {"memory": memory, "ids": json.dumps(sorted(set(context[-1])))})


def _candidates(rows: Rows, memory: int, view: View, wanted: Wanted, options: RecallOptions) -> list[tuple[Any, ...]]:
    if options.recall_threshold <= 0 or options.matching == "characters":
        return rows.all(sql.EVERY_PATTERN, {"memory": memory})
    query = build_query(view, wanted.events, options, wanted.vectors)
    asked = _asked(view, query, options.recall_threshold)
    if not asked:
        return []
    values = {"memory": memory, "size": len(query.texts), "threshold": options.recall_threshold}
    return rows.all(sql.CANDIDATES, {**values, "ids": json.dumps(asked)})


def _asked(view: View, query: Query, threshold: float) -> list[tuple[int, int, str, bool]]:
    """Return each symbol a candidate may hold: for which observed text, how often that was seen, whether to look it up.

    A candidate matches at least ``least`` observed symbols, so it holds one of any that leave fewer than that out;
    the commonest are left out.
    """
    size, texts = len(query.texts), view.symbol_table.texts
    needed = needed_overlap(size, size, threshold)
    least = next(int(m) for length, m in enumerate(needed) if length and m <= length)
    groups: list[tuple[int, int, list[int]]] = []
    for text, times in Counter(query.texts).items():
        own = view.symbol(text)
        group = [number for number, _ in query.near.get(text, ())] + ([] if own is None else [own])
        if group:
            groups.append((int(view.holders[group].sum()), times, group))
    groups.sort(key=lambda one: -one[0])
    spare, asked = least - 1, []
    for place, (_, times, group) in enumerate(groups):
        left_out = times <= spare
        spare -= times if left_out else 0
        asked += [(place, times, texts[number], not left_out) for number in group]
    return asked if any(looked_up for *_, looked_up in asked) else []
