"""Following the log: the index, the bodies of winners and the affinities, all as of one sequence number.

Nothing is pushed: whoever wants to read asks the database where the log ends, and takes in what changed since. So any
number of processes follow one log and none can miss a record.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any

from kimera.errors import MemoryFault
from kimera.guardian import Label, join
from kimera.memory.contracts import Body, Events, Learned, MemoryTuning, PatternChange
from kimera.memory.index import Index, View
from kimera.memory.keeping.bodies import Bodies, KeptBody
from kimera.memory.keeping.episodes import DEFAULT_LABEL, Folded, Lesson, read_events
from kimera.memory.keeping.log import head
from kimera.memory.keeping.patterns import fold
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.meters import note_patterns
from kimera.memory.recall.exact import Exact, rounded, unpack
from kimera.memory.recall.outgrown import Counts, Known, Wanted, part_of
from kimera.storage import memory as sql
from kimera.storage.rows import Rows
from kimera.telemetry import get_logger

__all__ = ["Affinity", "Behind", "Follower"]

CATCH_UP = 2.0
CATCH_UP_POLL = 0.01
PAGE = 10_000  # changed patterns read at once
LAST_ID = "q"  # above every pattern id
LOOKS = 4  # at the database without holding the lock, before a look that no writer can outrun
log = get_logger("memory")


class Behind(Exception):
    """What was asked belongs to another moment than the view; look again with a newer one."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The index and the affinities as of one log record."""

    view: View
    affinity: Affinity


