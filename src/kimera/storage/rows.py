"""The short way to a database for hot paths: named statements on the driver itself, and commits shared by writers.

SQLAlchemy builds each statement once; afterwards only its text and the driver are used, which costs a tenth of a
Core execution. `Rows` is one connection inside one transaction. `Transactions` groups what several threads want to
write into one commit: whoever holds the turn writes for all who wait, and nobody is told before the commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError

from kimera.errors import KimeraError
from kimera.storage.database import Database

__all__ = ["Named", "Rows", "Statement", "StatementTimes", "Transactions", "plan_of"]

T = TypeVar("T")
Work = Callable[["Rows"], T]
GROUP = 256
POSTGRES = sa.make_url("postgresql+psycopg://").get_dialect()()
SQLITE = sqlite.dialect(paramstyle="named")


class Named(Mapping[str, Any]):
    """A statement per dialect under one name, where one text does not serve both."""

    def __init__(self, **texts: sa.Executable) -> None:
        self._texts = texts

    def __getitem__(self, dialect: str) -> sa.Executable:
        return self._texts[dialect]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    __hash__ = object.__hash__


Statement = sa.Executable | Named
Timed = Statement | str  # or a command of another store


@cache
def _text(dialect: str, statement: Statement) -> str:
    """Return the statement as the driver takes it, with its values by name."""
    if isinstance(statement, Named):
        statement = statement[dialect]
    assert isinstance(statement, sa.ClauseElement)
    if dialect == "sqlite":
        return str(statement.compile(dialect=SQLITE))
    return str(statement.compile(dialect=POSTGRES))


def plan_of(rows: Rows, statement: Statement) -> list[str]:
    """Return the database's plan for a statement, line by line, without running it; values are placeholders."""
    text = _text(rows.dialect, statement)
    if isinstance(statement, Named):
        statement = statement[rows.dialect]
    assert isinstance(statement, sa.ClauseElement)
    binds = statement.compile(dialect=SQLITE if rows.dialect == "sqlite" else POSTGRES).params
    # unknown types take text, which both databases read as what the column wants
    values = {name: "[]" if name == "ids" else "1" for name in binds}
    words = "EXPLAIN QUERY PLAN " if rows.dialect == "sqlite" else "EXPLAIN "
    return [str(row[-1]) for row in rows.connection.execute(words + text, values).fetchall()]


class StatementTimes:
    """How often each statement ran, how many rows it gave and how long the last thousand runs took."""

    def __init__(self) -> None:
        self._seen: dict[Timed, tuple[list[int], deque[float]]] = {}

    def note(self, statement: Timed, rows: int, seconds: float) -> None:
        """Count one run; a lost race between two threads may lose one count, never a row."""
        found = self._seen.get(statement)
        if found is None:
            found = self._seen.setdefault(statement, ([0, 0], deque(maxlen=1_000)))
        found[0][0] += 1
        found[0][1] += rows
        found[1].append(seconds)

    def by_statement(self) -> dict[Timed, tuple[int, int, list[float]]]:
        """Return per statement its runs, its rows and its latest durations in seconds, sorted."""
        return {s: (counts[0], counts[1], sorted(times)) for s, (counts, times) in list(self._seen.items())}


