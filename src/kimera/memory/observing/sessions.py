"""Sessions: one short-term memory each, on one memory, one writer at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from kimera.errors import ConflictError, NotFoundError
from kimera.guardian import Label
from kimera.memory.contracts import Guard, GuardOptions, Learned, NextEvents, Observed, Predictions, Why
from kimera.memory.index import Overlap
from kimera.memory.keeping.episodes import Lesson, outcome_of
from kimera.memory.keeping.follow import Moment
from kimera.memory.meters import note_events
from kimera.memory.observing.batches import Batch, Ways
from kimera.memory.observing.observations import (
    Observation,
    SequenceObserved,
    Step,
    answer_of,
    clean_observation,
    clean_sequence,
    learn_events,
    observe,
    with_seq,
)
from kimera.memory.observing.stm import Held, Stm, StmChange, Teach
from kimera.memory.options import Options, clean_guard, clean_next, clean_options, explain, resolve
from kimera.memory.recall.answers import Question
from kimera.memory.symbols import clean_metadata, clean_text
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

if TYPE_CHECKING:
    from kimera.memory.memory import Memory

__all__ = ["Session", "SessionConfig"]

T = TypeVar("T")
TRIES = 100
TOUCH = 0.05  # a read prolongs the session once this part of its time has passed

SessionConfig = Mapping[str, Any]


class Session:
    """A short-term memory with its own options and clock count; made by `Memory.session`. Safe for threads."""

    def __init__(self, memory: Memory, held: Held) -> None:
        self._memory = memory
        self._held = held
        self._stm: Stm | None = None
        self._lock = threading.RLock()
        self._options: Options | None = None
        self._own: Mapping[str, Any] = held.config
        self._overlap = Overlap()

    @property
    def id(self) -> str:
        """Return the session's name."""
        return self._held.session_id

    @property
    def key(self) -> int:
        """Return the number under which the store keeps the session."""
        return self._held.key

    @property
    def memory(self) -> Memory:
        """Return the memory this session is on."""
        return self._memory

    @property
    def stm(self) -> list[list[str]]:
        """Return the events of the short-term memory, oldest first."""
        return [list(event) for event in self.snapshot().sequence]

    @property
    def time(self) -> int:
        """Return how many observations were counted."""
        return self.snapshot().time

    @property
    def created_at(self) -> float:
        """Return when the session was made, in seconds since 1970."""
        return self._held.created_at

    @property
    def expires_at(self) -> float:
        """Return when the session ends unless it is used, in seconds since 1970."""
        return self._held.expires_at

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return what was kept with the session."""
        return self._held.metadata

    @property
    def config(self) -> dict[str, dict[str, Any]]:
        """Return every option with its value and the level it comes from."""
        return explain([("session", self._own), ("memory", self._memory.config)])

    @property
    def options(self) -> Options:
        """Return the options that hold for this session."""
        if self._options is None or self._options_stamp is not self._memory.config:
            self._options_stamp = self._memory.config
            self._options = resolve(self._own, self._options_stamp)
        return self._options

    _options_stamp: Mapping[str, Any] | None = None

    def observe(
        self,
        strings: Sequence[str] = (),
        vectors: Sequence[Sequence[float]] = (),
        emotives: Mapping[str, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        unique_id: str | None = None,
        source: str | None = None,
        label: Label | None = None,
        predict: bool = False,
        guard: bool = False,
    ) -> Observed:
        """Append one event; learn by length when so configured. Predicts only when asked.

        The same ``unique_id`` again, while its event is in the short-term memory, applies nothing and gives the first
        answer. Raises `ValidationError`, `NotFoundError` (SESSION_EXPIRED), `MemoryFault`.
        """
        with self._memory.timed("observe"), self._lock:
            seen = clean_observation(
                strings,
                vectors,
                emotives,
                metadata,
                unique_id=unique_id,
                source=source,
                label=label,
                predict=predict,
                guard=guard,
                sort=self.options.sort_symbols,
            )
            self._memory.store.check_vectors(seen.vectors)
            observed = self._asked(self._observe(seen), seen)
        note_events(1, observed.stm_length)
        return observed

    def observe_sequence(
        self,
        observations: Sequence[Mapping[str, Any]],
        *,
        learn_after_each: bool = False,
        learn_at_end: bool = False,
        clear_stm_between: bool = False,
    ) -> SequenceObserved:
        """Apply many observations in one transaction, all or nothing; the answer equals that of single calls.

        Learning here skips what is too short to be a pattern. At most 10,000 observations.
        """
        ways = Ways(learn_after_each, learn_at_end, clear_stm_between)
        with self._memory.timed("observe_sequence"), self._lock:
            clean = clean_sequence(observations, self.options.sort_symbols)
            self._memory.store.check_vectors({name: v for seen in clean for name, v in seen.vectors.items()})
            observed = self._observe_all(clean, ways)
        note_events(observed.observations_processed, observed.final_stm_length)
        return observed

    def learn(
        self,
        *,
        outcome: Mapping[str, float] | None = None,
        source: str | None = None,
        ttl_seconds: float | None = None,
    ) -> Learned:
        """File the short-term memory as a pattern and clear it; return after the log record is committed.

        Raises `ValidationError` (PATTERN_TOO_SHORT) below two symbols, and keeps the short-term memory then.
        """
        result = outcome_of(outcome)
        lifetime = clean_ttl(ttl_seconds)
        origin = None if source is None else clean_text(source, "source")

        def plan(stm: Stm) -> tuple[StmChange, Sequence[Lesson], None]:
            taught = learn_events(
                list(stm.events),
                self.options,
                now=self._memory.now(),
                session_id=self.id,
                source=origin,
                outcome=result,
                ttl_seconds=lifetime,
            )
            return StmChange(stm.time, stm.next, stm.next), [taught], None

        with self._memory.timed("learn"), self._lock:
            repeated = self._learned_before_a_crash()
            if repeated is not None:
                return repeated
            _, learned = self._step(plan)
        return learned[-1]

    def predictions(self, *, at_least_seq: int | None = None, **options: Any) -> Predictions:
        """Compare the short-term memory with every learned pattern, best first; an empty one gives none."""
        asked = Question.of(self.snapshot(), self._counters(), at_least_seq)
        with self._memory.timed("predict"):
            return self._memory.answers.predict(asked, self._levels(options))

    def next(self, *, at_least_seq: int | None = None, **options: Any) -> NextEvents:
        """Return the distribution of the event that comes next."""
        asked = Question.of(self.snapshot(), None, at_least_seq)
        with self._memory.timed("next"):
            return self._memory.answers.next(asked, clean_next(options))

    def guard(self, *, at_least_seq: int | None = None, **options: Any) -> Guard:
        """Judge the newest event: loop, anomaly, unknown or ok."""
        asked = Question.of(self.snapshot(), None, at_least_seq)
        with self._memory.timed("guard"):
            return self._memory.answers.guard(asked, clean_guard(options), self.options)

    def why(self, pattern: str, *, at_least_seq: int | None = None, **options: Any) -> Why:
        """Explain one pattern against the short-term memory: every figure with its formula and inputs."""
        asked = Question.of(self.snapshot(), None, at_least_seq)
        with self._memory.timed("why"):
            return self._memory.answers.why(asked, pattern, self._levels(options))

    def clear_stm(self) -> None:
        """Drop the events of the short-term memory; nothing is learned."""
        with self._lock:
            self._step(lambda stm: (StmChange(stm.time, stm.next, stm.next), (), None))

    def configure(self, **config: Any) -> dict[str, dict[str, Any]]:
        """Set options of this session, all or none; raises `ValidationError` (CONFIG_INVALID), one error per key."""
        cleaned = clean_options(config)
        with self._lock:
            self._usable()
            self._own = {**self._own, **cleaned}
            self._options = None
            self._held = self._memory.stm_store.configure(self._held, self._own, self._held.metadata)
            self._reload()
        return self.config

    def annotate(self, metadata: Mapping[str, Any]) -> None:
        """Keep metadata with the session."""
        with self._lock:
            self._usable()
            cleaned = clean_metadata(metadata)
            self._held = self._memory.stm_store.configure(self._held, self._own, cleaned)
            self._reload()

    def extend(self, ttl_seconds: float | None = None) -> float:
        """Let the session live ``ttl_seconds`` from now (its own time to live when None); return when it ends."""
        lifetime = clean_ttl(ttl_seconds) or self.options.ttl_seconds
        with self._lock:
            self._usable()
            self._held = self._memory.stm_store.extend(self._held, self._memory.now() + lifetime)
        return self._held.expires_at

    def delete(self) -> None:
        """Forget the session and its short-term memory; what it taught stays."""
        with self._lock:
            self._memory.drop_session(self._held)
            self._stm = None

    def snapshot(self) -> Stm:
        """Return a copy of the short-term memory as it is now; counts as a use of the session."""
        with self._lock:
            stm = self._current()
            ttl = self.options.ttl_seconds
            if self._held.expires_at - self._memory.now() < ttl * (1 - TOUCH):
                self._held = self._memory.stm_store.extend(self._held, self._memory.now() + ttl)
            return stm.copy()

    def _observe(self, seen: Observation) -> Observed:
        def plan(stm: Stm) -> tuple[StmChange | None, Sequence[Lesson], Step]:
            step = observe(
                stm,
                seen,
                self.options,
                now=self._memory.now(),
                memory_seq=self._memory.known_seq,
                session_id=self.id,
            )
            return step.change if not step.observed.duplicate else None, _some(step.lesson), step

        step, learned = self._step(plan)
        observed = step.observed
        if learned:
            observed = with_seq(observed, learned[-1].seq)
            self._remember(step.event, observed)
        return observed

    def _observe_all(self, clean: Sequence[Observation], ways: Ways) -> SequenceObserved:
        def plan(stm: Stm) -> tuple[StmChange, Sequence[Lesson], Batch]:
            known = self._memory.known_seq
            batch = Batch(stm, self.options, ways, now=self._memory.now(), memory_seq=known, session_id=self.id)
            for seen in clean:
                batch.take(seen)
            batch.finish()
            if asks and batch.lessons and self._memory.answers.follower.outgrown:
                raise ConflictError(
                    "This memory has outgrown its index, so a sequence that learns on its way cannot be asked at each "
                    "step; send its observations one by one, or raise KIMERA_MEMORY_INDEX_MB.",
                    error_code="INDEX_OUTGROWN",
                )
            return batch.change, batch.lessons, batch

        asks = self.options.predict_on_observe or any(seen.predict or seen.guard for seen in clean)
        if asks:
            self._memory.answers.follower.view()  # level before the step, so that its lessons can be taken one by one
        batch, learned = self._step(plan)
        results = batch.answers(learned)
        for place, event in batch.remembering:
            self._remember(event, results[place])
        if not asks:
            return batch.report(results, self._memory.known_seq)
        moments = self._memory.answers.follower.through(batch.lessons, learned)
        asked = [
            self._asked_then(observed, seen, stm, moments[taught] if moments else None)
            for observed, seen, stm, taught in zip(results, clean, batch.moments, batch.taught, strict=True)
        ]
        return batch.report(asked, self._memory.known_seq)

    def _asked(self, observed: Observed, seen: Observation) -> Observed:
        """Add what was asked for beside the observation."""
        if seen.predict or seen.guard or self.options.predict_on_observe:
            return self._asked_then(observed, seen, self._usable())
        return observed

    def _asked_then(
        self, observed: Observed, seen: Observation, stm: Stm | None, moment: Moment | None = None
    ) -> Observed:
        if stm is None:
            return observed
        answers, options = self._memory.answers, self.options
        asked = Question.of(stm, self._counters())
        if seen.predict or options.predict_on_observe:
            found = answers.predict(asked, options) if moment is None else answers.predict_then(asked, options, moment)
            observed = replace(observed, predictions=found)
        if seen.guard and moment is None:
            observed = replace(observed, guard=answers.guard(asked, GuardOptions(), options))
        elif seen.guard and moment is not None:
            observed = replace(observed, guard=answers.guard_then(asked, GuardOptions(), options, moment))
        return observed

    def _step(self, plan: Callable[[Stm], tuple[StmChange | None, Sequence[Lesson], T]]) -> tuple[T, list[Learned]]:
        """Plan on the newest state and keep it; plan again when another process was faster."""
        store = self._memory.stm_store
        for _ in range(TRIES):
            stm = self._usable()
            change, lessons, result = plan(stm)
            if change is None:
                return result, []
            expires_at = self._memory.now() + self.options.ttl_seconds
            teach = self._teach(lessons) if lessons else None
            learned = store.step(self._held, stm, change, expires_at, teach)
            if learned is not None:
                stm.apply(change)
                self._held = self._held._replace(expires_at=expires_at)
                return result, learned
            self._reload()
        raise ConflictError(f"Session {self.id} is stepped by too many processes at once; try again.")

    def _teach(self, lessons: Sequence[Lesson]) -> Teach:
        return lambda also: self._memory.store.learn(lessons, also)

    def _current(self) -> Stm:
        """Return the short-term memory, read anew when another process has stepped it."""
        stm = self._usable()
        if not self._memory.stm_store.is_current(self._held, stm):
            self._reload()
            stm = self._usable()
        return stm

    def _usable(self) -> Stm:
        """Return the short-term memory as last seen; raises `NotFoundError` when the session has ended."""
        now = self._memory.now()
        if self._stm is None or now >= self._held.expires_at:
            self._reload()
        if now >= self._held.expires_at:
            raise NotFoundError(
                f"Session {self.id} was not used for {self.options.ttl_seconds:g} s and has expired; open it again.",
                error_code="SESSION_EXPIRED",
                http_status=410,
            )
        assert self._stm is not None
        return self._stm

    def _reload(self) -> None:
        found = self._memory.stm_store.load(self._held)
        if found is None:
            raise NotFoundError(
                f"There is no session {self.id} any more; open it again.", error_code="SESSION_NOT_FOUND"
            )
        self._held, self._stm = found
        if self._held.config != self._own:
            self._own, self._options = self._held.config, None

    def _learned_before_a_crash(self) -> Learned | None:
        """Return the answer that was lost when a process died between learning these events and trimming them."""
        stm = self._current()
        unfinished = getattr(self._memory.stm_store, "unfinished", None)
        if stm.events or unfinished is None or not unfinished(self._held):
            return None
        found = self._memory.store.read(self._last_learned)
        if found is not None:
            self._memory.stm_store.step(self._held, stm, StmChange(stm.time, stm.next, stm.next), self.expires_at, None)
            self._reload()
        return found

    def _last_learned(self, rows: Rows) -> Learned | None:
        memory = self._memory.store.memory
        row = rows.one(sql.LAST_OF_SESSION, {"memory": memory, "session_id": self.id})
        found = None if row is None else rows.one(sql.READ_PATTERN, {"memory": memory, "pattern": row[1]})
        if row is None or found is None:
            return None
        return Learned(found[0], found[1], row[0], False, found[4], found[3])

    def _remember(self, number: int | None, observed: Observed) -> None:
        """Put the number that learning gave into the remembered answer."""
        if number is None or self._stm is None or observed.unique_id is None:
            return
        for event in self._stm.events:
            if event.number == number:
                answers = {**event.answers, observed.unique_id: answer_of(observed)}
                self._stm.put(event._replace(answers=answers))
                return

    def _levels(self, call: Mapping[str, Any]) -> Options:
        return resolve(clean_options(call), self._own, self._memory.config) if call else self.options

    def _counters(self) -> Overlap | None:
        return self._overlap if self._memory.tuning.incremental else None


def clean_ttl(ttl_seconds: object) -> float | None:
    """Return a time to live in seconds, None for none; raises `ValidationError` (CONFIG_INVALID)."""
    if ttl_seconds is None:
        return None
    value: float = clean_options({"ttl_seconds": ttl_seconds})["ttl_seconds"]
    return value


def _some(taught: Lesson | None) -> Sequence[Lesson]:
    return () if taught is None else (taught,)
