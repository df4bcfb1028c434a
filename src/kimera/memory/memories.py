"""A place where memories are kept: one database, any number of memories by tenant and name."""

from __future__ import annotations

import json
import re
import threading
import uuid
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from kimera.clock import Clock, SystemClock
from kimera.errors import ConflictError, KimeraError, NotFoundError, ValidationError
from kimera.memory.contracts import MemoryTuning, Observed
from kimera.memory.keeping.log import canonical
from kimera.memory.keeping.store import MemoryStore, store_errors
from kimera.memory.memory import Memory
from kimera.memory.meters import Meters
from kimera.memory.observing.observations import clean_observation
from kimera.memory.observing.sessions import Session
from kimera.memory.observing.stm import ProcessStm, StmStore
from kimera.memory.observing.stm_sql import SqlStm
from kimera.memory.options import clean_options
from kimera.memory.symbols import clean_text
from kimera.settings import Settings, load_settings
from kimera.storage import memory as sql
from kimera.storage.database import IN_MEMORY, Database, open_database
from kimera.storage.pools import spread
from kimera.storage.rows import Named, Rows, StatementTimes, Transactions, plan_of

__all__ = ["Memories", "clean_memory_name"]

NAME_LENGTH = 256
TENANT_LENGTH = 64
RECENT = 1_024  # memories kept ready; one that is used stays one object for as long as somebody holds it
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@runtime_checkable
class Timed(Protocol):
    """A store that times its own commands."""

    times: StatementTimes


@runtime_checkable
class Pooled(Protocol):
    """A store with connections of its own."""

    def pool_figures(self) -> dict[str, Any]:
        """Return its pool as plain data."""


@runtime_checkable
class Searched(Protocol):
    """A store that can look for a session in all memories of a tenant at once."""

    def homes(self, tenant: str, session_id: str) -> list[tuple[str, float]]:
        """Return the memories of a tenant that have a session of this name, and when it ends."""


