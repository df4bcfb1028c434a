"""Episodes: what one act of learning teaches, and what the episodes of a pattern add up to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kimera.errors import ValidationError
from kimera.guardian import Integrity, Label, Secrecy, join
from kimera.memory.keeping.log import Entry, canonical, payload_hash
from kimera.memory.recall.exact import exact, mean, pack, rounded, unpack
from kimera.memory.symbols import Events, Vectors, is_vector_symbol, pattern_id, pattern_name

__all__ = [
    "DEFAULT_LABEL",
    "Folded",
    "Lesson",
    "clean_outcome",
    "lesson",
    "outcome_of",
    "read_events",
    "written_events",
]

DEFAULT_LABEL = Label(Integrity.UNTRUSTED, Secrecy.PRIVATE, frozenset())


class Lesson(NamedTuple):
    """A pattern ready to be written: its log entry, and what the tables need beside it."""

    id: str
    name: str
    events: Events
    written: str
    length: int
    entry: Entry
    payload: Mapping[str, Any]
    vectors: Vectors
    plain: bool  # adds nothing but one more occurrence


def lesson(
    events: Events,
    *,
    at: float,
    emotives: Sequence[Mapping[str, float]] = (),
    metadata: Sequence[Mapping[str, Any]] = (),
    labels: Sequence[Label] = (),
    vectors: Vectors | None = None,
    outcome: Mapping[str, float] | None = None,
    persistence: int = 5,
    source: str = "",
    session_id: str | None = None,
    unique_id: str | None = None,
    ttl_seconds: float | None = None,
    stm: tuple[int, int] | None = None,
) -> Lesson:
    """Return what learning ``events`` writes; raises `ValidationError` (PATTERN_TOO_SHORT) below two symbols.

    ``emotives``, ``metadata`` and ``labels`` hold one record per event. ``stm`` names the first and last short-term
    event that is learned, by which a repeat after a crash is recognised.
    """
    length = sum(map(len, events))
    if length < 2:
        raise ValidationError(
            f"A pattern has at least two symbols, this one has {length}; observe more, then learn.",
            "events",
            error_code="PATTERN_TOO_SHORT",
            http_status=400,
        )
    held = _held_vectors(events, vectors) if vectors else {}
    payload: dict[str, Any] = {"events": events, "persistence": persistence, **_came_with(emotives, metadata, labels)}
    plain = len(payload) == 2 and not outcome
    extras = {"vectors": held, "outcome": outcome and dict(outcome), "ttl": ttl_seconds, "stm": stm}
    payload |= {key: value for key, value in extras.items() if value}
    name = pattern_id(events)
    written = written_events(events)
    body = _written(payload, written)
    entry = Entry(
        "learn",
        at,
        body,
        payload_hash(body),
        source=source,
        session_id=session_id,
        unique_id=unique_id,
        pattern_id=name,
        expires_at=None if ttl_seconds is None else at + ttl_seconds,
    )
    return Lesson(name, pattern_name(events), events, written, length, entry, payload, held, plain)


def _written(payload: Mapping[str, Any], events: str) -> str:
    """Return the canonical JSON of a payload whose events are written already."""
    rest = canonical({key: value for key, value in payload.items() if key != "events"})  # never empty
    if all(key > "events" for key in payload if key != "events"):
        return f'{{"events":{events},{rest[1:]}'
    parts = (f'"{key}":{events if key == "events" else canonical(payload[key])}' for key in sorted(payload))
    return f"{{{','.join(parts)}}}"


def _came_with(
    emotives: Sequence[Mapping[str, float]], metadata: Sequence[Mapping[str, Any]], labels: Sequence[Label]
) -> dict[str, Any]:
    """Return what came with the events, without what is empty or default."""
    payload: dict[str, Any] = {}
    if any(emotives):
        payload["emotives"] = [dict(record) for record in emotives if record]
    if any(metadata):
        payload["metadata"] = _united(metadata)
    first = labels[0] if labels else DEFAULT_LABEL
    label = first if labels.count(first) == len(labels) else join(*labels)
    if label is not DEFAULT_LABEL and label != DEFAULT_LABEL:
        payload["label"] = _packed_label(label)
        if len(set(labels)) > 1:
            payload["labels"] = [_packed_label(each) for each in labels]
    return payload


def _held_vectors(events: Events, vectors: Vectors) -> Vectors:
    if not vectors:
        return {}
    needed = {symbol for event in events for symbol in event if is_vector_symbol(symbol)}
    return {symbol: vectors[symbol] for symbol in sorted(needed & vectors.keys())}


def clean_outcome(utility: object = None, cost: object = None) -> dict[str, float]:
    """Return an outcome: utility in 0..1, cost of at least 0, one of them at least; raises `ValidationError`."""
    given = {"utility": utility, "cost": cost}
    cleaned: dict[str, float] = {}
    for name, value in given.items():
        if value is None:
            continue
        limit = 1.0 if name == "utility" else sys.float_info.max
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= limit:  # type: ignore[operator]
            words = "a number from 0 to 1" if name == "utility" else "a finite number of at least 0"
            raise ValidationError(f"{name} must be {words}.", name, error_code="BODY_INVALID")
        cleaned[name] = float(value) + 0.0  # type: ignore[arg-type]
    if not cleaned:
        raise ValidationError("An outcome has a utility, a cost, or both.", "outcome", error_code="BODY_INVALID")
    return cleaned


def outcome_of(given: object) -> dict[str, float] | None:
    """Return the cleaned outcome that a caller gave as an object, None when none was given; see `clean_outcome`."""
    if given is None:
        return None
    if not isinstance(given, dict) or not set(given) <= {"utility", "cost"}:
        words = "An outcome is an object with a utility, a cost, or both, and nothing else."
        raise ValidationError(words, "outcome", error_code="BODY_INVALID")
    return clean_outcome(given.get("utility"), given.get("cost"))


def written_events(events: Events) -> str:
    """Return events as the tables hold them."""
    return canonical(events)


def read_events(text: str) -> Events:
    """Return the events that `written_events` wrote."""
    return tuple(map(tuple, json.loads(text)))


@dataclass(slots=True)
class Folded:
    """What the live episodes of one pattern add up to, oldest first. Sums are exact, see `recall.exact`."""

    emotives: list[dict[str, float]] = field(default_factory=list)  # the window
    metadata: dict[str, list[Any]] = field(default_factory=dict)
    label: Label | None = None
    outcomes: int = 0
    utility: int = 0
    costs: int = 0
    cost: int = 0
    affinity: dict[str, list[int]] = field(default_factory=dict)  # name: [episodes, exact sum of their means]

    def add(self, payload: Mapping[str, Any], outcomes: Iterable[Mapping[str, float]] = ()) -> None:
        """Take in one more episode, and outcomes recorded for it later."""
        records = payload.get("emotives", ())
        if records:
            self.emotives = [*self.emotives, *records][-payload["persistence"] :]
            for name, values in _by_name(records).items():
                known = self.affinity.setdefault(name, [0, 0])
                known[0] += 1
                known[1] += exact(mean(values))
        if "metadata" in payload:
            self.metadata = _merged(self.metadata, payload["metadata"])
        label = _read_label(payload["label"]) if "label" in payload else DEFAULT_LABEL
        self.label = label if self.label is None else join(self.label, label)
        if "outcome" in payload:
            self.add_outcome(payload["outcome"])
        for outcome in outcomes:
            self.add_outcome(outcome)

    def add_outcome(self, outcome: Mapping[str, float]) -> None:
        """Take in one outcome; a missing figure counts nowhere."""
        if "utility" in outcome:
            self.outcomes += 1
            self.utility += exact(outcome["utility"])
        if "cost" in outcome:
            self.costs += 1
            self.cost += exact(outcome["cost"])

    @property
    def mean_emotives(self) -> dict[str, float]:
        """Return per name the mean over the records of the window that hold it."""
        return {name: mean(values) for name, values in sorted(_by_name(self.emotives).items())}

    @property
    def total_utility(self) -> float:
        """Return the sum of the utilities, rounded once."""
        return rounded(self.utility)

    @property
    def mean_cost(self) -> float | None:
        """Return the mean cost, None where none was recorded."""
        return rounded(self.cost, self.costs) if self.costs else None

    def write(self) -> str | None:
        """Return the text for the table, None when there is nothing but defaults."""
        data: dict[str, Any] = {}
        if self.emotives:
            data["emotives"] = self.emotives
        if self.metadata:
            data["metadata"] = self.metadata
        if self.label is not None and self.label != DEFAULT_LABEL:
            data["label"] = _packed_label(self.label)
        if self.outcomes:
            data["utility"] = [self.outcomes, *pack(self.utility)]
        if self.costs:
            data["cost"] = [self.costs, *pack(self.cost)]
        if self.affinity:
            data["affinity"] = {name: [count, *pack(total)] for name, (count, total) in self.affinity.items()}
        return canonical(data) if data else None

    @classmethod
    def read(cls, text: str | None) -> Folded:
        """Return what `write` wrote."""
        if text is None:
            return cls(label=DEFAULT_LABEL)
        data = json.loads(text)
        outcomes, *utility = data.get("utility", (0, 0, 0))
        costs, *cost = data.get("cost", (0, 0, 0))
        return cls(
            data.get("emotives", []),
            data.get("metadata", {}),
            _read_label(data["label"]) if "label" in data else DEFAULT_LABEL,
            outcomes,
            unpack(utility),
            costs,
            unpack(cost),
            {name: [count, unpack(total)] for name, (count, *total) in data.get("affinity", {}).items()},
        )


def _by_name(records: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for record in records:
        for name, value in record.items():
            found.setdefault(name, []).append(value)
    return found


def _united(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    united: dict[str, list[Any]] = {}
    for record in records:
        if record:
            united = _merged(united, {key: [value] for key, value in record.items()})
    return united


def _merged(one: Mapping[str, list[Any]], other: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    merged = dict(one)
    for key, values in other.items():
        distinct = {canonical(value): value for value in (*merged.get(key, ()), *values)}
        merged[key] = [distinct[text] for text in sorted(distinct)]
    return merged


def _packed_label(label: Label) -> list[Any]:
    return [int(label.integrity), int(label.secrecy), sorted(label.sources)]


def _read_label(packed: Sequence[Any]) -> Label:
    integrity, secrecy, sources = packed
    return Label(Integrity(integrity), Secrecy(secrecy), frozenset(sources))
