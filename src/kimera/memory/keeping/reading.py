"""Looking into a memory: patterns with what their episodes add up to, pages of them, symbols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kimera.errors import ValidationError
from kimera.memory.contracts import EpisodeView, Events, Record
from kimera.memory.keeping.changes import Selection, find_pattern, select
from kimera.memory.keeping.episodes import DEFAULT_LABEL, Folded, read_events
from kimera.memory.keeping.log import EVERYTHING, LogRecord, read
from kimera.memory.keeping.store import MemoryStore
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = [
    "LogView",
    "PatternPage",
    "PatternView",
    "SymbolView",
    "episodes_of",
    "log_page",
    "page",
    "pattern",
    "symbols",
]

PAGE = 10_000
BLOCK = 500


@dataclass(frozen=True, slots=True)
class PatternView(Record):
    """Show one pattern. ``emotives`` are means over the window, ``cost`` the mean cost, None without outcomes."""

    id: str
    name: str
    events: Events
    length: int
    frequency: int
    emotives: Mapping[str, float]
    metadata: Mapping[str, Any]
    outcomes: int
    total_utility: float
    cost: float | None
    label: Mapping[str, Any]
    episodes: tuple[EpisodeView, ...] = ()


@dataclass(frozen=True, slots=True)
class PatternPage(Record):
    """Some patterns by id, and the id after which the next page begins; None: that was all."""

    patterns: tuple[PatternView, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class SymbolView(Record):
    """Count one symbol: ``patterns`` that hold it, ``occurrences`` over all learning."""

    symbol: str
    patterns: int
    occurrences: int


@dataclass(frozen=True, slots=True)
class Stats(Record):
    """Sum up a memory: what is learned, who is on it, and what the caches did."""

    name: str
    seq: int
    patterns: int
    symbols: int
    total_frequency: int
    sessions: int
    index_bytes: int
    caches: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class LogView(Record):
    """Show one log record; ``body`` is what it says, None where it was erased."""

    seq: int
    kind: str
    at: str
    source: str
    session: str | None
    unique_id: str | None
    pattern: str | None
    body: Mapping[str, Any] | None
    hash: str


def pattern(store: MemoryStore, ref: str) -> PatternView:
    """Return one pattern with its episodes; raises `NotFoundError` (PATTERN_NOT_FOUND)."""

    def work(rows: Rows) -> PatternView:
        row = find_pattern(rows, store.memory, ref)
        return _view(row, episodes_of(rows, store.memory, row[0]))

    return store.read(work)


def page(store: MemoryStore, source: str | None, contains: str | None, after: str | None, limit: int) -> PatternPage:
    """Return patterns by id: those with an episode from ``source``, those that hold the symbol ``contains``."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= PAGE:
        raise ValidationError(f"limit takes a whole number from 1 to {PAGE}.", "limit", error_code="BODY_INVALID")

    def work(rows: Rows) -> PatternPage:
        wanted = None
        if source is not None:
            wanted = {each.pattern for each in select(rows, store.memory, Selection(source=source))}
        found: list[PatternView] = []
        last = after or ""
        while True:
            block = rows.all(sql.PAGE_PATTERNS, {"memory": store.memory, "after": last, "limit": BLOCK})
            for row in block:
                last = row[0]
                if wanted is not None and last not in wanted:
                    continue
                view = _view(row, ())
                if contains is not None and not any(contains in event for event in view.events):
                    continue
                if len(found) == limit:
                    return PatternPage(tuple(found), found[-1].id)
                found.append(view)
            if len(block) < BLOCK:
                return PatternPage(tuple(found), None)

    return store.read(work)


def symbols(store: MemoryStore, prefix: str) -> tuple[SymbolView, ...]:
    """Return the symbols that begin with ``prefix``, by code point."""

    def work(rows: Rows) -> tuple[SymbolView, ...]:
        holders: Counter[str] = Counter()
        occurrences: Counter[str] = Counter()
        for row in rows.each(sql.LIVE_PATTERNS, {"memory": store.memory}):
            counts = Counter(symbol for event in read_events(row[2]) for symbol in event if symbol.startswith(prefix))
            holders.update(counts.keys())
            for symbol, count in counts.items():
                occurrences[symbol] += count * row[4]
        return tuple(SymbolView(symbol, holders[symbol], occurrences[symbol]) for symbol in sorted(holders))

    return store.read(work)


def log_page(store: MemoryStore, after: int, limit: int) -> tuple[LogView, ...]:
    """Return log records above ``after``, in order."""

    def work(rows: Rows) -> tuple[LogView, ...]:
        until = min(after + limit, EVERYTHING)
        return tuple(_log_view(item) for item in read(rows, store.memory, after, until))

    return store.read(work)


def episodes_of(rows: Rows, memory: int, pattern_id: str) -> tuple[EpisodeView, ...]:
    """Return the live episodes of a pattern, oldest first."""
    found = rows.all(sql.EPISODES_OF, {"memory": memory, "pattern": pattern_id, "until": EVERYTHING})
    return tuple(EpisodeView(seq, instant(at), source, session) for seq, at, source, session, _ in found)


def instant(at: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def _view(row: tuple[Any, ...], episodes: tuple[EpisodeView, ...]) -> PatternView:
    pattern_id, name, events, length, frequency, _, outcomes, utility, folded = row
    known = Folded.read(folded)
    return PatternView(
        pattern_id,
        name,
        read_events(events),
        length,
        frequency,
        known.mean_emotives,
        known.metadata,
        outcomes,
        utility,
        known.mean_cost,
        (known.label or DEFAULT_LABEL).to_dict(),
        episodes,
    )


def _log_view(item: LogRecord) -> LogView:
    return LogView(
        item.seq,
        item.kind,
        instant(item.at),
        item.source,
        item.session_id,
        item.unique_id,
        item.pattern_id,
        None if item.erased else item.payload,
        item.hash,
    )