class Memories:
    """All memories of one database; what a server holds for as long as it runs. Safe for threads."""

    def __init__(
        self,
        database: Database,
        *,
        stm: StmStore | str | None = None,
        tuning: MemoryTuning | None = None,
        clock: Clock | None = None,
        owned: bool = False,
        index_mb: float | None = None,
    ) -> None:
        """Serve the memories of ``database``; ``index_mb`` None takes the limit of the settings."""
        self.database = database
        self.index_bytes = (load_settings().memory_index_mb if index_mb is None else index_mb) * 2**20
        self.times = StatementTimes()
        self.transactions = Transactions(database, self.times)
        self.clock = clock or SystemClock()
        self.tuning = tuning or MemoryTuning()
        self.stm_store = _stm_store(stm, self.transactions, self.clock)
        self._owned = owned
        self._open: weakref.WeakValueDictionary[tuple[str, str], Memory] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[tuple[str, str], Memory] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        location: str | Path | Database | None = None,
        *,
        stm: StmStore | str | None = None,
        tuning: MemoryTuning | None = None,
        clock: Clock | None = None,
        index_mb: float | None = None,
        settings: Settings | None = None,
    ) -> Memories:
        """Open a database: a path, ``":memory:"``, an SQL address, or None for the one in the settings.

        A `Database` that is open already stays its owner's. ``stm`` says where short-term memories are: ``"process"``
        (the default), ``"sql"``, a ``redis://`` address, ``"served"`` (the Redis of the settings if there is one, else
        SQL), or a store of your own. ``index_mb``: MiB a memory's index may take in this process before PostgreSQL
        gives the candidates (None: the settings; 0: any). ``settings``: those of the environment unless given.
        """
        settings = settings or load_settings()
        owned = not isinstance(location, Database)
        if isinstance(location, Database):
            database = location
        else:
            with store_errors():
                database = open_database(_address(location, settings), synchronous=settings.synchronous, clock=clock)
        if stm == "served":
            stm = "sql" if settings.redis_url is None else settings.redis_url.get_secret_value()
        tuning = tuning or MemoryTuning(cache_dir=str(settings.home_path / "cache" / "kernels"))
        index_mb = settings.memory_index_mb if index_mb is None else index_mb
        return cls(database, stm=stm, tuning=tuning, clock=clock, owned=owned, index_mb=index_mb)

    def get(
        self,
        name: str = "default",
        *,
        tenant: str = "local",
        config: Mapping[str, Any] | None = None,
        create: bool = True,
    ) -> Memory:
        """Return the memory of that name, made when absent; ``config`` replaces the options kept with it.

        The 1,024 used last are kept ready; another one reads its log again when it is next asked.
        Raises `ValidationError` (MEMORY_NAME_INVALID, CONFIG_INVALID), `NotFoundError` (MEMORY_NOT_FOUND).
        """
        name, tenant = clean_memory_name(name), _clean_tenant(tenant)
        cleaned = None if config is None else clean_options(config)
        with self._lock:
            memory = self._open.get((tenant, name))
            if memory is None:
                memory = self._open[tenant, name] = self._enter(name, tenant, create)
            self._recent[tenant, name] = memory
            self._recent.move_to_end((tenant, name))
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        if cleaned is not None:
            memory.store.configure(cleaned)
            memory.reload_config()
        return memory

    def names(self, tenant: str = "local") -> list[str]:
        """Return the names of a tenant's memories, sorted by code point."""
        with store_errors():
            rows = self.transactions.look(sql.LIST_MEMORIES, {"tenant": tenant})
        return sorted(row[0] for row in rows)

    def session(
        self,
        session_id: str,
        *,
        memory: str | None = None,
        tenant: str = "local",
        create: bool = False,
        ttl_seconds: float | None = None,
        **config: Any,
    ) -> Session:
        """Return a session by its name alone, on whichever memory it lives; with ``create``, make it on ``memory``.

        Raises `NotFoundError` (SESSION_NOT_FOUND, SESSION_EXPIRED), `ConflictError` (SESSION_CONFLICT) when it lives on
        another memory than the one given.
        """
        if create:
            clean_text(session_id, "session_id")
            clean_options(config if ttl_seconds is None else {**config, "ttl_seconds": ttl_seconds})
        home = self.session_home(session_id, tenant=tenant)
        if home is not None and memory is not None and home[0] != memory and not home[1]:
            raise ConflictError(
                f"Session {session_id} is on another memory; delete it there or choose another name.",
                error_code="SESSION_CONFLICT",
            )
        if create:
            return self.get(memory or "default", tenant=tenant).session(session_id, ttl_seconds=ttl_seconds, **config)
        if home is None:
            raise NotFoundError(f"There is no session {session_id}.", error_code="SESSION_NOT_FOUND")
        if home[1]:
            raise NotFoundError(
                f"Session {session_id} has expired; open it again.", error_code="SESSION_EXPIRED", http_status=410
            )
        return self.get(home[0], tenant=tenant).session(session_id)

    def observe(
        self, seen: Mapping[str, Any], *, memory: str = "default", session: str = "default", tenant: str = "local"
    ) -> Observed:
        """Observe in a session. Memory and session are made when absent, and only for a sound observation.

        ``seen`` holds the arguments of `Session.observe`. Raises as that does.
        """
        name, tenant = clean_memory_name(memory), _clean_tenant(tenant)
        known = self._open.get((tenant, name))
        if known is None or not known.holds(session):
            with (known.meters if known is not None else Meters()).watched("observe"):
                self._check(seen, name, session, tenant)
        return self.get(name, tenant=tenant).session(session).observe(**seen)

    def session_home(self, session_id: str, *, tenant: str = "local") -> tuple[str, bool] | None:
        """Return the memory a session lives on and whether it has expired; None when there is none. Is no use of it."""
        try:
            clean_text(session_id, "session_id")
        except ValidationError:  # no session can have such a name, and not every store can be asked for it
            return None
        now = self.clock.now().timestamp()
        with store_errors():
            found = [(name, expires_at <= now) for name, expires_at in self._homes(session_id, tenant)]
        return min(found, key=lambda home: (home[1], home[0]), default=None)

    def count_sessions(self, *, tenant: str = "local") -> int:
        """Return how many sessions of a tenant live."""
        now = self.clock.now().timestamp()
        return sum(self.stm_store.count(memory.store.memory, now) for memory in self._known(tenant))

    def queries(self) -> dict[str, dict[str, float]]:
        """Return per named statement and Redis command its runs, rows and durations in milliseconds."""
        names: dict[object, str] = {statement: name for name, statement in sql.named_statements().items()}
        stores = [self.times, *([self.stm_store.times] if isinstance(self.stm_store, Timed) else [])]
        found = {
            names.get(statement, str(statement)): {"count": count, "rows": rows, **spread(times)}
            for store in stores
            for statement, (count, rows, times) in store.by_statement().items()
        }
        return dict(sorted(found.items()))

    def explain(self, name: str) -> list[str]:
        """Return the database's plan for a named statement; raises `NotFoundError`."""
        statement = sql.named_statements().get(name)
        if statement is None or (isinstance(statement, Named) and self.database.engine.dialect.name not in statement):
            raise NotFoundError(f"There is no statement {name!r}; queries() lists those that ran.")
        with store_errors():
            return self.transactions.read(lambda rows: plan_of(rows, statement))

    def connections(self, tenant: str = "local") -> dict[str, Any]:
        """Return the pools of connections and the short-term memories behind a tenant's sessions.

        Per pool: most connections, lent and idle ones, who waits, how long, failures, and a health check, made now
        unless the last is younger than 5 s. ``lag`` counts events that are learned or dropped and not yet trimmed.
        The short-term memories are None while their store is away.
        """
        pools = {"database": self.database.pool_figures(self.transactions)}
        if isinstance(self.stm_store, Pooled):
            pools["redis"] = self.stm_store.pool_figures()
        streams: dict[str, Any] | None = None
        with suppress(KimeraError), store_errors():
            streams = self.stm_store.use(tenant, self.clock.now().timestamp()).to_dict()
        return {"pools": pools, "stm_streams": streams}

    def close(self) -> None:
        """Close every memory, and the database when it was opened here."""
        self.stm_store.close()
        self.transactions.close()
        if self._owned:
            self.database.close()

    def _check(self, seen: Mapping[str, Any], memory: str, session: str, tenant: str) -> None:
        """Raise `ValidationError` when the observation would be refused by a memory or session to be made."""
        vectors = clean_observation(**seen).vectors
        clean_text(session, "session")
        with suppress(NotFoundError):
            self.get(memory, tenant=tenant, create=False).store.check_vectors(vectors)

    def _homes(self, session_id: str, tenant: str) -> list[tuple[str, float]]:
        if isinstance(self.stm_store, Searched):
            return self.stm_store.homes(tenant, session_id)
        held = [(m.name, self.stm_store.find(m.store.memory, session_id)) for m in self._known(tenant)]
        return [(name, found.expires_at) for name, found in held if found is not None]

    def _known(self, tenant: str) -> list[Memory]:
        return [self.get(name, tenant=tenant) for name in self.names(tenant)]

    def _enter(self, name: str, tenant: str, create: bool) -> Memory:
        key = {"tenant": tenant, "name": name}
        new = {**key, "uid": uuid.uuid4().hex, "config": canonical({}), "created_at": self.clock.now().timestamp()}

        def make(rows: Rows) -> tuple[Any, ...] | None:
            rows.run(sql.NEW_MEMORY, new)
            return rows.one(sql.FIND_MEMORY, key)

        with store_errors():
            found = next(iter(self.transactions.look(sql.FIND_MEMORY, key)), None)
            if found is None and create:
                found = self.transactions.write(make)
        if found is None:
            raise NotFoundError(
                f"There is no memory {name!r}; observe or learn something in it first.", error_code="MEMORY_NOT_FOUND"
            )
        number, uid, config = found
        store = MemoryStore(self.transactions, number, uid, name, tenant, self.clock)
        store.head()  # so that what is answered first tells how far the log is
        return Memory(self, store, json.loads(config))


