"""The sequence memory as one object: learn, predict, correct, explain. Thread-safe and synchronous."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kimera.clock import Clock
from kimera.errors import ValidationError
from kimera.guardian import Label
from kimera.memory import traces
from kimera.memory.contracts import Learned, MemoryTuning, NextEvents, Predictions, Why
from kimera.memory.keeping import changes, reading
from kimera.memory.keeping.changes import Changed, Selection
from kimera.memory.keeping.episodes import Lesson, lesson, outcome_of
from kimera.memory.keeping.erasure import erase
from kimera.memory.keeping.follow import Follower
from kimera.memory.keeping.patterns import rebuild
from kimera.memory.keeping.reading import LogView, PatternPage, PatternView, Stats, SymbolView
from kimera.memory.keeping.replay import Verified, state_hash, verify
from kimera.memory.keeping.store import MemoryStore
from kimera.memory.keeping.transfer import Exported, Imported, copy_log, export, import_, snapshot
from kimera.memory.meters import Meters
from kimera.memory.observing.observations import clean_label
from kimera.memory.observing.sessions import Session, clean_ttl
from kimera.memory.observing.stm import Held, StmStore
from kimera.memory.options import Options, clean_next, clean_options, resolve
from kimera.memory.recall.answers import Answers, Question
from kimera.memory.symbols import clean_emotives, clean_events, clean_metadata, clean_symbol, clean_text
from kimera.memory.traces import Ingested

if TYPE_CHECKING:
    from kimera.memory.memories import Memories

__all__ = ["Memory"]

T = TypeVar("T")
RECENT = 128  # sessions kept ready to go on, so that a caller need not hold them between two calls
SWEEP = 64  # sessions made between two looks for those that have outlived their time


class Memory:
    """One long-term store of patterns, found by tenant and name; `Memory.open` makes it when absent."""

    def __init__(self, memories: Memories, store: MemoryStore, config: Mapping[str, Any]) -> None:
        self.store = store
        self.tuning: MemoryTuning = memories.tuning
        self.meters = Meters()
        self._memories = memories
        self._config = dict(config)
        self._options = resolve(self._config)
        self._follower = Follower(store, memories.tuning, memories.index_bytes)
        self._sessions: weakref.WeakValueDictionary[str, Session] = weakref.WeakValueDictionary()
        self._recent: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._answers = Answers(store, self._follower, memories.tuning)
        self._owner = False
        self._made = 0

    @classmethod
    def open(
        cls,
        location: str | Path | None = None,
        name: str = "default",
        *,
        tenant: str = "local",
        config: Mapping[str, Any] | None = None,
        stm: StmStore | str | None = None,
        clock: Clock | None = None,
        tuning: MemoryTuning | None = None,
    ) -> Memory:
        """Open a memory at a path, ``":memory:"``, an SQL address, or the place in the settings (None).

        ``stm``: ``"process"`` (lost with the process, the default), ``"sql"``, or a ``redis://`` address. ``config``
        holds options for every session of this memory. Raises `ValidationError`, `MemoryFault`, `NewerSchema`.
        """
        from kimera.memory.memories import Memories

        with ExitStack() as stack:
            memories = Memories.open(location, stm=stm, tuning=tuning, clock=clock)
            stack.callback(memories.close)
            memory = memories.get(name, tenant=tenant, config=config)
            stack.pop_all()
        memory._owner = True
        return memory

    @property
    def name(self) -> str:
        """Return the memory's name."""
        return self.store.name

    @property
    def tenant(self) -> str:
        """Return whom the memory belongs to."""
        return self.store.tenant

    @property
    def seq(self) -> int:
        """Return the number of the newest log record."""
        return self.store.head().seq

    @property
    def known_seq(self) -> int:
        """Return the highest log number this process has seen, without asking the database."""
        return self.store.known_seq

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the options set for this memory."""
        return self._config

    @property
    def stm_store(self) -> StmStore:
        """Return where the short-term memories are kept."""
        return self._memories.stm_store

    def configure(self, **config: Any) -> dict[str, Any]:
        """Set options for every session of this memory; raises `ValidationError` (CONFIG_INVALID)."""
        self.store.configure({**self.store.config(), **clean_options(config)})
        return dict(self.reload_config())

    def reload_config(self) -> Mapping[str, Any]:
        """Read the options again, as another process may have set them."""
        self._config = self.store.config()
        self._options = resolve(self._config)
        return self._config

    def session(self, session_id: str = "default", ttl_seconds: float | None = None, **config: Any) -> Session:
        """Return a session, made when absent or expired; ``config`` sets options of it.

        Raises `ValidationError` (CONFIG_INVALID) for a bad option, and makes no session then.
        """
        name = clean_text(session_id, "session")
        cleaned = clean_options(config if ttl_seconds is None else {**config, "ttl_seconds": ttl_seconds})
        with self._lock:
            session = self._sessions.get(name)
            held = self.stm_store.find(self.store.memory, name)
            now = self.now()
            if held is not None and held.expires_at <= now:
                self.stm_store.drop(held)
                held = None
            if held is None:
                ttl = resolve(cleaned, self._config).ttl_seconds
                held = self.stm_store.create(self.store.memory, name, cleaned, now, now + ttl)
                self._made += 1
                if self._made % SWEEP == 0:
                    self.stm_store.sweep(now)
                session = None
            if session is None or session.key != held.key:
                session = self._sessions[name] = Session(self, held)
            self._recent[name] = session
            self._recent.move_to_end(name)
            if len(self._recent) > RECENT:
                self._recent.popitem(last=False)
        if cleaned and any(held.config.get(key) != value for key, value in cleaned.items()):
            session.configure(**cleaned)
        return session

    def holds(self, session_id: str) -> bool:
        """Return whether this process knows such a session and it has not ended; asks no store."""
        session = self._sessions.get(session_id)
        return session is not None and session.expires_at > self.now()

    def learn(
        self,
        events: Iterable[Iterable[str]],
        *,
        emotives: Sequence[Mapping[str, float] | None] = (),
        metadata: Mapping[str, Any] | None = None,
        source: str = "",
        outcome: Mapping[str, float] | None = None,
        label: Label | None = None,
        ttl_seconds: float | None = None,
        unique_id: str | None = None,
    ) -> Learned:
        """Learn a sequence of events; ``emotives`` holds one record per event, an item of numbers is a vector.

        Returns after the log record is committed. The same ``unique_id`` is learned once; its first answer comes back.
        Raises `ValidationError` (PATTERN_TOO_SHORT and others), `MemoryFault`.
        """
        given: dict[str, Any] = {
            "emotives": emotives,
            "metadata": metadata,
            "source": source,
            "outcome": outcome,
            "label": label,
        }
        with self.meters.timed("learn"):
            taught = self._lesson(events, **given, ttl_seconds=ttl_seconds, unique_id=unique_id)
            learned = self.store.learn([taught])
        assert learned is not None
        return learned[0]

    def learn_all(self, lessons: Iterable[Mapping[str, Any]]) -> list[Learned]:
        """Learn many sequences in one transaction, all or nothing; each mapping holds the arguments of `learn`."""
        with self.meters.timed("learn"):
            learned = self.store.learn([self._lesson(**given) for given in lessons])
        assert learned is not None
        return learned

    def predict(
        self, events: Iterable[Iterable[str]], *, at_least_seq: int | None = None, **options: Any
    ) -> Predictions:
        """Compare events with every learned pattern, best first; no session is needed.

        ``at_least_seq`` waits up to 2 s for that log record; then `MemoryFault` (INDEX_BEHIND).
        """
        asked = self._asked(events, at_least_seq)
        with self.meters.timed("predict"):
            return self._answers.predict(asked, self._levels(options))

    def next(self, events: Iterable[Iterable[str]], *, at_least_seq: int | None = None, **options: Any) -> NextEvents:
        """Return the distribution of the event that follows these."""
        asked = self._asked(events, at_least_seq)
        with self.meters.timed("next"):
            return self._answers.next(asked, clean_next(options))

    def why(
        self, events: Iterable[Iterable[str]], pattern: str, *, at_least_seq: int | None = None, **options: Any
    ) -> Why:
        """Explain one pattern against these events: every figure with its formula and inputs."""
        asked = self._asked(events, at_least_seq)
        with self.meters.timed("why"):
            return self._answers.why(asked, pattern, self._levels(options))

    def forget(
        self,
        *,
        pattern: str | None = None,
        source: str | None = None,
        session: str | None = None,
        symbol: str | None = None,
        before: datetime | float | str | None = None,
        episodes: Iterable[int] | None = None,
        dry_run: bool = False,
    ) -> Changed:
        """Forget the episodes that match every given selector; the state becomes as if they had never been.

        ``dry_run`` counts only. Raises `ValidationError` (SELECTOR_REQUIRED), `NotFoundError` (PATTERN_NOT_FOUND).
        """
        with self.meters.timed("forget"):
            selection = Selection.of(pattern, source, session, symbol, before, episodes)
            return changes.forget(self.store, selection, dry_run=dry_run)

    def erase(
        self,
        *,
        pattern: str | None = None,
        source: str | None = None,
        session: str | None = None,
        symbol: str | None = None,
        before: datetime | float | str | None = None,
        episodes: Iterable[int] | None = None,
    ) -> Changed:
        """Forget what matches and overwrite it in the database's files, also where it was forgotten before.

        Cannot be undone. Raises `ValidationError` (SELECTOR_REQUIRED), `MemoryFault`.
        """
        with self.meters.timed("forget"):
            changed = erase(self.store, Selection.of(pattern, source, session, symbol, before, episodes))
            self._follower.restart()
        return changed

    def clear_all(self) -> Changed:
        """Forget everything; can be undone."""
        with self.meters.timed("forget"):
            return changes.forget(self.store, Selection(everything=True))

    def edit(self, ref: str, events: Iterable[Iterable[str]]) -> Changed:
        """Give a pattern other content: its episodes move there, and join what is there already."""
        vectors: dict[str, tuple[float, ...]] = {}
        cleaned = clean_events(events, vectors=vectors, sort=self.options.sort_symbols)
        return changes.edit(self.store, ref, cleaned, vectors)

    def expire(self, now: float | None = None) -> Changed:
        """Forget the episodes whose time to live has passed by ``now`` (seconds since 1970)."""
        return changes.expire(self.store, now)

    def undo(self, seq: int) -> Changed:
        """Void a learn, forget, edit, expire, outcome or undo record: the state becomes that of a log without it.

        Raises `NotFoundError` (SEQ_NOT_FOUND), `ConflictError` (NOT_UNDOABLE).
        """
        return changes.undo(self.store, clean_seq(seq))

    def record_outcome(self, ref: str, utility: float | None = None, cost: float | None = None) -> Changed:
        """Note how the newest episode of a pattern turned out: utility in 0..1, cost of at least 0."""
        return changes.record_outcome(self.store, ref, utility, cost)

    def pattern(self, ref: str) -> PatternView:
        """Return one pattern with its episodes; ``ref`` is its id, its name or ``PTRN|name``."""
        return reading.pattern(self.store, ref)

    def patterns(
        self, source: str | None = None, contains: str | None = None, after: str | None = None, limit: int = 100
    ) -> PatternPage:
        """Return a page of patterns by id, those from ``source`` and those that hold the symbol ``contains``."""
        return reading.page(self.store, source, contains, after, limit)

    def symbols(self, prefix: str = "") -> tuple[SymbolView, ...]:
        """Return the symbols that begin with ``prefix``: how many patterns hold each, how often it was learned."""
        return reading.symbols(self.store, prefix)

    def log(self, after: int = 0, limit: int = 1_000) -> tuple[LogView, ...]:
        """Return log records above ``after``, in order."""
        return reading.log_page(self.store, after, limit)

    def state_hash(self) -> str:
        """Return the name of what is learned now: equal states have equal names, however they came to be."""
        return self.store.read(lambda rows: state_hash(rows, self.store.memory))

    def verify(self) -> Verified:
        """Replay the log, check its hash chain, and compare tables and index with the replay."""
        return verify(self.store, self._follower)

    def rebuild(self) -> None:
        """Drop the tables kept from the log and the index, and make them again."""
        self.store.write(lambda rows: rebuild(rows, self.store.memory))
        self._follower.restart()

    def at(self, seq: int) -> Memory:
        """Open the memory as it was after record ``seq``; it can be asked but not taught. Close it when done.

        Raises `NotFoundError` (SEQ_NOT_FOUND).
        """
        past = type(self).open(":memory:", self.name, tenant=self.tenant, config=self._config, tuning=self.tuning)
        with ExitStack() as stack:
            stack.callback(past.close)
            copy_log(self.store, past.store, clean_seq(seq))
            past.store.frozen = True
            stack.pop_all()
        return past

    def export(self, path: str | Path) -> Exported:
        """Write the log as JSON Lines: a header with format, version and state hash, then the records."""
        return export(self.store, path)

    def import_(self, path: str | Path) -> Imported:
        """Append the records of an export, all or nothing; a second time changes nothing.

        Raises `ValidationError` (IMPORT_CORRUPT), `NotFoundError`.
        """
        return import_(self.store, path)

    def snapshot(self, path: str | Path) -> None:
        """Copy the database file consistently while writers go on (SQLite)."""
        snapshot(self.store, path)

    def stats(self) -> Stats:
        """Return how much is learned and what the caches did."""
        view = self._follower.view()
        return Stats(
            name=self.name,
            seq=view.seq,
            patterns=view.N,
            symbols=view.V,
            total_frequency=view.T,
            sessions=self.stm_store.count(self.store.memory, self.now()),
            index_bytes=self._follower.footprint,
            caches={
                "bodies": self._follower.counts.to_dict(self._follower.cached_bodies),
                "predictions": self._answers.counts.to_dict(self._answers.kept),
            },
        )

    def affinity(self, symbol: str | None = None) -> dict[str, Any]:
        """Return a symbol's affinity per emotive, or that of every symbol that has one."""
        return self._follower.affinities(None if symbol is None else clean_symbol(symbol, "symbol"))

    def ingest(
        self,
        records: Iterable[Any],
        format: str,  # noqa: A002 - the word of the field
        *,
        source: str = "",
        learn: bool = True,
        attributes: Iterable[str] | None = None,
        outcome: Mapping[str, float] | None = None,
    ) -> Ingested:
        """Learn recorded traces, one pattern each; ``format`` is otlp, openai, anthropic, mcp or kimera.

        All or nothing. A trace that has a name is learned once, however often it is ingested. With ``learn`` off it is
        only said which patterns these are. Raises `ValidationError` (BODY_INVALID) naming the wrong record.
        """
        return traces.ingest(self, records, format, source, learn, attributes, outcome)

    def now(self) -> float:
        """Return seconds since 1970 on the memory's clock."""
        return self.store.now()

    def timed(self, operation: str) -> Any:
        """Return a ``with`` block that counts one run of an operation."""
        return self.meters.timed(operation)

    def drop_session(self, held: Held) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(held.session_id, None)
            self._recent.pop(held.session_id, None)
            self.stm_store.drop(held)

    @property
    def options(self) -> Options:
        """Return the options that hold where no session or call says otherwise."""
        return self._options

    @property
    def answers(self) -> Answers:
        """Return what answers questions on the newest view."""
        return self._answers

    def close(self) -> None:
        """Give connections back; a memory got from `Memories` is closed with them."""
        if self._owner:
            self._memories.close()

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lesson(
        self,
        events: Iterable[Iterable[str]],
        *,
        emotives: Sequence[Mapping[str, float] | None] = (),
        metadata: Mapping[str, Any] | None = None,
        source: str = "",
        outcome: Mapping[str, float] | None = None,
        label: Label | None = None,
        ttl_seconds: float | None = None,
        unique_id: str | None = None,
    ) -> Lesson:
        options = self.options
        vectors: dict[str, tuple[float, ...]] = {}
        cleaned = clean_events(events, vectors=vectors, sort=options.sort_symbols)
        origin = clean_text(source, "source")
        return lesson(
            cleaned,
            at=self.now(),
            emotives=[clean_emotives(record) for record in emotives],
            metadata=[clean_metadata(metadata)] if metadata else (),
            labels=[clean_label(label, origin)],
            vectors=vectors,
            outcome=outcome_of(outcome),
            persistence=options.persistence,
            source=origin,
            unique_id=None if unique_id is None else clean_text(unique_id, "unique_id"),
            ttl_seconds=clean_ttl(ttl_seconds),
        )

    def _asked(self, events: Iterable[Iterable[str]], at_least_seq: int | None) -> Question:
        vectors: dict[str, tuple[float, ...]] = {}
        cleaned = clean_events(events, vectors=vectors, sort=self.options.sort_symbols)
        self.store.check_vectors(vectors)
        return Question(cleaned, vectors, at_least_seq=at_least_seq)

    def _levels(self, call: Mapping[str, Any]) -> Options:
        return resolve(clean_options(call), self._config)


def clean_seq(seq: object) -> int:
    """Return a log number; raises `ValidationError` (BODY_INVALID)."""
    if isinstance(seq, bool) or not isinstance(seq, int) or abs(seq) >= 2**62:
        raise ValidationError("seq takes a log number.", "seq", error_code="BODY_INVALID")
    return seq
