"""Tables of a SQLite file, opened so that nothing in it can run, write or read other files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kimera.knowledge._delimited import Unreadable
from kimera.knowledge.limits import Limits

__all__ = ["sqlite_tables"]

_TABLES = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    "AND upper(sql) NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
)
_ROWS = "SELECT * FROM {table}"
_SAFE = ("PRAGMA trusted_schema = OFF", "PRAGMA query_only = ON", "PRAGMA mmap_size = 0", "PRAGMA cell_size_check = ON")
_READS = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ})
STEPS = 100_000  # virtual machine steps between two looks at the budget
BUDGET = 50_000  # looks before a query is given up


def sqlite_tables(
    path: Path, limits: Limits, only: str | None = None
) -> Iterator[tuple[str, Sequence[str], Iterable[Sequence[str]]]]:
    """Yield ``(name, columns, records)`` of each ordinary table. Views and virtual tables are left out.

    Raises `Unreadable` when the file is damaged.
    """
    try:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as broken:
        raise Unreadable("It cannot be opened as a SQLite database.") from broken
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.cell_bytes)
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for statement in _SAFE:
            connection.execute(statement)
        names = [row[0] for row in connection.execute(_TABLES)]
        connection.set_authorizer(_only_reading)
        connection.set_progress_handler(_budget(), STEPS)
        for name in names[: limits.tables]:
            if only is None or name == only:
                cursor = connection.execute(_ROWS.format(table='"' + name.replace('"', '""') + '"'))
                yield name, [str(d[0]) for d in cursor.description], (list(map(_cell, row)) for row in cursor)
    except sqlite3.Error as broken:
        raise Unreadable(f"The database is damaged ({broken}); copy it with its own program and try again.") from broken
    finally:
        connection.close()


def _only_reading(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


def _budget() -> Any:
    looks = iter(range(BUDGET))
    return lambda: next(looks, None) is None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    return repr(value) if isinstance(value, float) else str(value)