def clean_memory_name(name: object, where: str = "memory") -> str:
    """Return a memory's name; raises `ValidationError` (MEMORY_NAME_INVALID)."""
    valid = isinstance(name, str) and 1 <= len(name) <= NAME_LENGTH and not CONTROL.search(name)
    if not isinstance(name, str) or not valid or any("\ud800" <= c <= "\udfff" for c in name):
        raise ValidationError(
            f"A memory's name has 1 to {NAME_LENGTH} characters and no control characters.",
            where,
            error_code="MEMORY_NAME_INVALID",
        )
    return name


def _clean_tenant(tenant: object) -> str:
    if not isinstance(tenant, str) or not 1 <= len(tenant) <= TENANT_LENGTH:
        raise ValidationError(
            f"A tenant's name has 1 to {TENANT_LENGTH} characters.", "tenant", error_code="MEMORY_NAME_INVALID"
        )
    return clean_memory_name(tenant)


def _address(location: str | Path | None, settings: Settings) -> str:
    if location is None:
        if settings.database_url is not None:
            return settings.database_url.get_secret_value()
        settings.home_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        location = settings.home_path / "kimera.db"
    text = str(location)
    if text == ":memory:":
        return IN_MEMORY
    if text.startswith(("sqlite:", "postgresql:", "postgres:")):
        return text.replace("postgres:", "postgresql:", 1) if text.startswith("postgres:") else text
    path = Path(text).expanduser().absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"


def _stm_store(stm: StmStore | str | None, transactions: Transactions, clock: Clock) -> StmStore:
    if stm is None or stm == "process":
        return ProcessStm()
    if stm == "sql":
        return SqlStm(transactions)
    if isinstance(stm, str) and stm.startswith(("redis://", "rediss://", "unix://")):
        from kimera.memory.observing.stm_redis import RedisStm

        return RedisStm(transactions, stm, clock)
    if isinstance(stm, str):
        raise ValidationError(
            'stm takes "process", "sql", "served" (Memories.open) or a redis:// address.',
            "stm",
            error_code="CONFIG_INVALID",
        )
    return stm
