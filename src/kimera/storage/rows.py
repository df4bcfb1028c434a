"""The short way to a database for hot paths: named statements on the driver itself, and commits shared by writers.

SQLAlchemy builds each statement once; afterwards only its text and the driver are used, which costs a tenth of a
Core execution. `Rows` is one connection inside one transaction. `Transactions` groups what several threads want to
write into one commit: whoever leads writes for all who wait, and nobody is told before the commit.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from operator import itemgetter
from time import perf_counter
from typing import Any, Generic, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

from kimera.errors import KimeraError
from kimera.storage.database import Database

__all__ = ["Bulk", "Named", "Rows", "Statement", "StatementTimes", "Transactions", "plan_of"]

T = TypeVar("T")
Work = Callable[["Rows"], T]
GROUP = 256
BULK = 1_000  # rows in one run
RESTING = 4  # connections kept ready to read
POSTGRES = sa.make_url("postgresql+psycopg://").get_dialect()()
SQLITE = sqlite.dialect(paramstyle="qmark")


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


class Bulk(Named):
    """A statement for many rows: on PostgreSQL one run takes them all, as a JSON array in place of ``:rows``."""


Statement = sa.Executable | Named
Timed = Statement | str  # or a command of another store
NOTHING: Mapping[str, Any] = {}


class _Text:
    """A statement as the driver takes it, and how it takes the values."""

    __slots__ = ("pick", "text")

    def __init__(self, dialect: str, statement: Statement) -> None:
        compiled = _compiled(dialect, statement)
        self.text = str(compiled)
        self.pick: Callable[[Mapping[str, Any]], Any] = _as_they_are
        if dialect == "sqlite":  # by place: sqlite3 looks each name up anew in every run
            names = tuple(compiled.positiontup or ())
            self.pick = itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names]


TEXTS: dict[str, dict[Statement, _Text]] = {"sqlite": {}, "postgresql": {}}


def plan_of(rows: Rows, statement: Statement) -> list[str]:
    """Return the database's plan for a statement, line by line, without running it; values are placeholders."""
    text = rows.text(statement)
    # unknown types take text, which both databases read as what the column wants
    values = {name: "[]" if name in {"ids", "rows"} else "1" for name in _compiled(rows.dialect, statement).params}
    words = "EXPLAIN QUERY PLAN " if rows.dialect == "sqlite" else "EXPLAIN "
    return [str(row[-1]) for row in rows.connection.execute(words + text.text, text.pick(values)).fetchall()]


def _compiled(dialect: str, statement: Statement) -> SQLCompiler:
    if isinstance(statement, Named):
        statement = statement[dialect]
    assert isinstance(statement, sa.ClauseElement)
    compiled = statement.compile(dialect=SQLITE if dialect == "sqlite" else POSTGRES)
    assert isinstance(compiled, SQLCompiler)
    return compiled


