"""Erasing: forgetting, and overwriting what was written, so that it occurs nowhere in the database's files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from kimera.clock import Clock
from kimera.errors import MemoryFault
from kimera.memory.keeping.changes import Changed, Selection, select
from kimera.memory.keeping.episodes import read_events
from kimera.memory.keeping.log import ERASED, Entry, LogRecord, append, head, read
from kimera.memory.keeping.patterns import acted_on, apply
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.observing.stm_sql import drop_events
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["erase"]

CHECKPOINTS = 100
PAUSE = 0.05


def erase(store: MemoryStore, selection: Selection) -> Changed:
    """Forget the episodes that match, dead ones too, overwrite their payloads and clean the files. Not undoable.

    The records keep the hashes of what they said, so the chain still verifies. Sources, session names, times and
    pattern ids stay: they are part of the chain. Raises `MemoryFault` (STORE_UNAVAILABLE) when readers keep the files
    from being cleaned; the overwriting stands then, and erasing again finishes it.
    """

    def work(rows: Rows) -> Changed:
        if store.transactions.database.embedded:
            rows.run(sql.SECURE_DELETE)
        last = head(rows, store.memory)
        records = {record.seq: record for record in read(rows, store.memory)}
        chosen = _chosen(rows, store.memory, selection, records)
        if not chosen:
            return Changed("erase", None, 0, 0)
        overwritten = sorted({*chosen, *_about(records.values(), chosen)})
        symbols = _symbols(records[seq] for seq in overwritten)
        places = {each.seq: each.pattern for each in select(rows, store.memory, Selection(everything=True))}
        live = [seq for seq in sorted(chosen) if places[seq] is not None]
        body = {"episodes": live, "erased": overwritten}
        item = append(rows, store.memory, last, [Entry.of("forget", store.now(), body)])[0]
        patterns = apply(rows, store.memory, item)
        values = [{"memory": store.memory, "at_seq": seq, "new_body": ERASED} for seq in overwritten]
        rows.many(sql.OVERWRITE_BODY, values)
        rows.run(sql.BLANK_GONE, {"memory": store.memory})
        _drop_seen(rows, store.memory, symbols, selection.symbol)
        return Changed("erase", item.seq, len(chosen), patterns)

    changed = store.write(work)
    store.known_seq = max(store.known_seq, changed.seq or 0)
    _clean_files(store, store.clock)
    return changed


def _chosen(rows: Rows, memory: int, selection: Selection, records: dict[int, LogRecord]) -> set[int]:
    """Return the episodes to erase: those that match now, and those that matched before they were forgotten."""
    found = {each.seq for each in select(rows, memory, selection, gone=True) if not records[each.seq].erased}
    if selection.symbol is None:
        return found
    said = {seq: _said(record) for seq, record in records.items() if record.kind in {"learn", "edit"}}
    holding = {seq for seq, symbols in said.items() if selection.symbol in symbols}
    others = replace(selection, symbol=None)
    candidates = {each.seq for each in select(rows, memory, others, gone=True) if not records[each.seq].erased}
    return found | {episode for seq in holding for episode in acted_on(records[seq]) if episode in candidates}


def _about(records: Iterable[LogRecord], chosen: set[int]) -> set[int]:
    """Return the records that tell of erased episodes only: edits hold content, forgets hold selectors."""
    return {
        record.seq
        for record in records
        if record.kind in {"edit", "forget"} and not record.erased and "erased" not in record.payload
        if (episodes := set(acted_on(record))) and episodes <= chosen
    }


def _said(record: LogRecord) -> set[str]:
    if record.erased or record.kind not in {"learn", "edit"}:
        return set()
    return set(chain.from_iterable(record.payload["events"]))


def _symbols(records: Iterable[LogRecord]) -> set[str]:
    return set().union(*map(_said, records))


def _drop_seen(rows: Rows, memory: int, symbols: set[str], named: str | None) -> None:
    """Drop short-term events with symbols that no pattern holds any more."""
    living: set[str] = set()
    for row in rows.each(sql.LIVE_PATTERNS, {"memory": memory}):
        living.update(chain.from_iterable(read_events(row[2])))
    gone = (symbols - living) | ({named} if named is not None else set())
    for session, number, body in rows.all(sql.STM_OF_MEMORY, {"memory": memory}):
        if gone & set(json.loads(body)["symbols"]):
            drop_events(rows, session, [number])


def _clean_files(store: MemoryStore, clock: Clock) -> None:
    """Rewrite the files without free pages, then empty the write-ahead log."""
    with store.transactions.alone() as connection:
        if not store.transactions.database.embedded:
            connection.autocommit = True
            try:
                for statement in sql.VACUUM_POSTGRES:
                    connection.execute(statement)
            finally:
                connection.autocommit = False
            return
        connection.execute("VACUUM")
        for _ in range(CHECKPOINTS):
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            clock.pause(PAUSE)
    raise MemoryFault(
        "What was erased is overwritten, but readers keep the write-ahead log open; erase again when they are done.",
        error_code="STORE_UNAVAILABLE",
    )
