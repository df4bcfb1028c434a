"""Many observations as one step: planned on a copy, then kept and learned together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kimera.memory.contracts import Learned, Observed
from kimera.memory.keeping.episodes import Lesson
from kimera.memory.observing.observations import Observation, SequenceObserved, learn_events, observe, with_seq
from kimera.memory.observing.stm import Stm, StmChange
from kimera.memory.options import Options

__all__ = ["Batch", "Ways"]


@dataclass(frozen=True, slots=True)
class Ways:
    """When a sequence learns and clears beside what the session's options say."""

    learn_after_each: bool = False
    learn_at_end: bool = False
    clear_stm_between: bool = False


class Batch:
    """Works out what a sequence of observations does to a short-term memory."""

    def __init__(self, stm: Stm, options: Options, ways: Ways, *, now: float, memory_seq: int, session_id: str) -> None:
        self.before = stm
        self.initial = len(stm.events)
        self.lessons: list[Lesson] = []
        self.answered: list[Observed] = []
        self.remembering: list[tuple[int, int]] = []  # which answers the events of which numbers carry
        self.moments: list[Stm | None] = []  # the short-term memory after a step that asks for a prediction
        self._after = stm.copy()
        self._options = options
        self._ways = ways
        self._now = now
        self._seq = memory_seq
        self._session = session_id
        self.taught: list[int] = []  # lessons known after each step
        self._auto: list[Lesson] = []
        self._final: Lesson | None = None

    def take(self, seen: Observation) -> None:
        """Plan one more observation."""
        if self._ways.clear_stm_between and self.answered:
            self._clear()
        step = observe(self._after, seen, self._options, now=self._now, memory_seq=self._seq, session_id=self._session)
        if not step.observed.duplicate:
            self._after.apply(step.change)
        if step.lesson is not None:
            self.lessons.append(step.lesson)
            self._auto.append(step.lesson)
        if step.event is not None:
            self.remembering.append((len(self.answered), step.event))
        self.answered.append(step.observed)
        self.taught.append(len(self.lessons))
        asked = seen.predict or seen.guard or self._options.predict_on_observe
        self.moments.append(self._after.copy() if asked else None)
        if self._ways.learn_after_each:
            taught = self._learn()
            if taught is not None:
                self._auto.append(taught)

    def finish(self) -> None:
        """Learn what is left, when told to."""
        if self._ways.learn_at_end:
            self._final = self._learn()

    @property
    def change(self) -> StmChange:
        """Return all steps as one."""
        after, before = self._after, self.before
        newest = before.events[-1] if before.events else None
        changed = next((e for e in after.events if newest is not None and e.number == newest.number), None)
        return StmChange(
            after.time,
            after.next,
            after.floor,
            tuple(event for event in after.events if event.number >= before.next),
            None if changed is newest else changed,
        )

    def answers(self, learned: Sequence[Learned]) -> list[Observed]:
        """Return what each observation answers, now that the lessons have their numbers."""
        return [
            with_seq(observed, learned[taught - 1].seq) if taught else observed
            for observed, taught in zip(self.answered, self.taught, strict=True)
        ]

    def report(self, results: Sequence[Observed], memory_seq: int) -> SequenceObserved:
        """Return the answer to the whole sequence."""
        return SequenceObserved(
            observations_processed=len(results),
            initial_stm_length=self.initial,
            final_stm_length=len(self._after.events),
            results=tuple(results),
            auto_learned_patterns=tuple(f"PTRN|{taught.name}" for taught in self._auto),
            final_learned_pattern=f"PTRN|{self._final.name}" if self._final else None,
            memory_seq=memory_seq,
        )

    def _learn(self) -> Lesson | None:
        events = list(self._after.events)
        if sum(len(event.symbols) for event in events) < 2:
            return None
        taught = learn_events(events, self._options, now=self._now, session_id=self._session)
        self.lessons.append(taught)
        self._clear()
        return taught

    def _clear(self) -> None:
        self._after.apply(StmChange(self._after.time, self._after.next, self._after.next))
