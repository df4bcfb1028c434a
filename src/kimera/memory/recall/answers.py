"""Questions to a memory, each answered on one view: predictions, what comes next, the guard, the why-view."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kimera.errors import MemoryFault
from kimera.guardian import Label
from kimera.memory.contracts import Guard, GuardOptions, MemoryTuning, NextEvents, NextOptions, Predictions, Why
from kimera.memory.index import Overlap, View
from kimera.memory.keeping.bodies import CacheCounts
from kimera.memory.keeping.changes import find_pattern
from kimera.memory.keeping.follow import Behind, Follower, Moment
from kimera.memory.keeping.reading import episodes_of
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.meters import note_predictions
from kimera.memory.observing.stm import Stm
from kimera.memory.options import Options
from kimera.memory.recall.guard import guard
from kimera.memory.recall.next import next_events
from kimera.memory.recall.outgrown import Wanted
from kimera.memory.recall.predict import predict
from kimera.memory.recall.shown import footprint, unmade
from kimera.memory.recall.why import why
from kimera.memory.symbols import Events

__all__ = ["Answers", "Question"]

T = TypeVar("T")
KEPT, KEPT_BYTES = 256, 32 * 2**20  # predictions, and what they may take together
LOOKS = 16


@dataclass(frozen=True, slots=True)
class Question:
    """The events that are asked about, with the coordinates of their vectors and the label of what is observed."""

    events: Events
    vectors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    label: Label | None = None
    overlap: Overlap | None = None
    at_least_seq: int | None = None

    @classmethod
    def of(cls, stm: Stm, overlap: Overlap | None = None, at_least_seq: int | None = None) -> Question:
        """Return the question about a short-term memory."""
        return cls(stm.sequence, stm.vectors, stm.label, overlap, at_least_seq)


class Answers:
    """Answers on the newest view. Predictions are kept by number, options and events, so none is ever stale.

    Those of an older number are asked for no more, and go when the first of a newer one is kept.
    """

    def __init__(self, store: MemoryStore, follower: Follower, tuning: MemoryTuning) -> None:
        self._store = store
        self._follower = follower
        self._tuning = tuning
        self._kept: OrderedDict[Any, tuple[Predictions, int]] = OrderedDict()
        self._bytes = self._newest = 0
        self._lock = threading.Lock()
        self.counts = CacheCounts()

    @property
    def follower(self) -> Follower:
        """Return what keeps the index level with the log."""
        return self._follower

    @property
    def kept(self) -> int:
        """Return how many predictions are held."""
        return len(self._kept)

    def predict(self, asked: Question, options: Options) -> Predictions:
        """Compare the events with every learned pattern, best first."""

        def look() -> Predictions:
            key: tuple[Any, ...] = (0, options.recall(), asked.events, asked.label)
            if self._follower.outgrown:  # there a view costs more than to ask how far the log is
                known = self._known((self._follower.reached(), *key[1:]))
                if known is not None and known.memory_seq >= (asked.at_least_seq or 0):
                    return known
            view = self._follower.view(asked.at_least_seq, Wanted(asked.events, asked.vectors, options.recall()))
            key = (view.seq, *key[1:])
            known = self._known(key)
            if known is not None:
                return known
            answer = predict(
                view,
                asked.events,
                options.recall(),
                lambda ids: self._follower.bodies(view.seq, ids, asked.label),
                vectors=asked.vectors,
                affinity=self._affinity(view, options),
                overlap=asked.overlap,
            )
            self._keep(key, answer)
            return answer

        answer = _level(look)
        note_predictions(len(answer.predictions), answer.statistics.ensemble)
        return answer

    def predict_then(self, asked: Question, options: Options, moment: Moment) -> Predictions:
        """Compare the events with the patterns of a moment that has passed."""
        seq, emotive = moment.view.seq, options.affinity_emotive
        return predict(
            moment.view,
            asked.events,
            options.recall(),
            lambda ids: self._follower.bodies_at(seq, ids, asked.label),
            vectors=asked.vectors,
            affinity=None if emotive is None else moment.affinity.of_emotive(emotive),
        )

    def guard_then(self, asked: Question, options: GuardOptions, recall: Options, moment: Moment) -> Guard:
        """Judge the newest of the events as of a moment that has passed."""
        emotive = recall.affinity_emotive
        affinity = None if emotive is None else moment.affinity.of_emotive(emotive)
        return guard(
            moment.view, asked.events, options, recall=recall.recall(), vectors=asked.vectors, affinity=affinity
        )

    def next(self, asked: Question, options: NextOptions) -> NextEvents:
        """Return the distribution of the event that comes after these."""
        wanted = Wanted(context=asked.events, following=options)
        return next_events(self._follower.view(asked.at_least_seq, wanted), asked.events, options)

    def guard(self, asked: Question, options: GuardOptions, recall: Options) -> Guard:
        """Judge the newest of the events."""

        def look() -> Guard:
            wanted = Wanted(asked.events, asked.vectors, recall.recall(), asked.events[:-1], NextOptions())
            view = self._follower.view(asked.at_least_seq, wanted)
            return guard(
                view,
                asked.events,
                options,
                recall=recall.recall(),
                vectors=asked.vectors,
                affinity=self._affinity(view, recall),
            )

        return _level(look)

    def why(self, asked: Question, pattern: str, options: Options) -> Why:
        """Explain one pattern; raises `NotFoundError` (PATTERN_NOT_FOUND)."""

        def look() -> Why:
            memory = self._store.memory
            row = self._store.read(lambda rows: find_pattern(rows, memory, pattern))
            wanted = Wanted(asked.events, asked.vectors, options.recall(), pattern=row[0])
            view = self._follower.view(asked.at_least_seq, wanted)
            episodes = self._store.read(lambda rows: episodes_of(rows, memory, row[0]))
            return why(
                view,
                asked.events,
                row[0],
                options.recall(),
                lambda ids: self._follower.bodies(view.seq, ids, asked.label),
                episodes=episodes,
                vectors=asked.vectors,
                affinity=self._affinity(view, options),
            )

        return _level(look)

    def _affinity(self, view: View, options: Options) -> Mapping[str, float] | None:
        emotive = options.affinity_emotive
        return None if emotive is None else self._follower.affinity(view.seq, emotive)

    def _known(self, key: Any) -> Predictions | None:
        if not self._tuning.caches:
            return None
        with self._lock:
            known = self._kept.get(key)
            if known is None:
                self.counts.misses += 1
                return None
            self.counts.hits += 1
            self._kept.move_to_end(key)
        return unmade(known[0])

    def _keep(self, key: Any, answer: Predictions) -> None:
        size = footprint(answer)
        if not self._tuning.caches or size > KEPT_BYTES:
            return
        with self._lock:
            if key[0] < self._newest:
                return
            if key[0] > self._newest:
                self.counts.evictions += len(self._kept)
                self._kept.clear()
                self._newest, self._bytes = key[0], 0
            _, before = self._kept.pop(key, (None, 0))
            self._kept[key] = unmade(answer), size
            self._bytes += size - before
            while len(self._kept) > KEPT or self._bytes > KEPT_BYTES:
                _, (_, gone) = self._kept.popitem(last=False)
                self._bytes -= gone
                self.counts.evictions += 1


def _level(look: Callable[[], T]) -> T:
    """Look until bodies and view belong to the same moment; a writer may come between a few times."""
    for _ in range(LOOKS):
        try:
            return look()
        except Behind:
            continue
    raise MemoryFault(
        "The memory changes faster than it can be read; ask again in a moment.",
        error_code="INDEX_BEHIND",
        retry_after=1.0,
    )