class Follower:
    """Keeps one memory's index level with its log. Safe for threads; answers rest on immutable views."""

    def __init__(self, store: MemoryStore, tuning: MemoryTuning, limit: float = 0) -> None:
        """Follow one memory; an index of more than ``limit`` bytes is given up for the database's (0: never)."""
        self._store = store
        self._limit = limit
        self._counts: Counts | None = None
        self._torn = False
        self._tuning = tuning
        self._lock = threading.RLock()
        self._index = Index(tuning)
        self._seq = 0
        self._bodies = Bodies()
        self._affinity = Affinity()
        self.counts = self._bodies.counts

    @property
    def seq(self) -> int:
        """Return the number up to which the log was taken in."""
        return self._seq

    @property
    def cached_bodies(self) -> int:
        """Return how many bodies are held."""
        return len(self._bodies)

    @property
    def footprint(self) -> int:
        """Return the bytes the index holds."""
        return self._index.footprint if self._counts is None else self._counts.footprint

    @property
    def outgrown(self) -> bool:
        """Return whether candidates come from the database."""
        return self._counts is not None

    def reached(self) -> int:
        """Take in what is new and return its number."""
        with self._lock:
            self._follow()
            return self._seq

    def view(self, at_least: int | None = None, wanted: Wanted | None = None) -> View:
        """Return a view of everything committed by now, and of ``at_least`` that record.

        The view of an outgrown memory holds the patterns that are ``wanted`` only, and the figures of all.
        Waits up to 2 s for it, then raises `MemoryFault` (INDEX_BEHIND): the record may stand in a database that this
        one follows.
        """
        deadline = self._store.clock.monotonic() + CATCH_UP
        while True:
            with self._lock:
                self._follow()
                whole = None if self._counts is not None else self._index.view()
            view = whole if whole is not None else self._part(wanted or Wanted())
            if at_least is None or view.seq >= at_least:
                return view
            if self._store.clock.monotonic() >= deadline:
                raise MemoryFault(
                    f"The log is known here up to {self._seq}, not yet to {at_least}; ask again in a moment.",
                    error_code="INDEX_BEHIND",
                    retry_after=1.0,
                )
            self._store.clock.pause(CATCH_UP_POLL)

    def through(self, lessons: Sequence[Lesson], learned: Sequence[Learned]) -> list[Moment] | None:
        """Take in one transaction's lessons one by one; return the moment before them and after each.

        None when the log was taken in past their beginning already, so that those moments are gone.
        """
        with self._lock:
            if not learned or self._torn or self._counts is not None or self._seq != learned[0].seq - 1:
                return None
            moments = [self._moment()]
            for lesson, answer in zip(lessons, learned, strict=True):
                if answer.seq == self._seq + 1:  # else its unique id was known and nothing was written
                    self._take(lesson, answer)
                moments.append(self._moment())
            return moments

    def _moment(self) -> Moment:
        return Moment(self._index.view(), self._affinity.copy())

    def _take(self, lesson: Lesson, answer: Learned) -> None:
        folded = self._folded_at([lesson.id], answer.seq)[lesson.id][1]
        self._bodies.drop(lesson.id)
        self._affinity.set(lesson.id, lesson.events, folded.write())
        sums = (folded.outcomes, folded.total_utility)
        change = PatternChange(lesson.id, lesson.events, answer.frequency, *sums, lesson.vectors)
        self._index.apply(answer.seq, [change])
        self._seq = answer.seq

    def bodies_at(self, seq: int, ids: Sequence[str], stm_label: Label | None) -> dict[str, Body]:
        """Return what predictions show of these patterns as of ``seq``, folded anew from their episodes."""
        found = self._folded_at(ids, seq)
        return {each: _labelled(*_body(name, folded), stm_label) for each, (name, folded) in found.items()}

    def _folded_at(self, ids: Sequence[str], seq: int) -> dict[str, tuple[str, Folded]]:
        memory = self._store.memory

        def work(rows: Rows) -> dict[str, tuple[str, Folded]]:
            found = {}
            for each in ids:
                row = rows.one(sql.READ_PATTERN, {"memory": memory, "pattern": each})
                if row is not None:
                    found[each] = (str(row[1]), fold(rows, memory, each, seq))
            return found

        return self._store.read(work)

    def bodies(self, seq: int, ids: Sequence[str], stm_label: Label | None) -> dict[str, Body]:
        """Return what predictions show of these patterns; raises `Behind` when they have changed after ``seq``."""
        with self._lock:  # what is kept is as of a later record as well, if that has been taken in
            known = self._bodies.known(ids) if self._tuning.caches and self._seq >= seq else {}
        if any(kept.changed > seq for kept in known.values()):
            raise Behind
        missing = [each for each in ids if each not in known]
        if missing:
            read = self._read_bodies(missing, seq)
            known |= read
            self._keep_bodies(read, seq)
        found = {each: known[each] for each in ids if each in known}
        return {each: _labelled(kept.body, kept.label, stm_label) for each, kept in found.items()}

    def affinity(self, seq: int, emotive: str) -> Mapping[str, float]:
        """Return each symbol's affinity to one emotive, as of ``seq``; raises `Behind`."""
        with self._lock:
            if self._seq != seq:
                raise Behind
            return self._affinity.of_emotive(emotive)

    def affinities(self, symbol: str | None = None) -> dict[str, Any]:
        """Return the affinities of one symbol by emotive, or of every symbol that has any."""
        with self._lock:
            self._follow()
            return self._affinity.read(symbol)

    def restart(self) -> None:
        """Forget everything and take the log in again when next asked."""
        with self._lock:
            self._index = Index(self._tuning)
            self._bodies.clear()
            self._affinity = Affinity()
            self._counts = None
            self._torn = False
            self._seq = 0

    def _part(self, wanted: Wanted) -> View:
        memory, tuning = self._store.memory, self._tuning
        for _ in range(LOOKS):
            with self._lock:
                self._follow()
                known = self._counts.known(self._seq) if self._counts is not None else None
                if known is None:  # another thread has begun anew
                    return self._index.view()

            def look(rows: Rows, known: Known = known) -> View | None:
                level = head(rows, memory, lock=False).seq == known.seq
                return part_of(rows, memory, known, wanted, tuning) if level else None

            view = self._store.read(look)
            if view is not None:
                return view
        with self._lock:
            return self._store.read(lambda rows: self._part_now(rows, wanted))

    def _part_now(self, rows: Rows, wanted: Wanted) -> View:
        self._take_news(rows)
        if self._counts is None:
            return self._index.view()
        return part_of(rows, self._store.memory, self._counts.known(self._seq), wanted, self._tuning)

    def _follow(self) -> None:
        if self._torn:
            self.restart()
        if self._store.head().seq <= self._seq:
            return
        begun = perf_counter()
        self._torn = True  # what raises on the way leaves part of the news taken in
        within = self._counts is None
        taken = self._store.read(self._take_news)
        if within and self._counts is not None:  # made when first needed, as every learn pays for it from then on
            self._store.write(_index_symbols)
        self._torn = False
        if taken:
            patterns = self._index.view().N if self._counts is None else self._counts.known(self._seq).N
            note_patterns(patterns, taken, perf_counter() - begun)

    def _take_news(self, rows: Rows) -> int:
        """Take in what changed, page by page, and return how many patterns that were."""
        memory = self._store.memory
        seq = head(rows, memory, lock=False).seq
        if seq <= self._seq:
            return 0
        vectors: dict[str, tuple[float, ...]] | None = None
        last, taken = (self._seq, LAST_ID), 0
        while True:
            values = {"memory": memory, "last_seq": last[0], "last_id": last[1], "after": self._seq, "limit": PAGE}
            page = rows.all(sql.CHANGED_PAGE, values)
            if vectors is None and any('"VCTR|' in row[2] for row in page):
                vectors = _vectors(rows, memory)
            if not self._hold(seq, [self._change(row, vectors or {}) for row in page]):
                last, taken = (0, LAST_ID), 0
                continue
            taken += len(page)
            if len(page) < PAGE:
                break
            last = (page[-1][5], page[-1][0])
        self._seq = seq
        self._store.known_seq = max(self._store.known_seq, seq)
        return taken

    def _change(self, row: tuple[Any, ...], vectors: Mapping[str, tuple[float, ...]]) -> PatternChange:
        pattern, _, written, _, frequency, _, outcomes, utility, folded = row
        self._bodies.drop(pattern)
        events: Events | None = read_events(written) if frequency or self._counts is not None else None
        self._affinity.set(pattern, events or (), folded if frequency else None)
        used = {name: vectors[name] for event in events or () for name in event if name in vectors}
        return PatternChange(pattern, events, frequency, outcomes, utility, used)

    def _hold(self, seq: int, changes: list[PatternChange]) -> bool:
        """Take changes in; False when all must be read again from the beginning of the log."""
        if self._counts is not None:
            if self._counts.apply(changes):
                return True
            self._counts, self._seq = Counts(), 0  # an erase has blanked what would have to be subtracted
            return False
        self._index.apply(seq, changes)
        if not self._limit or self._index.footprint <= self._limit:
            return True
        fields = {"memory": self._store.name, "bytes": self._index.footprint, "limit": int(self._limit)}
        if self._store.transactions.database.embedded:
            log.warning("memory.index_over_limit", **fields, effect="SQLite cannot give candidates; the index stays.")
            self._limit = 0
            return True
        log.info("memory.index_outgrown", **fields)
        self._index, self._counts, self._seq = Index(self._tuning), Counts(), 0
        return False

    def _read_bodies(self, ids: Sequence[str], seq: int) -> dict[str, KeptBody]:
        values = {"memory": self._store.memory, "ids": json.dumps(list(ids))}
        found = {}
        for pattern, name, changed_seq, folded in self._store.look(sql.SOME_PATTERNS, values):
            if changed_seq > seq:
                raise Behind
            found[pattern] = KeptBody(*_body(name, Folded.read(folded)), changed_seq, len(folded or ""))
        return found

    def _keep_bodies(self, read: Mapping[str, KeptBody], seq: int) -> None:
        with self._lock:
            if self._seq == seq and self._tuning.caches:
                self._bodies.keep(read)


