"""The log read from its beginning with nothing else at hand: what the tables and the index must agree with.

Written apart from `patterns`, which follows record by record: here undone records are found first, from
the end, and every episode is placed once.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kimera.memory.contracts import Record
from kimera.memory.keeping.episodes import Folded, written_events
from kimera.memory.keeping.follow import Follower
from kimera.memory.keeping.log import LogRecord, broken_links, canonical, read
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.recall.exact import rounded
from kimera.memory.symbols import Events, is_vector_symbol, pattern_id
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["Replay", "Verified", "hash_state", "state_hash", "state_line", "verify"]

STATE = b"kimera.memory.state.v1\n"


@dataclass(frozen=True, slots=True)
class Verified(Record):
    """Report a check of log, tables and index; ``problems`` is empty when all agree."""

    ok: bool
    seq: int
    state_hash: str
    problems: tuple[str, ...]


@dataclass(slots=True)
class Pattern:
    """What the live episodes of one pattern amount to."""

    events: Events
    frequency: int
    folded: Folded


class Replay:
    """The state a list of records leads to."""

    def __init__(self, records: Iterable[LogRecord]) -> None:
        self.records = {record.seq: record for record in records}
        self.void = self._void()
        self.places: dict[int, str | None] = {}
        self.patterns: dict[str, Pattern] = {}
        self._place_all()

    @property
    def erased(self) -> set[int]:
        """Return the records whose bodies were overwritten with the log's knowledge."""
        forgets = (r for r in self.records.values() if r.kind == "forget" and not r.erased)
        return {seq for record in forgets for seq in record.payload.get("erased", ())}

    def lines(self) -> Iterator[str]:
        """Yield the state, one line per pattern by id."""
        for name in sorted(self.patterns):
            pattern = self.patterns[name]
            yield state_line(name, pattern.frequency, pattern.folded)

    def _void(self) -> set[int]:
        void: set[int] = set()
        for seq in sorted(self.records, reverse=True):
            record = self.records[seq]
            if record.kind == "undo" and seq not in void:
                void.add(record.payload["seq"])
        return void

    def _place_all(self) -> None:
        effects: dict[int, list[LogRecord]] = defaultdict(list)
        for seq in sorted(self.records):
            record = self.records[seq]
            if seq in self.void or record.erased or record.kind in {"learn", "undo", "import"}:
                continue
            payload = record.payload
            for episode in [payload["episode"]] if record.kind == "outcome" else payload["episodes"]:
                effects[episode].append(record)
        for seq in sorted(self.records):
            if self.records[seq].kind == "learn":
                self.places[seq] = self._place(self.records[seq], effects[seq])

    def _place(self, learned: LogRecord, effects: Iterable[LogRecord]) -> str | None:
        if learned.seq in self.void or learned.erased:
            return None
        payload = learned.payload
        content, outcomes = payload["events"], []
        for record in effects:
            if record.kind in {"forget", "expire"}:
                return None
            if record.kind == "edit":
                content = record.payload["events"]
            else:
                outcomes.append(record.payload)
        events = tuple(map(tuple, content))
        name = pattern_id(events)
        pattern = self.patterns.setdefault(name, Pattern(events, 0, Folded()))
        pattern.frequency += 1
        pattern.folded.add(payload, outcomes)
        return name


def state_line(name: str, frequency: int, folded: Folded) -> str:
    """Return the canonical JSON of one pattern's state."""
    figures = [folded.outcomes, rounded(folded.utility), rounded(folded.cost)]
    return canonical([name, frequency, folded.emotives, folded.metadata, figures])


def hash_state(lines: Iterable[str]) -> str:
    """Return the name of a state, given its lines in order of the patterns' ids."""
    digest = hashlib.sha256(STATE)
    for line in lines:
        digest.update(line.encode() + b"\n")
    return f"s1:{digest.hexdigest()}"


def state_hash(rows: Rows, memory: int) -> str:
    """Return the name of the state the tables hold."""
    found = rows.each(sql.LIVE_PATTERNS, {"memory": memory})
    return hash_state(state_line(row[0], row[4], Folded.read(row[8])) for row in found)


