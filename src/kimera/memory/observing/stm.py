"""Short-term memory: the newest events of one session, and the store that keeps them.

A session's events have numbers that only rise. What was learned or cleared lies below the `floor`, whether or not a
store still holds it: so a crash between learning and trimming cannot make an event count twice. Every store passes
the same contract suite: `ProcessStm` here, `SqlStm` and `RedisStm` beside it.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from kimera.guardian import Label, join
from kimera.memory.contracts import Learned
from kimera.memory.keeping.episodes import DEFAULT_LABEL
from kimera.memory.keeping.log import canonical
from kimera.memory.symbols import Event, Events
from kimera.storage.rows import Rows

__all__ = ["Held", "ProcessStm", "Stm", "StmChange", "StmEvent", "StmStore", "Teach"]


class StmEvent(NamedTuple):
    """One observed event with what came with it. ``answers`` holds what was said to observations with a unique id."""

    number: int
    symbols: Event
    emotives: Mapping[str, float]
    metadata: Mapping[str, Any]
    source: str
    label: Label
    at: float
    vectors: Mapping[str, tuple[float, ...]]
    answers: Mapping[str, Mapping[str, Any]]

    def write(self) -> str:
        """Return the event as JSON without its defaults."""
        data: dict[str, Any] = {"symbols": self.symbols, "at": self.at}
        if self.emotives:
            data["emotives"] = self.emotives
        if self.metadata:
            data["metadata"] = self.metadata
        if self.source:
            data["source"] = self.source
        if self.vectors:
            data["vectors"] = self.vectors
        if self.answers:
            data["answers"] = self.answers
        if self.label is not DEFAULT_LABEL and self.label != DEFAULT_LABEL:
            data["label"] = self.label.to_dict()
        return canonical(data)

    @classmethod
    def read(cls, number: int, text: str) -> StmEvent:
        """Return the event that `write` wrote."""
        data = json.loads(text)
        return cls(
            number,
            tuple(data["symbols"]),
            data.get("emotives", {}),
            data.get("metadata", {}),
            data.get("source", ""),
            Label.from_dict(data["label"]) if "label" in data else DEFAULT_LABEL,
            data["at"],
            {name: tuple(vector) for name, vector in data.get("vectors", {}).items()},
            data.get("answers", {}),
        )


class StmChange(NamedTuple):
    """One step of a session: events added, the newest one replaced, everything below ``floor`` gone."""

    time: int
    next: int
    floor: int
    append: tuple[StmEvent, ...] = ()
    replace: StmEvent | None = None


@dataclass(slots=True)
class Stm:
    """The short-term memory as last seen. ``version`` counts the steps; a store refuses a step from an old one."""

    version: int = 0
    time: int = 0
    next: int = 0
    floor: int = 0
    events: deque[StmEvent] = field(default_factory=deque)

    def apply(self, change: StmChange) -> None:
        """Take a step that its store has accepted."""
        self.version += 1
        self.time, self.next, self.floor = change.time, change.next, change.floor
        if change.replace is not None:
            self.put(change.replace)
        self.events.extend(change.append)
        while self.events and self.events[0].number < change.floor:
            self.events.popleft()

    def put(self, event: StmEvent) -> None:
        """Replace the event of the same number."""
        for index, known in enumerate(self.events):
            if known.number == event.number:
                self.events[index] = event

    def copy(self) -> Stm:
        """Return a copy that steps on its own."""
        return replace(self, events=self.events.copy())

    def last(self, count: int) -> Iterator[StmEvent]:
        """Yield the newest ``count`` events in order."""
        return itertools.islice(self.events, max(0, len(self.events) - count), None)

    @property
    def sequence(self) -> Events:
        """Return the events as symbols."""
        return tuple(event.symbols for event in self.events)

    @property
    def label(self) -> Label:
        """Return what anything computed from these events carries."""
        return join(*{event.label for event in self.events})

    @property
    def vectors(self) -> dict[str, tuple[float, ...]]:
        """Return the coordinates of every vector in the events."""
        return {name: vector for event in self.events for name, vector in event.vectors.items()}

    def answer_to(self, unique_id: str) -> Mapping[str, Any] | None:
        """Return what was answered to this observation while its event is still here."""
        return next((event.answers[unique_id] for event in self.events if unique_id in event.answers), None)


class Held(NamedTuple):
    """What a store knows of a session beside its events."""

    key: int
    memory: int
    session_id: str
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    created_at: float
    expires_at: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return self._asdict()


Learnings = list[Learned] | None
Teach = Callable[[Callable[[Rows], bool] | None], Learnings]
"""Commit what a step learns; the store's own rows go in the same transaction, and False from them undoes it all."""


@dataclass(frozen=True, slots=True)
class StmUse:
    """Short-term memories that live, the events they hold, and ``lag``: events learned or dropped, not yet trimmed."""

    count: int
    events: int
    lag: int

    def to_dict(self) -> dict[str, int]:
        """Return plain data."""
        return {"count": self.count, "events": self.events, "lag": self.lag}