def _index_symbols(rows: Rows) -> None:
    for statement in sql.INDEX_SYMBOLS:
        rows.run(statement)


def _vectors(rows: Rows, memory: int) -> dict[str, tuple[float, ...]]:
    found = rows.all(sql.ALL_VECTORS, {"memory": memory})
    return {name: struct.unpack(f"<{len(data) // 8}d", data) for name, data, _ in found}


class Affinity:
    """Exact sums per symbol and emotive over the episodes of all patterns that hold the symbol."""

    def __init__(self) -> None:
        self._patterns: dict[str, tuple[frozenset[str], dict[str, tuple[int, Exact]]]] = {}
        self._symbols: dict[str, dict[str, tuple[int, Exact]]] = {}

    def set(self, pattern: str, events: Sequence[Sequence[str]], folded: str | None) -> None:
        """Take in what a pattern's episodes add up to now, in place of what they added up to before."""
        if pattern in self._patterns:
            self._add(*self._patterns.pop(pattern), -1)
        if folded is None or '"affinity"' not in folded:
            return
        sums = {name: (count, unpack(total)) for name, (count, *total) in json.loads(folded)["affinity"].items()}
        symbols = frozenset(symbol for event in events for symbol in event)
        self._patterns[pattern] = (symbols, sums)
        self._add(symbols, sums, 1)

    def copy(self) -> Affinity:
        """Return a copy that what comes later leaves alone."""
        copied = Affinity()
        copied._patterns = dict(self._patterns)
        copied._symbols = {symbol: dict(sums) for symbol, sums in self._symbols.items()}
        return copied

    def of_emotive(self, emotive: str) -> Mapping[str, float]:
        """Return the affinities to one emotive as of now."""
        return _OneEmotive({symbol: sums[emotive][1] for symbol, sums in self._symbols.items() if emotive in sums})

    def read(self, symbol: str | None) -> dict[str, Any]:
        """Return one symbol's affinities, or those of all symbols."""
        if symbol is not None:
            return {name: rounded(total) for name, (_, total) in sorted(self._symbols.get(symbol, {}).items())}
        return {each: self.read(each) for each in sorted(self._symbols)}

    def _add(self, symbols: frozenset[str], sums: Mapping[str, tuple[int, Exact]], sign: int) -> None:
        for symbol in symbols:
            known = self._symbols.setdefault(symbol, {})
            for name, (count, total) in sums.items():
                before = known.get(name, (0, 0))
                known[name] = (before[0] + sign * count, before[1] + sign * total)
                if not known[name][0]:
                    del known[name]
            if not known:
                del self._symbols[symbol]


class _OneEmotive(Mapping[str, float]):
    """Sums that are rounded when they are read."""

    def __init__(self, sums: Mapping[str, Exact]) -> None:
        self._sums = sums

    def __getitem__(self, symbol: str) -> float:
        return rounded(self._sums[symbol])

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)


def _body(name: str, folded: Folded) -> tuple[Body, Label]:
    label = folded.label or DEFAULT_LABEL
    return Body(name, folded.mean_emotives, folded.metadata, folded.mean_cost, None), label


def _labelled(body: Body, label: Label, stm_label: Label | None) -> Body:
    shown = _shown_label(label, stm_label)
    return Body(body.name, body.emotives, body.metadata, body.cost, shown)


@lru_cache(1_024)
def _shown_label(label: Label, stm_label: Label | None) -> Mapping[str, Any]:
    return (label if stm_label is None else join(label, stm_label)).to_dict()
