"""Exporting closed UTC days as Parquet: one file per table and day, and a manifest that says how far it got.

Running again continues at each table's watermark. A day exported twice has the same rows: they come from what no longer
changes (events, outcomes, ended spans), are sorted by key, and replace the file as a whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from kimera.clock import Clock, SystemClock
from kimera.errors import StorageError, ValidationError
from kimera.telemetry.reading._warehouse_tables import TABLES, TEXTS, Column, WarehouseTable, bigquery_schema

__all__ = ["FORMAT", "TABLES", "TEXTS", "Exported", "Feed", "bigquery_schema", "export", "forget_texts"]

FORMAT = 1
MANIFEST = "manifest.json"
LOCK = ".export.lock"
ROWS_PER_GROUP = 122_880
MICRO = 1_000_000
STORED = {"STRING": "VARCHAR", "INT64": "BIGINT", "FLOAT64": "DOUBLE", "BOOL": "BOOLEAN", "TIMESTAMP": "BIGINT"}
STORED |= {"NUMERIC": "DECIMAL(18, 6)", "DATE": "DATE"}

Row = dict[str, Any]


class Feed(Protocol):
    """Where the rows come from. Instants are seconds since 1970, money is Decimal, nested data is JSON text."""

    def first_day(self) -> date | None:
        """Return the first day on which anything happened, None when nothing did."""

    def rows(self, table: str, day: date) -> Iterable[Row]:
        """Return the rows of a table that belong to a UTC day, in any order."""


@dataclass
class Exported:
    """What one run did."""

    folder: Path
    files: dict[str, int] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    watermark: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Return how many rows were written."""
        return sum(self.files.values())

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "folder": str(self.folder), "files": self.files, "rows": self.rows, "forgotten": self.forgotten,
            "watermark": self.watermark,
        }  # fmt: skip


def export(
    feed: Feed,
    folder: Path,
    *,
    since: date | None = None,
    until: date | None = None,
    tables: Sequence[str] | None = None,
    with_text: bool = False,
    clock: Clock | None = None,
) -> Exported:
    """Write the closed days from ``since`` to ``until`` (both included) of ``tables`` below ``folder``.

    Without ``since`` each table goes on after its watermark, without ``until`` it stops with yesterday. Raises
    `ValidationError` for an unknown table or a day that is not over, `StorageError` when the folder cannot be written
    or another export writes to it.
    """
    chosen = _chosen(tables, with_text)
    today = (clock or SystemClock()).now().astimezone(UTC).date()
    last = today - timedelta(days=1) if until is None else until
    if last >= today:
        raise ValidationError(f"{last} is not over in UTC; export up to {today - timedelta(days=1)}.", field="until")
    if since is not None and since > last:
        raise ValidationError(f"{since} comes after {last}; nothing lies between them.", field="since")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Alone(folder):
            return _export(feed, folder, chosen, since, last)
    except OSError as refused:
        raise StorageError(
            f"{folder} cannot be written ({refused.strerror}); free some space or give another folder.",
            recoverable=False,
        ) from refused


def forget_texts(folder: Path, days: int, clock: Clock | None = None) -> list[str]:
    """Delete exported texts of days older than ``days`` and return their files; only what the manifest lists goes."""
    limit = (clock or SystemClock()).now().astimezone(UTC).date() - timedelta(days=days)
    with _Alone(folder):
        manifest = _read_manifest(folder)
        old = [name for name in manifest["files"] if name.startswith(f"{TEXTS.name}/") and _day_of(name) < limit]
        for name in old:
            (folder / name).unlink(missing_ok=True)
            del manifest["files"][name]
        if old:
            _write_manifest(folder, manifest)
    return sorted(old)


def _chosen(tables: Sequence[str] | None, with_text: bool) -> list[WarehouseTable]:
    unknown = sorted(set(tables or ()) - TABLES.keys())
    if unknown:
        raise ValidationError(f"There is no table {', '.join(unknown)}; there are {', '.join(TABLES)}.", field="tables")
    chosen = [table for name, table in TABLES.items() if not tables or name in tables]
    return [*chosen, TEXTS] if with_text else chosen


