"""One database behind one door: SQLite in a file or PostgreSQL, by URL.

`open_database` creates the schema on first use, refuses a database from a newer version untouched, and upgrades an
older one (Alembic is imported only then). Transactions repeat on lost connections and on lock conflicts, so what runs
inside must be repeatable: our writes are, by derived keys.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from kimera import telemetry
from kimera.clock import Clock, SystemClock
from kimera.errors import NewerSchema, StorageError, StorageFull
from kimera.resilience import Retry
from kimera.storage.pools import MeasuredQueue, MeasuredSingle, figures
from kimera.storage.schema import REVISION, REVISIONS, metadata, revision_table
from kimera.storage.timing import Meter, Timing, operation_of

__all__ = ["IN_MEMORY", "Database", "engine_for", "open_database", "storage_errors", "storage_failure"]

T = TypeVar("T")

ATTEMPTS = 9
IN_MEMORY = "sqlite:///:memory:"
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 4.0
SLOW_SECONDS = 0.1
"""A faster write that went well leaves no span: there are hundreds of them per mission and they say nothing."""

CHECKED_SECONDS = 5.0  # a health check younger than this is shown again
PING = sa.text("SELECT 1")
SELECT_REVISION = sa.select(revision_table.c.version_num)
NOW_SQLITE = sa.text("SELECT (julianday('now') - 2440587.5) * 86400.0")  # unixepoch('subsec') needs SQLite 3.42
NOW_POSTGRES = sa.text("SELECT extract(epoch FROM clock_timestamp())::float8")
PRAGMAS = ("PRAGMA busy_timeout=30000", "PRAGMA journal_mode=WAL", "PRAGMA foreign_keys=ON")
IDLE_LIMIT = "-c idle_in_transaction_session_timeout=20s"
"""A process frozen inside a transaction must not hold its locks for ever: whoever takes over waits for them."""

SYNCHRONOUS = {"NORMAL": "PRAGMA synchronous=NORMAL", "FULL": "PRAGMA synchronous=FULL"}
SCHEMA_LOCK = sa.text("SELECT pg_advisory_xact_lock(7236154021)")


class Held(Protocol):
    """Who keeps connections of the pool ready, and lets writes wait their turn."""

    @property
    def resting(self) -> int:
        """Return how many connections are kept ready."""

    @property
    def queued(self) -> int:
        """Return how many writes wait."""


class PoolUse(NamedTuple):
    """Connections of a pool."""

    idle: int
    lent: int


class Database:
    """A pool of connections and the two ways to use it: `read` and `write`, each one transaction."""

    def __init__(self, engine: sa.Engine, clock: Clock | None = None) -> None:
        self.engine = engine
        retry = Retry(
            ATTEMPTS,
            on=_transient,
            initial=FIRST_PAUSE,
            max_delay=LONGEST_PAUSE,
            name="database",
            clock=clock or SystemClock(),
            on_event=telemetry.on_resilience_event,
        )
        self._again = retry(_call)
        self._meter = Meter(engine.dialect.name)
        self.clock = clock or SystemClock()

    name = "database"
    """Under which its pool is shown."""

    @property
    def embedded(self) -> bool:
        """Return whether this is a SQLite file in the home folder."""
        return self.engine.dialect.name == "sqlite"

    def write(self, work: Callable[[sa.Connection], T], *, operation: str | None = None) -> T:
        """Run ``work`` in one transaction, again after a transient failure; raises `StorageError`.

        It is timed as ``operation``, or under the name of the module it is written in (`kimera.storage.timing`).
        """
        begun = time.monotonic()
        try:
            with Timing(self._meter, operation or operation_of(work, "write")):
                done = self.repeat(lambda: self._in_transaction(work))
        except StorageError as failure:
            telemetry.span_over("store.write", time.monotonic() - begun, error=failure, operation=_method(work))
            raise
        taken = time.monotonic() - begun
        if taken > SLOW_SECONDS:
            telemetry.span_over("store.write", taken, operation=_method(work))
        return done

    def read(self, work: Callable[[sa.Connection], T], *, operation: str | None = None) -> T:
        """Run ``work`` on a connection without keeping a write lock, timed as in `write`; raises `StorageError`."""
        with Timing(self._meter, operation or operation_of(work, "read")):
            return self.repeat(lambda: self._on_connection(work))

    def stats(self) -> PoolUse:
        """Return how many connections of the pool rest and how many are lent."""
        pool = self.engine.pool
        if not isinstance(pool, sa.QueuePool):
            return PoolUse(0, 0)
        return PoolUse(pool.checkedin(), pool.checkedout())

    def pool_figures(self, held: Held | None = None) -> dict[str, Any]:
        """Return the pool as plain data, with a health check when the last is old; what ``held`` rests counts as idle.

        A pool that has nothing left to lend is not asked for a connection: it shows its last check.
        """
        pool = self.engine.pool
        resting, queued = (0, 0) if held is None else (held.resting, held.queued)
        if not isinstance(pool, MeasuredQueue):
            assert isinstance(pool, MeasuredSingle)
            check = pool.waits.check(lambda: None, self.clock)  # the connection is this process's own memory
            return figures(pool.waits, check, size=1, idle=0, in_use=1, timeout=None, writes_queued=queued)
        size, lent = pool.size() + pool._max_overflow, pool.checkedout()
        check = pool.waits.check(self._ping, self.clock, CHECKED_SECONDS if lent < size else math.inf)
        idle, in_use = pool.checkedin() + resting, max(0, lent - resting)
        wait = pool.timeout()
        return figures(pool.waits, check, size=size, idle=idle, in_use=in_use, timeout=wait, writes_queued=queued)

    def _ping(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(PING)

    def now(self) -> float:
        """Return seconds since 1970 on the database's clock, which all workers share."""
        statement = NOW_SQLITE if self.embedded else NOW_POSTGRES
        return float(self.read(lambda connection: connection.execute(statement).scalar_one()))

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def repeat(self, attempt: Callable[[], T]) -> T:
        """Call ``attempt``, again after a transient failure of the database; raises `StorageError`."""
        try:
            result: T = self._again(attempt)
        except IntegrityError:
            raise  # a derived key was taken meanwhile: the caller knows what that means
        except DBAPIError as failure:
            raise storage_failure(failure) from failure
        return result

    def _in_transaction(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.begin() as connection:
            if self.embedded:
                # sqlite3 would begin at the first write only; taking the lock now makes read-then-write atomic
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            return work(connection)

    def _on_connection(self, work: Callable[[sa.Connection], T]) -> T:
        with self.engine.connect() as connection:
            return work(connection)


def engine_for(url: str, *, synchronous: str = "NORMAL", pool: int = 10) -> sa.Engine:
    """Return an engine for a ``sqlite:///`` or ``postgresql://`` address with our connection settings."""
    if url.startswith("sqlite"):
        # a database in memory exists in one connection only: whoever uses it takes turns
        pooling: dict[str, Any] = (
            {"poolclass": MeasuredSingle}
            if url == IN_MEMORY
            else {"poolclass": MeasuredQueue, "pool_size": pool, "max_overflow": 20}
        )
        engine = sa.create_engine(url, **pooling, connect_args={"check_same_thread": False})
        pragmas = (*PRAGMAS, SYNCHRONOUS[synchronous])

        @sa.event.listens_for(engine, "connect")
        def set_up(connection: Any, _: Any) -> None:
            connection.isolation_level = None  # our transactions say BEGIN themselves
            for pragma in pragmas:
                connection.execute(pragma)

        return engine
    address = sa.make_url(url).set(drivername="postgresql+psycopg")
    return sa.create_engine(
        address, poolclass=MeasuredQueue, pool_size=pool, max_overflow=20, connect_args={"options": IDLE_LIMIT}
    )


def open_database(url: str, *, synchronous: str = "NORMAL", clock: Clock | None = None) -> Database:
    """Return the database at ``url`` with its schema in place.

    Raises `NewerSchema` without touching anything when a newer Kimera wrote it, `StorageError` when it cannot be
    reached, `StorageFull` when there is no room.
    """
    database = Database(engine_for(url, synchronous=synchronous), clock)
    telemetry.watch(database)
    try:
        _bring_up(database)
    except DBAPIError as failure:
        database.close()
        raise storage_failure(failure) from failure
    except BaseException:
        database.close()
        raise
    return database


def current_revision(database: Database) -> str | None:
    """Return the revision the database is at, None for an empty one."""

    def look(connection: sa.Connection) -> str | None:
        if not sa.inspect(connection).has_table(revision_table.name):
            return None
        return connection.execute(SELECT_REVISION).scalar_one_or_none()

    return database.read(look)


def _bring_up(database: Database) -> None:
    found = current_revision(database)
    if found == REVISION:
        return
    if found is None:
        database.write(_create)
    elif found in REVISIONS:
        from kimera.storage.migrations import upgrade

        upgrade(database.engine)
    else:
        raise NewerSchema(
            f"The database is at schema {found}, this installation knows up to {REVISION}: upgrade Kimera, "
            "or set KIMERA_HOME (or KIMERA_DATABASE_URL) to another place.",
            found=found,
            known=REVISION,
        )


def _create(connection: sa.Connection) -> None:
    """Create everything at once; two processes may try, one does it."""
    if connection.dialect.name == "postgresql":
        connection.execute(SCHEMA_LOCK)
    if sa.inspect(connection).has_table(revision_table.name):
        return
    metadata.create_all(connection)
    connection.execute(revision_table.insert().values(version_num=REVISION))


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn a driver's error into ours; for code that is given a connection rather than asked for a transaction."""
    try:
        yield
    except DBAPIError as failure:
        raise storage_failure(failure) from failure


def storage_failure(failure: DBAPIError) -> StorageError:
    """Return what the failure means for a person."""
    words = str(failure.orig).lower()
    full = ("disk is full", "no space left", "disk i/o error")  # the last: SQLite could not even grow its side files
    if any(word in words for word in full) or getattr(failure.orig, "sqlstate", "") == "53100":
        return StorageFull("The disk that holds the database is full; free some space and resume the mission.")
    if "readonly" in words or "read-only" in words:
        return StorageError("The database is read-only; check the permissions of the home folder.", recoverable=False)
    return StorageError(
        f"The database did not answer ({type(failure.orig).__name__}); check that it runs, then resume the mission.",
        recoverable=_transient(failure),
    )


def _method(work: Callable[..., Any]) -> str:
    """Return the method whose transaction this is, as in ``Missions.append``."""
    return str(getattr(work, "__qualname__", type(work).__qualname__)).partition(".<locals>")[0]


def _call(attempt: Callable[[], T]) -> T:
    return attempt()


def _transient(failure: Exception) -> bool:
    if not isinstance(failure, DBAPIError) or isinstance(failure, IntegrityError):
        return False
    if failure.connection_invalidated:
        return True
    state = getattr(failure.orig, "sqlstate", None)
    if state is not None:
        # 40: serialization and deadlock, 08: connection, 57P: the server is shutting down or starting
        return str(state)[:2] in {"40", "08"} or str(state)[:3] == "57P"
    words = str(failure.orig).lower()
    return isinstance(failure, OperationalError) and any(
        word in words for word in ("locked", "busy", "connection", "server closed", "terminat")
    )