class Rows:
    """One connection of the driver. Values go by name; raises `DBAPIError` like SQLAlchemy does."""

    __slots__ = ("connection", "database", "dialect", "times")

    def __init__(self, database: Database, connection: Any, times: StatementTimes | None = None) -> None:
        self.database = database
        self.connection = connection
        self.dialect = database.engine.dialect.name
        self.times = times

    def run(self, statement: Statement, values: Mapping[str, Any] | None = None) -> Any:
        """Execute one statement and return the driver's cursor."""
        begun = perf_counter()
        text = _text(self.dialect, statement)
        try:
            cursor = self.connection.execute(text, values or {})
        except self.database.engine.dialect.loaded_dbapi.Error as failure:
            raise self._wrapped(text, failure) from failure
        if self.times is not None:
            self.times.note(statement, max(0, cursor.rowcount), perf_counter() - begun)
        return cursor

    def many(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> None:
        """Execute one statement for each row of values."""
        if not values:
            return
        begun = perf_counter()
        text = _text(self.dialect, statement)
        cursor = self.connection.cursor()
        try:
            cursor.executemany(text, values)
        except self.database.engine.dialect.loaded_dbapi.Error as failure:
            raise self._wrapped(text, failure) from failure
        finally:
            cursor.close()
        if self.times is not None:
            self.times.note(statement, len(values), perf_counter() - begun)

    def one(self, statement: Statement, values: Mapping[str, Any] | None = None) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        row: tuple[Any, ...] | None = self.run(statement, values).fetchone()
        return row

    def all(self, statement: Statement, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return every row."""
        rows: list[tuple[Any, ...]] = self.run(statement, values).fetchall()
        return rows

    def each(self, statement: Statement, values: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
        """Return the rows one after the other, a thousand held at a time."""
        cursor = self.run(statement, values)
        while block := cursor.fetchmany(1_000):
            yield from block

    def _wrapped(self, text: str, failure: Exception) -> Exception:
        dialect = self.database.engine.dialect
        gone = dialect.is_disconnect(failure, self.connection, None)  # type: ignore[arg-type]
        wrapped = DBAPIError.instance(
            text,
            None,
            failure,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=dialect,
        )
        assert isinstance(wrapped, Exception)
        return wrapped


class _Ticket(Generic[T]):
    """One piece of work on its way through a group."""

    __slots__ = ("done", "taken", "value", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.taken = False
        self.done = False
        self.value: T | None = None


class Transactions:
    """One transaction at a time to write in, as many as there are connections to read in.

    Writes go in groups: as many pieces of work in one commit as are waiting. Work must be repeatable and may raise:
    then nothing of it is kept, and what shared its transaction runs again without it. On SQLite the transaction takes
    the write lock at once. A database in memory has one connection, so there reads take their turn too.
    """

    def __init__(self, database: Database, times: StatementTimes | None = None) -> None:
        self.database = database
        self.times = times
        self._turn = threading.RLock()
        self._waiting: deque[_Ticket[Any]] = deque()
        self._connection: Any = None
        self._shared = database.engine.url.database == ":memory:"

    def write(self, work: Work[T]) -> T:
        """Run ``work`` and return its value once it is committed; raises what it raises, and `StorageError`."""
        ticket: _Ticket[T] = _Ticket(work)
        self._waiting.append(ticket)
        with self._turn:
            while not ticket.taken:
                self._write_group()
            if not ticket.done:  # it shared a group that failed: now alone, so that its error is its own
                self.database.repeat(lambda: self._commit([ticket]))
        return cast("T", ticket.value)

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on one unchanging moment of the database; raises `StorageError`."""
        value: T = self.database.repeat(lambda: self._read(work))
        return value

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """Yield the driver's connection outside any transaction, while no other write of this process runs."""
        with self._turn:
            yield self._open()

    def close(self) -> None:
        """Give the connection back."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _write_group(self) -> None:
        group: list[_Ticket[Any]] = []
        while self._waiting and len(group) < GROUP:
            group.append(self._waiting.popleft())
            group[-1].taken = True
        if len(group) == 1:
            self.database.repeat(lambda: self._commit(group))
            return
        try:
            self.database.repeat(lambda: self._commit(group))
        except Exception:  # noqa: BLE001 - each piece runs again alone and meets its own error there
            return

    def _commit(self, group: Iterable[_Ticket[Any]]) -> None:
        connection = self._open()
        rows = Rows(self.database, connection, self.times)
        try:
            if self.database.embedded:
                rows.run(BEGIN)
            values = [(ticket, ticket.work(rows)) for ticket in group]
            connection.commit()
        except BaseException as failure:
            self._undo(failure)
            raise
        for ticket, value in values:
            ticket.value, ticket.done = value, True

    def _read(self, work: Work[T]) -> T:
        if self._shared:
            with self._turn:
                return work(Rows(self.database, self._open(), self.times))
        connection = self.database.engine.raw_connection()
        sound = False
        try:
            rows = Rows(self.database, connection.driver_connection, self.times)
            rows.run(BEGIN_READ)
            value = work(rows)
            rows.connection.rollback()
            sound = True
        except KimeraError:
            sound = True  # what was asked for is not there; closing rolls back
            raise
        finally:
            if not sound:
                connection.invalidate()
            connection.close()
        return value

    def _open(self) -> Any:
        if self._connection is None:
            self._connection = self.database.engine.raw_connection()
        return self._connection.driver_connection

    def _undo(self, failure: BaseException) -> None:
        if self._shared or isinstance(failure, KimeraError):
            self._connection.driver_connection.rollback()
            return
        # whatever state the connection is in, the next write begins on a fresh one
        connection, self._connection = self._connection, None
        connection.invalidate()


BEGIN = sa.text("BEGIN IMMEDIATE")
BEGIN_READ = Named(
    sqlite=sa.text("BEGIN"), postgresql=sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
)