def _as_they_are(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


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
    """One connection of the driver. Values go by name; raises `DBAPIError` like SQLAlchemy does.

    ``kept`` is what its user remembers of what was written here; a transaction that is undone empties it.
    """

    __slots__ = ("_texts", "connection", "database", "dialect", "kept", "times")

    def __init__(self, database: Database, connection: Any, times: StatementTimes | None = None) -> None:
        self.database = database
        self.connection = connection
        self.dialect = database.engine.dialect.name
        self.times = times
        self.kept: dict[int, Any] = {}
        self._texts = TEXTS[self.dialect]

    def text(self, statement: Statement) -> _Text:
        """Return a statement as the driver takes it."""
        found = self._texts.get(statement)
        if found is None:
            found = self._texts[statement] = _Text(self.dialect, statement)
        return found

    def run(self, statement: Statement, values: Mapping[str, Any] = NOTHING) -> Any:
        """Execute one statement and return the driver's cursor."""
        begun = perf_counter()
        text = self._texts.get(statement) or self.text(statement)
        try:
            cursor = self.connection.execute(text.text, text.pick(values))
        except self.database.engine.dialect.loaded_dbapi.Error as failure:
            raise self._wrapped(text.text, failure) from failure
        if self.times is not None:
            self.times.note(statement, max(0, cursor.rowcount), perf_counter() - begun)
        return cursor

    def many(self, statement: Statement, values: Sequence[Mapping[str, Any]]) -> None:
        """Execute one statement for each row of values."""
        if not values:
            return
        if isinstance(statement, Bulk) and self.dialect == "postgresql":
            for at in range(0, len(values), BULK):
                self.run(statement, {"rows": json.dumps(values[at : at + BULK], ensure_ascii=False)})
            return
        begun = perf_counter()
        text = self.text(statement)
        cursor = self.connection.cursor()
        try:
            cursor.executemany(text.text, list(map(text.pick, values)))
        except self.database.engine.dialect.loaded_dbapi.Error as failure:
            raise self._wrapped(text.text, failure) from failure
        finally:
            cursor.close()
        if self.times is not None:
            self.times.note(statement, len(values), perf_counter() - begun)

    def one(self, statement: Statement, values: Mapping[str, Any] = NOTHING) -> tuple[Any, ...] | None:
        """Return the first row, or None."""
        row: tuple[Any, ...] | None = self.run(statement, values).fetchone()
        return row

    def all(self, statement: Statement, values: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """Return every row."""
        rows: list[tuple[Any, ...]] = self.run(statement, values).fetchall()
        return rows

    def each(self, statement: Statement, values: Mapping[str, Any] = NOTHING) -> Iterator[tuple[Any, ...]]:
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
    """One piece of work on its way through a group; who waits with it does so at ``called``."""

    __slots__ = ("along", "called", "done", "settled", "value", "work")

    def __init__(self, work: Work[T]) -> None:
        self.work = work
        self.done = False
        self.settled = False  # done, or its group has failed
        self.value: T | None = None
        self.called = threading.Lock()
        self.along: list[_Ticket[Any]] = []  # what its thread writes beside it

    def call(self) -> None:
        """Let its thread look again."""
        if self.called.locked():
            self.called.release()


class _Lent:
    """A connection of the pool in our hands; to read on PostgreSQL in autocommit: one look needs no transaction."""

    __slots__ = ("lease", "rows")

    def __init__(self, database: Database, times: StatementTimes | None, *, autocommit: bool) -> None:
        self.lease = database.engine.raw_connection()
        connection: Any = self.lease.driver_connection
        if autocommit and not database.embedded:
            connection.autocommit = True
        self.rows = Rows(database, connection, times)

    def close(self) -> None:
        """Give it back as it was."""
        if not self.rows.database.embedded:
            self.rows.connection.autocommit = False
        self.lease.close()


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
        self._gate = threading.Lock()
        self._leader: _Ticket[Any] | None = None
        self._waiting: deque[_Ticket[Any]] = deque()
        self._writer: _Lent | None = None
        self._resting: deque[_Lent] = deque()
        self._shared = database.engine.url.database == ":memory:"

    def write(self, work: Work[T]) -> T:
        """Run ``work`` and return its value once it is committed; raises what it raises, and `StorageError`."""
        ticket: _Ticket[T] = _Ticket(work)
        try:
            if self._leads(ticket):
                self._lead(ticket)
        finally:
            self._leave(ticket)
        if not ticket.done:  # it shared a group that failed: now alone, so that its error is its own
            with self._turn:
                self.database.repeat(lambda: self._commit([ticket]))
        return cast("T", ticket.value)

    def read(self, work: Work[T]) -> T:
        """Run ``work`` on one unchanging moment of the database; raises `StorageError`."""
        value: T = self.database.repeat(lambda: self._read(work, BEGIN_READ))
        return value

    def look(self, statement: Statement, values: Mapping[str, Any] = NOTHING) -> list[tuple[Any, ...]]:
        """Return every row of one statement, which is a moment by itself; raises `StorageError`."""
        found: list[tuple[Any, ...]] = self.database.repeat(
            lambda: self._read(lambda rows: rows.all(statement, values), None)
        )
        return found

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """Yield the driver's connection outside any transaction, while no other write of this process runs."""
        with self._turn:
            yield self._open().connection

    @property
    def resting(self) -> int:
        """Return how many connections are kept ready to read, lent by the pool and in nobody's use."""
        return len(self._resting)

    @property
    def queued(self) -> int:
        """Return how many pieces of work wait for their turn to write."""
        return len(self._waiting)

    def close(self) -> None:
        """Give the connections back."""
        with self._turn:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while self._resting:
            self._resting.pop().close()

    def _leads(self, ticket: _Ticket[Any]) -> bool:
        """Return whether it is for this thread to write; False when another has taken the ticket along meanwhile."""
        with self._gate:
            if self._first(ticket):
                return True
            ticket.called.acquire()
            self._waiting.append(ticket)
        while True:
            ticket.called.acquire()
            with self._gate:
                if ticket.settled:
                    return False
                if ticket in self._waiting and self._first(ticket):
                    self._waiting.remove(ticket)
                    return True

    def _first(self, ticket: _Ticket[Any]) -> bool:
        if self._leader is not None:
            return False
        self._leader = ticket
        return True

    def _lead(self, ticket: _Ticket[Any]) -> None:
        with self._turn:
            with self._gate:
                while self._waiting and len(ticket.along) < GROUP:
                    ticket.along.append(self._waiting.popleft())
            # each piece of a group that fails runs again alone and meets its own error there
            with suppress(Exception) if ticket.along else nullcontext():
                self.database.repeat(lambda: self._commit((ticket, *ticket.along)))

    def _leave(self, ticket: _Ticket[Any]) -> None:
        """Let the next one lead, whoever comes first: a newcomer, or the first who waits. Also when interrupted."""
        with self._gate:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            if self._leader is ticket:
                self._leader = None
            for each in ticket.along:
                each.settled = True
                each.call()
            if self._leader is None and self._waiting:
                self._waiting[0].call()

    def _commit(self, group: Iterable[_Ticket[Any]]) -> None:
        rows = self._open()
        try:
            if self.database.embedded:
                rows.run(BEGIN)
            values = [(ticket, ticket.work(rows)) for ticket in group]
            rows.connection.commit()
        except BaseException as failure:
            self._undo(failure)
            raise
        for ticket, value in values:
            ticket.value, ticket.done = value, True

    def _read(self, work: Work[T], begin: Statement | None) -> T:
        if self._shared:
            with self._turn:
                return work(self._open())
        try:
            lent = self._resting.pop()
        except IndexError:
            lent = _Lent(self.database, self.times, autocommit=True)
        sound = False
        try:
            if begin is not None:
                lent.rows.run(begin)
            value = work(lent.rows)
            sound = True
        except KimeraError:
            sound = True  # what was asked for is not there
            raise
        finally:
            if sound:
                self._rest(lent)
            else:
                lent.lease.invalidate()
                self._forget_resting()
        return value

    def _rest(self, lent: _Lent) -> None:
        if lent.rows.dialect == "postgresql" or lent.rows.connection.in_transaction:
            lent.rows.connection.rollback()
        if len(self._resting) < RESTING:
            self._resting.append(lent)
        else:
            lent.close()

    def _forget_resting(self) -> None:
        """Close the connections that rest: what broke one has likely broken them all."""
        while self._resting:
            try:
                self._resting.pop().lease.invalidate()
            except IndexError:
                return

    def _open(self) -> Rows:
        if self._writer is None:
            self._writer = _Lent(self.database, self.times, autocommit=False)
        return self._writer.rows

    def _undo(self, failure: BaseException) -> None:
        assert self._writer is not None
        if self._shared or isinstance(failure, KimeraError):
            self._writer.rows.kept.clear()
            self._writer.rows.connection.rollback()
            return
        # whatever state the connection is in, the next write begins on a fresh one
        writer, self._writer = self._writer, None
        writer.lease.invalidate()


BEGIN = sa.text("BEGIN IMMEDIATE")
BEGIN_READ = Named(
    sqlite=sa.text("BEGIN"), postgresql=sa.text("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
)
