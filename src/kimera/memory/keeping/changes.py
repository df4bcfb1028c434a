"""Correcting and forgetting: each act is one log record that names the episodes it acts on, and can be undone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kimera.errors import ConflictError, NotFoundError, ValidationError
from kimera.memory.contracts import Record
from kimera.memory.keeping.episodes import clean_outcome, read_events
from kimera.memory.keeping.log import Entry, LogRecord, append, head, record
from kimera.memory.keeping.patterns import apply, check_vectors, is_void
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.symbols import Events, clean_symbol, clean_text, pattern_id
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["Changed", "Selection", "edit", "expire", "find_pattern", "forget", "record_outcome", "undo"]

VOIDABLE = frozenset({"learn", "forget", "edit", "expire", "outcome", "undo"})


@dataclass(frozen=True, slots=True)
class Changed(Record):
    """Report a change: its log number (None when nothing was written), how many episodes and patterns it touched."""

    kind: str
    seq: int | None
    episodes: int
    patterns: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which episodes: every given selector must hold. ``before`` is in seconds since 1970."""

    pattern: str | None = None
    source: str | None = None
    session: str | None = None
    symbol: str | None = None
    before: float | None = None
    episodes: tuple[int, ...] | None = None
    everything: bool = False

    @classmethod
    def of(
        cls,
        pattern: str | None = None,
        source: str | None = None,
        session: str | None = None,
        symbol: str | None = None,
        before: datetime | float | str | None = None,
        episodes: Iterable[int] | None = None,
    ) -> Selection:
        """Return checked selectors; raises `ValidationError` (SELECTOR_REQUIRED) when none is given."""
        given = (pattern, source, session, symbol, before, episodes)
        if all(selector is None for selector in given):
            raise ValidationError(
                "Say what to forget: pattern, source, session, symbol, before or episodes. clear_all() forgets all.",
                "selector",
                error_code="SELECTOR_REQUIRED",
            )
        for name, value in (("pattern", pattern), ("source", source), ("session", session)):
            if value is not None:
                clean_text(value, name)
        return cls(
            pattern,
            source,
            session,
            None if symbol is None else clean_symbol(symbol, "symbol"),
            None if before is None else _moment(before),
            None if episodes is None else _numbers(episodes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what was given."""
        if self.everything:
            return {"everything": True}
        names = ("pattern", "source", "session", "symbol", "before", "episodes")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass(frozen=True, slots=True)
class Episode:
    """One learn record and where it counts now; ``pattern`` None: nowhere."""

    seq: int
    at: float
    source: str
    session_id: str | None
    pattern: str | None
    taught: str | None


def forget(store: MemoryStore, selection: Selection, *, dry_run: bool = False) -> Changed:
    """Forget the live episodes that match; nothing is written when none does."""

    def work(rows: Rows) -> Changed:
        last = head(rows, store.memory, lock=not dry_run)
        found = [each for each in select(rows, store.memory, selection) if each.pattern is not None]
        patterns = len({each.pattern for each in found})
        if dry_run or not found:
            return Changed("forget", None, len(found), patterns, dry_run)
        body = {"episodes": [each.seq for each in found], "selector": selection.to_dict()}
        item = append(rows, store.memory, last, [Entry.of("forget", store.now(), body)])[0]
        apply(rows, store.memory, item)
        return Changed("forget", item.seq, len(found), patterns)

    return _noted(store, store.read(work) if dry_run else store.write(work))


def edit(store: MemoryStore, ref: str, events: Events, vectors: Mapping[str, tuple[float, ...]]) -> Changed:
    """Move a pattern's episodes to new content; where that pattern exists they join it."""
    if sum(map(len, events)) < 2:
        raise ValidationError(
            "A pattern has at least two symbols.", "events", error_code="PATTERN_TOO_SHORT", http_status=400
        )

    def work(rows: Rows) -> Changed:
        last = head(rows, store.memory)
        row = find_pattern(rows, store.memory, ref)
        check_vectors(rows, store.memory, vectors)
        if row[0] == pattern_id(events):
            return Changed("edit", None, 0, 0)
        episodes = [
            each[0]
            for each in rows.all(sql.EPISODES_OF, {"memory": store.memory, "pattern": row[0], "until": last.seq})
        ]
        body: dict[str, Any] = {"episodes": episodes, "pattern": row[0], "events": events}
        if vectors:
            body["vectors"] = dict(vectors)
        item = append(rows, store.memory, last, [Entry.of("edit", store.now(), body)])[0]
        patterns = apply(rows, store.memory, item)
        return Changed("edit", item.seq, len(episodes), patterns)

    return _noted(store, store.write(work))


def expire(store: MemoryStore, now: float | None = None) -> Changed:
    """Forget the episodes whose time to live has passed."""
    moment = store.now() if now is None else now

    def work(rows: Rows) -> Changed:
        last = head(rows, store.memory)
        episodes = [row[0] for row in rows.all(sql.OUTLIVED, {"memory": store.memory, "now": moment})]
        if not episodes:
            return Changed("expire", None, 0, 0)
        body = {"episodes": episodes, "now": moment}
        item = append(rows, store.memory, last, [Entry.of("expire", store.now(), body)])[0]
        return Changed("expire", item.seq, len(episodes), apply(rows, store.memory, item))

    return _noted(store, store.write(work))


def undo(store: MemoryStore, seq: int) -> Changed:
    """Void a record: the state becomes that of a log without it. An undo can be undone.

    Raises `NotFoundError` (SEQ_NOT_FOUND), `ConflictError` (NOT_UNDOABLE).
    """

    def work(rows: Rows) -> Changed:
        last = head(rows, store.memory)
        target = record(rows, store.memory, seq)
        if target is None:
            raise NotFoundError(
                f"There is no record {seq}; the log ends at {last.seq}.", error_code="SEQ_NOT_FOUND", seq=seq
            )
        _check_undoable(rows, store.memory, target)
        item = append(rows, store.memory, last, [Entry.of("undo", store.now(), {"seq": seq})])[0]
        return Changed("undo", item.seq, 1, apply(rows, store.memory, item))

    return _noted(store, store.write(work))


def record_outcome(store: MemoryStore, ref: str, utility: float | None, cost: float | None) -> Changed:
    """Note how the newest episode of a pattern turned out."""
    outcome = clean_outcome(utility, cost)

    def work(rows: Rows) -> Changed:
        last = head(rows, store.memory)
        row = find_pattern(rows, store.memory, ref)
        episodes = rows.all(sql.EPISODES_OF, {"memory": store.memory, "pattern": row[0], "until": last.seq})
        body = {"episode": episodes[-1][0], "pattern": row[0], **outcome}
        item = append(rows, store.memory, last, [Entry.of("outcome", store.now(), body)])[0]
        return Changed("outcome", item.seq, 1, apply(rows, store.memory, item))

    return _noted(store, store.write(work))


def find_pattern(rows: Rows, memory: int, ref: object) -> tuple[Any, ...]:
    """Return the live pattern with this id, name or ``PTRN|name``; raises `NotFoundError` (PATTERN_NOT_FOUND)."""
    text = clean_text(ref, "pattern")
    if text.startswith("p1:"):
        row = rows.one(sql.READ_PATTERN, {"memory": memory, "pattern": text})
    else:
        row = rows.one(sql.READ_BY_NAME, {"memory": memory, "name": text.removeprefix("PTRN|")})
    if row is None or not row[4]:
        raise NotFoundError(
            "There is no such pattern in this memory; patterns() lists those there are.",
            error_code="PATTERN_NOT_FOUND",
        )
    return row


def select(rows: Rows, memory: int, selection: Selection, *, gone: bool = False) -> list[Episode]:
    """Return the episodes that match, live or not, in order of their numbers.

    With ``gone``, a selector of patterns also finds the episodes that taught one and were forgotten since.
    """
    pattern = None
    if selection.pattern is not None:
        ref = selection.pattern
        pattern = _taught(rows, memory, ref) if gone else find_pattern(rows, memory, ref)[0]
    tests = list(_tests(rows, memory, selection, pattern, gone))
    episodes = (Episode(*row) for row in _within_reach(rows, memory, selection, pattern))
    return [each for each in episodes if all(test(each) for test in tests)]


def _within_reach(rows: Rows, memory: int, selection: Selection, pattern: str | None) -> Iterable[tuple[Any, ...]]:
    """Return all episodes that may match and, where an index leads to them, few others, in order of their numbers."""
    if pattern is not None:
        return rows.each(sql.EPISODES_ABOUT, {"memory": memory, "pattern": pattern})
    if selection.source:
        return rows.each(sql.EPISODES_FROM, {"memory": memory, "source": selection.source})
    return rows.each(sql.EPISODE_LIST, {"memory": memory})


def _tests(
    rows: Rows, memory: int, selection: Selection, pattern: str | None, gone: bool
) -> Iterable[Callable[[Episode], bool]]:
    if pattern is not None:
        yield lambda each: pattern in ({each.pattern, each.taught} if gone else {each.pattern})
    if selection.source is not None:
        yield lambda each: each.source == selection.source
    if selection.session is not None:
        yield lambda each: each.session_id == selection.session
    if selection.before is not None:
        moment = selection.before
        yield lambda each: each.at < moment
    if selection.episodes is not None:
        numbers = frozenset(selection.episodes)
        yield lambda each: each.seq in numbers
    if selection.symbol is not None:
        holders = _holders(rows, memory, selection.symbol)
        yield lambda each: each.pattern in holders


def _taught(rows: Rows, memory: int, ref: str) -> str:
    """Return the id of a pattern that may be gone; its row stays until it is erased."""
    name = {"memory": memory, "name": ref.removeprefix("PTRN|")}
    row = None if ref.startswith("p1:") else rows.one(sql.READ_GONE_BY_NAME, name)
    return ref if row is None else str(row[0])


def _holders(rows: Rows, memory: int, symbol: str) -> frozenset[str]:
    found = rows.each(sql.LIVE_PATTERNS, {"memory": memory})
    return frozenset(row[0] for row in found if any(symbol in event for event in read_events(row[2])))


def _check_undoable(rows: Rows, memory: int, target: LogRecord) -> None:
    why = None
    if target.kind not in VOIDABLE:
        why = f"it is {target.kind!r}"
    elif target.erased or (target.kind == "forget" and "erased" in target.payload):
        why = "what it says was erased"
    elif is_void(rows, memory, target.seq):
        why = "it is void already; undo the undo instead"
    if why is not None:
        raise ConflictError(f"Record {target.seq} cannot be undone: {why}.", error_code="NOT_UNDOABLE", seq=target.seq)


def _noted(store: MemoryStore, changed: Changed) -> Changed:
    store.known_seq = max(store.known_seq, changed.seq or 0)
    return changed


def _moment(value: datetime | float | str) -> float:
    words = "before takes a time: an aware datetime, ISO 8601 text, or seconds since 1970."
    wrong = ValidationError(words, "before", error_code="BODY_INVALID")
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise wrong from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise wrong
        return value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise wrong
    return float(value)


def _numbers(episodes: object) -> tuple[int, ...]:
    if isinstance(episodes, str | bytes) or not isinstance(episodes, Sequence | set | frozenset | range):
        raise ValidationError("episodes takes a list of log numbers.", "episodes", error_code="BODY_INVALID")
    numbers = tuple(episodes)
    if any(isinstance(number, bool) or not isinstance(number, int) for number in numbers):
        raise ValidationError("episodes takes a list of log numbers.", "episodes", error_code="BODY_INVALID")
    return numbers
