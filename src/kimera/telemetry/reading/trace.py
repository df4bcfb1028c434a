"""One mission's story, put together from what the store holds: which steps finished, which did not, and why.

Where a kill has torn the newest spans away, the mission's own rows say more: an event is written before a phase
begins and a row when it is done, both in the transaction of the fact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from math import inf
from typing import Any

from kimera.telemetry.reading.steps import AttemptFacts, Step, steps_of
from kimera.telemetry.recording.events import MissionEvent
from kimera.telemetry.retention.store import LogRecord, SpanRecord

__all__ = ["Fault", "Gap", "Material", "Node", "Trace", "trace"]

GAP_SECONDS = 5.0
SAME_SECONDS = 1.0
WORKER_LOST = "WORKER_LOST"


@dataclass(frozen=True)
class Material:
    """What the store holds of a mission. ``alive`` says whether a process is still at work, by its name.

    ``mission`` is the mission's row as data, ``spent`` its ledger, ``beats`` the last heartbeat by process, ``dropped``
    lines in which a process says that it lost records.
    """

    mission: dict[str, Any]
    events: Sequence[MissionEvent]
    spans: Sequence[SpanRecord]
    logs: Sequence[LogRecord]
    attempts: Sequence[AttemptFacts]
    now: float
    alive: Callable[[str], bool]
    spent: dict[str, Any] = field(default_factory=dict)
    beats: dict[str, float] = field(default_factory=dict)
    dropped: Sequence[LogRecord] = ()


@dataclass
class Node:
    """A span in the tree; ``state`` is done, error, open or interrupted, ``at`` seconds since the mission began."""

    name: str
    span_id: str
    at: float
    seconds: float | None
    state: str
    process: str
    track: str | None = None
    attempt: int | None = None
    error_type: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[int] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """Something that went wrong; ``source`` is event, log, span or process."""

    at: float
    code: str
    type: str
    module: str
    source: str
    where: str
    text: str = ""


@dataclass(frozen=True)
class Gap:
    """More than five seconds without a record while something was open; instants as in `Node`."""

    start: float
    end: float
    open: tuple[str, ...]
    last_sign: float | None = None
    resumed_by: str | None = None


@dataclass(frozen=True)
class Trace:
    """The whole story. ``errors`` begins with the first one; ``begun`` is seconds since 1970."""

    mission: dict[str, Any]
    begun: float
    tree: tuple[Node, ...]
    events: tuple[MissionEvent, ...]
    logs: tuple[LogRecord, ...]
    gaps: tuple[Gap, ...]
    errors: tuple[Fault, ...]
    steps: tuple[Step, ...]
    completeness: dict[str, Any]
    spent: dict[str, Any]

    @property
    def last_finished(self) -> Step | None:
        """Return the step that was finished last."""
        done = [step for step in self.steps if step.state == "done"]
        # an end that is stored but whose span did not reach the store any more is the newest thing there is
        return max(done, key=lambda step: (inf if step.ended is None else step.ended, step.order), default=None)

    @property
    def in_progress(self) -> list[Step]:
        """Return the steps that were begun and not finished."""
        return [step for step in self.steps if step.state in {"open", "interrupted", "stopped"}]

    @property
    def first_error(self) -> Fault | None:
        """Return what went wrong first."""
        return self.errors[0] if self.errors else None

    def as_json(self) -> dict[str, Any]:
        """Return the story as JSON-safe data."""
        return {
            "mission": self.mission | {"spent": self.spent},
            "steps": [asdict(step) for step in self.steps],
            "last_finished": None if self.last_finished is None else asdict(self.last_finished),
            "in_progress": [asdict(step) for step in self.in_progress],
            "tree": [asdict(node) for node in self.tree],
            "events": [event.model_dump(mode="json") for event in self.events],
            "logs": [record.body for record in self.logs],
            "gaps": [asdict(gap) for gap in self.gaps],
            "errors": [asdict(fault) for fault in self.errors],
            "completeness": self.completeness,
        }


def trace(material: Material) -> Trace:
    """Return the story of a mission."""
    begun = min([event.at.timestamp() for event in material.events[:1]] + [one.started_at for one in material.spans])
    steps = steps_of(material.events, material.spans, material.attempts, begun, material.alive)
    roots, nodes = _tree(material, begun)
    _place_events(material.events, nodes, begun)
    return Trace(
        mission=material.mission,
        begun=begun,
        tree=tuple(roots),
        events=tuple(material.events),
        logs=tuple(material.logs),
        gaps=tuple(_gaps(material, begun)),
        errors=tuple(_faults(material, steps, begun)),
        steps=tuple(steps),
        completeness=_completeness(material, nodes),
        spent=material.spent,
    )


def _tree(material: Material, begun: float) -> tuple[list[Node], list[Node]]:
    nodes = {span.span_id: _node(span, begun, material.alive) for span in material.spans}
    roots: list[Node] = []
    for span in material.spans:
        parent = nodes.get(span.parent_id or "")
        (roots if parent is None else parent.children).append(nodes[span.span_id])
    return roots, list(nodes.values())


def _node(span: SpanRecord, begun: float, alive: Callable[[str], bool]) -> Node:
    if span.ended_at is None:
        state = "open" if alive(span.process) else "interrupted"
    else:
        state = "error" if span.status == "error" else "done"
    return Node(
        name=span.name,
        span_id=span.span_id,
        at=round(span.started_at - begun, 6),
        seconds=None if span.ended_at is None else round(span.ended_at - span.started_at, 6),
        state=state,
        process=span.process,
        track=span.track,
        attempt=span.attempt,
        error_type=span.error_type,
        attributes=span.attributes,
    )


def _place_events(events: Iterable[MissionEvent], nodes: Sequence[Node], begun: float) -> None:
    """Give each event, by its number, to the span of its track that was begun last of those open at its time."""
    waiting = sorted(nodes, key=lambda node: node.at, reverse=True)
    open_now: dict[str | None, list[Node]] = {}
    for event in sorted(events, key=lambda event: event.at):
        at = event.at.timestamp() - begun
        while waiting and waiting[-1].at <= at:
            node = waiting.pop()
            open_now.setdefault(node.track, []).append(node)
        mine = open_now.get(event.track, [])
        mine[:] = [node for node in mine if node.seconds is None or node.at + node.seconds >= at]
        if mine:
            mine[-1].events.append(event.seq)


def _faults(material: Material, steps: Sequence[Step], begun: float) -> list[Fault]:
    found = [*_of_events(material.events), *_of_spans(material.spans), *_of_logs(material.logs)]
    found += _lost(material, steps)
    # several records tell of one failure: of the same code close together the first stands for all
    kept: list[Fault] = []
    told: dict[str, float] = {}
    for fault in sorted(found, key=lambda fault: (fault.at, RANK[fault.source])):
        if fault.at - told.get(fault.code, float("-inf")) >= SAME_SECONDS:
            kept.append(fault)
            told[fault.code] = fault.at
    return [Fault(**(asdict(one) | {"at": round(one.at - begun, 6)})) for one in kept]


RANK = {"span": 0, "log": 1, "event": 2, "process": 3}


def _of_events(events: Iterable[MissionEvent]) -> Iterator[Fault]:
    for event in events:
        said = event.payload
        if event.type not in {"track.retry", "track.failed", "mission.finished"} or not said.get("error_code"):
            continue
        if said.get("status") in {"cancelled", "skipped"} or said["error_code"] == "CANCELLED":
            continue
        step = str(said.get("phase") or said.get("last_step") or "")
        where = ":".join(str(part) for part in (event.track, event.attempt, step) if part)
        text = str(said.get("text", ""))
        module = str(said.get("module") or "missions")
        yield Fault(event.at.timestamp(), said["error_code"], said["error_type"], module, "event", where, text)


def _of_spans(spans: Iterable[SpanRecord]) -> Iterator[Fault]:
    for span in spans:
        if span.status == "error" and span.ended_at is not None:
            code = str(span.attributes.get("error_code") or span.error_type or "UNKNOWN")
            module = str(span.attributes.get("module", "other"))
            where = ":".join(str(part) for part in (span.track, span.attempt, span.name) if part)
            yield Fault(span.ended_at, code, span.error_type or code, module, "span", where)


def _of_logs(logs: Iterable[LogRecord]) -> Iterator[Fault]:
    for record in logs:
        said = record.body
        if record.level in {"WARN", "ERROR"} and said.get("error_code"):
            where = ":".join(str(said[name]) for name in ("track", "attempt", "step") if said.get(name))
            module = str(said.get("module", "other"))
            kind, text = str(said.get("error_type", "")), str(said.get("error_text", ""))
            yield Fault(record.at, str(said["error_code"]), kind, module, "log", where or record.event, text)


def _lost(material: Material, steps: Sequence[Step]) -> Iterator[Fault]:
    """Yield a fault for each process that left spans open and is gone, or for a step that nobody works on."""
    gone = {span.process for span in material.spans if span.ended_at is None and not material.alive(span.process)}
    for process in sorted(gone):
        last = _last_sign(material, process)
        text = f"The process {process} ended while it was at work; what it had recorded goes on."
        yield Fault(last, WORKER_LOST, "WorkerLost", "missions", "process", process, text)
    if not gone and any(step.state == "interrupted" for step in steps):
        last = material.events[-1].at.timestamp()
        text = "The process at work ended before it could write anything else down."
        yield Fault(last, WORKER_LOST, "WorkerLost", "missions", "process", "unknown process", text)


def _last_sign(material: Material, process: str) -> float:
    own = [span for span in material.spans if span.process == process]
    signs = [span.started_at for span in own] + [span.ended_at for span in own if span.ended_at is not None]
    return max([*signs, material.beats.get(process, 0.0)])


def _gaps(material: Material, begun: float) -> Iterator[Gap]:
    """Yield the silences; what was open then is told by the spans, or by the state of the mission."""
    times = sorted(
        [event.at.timestamp() for event in material.events]
        + [record.at for record in material.logs]
        + [at for span in material.spans for at in (span.started_at, span.ended_at) if at is not None]
    )
    if not material.mission.get("finished_at"):
        times.append(material.now)
    for before, after in pairwise(times):
        if after - before <= GAP_SECONDS:
            continue
        held = [one for one in material.spans if one.started_at <= before and (one.ended_at or after) >= after]
        if not held and not _under_way(material, before):
            continue
        next_one = min((s for s in material.spans if s.started_at >= after), key=lambda s: s.started_at, default=None)
        processes = {one.process for one in held}
        signs = [_last_sign(material, process) for process in processes]
        yield Gap(
            start=round(before - begun, 6),
            end=round(after - begun, 6),
            open=tuple(sorted({_label(one) for one in held})) or ("mission",),
            last_sign=round(max(signs) - begun, 6) if signs else None,
            resumed_by=next_one.process if next_one is not None and next_one.process not in processes else None,
        )


def _under_way(material: Material, at: float) -> bool:
    """Return whether the mission was being worked on, by its events."""
    states = [e for e in material.events if e.type == "mission.state" and e.at.timestamp() <= at]
    return bool(states) and states[-1].payload["new"] in {"RUNNING", "FUSION"}


def _label(span: SpanRecord) -> str:
    phase = span.attributes.get("phase")
    return ":".join(str(part) for part in (span.track, phase or span.name) if part)


def _completeness(material: Material, nodes: Sequence[Node]) -> dict[str, Any]:
    known = {node.span_id for node in nodes}
    orphans = sum(span.parent_id is not None and span.parent_id not in known for span in material.spans)
    numbers = [event.seq for event in material.events]
    lost = sum(int(record.body.get("records", 0)) for record in material.dropped)
    whole = numbers == list(range(1, int(material.mission.get("seq", len(numbers))) + 1))
    return {
        "events": len(numbers),
        "events_whole": whole,
        "spans": len(nodes),
        "logs": len(material.logs),
        "open": sum(node.state == "open" for node in nodes),
        "interrupted": sum(node.state == "interrupted" for node in nodes),
        "orphans": orphans,
        "dropped": lost,
        "whole": whole and not orphans and not lost,
    }