class StmStore(Protocol):
    """Where sessions and their events are kept. ``now`` and ``expires_at`` are seconds since 1970."""

    def find(self, memory: int, session_id: str) -> Held | None:
        """Return a session, expired or not, or None."""

    def create(self, memory: int, session_id: str, config: Mapping[str, Any], now: float, expires_at: float) -> Held:
        """Return the new session, or the one another caller made meanwhile."""

    def configure(self, held: Held, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Held:
        """Keep these options and this metadata."""

    def extend(self, held: Held, expires_at: float) -> Held:
        """Let the session live until then."""

    def drop(self, held: Held) -> None:
        """Forget the session and its events."""

    def load(self, held: Held) -> tuple[Held, Stm] | None:
        """Return the session as it is now, None when it is gone."""

    def is_current(self, held: Held, stm: Stm) -> bool:
        """Return whether nobody has stepped since ``stm`` was loaded."""

    def step(self, held: Held, stm: Stm, change: StmChange, expires_at: float, teach: Teach | None) -> Learnings:
        """Keep a step and what it learns, all or nothing; return what was learned, or None when ``stm`` was old."""

    def count(self, memory: int, now: float) -> int:
        """Return how many sessions of a memory live."""

    def use(self, tenant: str, now: float) -> StmUse:
        """Return how much is held for the sessions of a tenant that live."""

    def sweep(self, now: float) -> int:
        """Drop the sessions that have outlived their time; return how many."""

    def close(self) -> None:
        """Give connections back."""


@dataclass(slots=True)
class _Place:
    held: Held
    stm: Stm
    expires_at: float


class ProcessStm:
    """Sessions in this process, lost with it."""

    def __init__(self) -> None:
        self._names: dict[tuple[int, str], int] = {}
        self._places: dict[int, _Place] = {}
        self._keys = itertools.count(1)
        self._lock = threading.Lock()

    def find(self, memory: int, session_id: str) -> Held | None:
        """Return a session, expired or not, or None."""
        place = self._places.get(self._names.get((memory, session_id), 0))
        return None if place is None else place.held._replace(expires_at=place.expires_at)

    def create(self, memory: int, session_id: str, config: Mapping[str, Any], now: float, expires_at: float) -> Held:
        """Return the new session, or the one another thread made meanwhile."""
        with self._lock:
            found = self.find(memory, session_id)
            if found is not None:
                return found
            made = Held(next(self._keys), memory, session_id, dict(config), {}, now, expires_at)
            self._places[made.key] = _Place(made, Stm(), expires_at)
            self._names[memory, session_id] = made.key
            return made

    def configure(self, held: Held, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Held:
        """Keep these options and this metadata."""
        changed = held._replace(config=dict(config), metadata=dict(metadata))
        self._places[held.key].held = changed
        return changed

    def extend(self, held: Held, expires_at: float) -> Held:
        """Let the session live until then."""
        self._places[held.key].expires_at = expires_at
        return held._replace(expires_at=expires_at)

    def drop(self, held: Held) -> None:
        """Forget the session and its events."""
        with self._lock:
            place = self._places.pop(held.key, None)
            if place is not None:
                self._names.pop((held.memory, held.session_id), None)

    def load(self, held: Held) -> tuple[Held, Stm] | None:
        """Return the session as it is now, None when it is gone."""
        place = self._places.get(held.key)
        return None if place is None else (place.held._replace(expires_at=place.expires_at), place.stm)

    def is_current(self, held: Held, stm: Stm) -> bool:
        """Return whether the session still stands; nobody but its holder steps it."""
        return held.key in self._places

    def step(self, held: Held, stm: Stm, change: StmChange, expires_at: float, teach: Teach | None) -> Learnings:
        """Commit what the step learns; the events are the holder's own."""
        place = self._places.get(held.key)
        if place is None:
            return None
        learned: Learnings = [] if teach is None else teach(None)
        place.expires_at = expires_at
        return learned

    def count(self, memory: int, now: float) -> int:
        """Return how many sessions of a memory live."""
        return sum(place.held.memory == memory and place.expires_at > now for place in list(self._places.values()))

    def use(self, tenant: str, now: float) -> StmUse:
        """Return how much is held for the sessions that live, whosever they are: the process is one."""
        living = [place for place in list(self._places.values()) if place.expires_at > now]
        return StmUse(len(living), sum(len(place.stm.events) for place in living), 0)

    def sweep(self, now: float) -> int:
        """Drop the sessions that have outlived their time; return how many."""
        old = [place.held for place in list(self._places.values()) if place.expires_at <= now]
        for held in old:
            self.drop(held)
        return len(old)

    def close(self) -> None:
        """Do nothing: there are no connections."""
