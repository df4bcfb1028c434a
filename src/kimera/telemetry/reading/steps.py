"""Which steps a mission began and which it finished, from rows, events and spans together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kimera.telemetry.recording.events import MissionEvent
from kimera.telemetry.retention.store import SpanRecord

__all__ = ["AttemptFacts", "Step", "steps_of"]


@dataclass(frozen=True)
class AttemptFacts:
    """What the row of an attempt says: ``phase`` is the last one whose result is stored."""

    track: str
    attempt: int
    status: str
    phase: str | None = None


@dataclass(frozen=True)
class Step:
    """A step of a mission: a phase of an attempt, reading the folder (ingest), or a fusion.

    ``state`` is done, failed, open, interrupted (its process is gone) or stopped (given back in order, to be begun
    again); instants are seconds since the mission began, the end None while unknown; ``begun_times`` counts the
    processes and tries that began it, ``order`` its place in the story.
    """

    name: str
    state: str
    begun: float
    ended: float | None
    track: str | None = None
    attempt: int | None = None
    begun_times: int = 1
    process: str | None = None
    order: int = 0


Spans = Sequence[SpanRecord]
Key = tuple[str | None, int | None, str]
AtWork = Callable[[Spans], bool]


def steps_of(
    events: Sequence[MissionEvent],
    spans: Spans,
    attempts: Iterable[AttemptFacts],
    begun: float,
    alive: Callable[[str], bool],
) -> list[Step]:
    """Return every step that was begun, in the order of their beginning."""
    somebody = any(span.ended_at is None and alive(span.process) for span in spans)

    def at_work(own: Spans) -> bool:
        # a step that has just begun may have no span yet: whoever is at work in the mission has begun it
        return any(span.ended_at is None and alive(span.process) for span in own) if own else somebody

    by_key: dict[Key, list[SpanRecord]] = {}
    for span in spans:
        name = "fusion" if span.name == "fusion.run" else span.attributes.get("phase")
        if span.name in {"agent.step", "fusion.run"} and name != "read_ahead":
            by_key.setdefault((span.track, span.attempt, str(name)), []).append(span)
    found = [
        *_ingest(events, by_key.get((None, None, "ingest"), []), at_work),
        *(step for one in attempts for step in _phases(one, events, by_key, at_work)),
        *_fusions(by_key.get((None, None, "fusion"), []), events, at_work),
    ]
    found.sort(key=lambda step: (step.begun, step.order))
    return [_relative(step, begun, number) for number, step in enumerate(found)]


def _relative(step: Step, begun: float, number: int) -> Step:
    ended = None if step.ended is None else round(step.ended - begun, 6)
    return Step(
        step.name,
        step.state,
        round(step.begun - begun, 6),
        ended,
        step.track,
        step.attempt,
        step.begun_times,
        step.process,
        number,
    )


def _state(finished: bool, over: bool, spans: Spans, at_work: AtWork) -> str:
    if finished:
        return "done"
    if over:
        return "failed"
    if spans and all(span.ended_at is not None for span in spans):
        return "stopped"
    # without a span to ask, the process that wrote the event was killed before its first write of telemetry
    return "open" if at_work(spans) else "interrupted"


def _end(spans: Spans, otherwise: float | None) -> float | None:
    ends = [span.ended_at for span in spans if span.ended_at is not None]
    return max(ends) if ends and all(span.ended_at is not None for span in spans[-1:]) else otherwise


def _ingest(events: Sequence[MissionEvent], spans: Spans, at_work: AtWork) -> Iterator[Step]:
    began = next((e for e in events if e.type == "mission.state" and e.payload["new"] == "RUNNING"), None)
    if began is None:
        return
    done = next((e for e in events if e.type == "plan.step" and e.payload.get("kind") == "library"), None)
    over = _mission_over(events)
    at = began.at.timestamp()
    ended = None if done is None else _end(spans, done.at.timestamp())
    state = _state(done is not None, over, spans, at_work)
    yield Step("ingest", state, at, ended, begun_times=max(1, len(spans)), process=_process(spans))


def _mission_over(events: Sequence[MissionEvent]) -> bool:
    states = [event.payload["new"] for event in events if event.type == "mission.state"]
    return bool(states) and states[-1] in {"DONE", "FAILED", "CANCELLED"}


def _process(spans: Spans) -> str | None:
    return spans[-1].process if spans else None


def _phases(
    one: AttemptFacts,
    events: Sequence[MissionEvent],
    by_key: dict[Key, list[SpanRecord]],
    at_work: AtWork,
) -> Iterator[Step]:
    own = [event for event in events if event.track == one.track and event.attempt == one.attempt]
    started = next((event for event in own if event.type == "track.started"), None)
    names = [str(name) for name in started.payload["phases"]] if started is not None else []
    begins = {
        str(event.payload["step"]): event
        for event in own
        if event.type == "plan.step" and event.payload.get("kind") == "phase" and event.payload["step"] in names
    }
    stored = names.index(one.phase) + 1 if one.phase in names else 0
    closed = one.status not in {"pending", "running"}
    following: float | None = next(
        (event.at.timestamp() for event in own if event.type in {"track.finished", "track.failed"}), None
    )
    found = []
    for index in reversed(range(len(names))):
        spans = by_key.get((one.track, one.attempt, names[index]), [])
        event = begins.get(names[index])
        if event is None and not spans:
            continue
        at = min([span.started_at for span in spans] + ([event.at.timestamp()] if event is not None else []))
        state = _state(index < stored, closed, spans, at_work)
        ended = _end(spans, following) if state in {"done", "failed"} else None
        times = max(1, len(spans))
        found.append(Step(names[index], state, at, ended, one.track, one.attempt, times, _process(spans), order=index))
        following = at
    yield from reversed(found)


def _fusions(spans: Spans, events: Sequence[MissionEvent], at_work: AtWork) -> Iterator[Step]:
    """Yield each fusion; the last one's state is the mission's, the others ended or their process did."""
    states = [event for event in events if event.type == "mission.state"]
    over = _mission_over(events)
    for span in spans:
        ended = span.ended_at is not None
        failed = ended and span.status == "error"
        # the mission's end is written before the span's: a kill in between has lost nothing
        done = (ended and not failed) or (over and span is spans[-1] and states[-1].payload["new"] != "FAILED")
        if not done and not failed and any(later.started_at > span.started_at for later in spans):
            continue  # begun again by another process, which counts
        yield Step(
            "fusion", _state(done, failed, [span], at_work), span.started_at, span.ended_at, process=span.process
        )
    if not spans and states and states[-1].payload["new"] == "FUSION":
        yield Step("fusion", "interrupted", states[-1].at.timestamp(), None)
