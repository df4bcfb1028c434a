"""The index: a cache of the pattern log that follows it by sequence number and publishes immutable views."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import Events, MemoryTuning, PatternChange
from kimera.memory.index.columns import Column, Tally
from kimera.memory.index.near import NearSymbols
from kimera.memory.index.postings import Segment, build_segment
from kimera.memory.index.tables import EventTable, FutureTable, SymbolTable
from kimera.memory.index.view import View
from kimera.memory.recall.kernels import kernels

__all__ = ["Index"]

TAIL = 256  # rows scanned directly before they are frozen into a segment
BATCH = 4_096  # changes taken at once, which bounds what is held beside the index
GONE_SHARE = 4  # rebuilt when one row in four is a tombstone, or one symbol in four stands in one
GONE_ROWS, GONE_SYMBOLS = 1_024, 16_384  # fewer are not worth it


class _Fresh:
    """Gather the new rows of one batch before they reach the columns."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.tokens = array("i")
        self.lengths: list[int] = []
        self.events = array("i")
        self.ends = array("i")
        self.counts: list[int] = []


class Index:
    """Hold every pattern of one memory in arrays; one writer at a time, any number of readers on views.

    `apply` takes the changed patterns of one or more log records; `view` publishes the state after the last of them.
    """

    def __init__(
        self, tuning: MemoryTuning | None = None, shared: tuple[SymbolTable, NearSymbols] | None = None
    ) -> None:
        """Begin empty; ``shared`` numbers symbols as another index does, which then must know all of them."""
        self.tuning = tuning or MemoryTuning()
        self._shared = shared
        self._lock = threading.RLock()
        self._view: View | None = None
        self._seq = 0
        self._generation = 0
        self._clear()

    def _clear(self) -> None:
        self._symbols = self._shared[0] if self._shared else SymbolTable()
        self._events = EventTable(self._symbols)
        self._futures = FutureTable(self._events)
        self._near = self._shared[1] if self._shared else NearSymbols(self._symbols)
        self._row_of: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._keys = Column(np.uint64)
        self._token_starts, self._event_starts = Column(np.int64), Column(np.int64)
        self._token_starts.extend([0])
        self._event_starts.extend([0])
        self._tokens, self._row_events = Column(np.int32, 64), Column(np.int32, 64)
        self._event_ends, self._row_futures = Column(np.int32, 64), Column(np.int32, 64)
        self._lengths = Column(np.int32)
        self._frequency, self._outcomes, self._utility = Column(np.int64), Column(np.int64), Column(np.float64)
        self._holders, self._occurrences = Column(np.int64), Column(np.int64)
        self._event_frequency = Tally()
        self._segments: tuple[Segment, ...] = ()
        self._alive = self._total = self._held = 0

    @property
    def seq(self) -> int:
        """Return the log record the index has come to."""
        return self._seq

    def apply(self, seq: int, changes: Sequence[PatternChange]) -> None:
        """Bring the index to log record ``seq``, at which the patterns in ``changes`` stand as given.

        Of several changes of one pattern the last one counts. Raises KeyError for a change without events of a
        pattern not held.
        """
        with self._lock:
            once = len({change.id for change in changes}) == len(changes)
            step = BATCH if once else 1  # a pattern that changes twice is taken in its order
            for start in range(0, len(changes), step):
                part = changes[start : start + step]
                self._set(self._rows_for(part), part)
            self._seq = seq
            self._view = None
            if self._outlived(len(self._ids), self._alive, GONE_ROWS) or self._outlived(
                self._tokens.size, self._held, GONE_SYMBOLS
            ):
                self._compact()

    def number_events(self, events: Iterable[Sequence[str]]) -> list[int]:
        """Number events that need not stand in any pattern held here."""
        with self._lock:
            numbers = [self._events.intern(event)[0] for event in events]
            self._events.flush()
            return numbers

    def view(self) -> View:
        """Return the immutable view of the present state; built once per state."""
        view = self._view
        if view is not None:
            return view
        with self._lock:
            if self._view is None:
                self._freeze()
                self._view = self._publish()
            return self._view

    @property
    def footprint(self) -> int:
        """Return an estimate, in bytes, of the memory taken by arrays, names and dictionaries."""
        columns = [c for c in vars(self).values() if isinstance(c, Column | Tally)]
        tables = [self._events.starts, self._events.tokens, self._futures.event, self._futures.rest]
        arrays = sum(c.footprint for c in columns + tables) + sum(s.footprint for s in self._segments)
        objects = 210 * len(self._ids) + 170 * len(self._symbols.texts) + 200 * len(self._events)
        return arrays + objects + 8 * self._futures.event.size

    def _rows_for(self, changes: Sequence[PatternChange]) -> NDArray[np.int64]:
        fresh, rows, row_of = _Fresh(), [], self._row_of
        for change in changes:
            digest = bytes.fromhex(change.id[3:])
            row = row_of.get(digest)
            if row is None and change.frequency:
                if change.events is None:
                    raise KeyError(change.id)
                row = row_of[digest] = len(self._ids) + len(fresh.digests)
                self._intern(fresh, digest, change.events)
            for symbol, coordinates in change.vectors.items():
                self._near.add_vector(symbol, coordinates)
            rows.append(-1 if row is None else row)
        if fresh.digests:
            self._append(fresh)
        return np.array(rows, dtype=np.int64)

    def _intern(self, fresh: _Fresh, digest: bytes, events: Events) -> None:
        end = 0
        for event in events:
            number, ids = self._events.intern(event)
            fresh.tokens.extend(ids)
            fresh.events.append(number)
            end += len(ids)
            fresh.ends.append(end)
        fresh.digests.append(digest)
        fresh.lengths.append(end)
        fresh.counts.append(len(events))

    def _append(self, fresh: _Fresh) -> None:
        self._events.flush()
        self._ids += fresh.digests
        self._keys.extend(np.frombuffer(b"".join(d[:8] for d in fresh.digests), dtype=">u8").astype(np.uint64))
        self._token_starts.extend(np.cumsum(fresh.lengths) + self._tokens.size)
        starts = np.cumsum(fresh.counts)
        self._event_starts.extend(starts + self._row_events.size)
        events = np.frombuffer(fresh.events, dtype=np.int32)
        self._tokens.extend(np.frombuffer(fresh.tokens, dtype=np.int32))
        self._row_events.extend(events)
        self._event_ends.extend(np.frombuffer(fresh.ends, dtype=np.int32))
        self._lengths.extend(fresh.lengths)
        self._row_futures.extend(self._ends(events, starts, np.array(fresh.counts)))
        for column in (self._frequency, self._outcomes, self._utility):
            column.grow(len(self._ids))
        for column in (self._holders, self._occurrences):
            column.grow(len(self._symbols.texts))
        self._event_frequency.grow(len(self._events))

    def _ends(self, events: Any, ends: Any, counts: Any) -> NDArray[np.int32]:
        """Number the end of each pattern that begins at each of its events, all patterns one event at a time."""
        numbers = np.zeros(len(events), dtype=np.int32)
        rest = np.zeros(len(counts), dtype=np.int64)
        wide = events.astype(np.int64)
        for back in range(1, int(counts.max(initial=0)) + 1):
            active = np.flatnonzero(counts >= back)
            at = ends[active] - back
            rest[active] = numbers[at] = self._futures.intern(wide[at], rest[active])
        return numbers

    def _set(self, rows: NDArray[np.int64], changes: Sequence[PatternChange]) -> None:
        known = rows >= 0
        if not known.any():
            return
        changed = [change for change, there in zip(changes, known.tolist(), strict=True) if there]
        rows = rows[known]
        after = np.array([c.frequency for c in changed], dtype=np.int64)
        before = self._frequency.values[rows]
        difference, presence = after - before, (after > 0).astype(np.int64) - (before > 0)
        if difference.any():
            self._frequency.writable(int(rows.min()))[rows] = after
            self._count(rows, difference, presence)
            self._alive += int(presence.sum())
            self._held += int((presence * self._lengths.values[rows]).sum())
            self._total += int(difference.sum())
        outcomes = np.array([c.outcomes if c.frequency else 0 for c in changed], dtype=np.int64)
        utility = np.array([c.utility if c.frequency else 0.0 for c in changed], dtype=np.float64)
        if (outcomes != self._outcomes.values[rows]).any() or (utility != self._utility.values[rows]).any():
            self._outcomes.writable(int(rows.min()))[rows] = outcomes
            self._utility.writable(int(rows.min()))[rows] = utility

    def _count(self, rows: NDArray[np.int64], difference: Any, presence: Any) -> None:
        at, owner = _spread(self._token_starts.values, rows)
        tokens = self._tokens.values[at].astype(np.int64)
        np.add.at(self._occurrences.writable(), tokens, difference[owner])
        if presence.any():
            pairs = np.unique(owner * self._holders.size + tokens)
            np.add.at(self._holders.writable(), pairs % self._holders.size, presence[pairs // self._holders.size])
        at, owner = _spread(self._event_starts.values, rows)
        self._event_frequency.add(self._row_events.values[at], difference[owner])

    def _freeze(self) -> None:
        """Index the tail when it has grown, joined with the segments that are not much larger (log-structured)."""
        rows = len(self._ids)
        low = self._segments[-1].high if self._segments else 0
        if rows - low < TAIL:
            return
        kept = list(self._segments)
        while kept and kept[-1].high - kept[-1].low <= 2 * (rows - low):
            low = kept.pop().low
        sizes = (len(self._symbols.texts), len(self._events))
        starts, tokens = self._token_starts.values, self._tokens.values
        event_starts, events = self._event_starts.values, self._row_events.values
        native = kernels(self.tuning)
        self._segments = (*kept, build_segment(low, rows, starts, tokens, event_starts, events, sizes, native))

    def _publish(self) -> View:
        holders = self._holders.publish()
        return View(
            seq=self._seq,
            generation=self._generation,
            N=self._alive,
            V=int(np.count_nonzero(holders)),
            T=self._total,
            tuning=self.tuning,
            row_of=self._row_of,
            ids=self._ids,
            keys=self._keys.publish(),
            token_starts=self._token_starts.publish(),
            tokens=self._tokens.publish(),
            event_starts=self._event_starts.publish(),
            events=self._row_events.publish(),
            event_ends=self._event_ends.publish(),
            futures=self._row_futures.publish(),
            lengths=self._lengths.publish(),
            frequency=self._frequency.publish(),
            outcomes=self._outcomes.publish(),
            utility=self._utility.publish(),
            holders=holders,
            occurrences=self._occurrences.publish(),
            event_counts=self._event_frequency.publish(),
            kinds=self._event_frequency.size,
            segments=self._segments,
            symbol_table=self._symbols,
            event_table=self._events,
            future_table=self._futures,
            near=self._near,
        )

    @staticmethod
    def _outlived(size: int, alive: int, least: int) -> bool:
        return size - alive > least and (size - alive) * GONE_SHARE > size

    def _compact(self) -> None:
        """Start anew with the patterns that are left; views handed out keep the old arrays.

        With the rows that are gone go the symbols, events and ends that stood in no other.
        """
        old = self._publish()
        self._generation += 1
        self._clear()
        left = old.alive.tolist()
        for start in range(0, len(left), BATCH):
            part = [_unchanged(old, row) for row in left[start : start + BATCH]]
            self._set(self._rows_for(part), part)
        self._view = None


def _unchanged(view: View, row: int) -> PatternChange:
    """Return a pattern as it stands in a view, as a change that an empty index can take in."""
    events = view.row_events(row)
    symbols = {s for event in events for s in event if s.startswith("VCTR|")}
    vectors = {s: v for s in symbols if (v := view.near.coordinates(s)) is not None}
    outcomes, utility = int(view.outcomes[row]), float(view.utility[row])
    return PatternChange(view.id(row), events, int(view.frequency[row]), outcomes, utility, vectors)


def _spread(starts: Any, rows: NDArray[np.int64]) -> tuple[Any, Any]:
    """Return the positions of all elements of the rows, and for each the place of its row in ``rows``."""
    low = starts[rows]
    lengths = starts[rows + 1] - low
    owner = np.repeat(np.arange(len(rows)), lengths)
    first = np.cumsum(lengths) - lengths
    return np.arange(len(owner)) - first[owner] + low[owner], owner