def _export(feed: Feed, folder: Path, tables: list[WarehouseTable], since: date | None, last: date) -> Exported:
    manifest, done = _read_manifest(folder), Exported(folder)
    first = feed.first_day()
    for table in tables:
        reached = manifest["watermark"].get(table.name)
        begin = since or (date.fromisoformat(reached) + timedelta(days=1) if reached else first)
        for day in _days(begin, last):
            name = f"{table.name}/dt={day}/part.parquet"
            rows = _sorted(table, feed.rows(table.name, day))
            if rows:
                manifest["files"][name] = _write(folder / name, table, rows)
                done.files[name] = len(rows)
            elif manifest["files"].pop(name, None) is not None:
                (folder / name).unlink(missing_ok=True)
        if begin is not None and begin <= last:
            # a hole before ``since`` stays a hole: the watermark only says where to go on
            manifest["watermark"][table.name] = max(str(last), reached or "")
            _write_manifest(folder, manifest)
    done.watermark = manifest["watermark"]
    return done


def _days(begin: date | None, last: date) -> Iterator[date]:
    while begin is not None and begin <= last:
        yield begin
        begin += timedelta(days=1)


def _sorted(table: WarehouseTable, rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(row[name] for name in table.key))


def _write(path: Path, table: WarehouseTable, rows: list[Row]) -> dict[str, Any]:
    """Write one Parquet file under its name as a whole, and return what the manifest says of it."""
    import duckdb

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as scratch:
        source, target = Path(scratch) / "rows.json", Path(scratch) / "part.parquet"
        with source.open("w", encoding="utf-8") as stream:
            for row in rows:
                stream.write(json.dumps({one.name: _plain(one, row[one.name]) for one in table.columns}) + "\n")
        with duckdb.connect(config={"threads": 1}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            columns = {one.name: STORED[one.type] for one in table.columns}
            relation = connection.read_json(str(source), columns=columns, format="newline_delimited")
            relation.project(", ".join(_selected(one) for one in table.columns)).write_parquet(
                str(target), compression="zstd", row_group_size=ROWS_PER_GROUP
            )
        target.replace(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"rows": len(rows), "sha256": digest, "schema": FORMAT}


def _plain(column: Column, value: Any) -> Any:
    if value is None:
        if column.required:
            raise ValueError(f"{column.name} is required and missing")
        return None
    if column.type == "TIMESTAMP":
        return round(Decimal(repr(float(value))) * MICRO)
    if column.type == "NUMERIC":
        return str(Decimal(value).quantize(Decimal("0.000001")))
    return str(value) if column.type == "DATE" else value


def _selected(column: Column) -> str:
    """Return the column's expression; names are ours."""
    if column.type == "TIMESTAMP":
        return f'CAST(make_timestamp("{column.name}") AS TIMESTAMPTZ) AS "{column.name}"'
    return f'"{column.name}"'


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.exists():
        return {"format": FORMAT, "files": {}, "watermark": {}}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if found.get("format") != FORMAT:
        raise ValidationError(
            f"{path} has format {found.get('format')}, this version writes {FORMAT}; give an empty folder.", field="to"
        )
    return found


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(
        manifest | {"written_at": datetime.now(UTC).isoformat(timespec="seconds")}, indent=1, sort_keys=True
    )
    beside = folder / f".{MANIFEST}"
    beside.write_text(text + "\n", "utf-8")
    beside.replace(folder / MANIFEST)


def _day_of(name: str) -> date:
    return date.fromisoformat(name.split("dt=", 1)[1][:10])


class _Alone:
    """Holds an export folder against another export on this machine."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK

    def __enter__(self) -> None:
        import fcntl

        self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self.handle)
            raise StorageError(f"Another export writes to {self.path.parent}; wait for it to end.") from None

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)