def verify(store: MemoryStore, follower: Follower) -> Verified:
    """Replay the log, check its chain, and compare tables and index with the replay."""
    view = follower.view()

    def work(rows: Rows) -> tuple[Replay, list[str], str]:
        records = list(read(rows, store.memory, 0))
        replay = Replay(records)
        problems = [*broken_links(records), *_wrong_erasures(replay), *_wrong_rows(rows, store.memory, replay)]
        return replay, problems, state_hash(rows, store.memory)

    replay, problems, found = store.read(work)
    if found != hash_state(replay.lines()):
        problems.append("the state hash of the tables is not that of the log")
    last = max(replay.records, default=0)
    if view.seq == last:  # else a writer came between, and the next check will see it
        problems += _wrong_counts(view, replay) if follower.outgrown else _wrong_index(view, replay)
    return Verified(not problems, last, found, tuple(problems))


def _wrong_erasures(replay: Replay) -> Iterator[str]:
    for seq, record in replay.records.items():
        if record.erased and seq not in replay.erased:
            yield f"the body of record {seq} is gone, and no record says it was erased"


def _wrong_rows(rows: Rows, memory: int, replay: Replay) -> Iterator[str]:
    values = {"memory": memory}
    seen = set()
    for name, _, events, length, frequency, _, outcomes, utility, folded in rows.each(sql.LIVE_PATTERNS, values):
        seen.add(name)
        pattern = replay.patterns.get(name)
        if pattern is None:
            yield f"pattern {name} is in the table and not in the log"
            continue
        known = pattern.folded
        expected = (written_events(pattern.events), sum(map(len, pattern.events)), pattern.frequency)
        expected_sums = (known.outcomes, known.total_utility, known.write())
        if (events, length, frequency) != expected or (outcomes, utility, folded) != expected_sums:
            yield f"pattern {name} differs from the log"
    yield from (f"pattern {name} is in the log and not in the table" for name in replay.patterns.keys() - seen)
    if {row[0] for row in rows.all(sql.ALL_VOIDS, values)} != replay.void:
        yield "the table of void records differs from the log"
    moved = {seq: at for seq, at in replay.places.items() if at != replay.records[seq].pattern_id}
    if dict(rows.all(sql.ALL_MOVES, values)) != moved:
        yield "the table of moved episodes differs from the log"
    if {row[0]: row[2] for row in rows.all(sql.ALL_VECTORS, values)} != _vectors(replay):
        yield "the table of vectors differs from the log"


def _vectors(replay: Replay) -> Mapping[str, int]:
    """Return per vector with known coordinates how many live patterns hold it."""
    known: set[str] = set()
    for record in replay.records.values():
        if record.kind in {"learn", "edit"} and not record.erased:
            known |= record.payload.get("vectors", {}).keys()
    counts: dict[str, int] = defaultdict(int)
    for pattern in replay.patterns.values():
        for symbol in {symbol for event in pattern.events for symbol in event if is_vector_symbol(symbol)}:
            counts[symbol] += symbol in known
    return {symbol: count for symbol, count in counts.items() if count}


def _wrong_counts(view: Any, replay: Replay) -> Iterator[str]:
    """Compare what is kept of a memory that has outgrown its index: N, T, and n(x) of every symbol."""
    held: Counter[str] = Counter()
    for pattern in replay.patterns.values():
        held.update({symbol for event in pattern.events for symbol in event})
    counted = {text: int(n) for text, n in zip(view.symbol_table.texts, view.holders, strict=False) if n}
    total = sum(p.frequency for p in replay.patterns.values())
    if (view.N, view.T, counted) != (len(replay.patterns), total, dict(held)):
        yield "the counts of the memory differ from the log"


def _wrong_index(view: Any, replay: Replay) -> Iterator[str]:
    if len(replay.patterns) != view.N or sum(p.frequency for p in replay.patterns.values()) != view.T:
        yield "the index counts other patterns than the log"
    for name, pattern in replay.patterns.items():
        row = view.find(name)
        if row is None or int(view.frequency[row]) != pattern.frequency or view.row_events(row) != pattern.events:
            yield f"pattern {name} differs in the index"
