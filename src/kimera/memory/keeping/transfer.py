"""Moving memories: export as JSON Lines, import all or nothing, a copy as of any record, a file copy."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kimera.errors import ConflictError, NotFoundError, ValidationError
from kimera.memory.contracts import Record
from kimera.memory.keeping.log import (
    ERASED,
    EVERYTHING,
    Entry,
    LogRecord,
    append,
    broken_links,
    canonical,
    head,
    read,
)
from kimera.memory.keeping.patterns import apply, check_vectors, rebuild
from kimera.memory.keeping.replay import Replay, hash_state, state_hash
from kimera.memory.keeping.store import MemoryStore
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["Exported", "Imported", "check_file", "copy_log", "export", "import_", "snapshot"]

FORMAT = "kimera.memory"
VERSION = 1
REFERENCES = {"forget": "episodes", "edit": "episodes", "expire": "episodes", "outcome": "episode", "undo": "seq"}


@dataclass(frozen=True, slots=True)
class Exported(Record):
    """Report an export: how many records, up to which number, and the state they lead to."""

    path: str
    records: int
    seq: int
    state_hash: str


@dataclass(frozen=True, slots=True)
class Imported(Record):
    """Report an import: how many records the file holds and how many were new here."""

    path: str
    records: int
    imported: int
    seq: int


def export(store: MemoryStore, path: str | Path) -> Exported:
    """Write the whole log as JSON Lines, header first."""
    target = Path(path)
    part = target.with_name(target.name + ".part")

    def work(rows: Rows) -> Exported:
        last = head(rows, store.memory, lock=False)
        done = Exported(str(target), last.seq, last.seq, state_hash(rows, store.memory))
        header = {
            "format": FORMAT,
            "version": VERSION,
            "memory": store.name,
            "uid": store.uid,
            "records": last.seq,
            "head": last.hash,
            "state_hash": done.state_hash,
        }
        with part.open("w", encoding="utf-8") as file:
            file.write(canonical(header) + "\n")
            for record in read(rows, store.memory):
                file.write(canonical(_line(record)) + "\n")
        return done

    done = store.read(work)
    part.replace(target)
    return done


def import_(store: MemoryStore, path: str | Path) -> Imported:
    """Append the records of an export that are not here yet, all or nothing.

    Everything is checked first: form, numbers, hashes and the state they lead to. Raises `ValidationError`
    (IMPORT_CORRUPT) and changes nothing then.
    """
    header, records = _read_file(Path(path))

    def work(rows: Rows) -> Imported:
        last = head(rows, store.memory)
        known = _known(rows, store)
        numbers: dict[int, int] = {}
        fresh: list[LogRecord] = []
        for record in records:
            identity = _identity(record, header["uid"])
            if record.kind == "import":
                continue
            if identity in known:
                numbers[record.seq] = known[identity]
            else:
                fresh.append(record)
        if not fresh:
            return Imported(str(path), len(records), 0, last.seq)
        body = {"from": header["uid"], "records": len(fresh), "head": header["head"]}
        entries = [Entry.of("import", store.now(), body)]
        for at, record in enumerate(fresh, start=last.seq + 2):
            numbers[record.seq] = at
            entries.append(_translated(record, numbers, header["uid"]))
        for item in append(rows, store.memory, last, entries):
            if item.kind == "import":
                continue
            if item.kind in {"learn", "edit"} and not item.erased:
                check_vectors(rows, store.memory, item.payload.get("vectors", {}))
            apply(rows, store.memory, item)
        return Imported(str(path), len(records), len(fresh), last.seq + len(entries))

    done = store.write(work)
    store.known_seq = max(store.known_seq, done.seq)
    return done


def check_file(path: str | Path) -> None:
    """Raise `ValidationError` (IMPORT_CORRUPT) unless the file is a sound export, `NotFoundError` when it is none."""
    _read_file(Path(path))


def copy_log(source: MemoryStore, target: MemoryStore, until: int = EVERYTHING) -> None:
    """Give an empty memory the records up to ``until``, unchanged, and build its tables from them."""
    records = source.read(lambda rows: list(read(rows, source.memory, 0, until)))
    if until != EVERYTHING and len(records) < until:
        raise NotFoundError(
            f"There is no record {until}; the log ends at {len(records)}.", error_code="SEQ_NOT_FOUND", seq=until
        )

    def work(rows: Rows) -> None:
        last = head(rows, target.memory)
        if last.seq:
            raise ConflictError("Only an empty memory can take over a log.")
        append(rows, target.memory, last, [_entry(record) for record in records])
        rebuild(rows, target.memory)

    target.write(work)
    target.known_seq = len(records)


def snapshot(store: MemoryStore, path: str | Path) -> None:
    """Copy the SQLite database consistently while writers go on; raises `ConflictError` on PostgreSQL."""
    if not store.transactions.database.embedded:
        raise ConflictError(
            "A file copy is for SQLite; on PostgreSQL use pg_dump, or export() this memory.", error_code="NO_SNAPSHOT"
        )

    def work(rows: Rows) -> None:
        with closing(sqlite3.connect(path)) as target:
            rows.connection.backup(target)

    store.read(work)


def _line(record: LogRecord) -> dict[str, Any]:
    return {
        "seq": record.seq,
        "kind": record.kind,
        "at": record.at,
        "source": record.source,
        "session": record.session_id,
        "unique_id": record.unique_id,
        "pattern": record.pattern_id,
        "body": record.payload,
        "payload_hash": record.payload_hash,
        "prev_hash": record.prev_hash,
        "hash": record.hash,
        "expires_at": record.expires_at,
        "origin": record.origin,
        "origin_seq": record.origin_seq,
    }


def _read_file(path: Path) -> tuple[dict[str, Any], Sequence[LogRecord]]:
    try:
        with path.open(encoding="utf-8") as file:
            header = json.loads(file.readline())
            records = [_record(json.loads(line)) for line in file]
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise _corrupt("it is no export, or a line of it is damaged") from wrong
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _corrupt("its first line is no header")
    if header.get("version") != VERSION:
        raise _corrupt(f"it has version {header.get('version')}, this installation reads {VERSION}")
    problem = next(_problems(header, records), None)
    if problem is not None:
        raise _corrupt(problem)
    return header, records


def _problems(header: Mapping[str, Any], records: Sequence[LogRecord]) -> Iterator[str]:
    if not isinstance(header.get("uid"), str):
        yield "its header names no memory"
    if header.get("records") != len(records):
        yield f"it should hold {header.get('records')} records and holds {len(records)}"
    yield from broken_links(records)
    if records and records[-1].hash != header.get("head"):
        yield "its last record is not the one the header names"
    try:
        found = hash_state(Replay(records).lines())
    except (KeyError, TypeError, ValueError, AttributeError):
        found = ""
    if found != header.get("state_hash"):
        yield "its records do not lead to the state the header names"


def _record(line: Mapping[str, Any]) -> LogRecord:
    return LogRecord(
        line["seq"],
        line["kind"],
        line["at"],
        line["source"],
        line["session"],
        line["unique_id"],
        line["pattern"],
        canonical(line["body"]),
        line["payload_hash"],
        line["prev_hash"],
        line["hash"],
        line["expires_at"],
        line["origin"],
        line["origin_seq"],
    )


def _corrupt(why: str) -> ValidationError:
    return ValidationError(
        f"The file cannot be imported: {why}. Nothing was changed.", "path", error_code="IMPORT_CORRUPT"
    )


def _identity(record: LogRecord, uid: str) -> tuple[str, int]:
    if record.origin is not None and record.origin_seq is not None:
        return record.origin, record.origin_seq
    return uid, record.seq


def _known(rows: Rows, store: MemoryStore) -> dict[tuple[str, int], int]:
    own = {(store.uid, record.seq): record.seq for record in read(rows, store.memory) if record.origin is None}
    foreign = {(uid, number): seq for uid, number, seq in rows.all(sql.KNOWN_ORIGINS, {"memory": store.memory})}
    return own | foreign


def _translated(record: LogRecord, numbers: Mapping[int, int], uid: str) -> Entry:
    """Return a foreign record with its references as numbers of this log."""
    origin, origin_seq = _identity(record, uid)
    entry = _entry(record)._replace(origin=origin, origin_seq=origin_seq)
    name = REFERENCES.get(record.kind)
    if name is None or record.erased:
        return entry
    payload = record.payload
    for key in (name, "erased"):
        if key in payload:
            old = payload[key]
            payload[key] = [numbers[n] for n in old if n in numbers] if isinstance(old, list) else numbers[old]
    renewed = Entry.of(record.kind, record.at, payload)
    return entry._replace(body=renewed.body, payload_hash=renewed.payload_hash)


def _entry(record: LogRecord) -> Entry:
    return Entry(
        record.kind,
        record.at,
        ERASED if record.erased else record.body,
        record.payload_hash,
        record.source,
        record.session_id,
        record.unique_id,
        record.pattern_id,
        record.expires_at,
        record.origin,
        record.origin_seq,
    )
