"""The pattern log: numbered records without gaps, each holding the hash of the one before.

A record's hash covers everything but the body, and the body's own hash: so a body can be erased later and the chain
still holds. The log is the truth; every other table of the room can be rebuilt from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = [
    "ERASED",
    "GENESIS",
    "KINDS",
    "Entry",
    "Head",
    "LogRecord",
    "append",
    "append_next",
    "canonical",
    "chain_hash",
    "head",
    "payload_hash",
    "read",
    "record",
]

KINDS = ("learn", "forget", "edit", "expire", "undo", "outcome", "import")
GENESIS = "0" * 64
ERASED = '{"erased":true}'
EVERYTHING = 2**62

canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
"""Return the one JSON text of a value: sorted keys, no spaces. What goes in was cleaned, so nothing holds itself."""


class Entry(NamedTuple):
    """A record before it has its number. ``body`` is canonical JSON."""

    kind: str
    at: float
    body: str
    payload_hash: str
    source: str = ""
    session_id: str | None = None
    unique_id: str | None = None
    pattern_id: str | None = None
    expires_at: float | None = None
    origin: str | None = None
    origin_seq: int | None = None

    @classmethod
    def of(cls, kind: str, at: float, body: dict[str, Any], **columns: Any) -> Entry:
        """Return an entry with its body written and hashed."""
        text = canonical(body)
        return cls(kind, at, text, payload_hash(text), **columns)


class LogRecord(NamedTuple):
    """One record as it stands in the log."""

    seq: int
    kind: str
    at: float
    source: str
    session_id: str | None
    unique_id: str | None
    pattern_id: str | None
    body: str
    payload_hash: str
    prev_hash: str
    hash: str
    expires_at: float | None
    origin: str | None
    origin_seq: int | None

    @property
    def payload(self) -> dict[str, Any]:
        """Return the body as data."""
        data: dict[str, Any] = json.loads(self.body)
        return data

    @property
    def erased(self) -> bool:
        """Return whether the body was overwritten."""
        return self.body == ERASED


COLUMNS = ("memory_id", *LogRecord._fields)


class Head(NamedTuple):
    """Where the log ends."""

    seq: int = 0
    hash: str = GENESIS


def payload_hash(body: str) -> str:
    """Return the SHA-256 of a body."""
    return hashlib.sha256(body.encode()).hexdigest()


def chain_hash(entry: Entry | LogRecord, seq: int, prev_hash: str) -> str:
    """Return the hash that binds an entry to its number and to everything before it."""
    facts = [
        seq,
        entry.kind,
        entry.at,
        entry.source,
        entry.session_id,
        entry.unique_id,
        entry.pattern_id,
        entry.payload_hash,
        prev_hash,
        entry.expires_at,
        entry.origin,
        entry.origin_seq,
    ]
    return hashlib.sha256(b"kimera.memory.keeping.log.v1\0" + canonical(facts).encode()).hexdigest()


def head(rows: Rows, memory: int, *, lock: bool = True) -> Head:
    """Return the last number and hash; with ``lock`` nobody else appends before this transaction ends."""
    if lock and not rows.database.embedded:
        rows.run(sql.LOCK_MEMORY, {"memory": memory})
    found = rows.one(sql.HEAD, {"memory": memory})
    return Head() if found is None else Head(*found)


def append_next(rows: Rows, memory: int, entry: Entry) -> LogRecord:
    """Lock the log and write one entry at its end, which is looked for only when another process has written since."""
    last = rows.kept.get(memory)
    if last is not None:
        item = _numbered(entry, last)
        if rows.run(sql.APPEND_NEXT, _values(memory, item)).rowcount == 1:
            rows.kept[memory] = Head(item.seq, item.hash)
            return item
    return append(rows, memory, head(rows, memory), (entry,))[0]


def append(rows: Rows, memory: int, last: Head, entries: Sequence[Entry]) -> list[LogRecord]:
    """Write entries behind ``last`` and return them with their numbers."""
    records = []
    for entry in entries:
        records.append(_numbered(entry, last))
        last = Head(records[-1].seq, records[-1].hash)
    values = [_values(memory, item) for item in records]
    if len(values) == 1:
        rows.run(sql.APPEND, values[0])
    else:
        rows.many(sql.APPEND_ALL, values)
    rows.kept[memory] = last
    return records


def read(rows: Rows, memory: int, after: int = 0, until: int = EVERYTHING) -> Iterator[LogRecord]:
    """Yield the records above ``after`` up to ``until``, in order."""
    for row in rows.each(sql.READ_LOG, {"memory": memory, "after": after, "until": until}):
        yield LogRecord(*row)


def record(rows: Rows, memory: int, seq: int) -> LogRecord | None:
    """Return one record, or None."""
    row = rows.one(sql.READ_RECORD, {"memory": memory, "seq": seq})
    return None if row is None else LogRecord(*row)


def broken_links(records: Iterable[LogRecord]) -> Iterator[str]:
    """Yield in words what is wrong with numbers and hashes; nothing when the chain holds from its beginning."""
    last = Head()
    for item in records:
        if item.seq != last.seq + 1:
            yield f"record {last.seq + 1} is missing"
        if item.prev_hash != last.hash:
            yield f"record {item.seq} does not follow the one before it"
        if item.hash != chain_hash(item, item.seq, item.prev_hash):
            yield f"record {item.seq} was changed"
        if not item.erased and item.payload_hash != payload_hash(item.body):
            yield f"the body of record {item.seq} was changed"
        last = Head(item.seq, item.hash)


def _numbered(entry: Entry, last: Head) -> LogRecord:
    seq = last.seq + 1
    kind, at, body, hashed, source, session, unique, pattern, expires, origin, origin_seq = entry
    made = chain_hash(entry, seq, last.hash)
    return LogRecord(
        seq, kind, at, source, session, unique, pattern, body, hashed, last.hash, made, expires, origin, origin_seq
    )


def _values(memory: int, item: LogRecord) -> dict[str, Any]:
    return dict(zip(COLUMNS, (memory, *item), strict=True))
