"""Observations: what came in, made clean, and what it does to a short-term memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

from kimera.errors import ValidationError
from kimera.guardian import Integrity, Label, Secrecy
from kimera.memory.contracts import Composed, Observed
from kimera.memory.keeping.episodes import DEFAULT_LABEL, Lesson, lesson
from kimera.memory.observing.stm import Stm, StmChange, StmEvent
from kimera.memory.options import Options
from kimera.memory.symbols import (
    Event,
    clean_emotives,
    clean_event,
    clean_metadata,
    clean_symbol,
    clean_text,
    clean_vector,
    is_plain,
)

__all__ = ["Observation", "SequenceObserved", "Step", "clean_observation", "clean_sequence", "observe"]

OBSERVATIONS = 10_000
EMPTY: tuple[Any, ...] = ((), [])
FIELDS = ("strings", "vectors", "emotives", "metadata", "unique_id", "source", "label", "predict", "guard")
KNOWN = frozenset(FIELDS)
NOTHING: Mapping[str, Any] = {}  # one for all: a sequence makes thousands of observations at once


class Observation(NamedTuple):
    """One clean observation. ``event`` is empty when nothing was seen."""

    event: Event
    vectors: Mapping[str, tuple[float, ...]]
    emotives: Mapping[str, float]
    metadata: Mapping[str, Any]
    unique_id: str | None
    source: str
    label: Label
    predict: bool = False
    guard: bool = False


@dataclass(frozen=True, slots=True)
class SequenceObserved(Composed):
    """Report a sequence of observations, applied all or nothing."""

    observations_processed: int
    initial_stm_length: int
    final_stm_length: int
    results: tuple[Observed, ...]
    auto_learned_patterns: tuple[str, ...]
    final_learned_pattern: str | None
    memory_seq: int
    status: str = "okay"


@dataclass(slots=True)
class Step:
    """What one observation does, worked out before anything is kept."""

    change: StmChange
    observed: Observed
    lesson: Lesson | None = None
    event: int | None = None  # number of the event that carries the answer


def clean_observation(
    strings: object = (),
    vectors: object = (),
    emotives: object = None,
    metadata: object = None,
    *,
    unique_id: object = None,
    source: object = None,
    label: Label | Mapping[str, Any] | None = None,
    predict: object = False,
    guard: object = False,
    sort: bool = True,
) -> Observation:
    """Return a clean observation; raises `ValidationError` with the code of section 8 of the design."""
    event, named = _event(strings, vectors, sort)
    origin = clean_text(source, "source") if source is not None else ""
    if predict is not False or guard is not False:
        for name, value in (("predict", predict), ("guard", guard)):
            if not isinstance(value, bool):
                raise ValidationError(f"{name} takes true or false.", name, error_code="BODY_INVALID")
    return Observation(
        event,
        named,
        clean_emotives(emotives) or NOTHING,
        clean_metadata(metadata) or NOTHING,
        clean_text(unique_id, "unique_id") if unique_id is not None else None,
        origin,
        clean_label(label, origin),
        bool(predict),
        bool(guard),
    )


def clean_sequence(observations: object, sort: bool) -> list[Observation]:
    """Return clean observations; raises `ValidationError` naming the first bad one, TOO_LARGE above 10,000."""
    if isinstance(observations, str | bytes | Mapping) or not isinstance(observations, Sequence):
        raise ValidationError("observations takes a list.", "observations", error_code="BODY_INVALID")
    if len(observations) > OBSERVATIONS:
        raise ValidationError(
            f"A sequence has at most {OBSERVATIONS} observations; send the rest in another call.",
            "observations",
            error_code="TOO_LARGE",
            http_status=413,
        )
    return [observation_of(item, sort, number) for number, item in enumerate(observations)]


def observation_of(item: Mapping[str, Any], sort: bool, number: int) -> Observation:
    """Return the clean observation of a mapping; raises `ValidationError` naming its place in the sequence."""
    if not isinstance(item, Mapping) or not item.keys() <= KNOWN:
        raise ValidationError(
            f"observations[{number}] takes an object with {', '.join(FIELDS)}.",
            f"observations[{number}]",
            error_code="BODY_INVALID",
        )
    try:
        return clean_observation(**item, sort=sort)
    except ValidationError as wrong:
        raise ValidationError(
            f"observations[{number}]: {wrong.message}",
            f"observations[{number}].{wrong.field}",
            error_code=wrong.code,
        ) from wrong


def clean_label(label: Label | Mapping[str, Any] | None, source: str) -> Label:
    """Return the given label, or that of untrusted private data from ``source``."""
    if isinstance(label, Label):
        return label
    if label is not None:
        return Label.from_dict(label)
    return _default_label(source)


def observe(stm: Stm, seen: Observation, options: Options, *, now: float, memory_seq: int, session_id: str) -> Step:
    """Work out what an observation does to ``stm``, which stays as it is."""
    first = None if seen.unique_id is None else stm.answer_to(seen.unique_id)
    if first is not None:
        change = StmChange(stm.time, stm.next, stm.floor)
        return Step(change, replace(Observed.from_dict(first), duplicate=True))
    if not seen.event:
        return _attach(stm, seen, memory_seq)
    number = stm.next
    length = min(len(stm.events) + 1, options.stm_limit)
    event = StmEvent(
        number, seen.event, seen.emotives, seen.metadata, seen.source, seen.label, now, seen.vectors, NOTHING
    )
    floor = _floor_after(stm, options)
    taught = None
    if 0 < options.max_pattern_length <= length:
        taught, floor, length = _auto_learn(stm, event, floor, options, now, session_id)
    observed = Observed(
        time=stm.time + 1,
        unique_id=seen.unique_id,
        event_added=True,
        stm_length=length,
        memory_seq=memory_seq,
        auto_learned_pattern=None if taught is None else f"PTRN|{taught.name}",
        auto_learned_id=None if taught is None else taught.id,
        record_attached=bool(seen.emotives or seen.metadata),
    )
    if seen.unique_id is not None:
        event = event._replace(answers={seen.unique_id: answer_of(observed)})
    change = StmChange(stm.time + 1, number + 1, floor, (event,))
    return Step(change, observed, taught, number if seen.unique_id is not None else None)


def learn_events(
    events: Sequence[StmEvent],
    options: Options,
    *,
    now: float,
    session_id: str,
    source: str | None = None,
    outcome: Mapping[str, float] | None = None,
    ttl_seconds: float | None = None,
) -> Lesson:
    """Return the lesson of short-term events; raises `ValidationError` (PATTERN_TOO_SHORT)."""
    sources = {event.source for event in events} - {""}
    return lesson(
        tuple(event.symbols for event in events),
        at=now,
        emotives=[event.emotives for event in events],
        metadata=[event.metadata for event in events],
        labels=[event.label for event in events],
        vectors=dict(chain.from_iterable([event.vectors.items() for event in events if event.vectors])),
        outcome=outcome,
        persistence=options.persistence,
        source=source if source is not None else (sources.pop() if len(sources) == 1 else ""),
        session_id=session_id,
        ttl_seconds=ttl_seconds,
        stm=(events[0].number, events[-1].number) if events else None,
    )


def with_seq(observed: Observed, seq: int) -> Observed:
    """Return the answer with the log number that learning gave."""
    return Observed(
        observed.time,
        observed.unique_id,
        observed.event_added,
        observed.stm_length,
        seq,
        observed.auto_learned_pattern,
        observed.auto_learned_id,
        observed.predictions,
        observed.guard,
        observed.record_attached,
        observed.duplicate,
    )


def answer_of(observed: Observed) -> dict[str, Any]:
    """Return what is remembered of an answer: all but predictions and guard, which can be asked again."""
    return replace(observed, predictions=None, guard=None).to_dict()


_LABELS: dict[str, Label] = {"": DEFAULT_LABEL}


def _default_label(source: str) -> Label:
    known = _LABELS.get(source)
    if known is None:
        known = Label(Integrity.UNTRUSTED, Secrecy.PRIVATE, frozenset((source,) if source else ()))
        if len(_LABELS) < 1_000:  # sources are few; a caller that makes up many must not fill the process
            _LABELS[source] = known
    return known


def _event(strings: object, vectors: object, sort: bool) -> tuple[Event, Mapping[str, tuple[float, ...]]]:
    if vectors in EMPTY and is_plain((strings,)):
        plain: Sequence[str] = strings  # type: ignore[assignment]
        return tuple(sorted(plain) if sort else plain), NOTHING
    if isinstance(strings, Sequence) and not isinstance(strings, str | bytes):
        for item in strings:
            clean_symbol(item)  # here a list of numbers is no symbol: vectors have their own field
    if isinstance(vectors, str | bytes | Mapping) or not isinstance(vectors, Sequence):
        raise ValidationError("vectors takes a list of vectors.", "vectors", error_code="BODY_INVALID")
    given = [clean_vector(item) for item in vectors]
    if isinstance(strings, str | bytes | Mapping) or not isinstance(strings, Sequence):
        raise ValidationError("strings takes a list of symbols.", "strings", error_code="BODY_INVALID")
    named: dict[str, tuple[float, ...]] = {}
    return clean_event([*given, *strings], vectors=named, sort=sort, where="strings"), named


def _attach(stm: Stm, seen: Observation, memory_seq: int) -> Step:
    newest = stm.events[-1] if stm.events else None
    attached = newest is not None and bool(seen.emotives or seen.metadata)
    observed = Observed(
        time=stm.time + 1,
        unique_id=seen.unique_id,
        event_added=False,
        stm_length=len(stm.events),
        memory_seq=memory_seq,
        record_attached=attached,
    )
    changed = None
    if newest is not None and (attached or seen.unique_id is not None):
        changed = newest._replace(
            emotives={**newest.emotives, **seen.emotives},
            metadata={**newest.metadata, **seen.metadata},
        )
        if seen.unique_id is not None:
            changed = changed._replace(answers={**newest.answers, seen.unique_id: answer_of(observed)})
    return Step(StmChange(stm.time + 1, stm.next, stm.floor, replace=changed), observed)


def _floor_after(stm: Stm, options: Options) -> int:
    over = len(stm.events) + 1 - options.stm_limit
    if over <= 0:
        return stm.floor
    return stm.events[over].number if over < len(stm.events) else stm.next


def _auto_learn(
    stm: Stm, event: StmEvent, floor: int, options: Options, now: float, session_id: str
) -> tuple[Lesson | None, int, int]:
    """Return what is learned, the floor after it, and how many events are left."""
    events = [known for known in stm.events if known.number >= floor]
    events.append(event)
    taught = None
    if sum([len(known.symbols) for known in events]) >= 2:
        taught = learn_events(events, options, now=now, session_id=session_id)
    keep = options.max_pattern_length - 1 if options.stm_mode == "ROLLING" else 0
    return taught, events[-keep].number if keep else event.number + 1, keep
