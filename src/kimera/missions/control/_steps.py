"""The steps of a mission: plain blocking functions, each safe to repeat at any point.

A step reads what it needs from the tables, does its work, writes blobs first and rows last (idempotent by derived
keys), and returns a few short JSON values; the durable engine records those. Nothing here knows the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from kimera import telemetry
from kimera.missions.contracts import Handoff, MissionOptions, Package, TrackName
from kimera.missions.control._ahead import progress_events
from kimera.missions.control._floor import Floor, Interrupted
from kimera.missions.control.playbook import IngestRequest, Playbook, find_playbook
from kimera.missions.track import State, Track, TrackContext
from kimera.storage.attempts import Attempt, Failure
from kimera.storage.blobs import canonical_json
from kimera.storage.fold import MissionRow
from kimera.storage.missions import Brief, Entry
from kimera.telemetry import coerce

__all__ = [
    "CRASH_LIMIT",
    "PERSONAL_CRASH_LIMIT",
    "Ticket",
    "bury",
    "close_track",
    "fail_track",
    "ingest",
    "log_failure",
    "look",
    "run_phase",
    "step_name",
]

CRASH_LIMIT = 3
PERSONAL_CRASH_LIMIT = 10
"""With workers a lost step is taken over by itself, so three losses are a loop; in a home of one process a person
started each time, and a process killed at the same place a few times says nothing about the step."""
"""A step begun and lost more often than this without being recorded ends its track."""

PARTIAL_SHARE = 0.6
"""Share of the deadline after which a first report is made of whatever the tracks have."""

log = telemetry.get_logger("missions")

PACKAGE: TypeAdapter[Package] = TypeAdapter(Package)
HANDOFF: TypeAdapter[Handoff] = TypeAdapter(Handoff)

Recorded = dict[str, Any]

CANCELLED = Failure(
    "MissionCancelled", "CANCELLED", "The mission was cancelled; submit it again to run it.", status="cancelled"
)


@dataclass(frozen=True)
class Ticket:
    """Which attempt of which track; the arguments of a track's workflow."""

    mission_id: str
    track: TrackName
    attempt: int


def step_name(ticket: Ticket, phase: str) -> str:
    """Return the name under which a phase is counted."""
    return f"{ticket.track}:{ticket.attempt}:{phase}"


def crash_limit(floor: Floor) -> int:
    """Return how often a step may be begun and lost before it is not begun again."""
    return PERSONAL_CRASH_LIMIT if floor.home.embedded else CRASH_LIMIT


def crash_loop(step: str, lost: int) -> Failure:
    """Return why a step that keeps taking its process down is not begun again."""
    return Failure(
        "CrashLoop",
        "CRASH_LOOP",
        f"Step {step} was begun and lost {lost} times; look at the worker's log, then retry the track.",
        tries=lost,
    )


@dataclass(frozen=True)
class Case:
    """A mission as its steps see it."""

    row: MissionRow
    brief: Brief
    options: MissionOptions
    playbook: Playbook

    @property
    def deadline_at(self) -> datetime | None:
        """Return when the mission must come to an end; None before it started."""
        return self._after(1.0)

    @property
    def partial_at(self) -> datetime | None:
        """Return when a first report is due."""
        return self._after(PARTIAL_SHARE)

    def _after(self, share: float) -> datetime | None:
        if self.row.started_at is None:
            return None
        return datetime.fromisoformat(self.row.started_at) + timedelta(seconds=self.options.deadline * share)


def look(floor: Floor, mission_id: str) -> Case:
    """Read a mission and what was asked of it."""
    brief = floor.home.missions.brief(mission_id)
    return Case(
        row=floor.home.missions.get(mission_id),
        brief=brief,
        options=MissionOptions.model_validate_json(brief.options),
        playbook=find_playbook(brief.playbook),
    )


def out_of_time(floor: Floor, case: Case) -> bool:
    """Return whether the deadline has passed. A retry has no deadline of its own: only the phases' limits hold."""
    deadline = case.deadline_at
    return case.row.round == 0 and deadline is not None and floor.home.clock.now() >= deadline


def should_stop(floor: Floor, case: Case) -> Callable[[], bool]:
    """Return the function a phase asks in its long loops."""
    mission_id, round_ = case.row.mission_id, case.row.round
    return lambda: floor.leaving() or out_of_time(floor, case) or floor.cancelled(mission_id, round_)


def _claim(floor: Floor, mission_id: str, round_: int) -> None:
    """Take a mission that waits; one that an earlier process took is only continued."""
    row = floor.home.missions.get(mission_id)
    if row.state != "PENDING":
        return
    waited = (floor.home.clock.now() - datetime.fromisoformat(row.updated_at)).total_seconds()
    change = {"old": "PENDING", "new": "RUNNING", "round": round_}
    with telemetry.span("dispatch.claim", queue="missions", queue_wait=round(max(0.0, waited), 6)):
        entry = Entry(f"state:{round_}:RUNNING", "mission.state", change)
        floor.home.missions.append(mission_id, [entry], expect=("PENDING",))


def ingest(floor: Floor, mission_id: str, round_: int) -> Recorded:
    """Start the round and read the folder once; returns the attempts to run, or that there is nothing to do."""
    _claim(floor, mission_id, round_)
    case = look(floor, mission_id)
    if case.row.ended or case.row.round != round_:
        return {"status": "over"}
    if case.row.library is None:
        lost, _ = floor.home.attempts.begin(mission_id, f"ingest:{round_}")
        if lost > crash_limit(floor):
            return bury(floor, mission_id, round_, crash_loop("ingest", lost), "ingest")
        _read_folder(floor, case, round_, lost)
    current = floor.home.attempts.current(mission_id).values()
    tracks = [
        {"track": one.track, "attempt": one.attempt, "phases": phase_names(case.playbook.track(track_name(one)))}
        for one in current
        if one.round == round_
    ]
    return {"status": "going", "tracks": tracks, "seen": [one.track for one in current if one.round < round_]}


def _read_folder(floor: Floor, case: Case, round_: int, lost: int) -> None:
    mission_id = case.row.mission_id
    request = IngestRequest(
        folder=Path(case.brief.folder),
        blobs=floor.home.blobs,
        knowledge_space=case.row.knowledge_space,
        progress=progress_events(floor.home, mission_id, f"{round_}:{lost}"),
        should_stop=should_stop(floor, case),
        tracks=case.options.tracks,
    )
    ahead = floor.ahead.pop(mission_id, None)
    library = ahead.take(request.should_stop) if ahead is not None else case.playbook.ingest(request)
    if floor.leaving():
        raise Interrupted
    goal = f"{len(library.sources)} files, {len(library.tables)} tables, {len(library.documents)} documents"
    name = floor.home.blobs.put_json(library.as_json())
    payload = {"step": "ingest", "kind": "library", "inputs": [name], "goal": goal}
    floor.home.missions.append(mission_id, [Entry("library", "plan.step", payload)])


def track_name(attempt: Attempt) -> TrackName:
    """Return the track of an attempt as the contracts spell it."""
    return cast("TrackName", attempt.track)


def phase_names(track: Track) -> list[str]:
    """Return the names of a track's phases in order."""
    return [phase.name for phase in track.phases]


def run_phase(floor: Floor, ticket: Ticket, index: int, state_blob: str | None) -> Recorded:
    """Run one phase of an attempt and store its state; ends the attempt at its last phase, deadline or cancellation."""
    case = look(floor, ticket.mission_id)
    track = case.playbook.track(ticket.track)
    attempt = floor.home.attempts.get(ticket.mission_id, ticket.track, ticket.attempt)
    if attempt.status not in {"pending", "running"}:
        return {"status": attempt.status, "state": attempt.state}
    if attempt.phase_index >= index:
        # stored, but the process died before the engine recorded it: never executed again
        return _after(floor, ticket, track, index, floor.home.blobs.get_json(cast("str", attempt.state)), attempt.state)
    if floor.cancelled(ticket.mission_id, attempt.round):
        return close_track(floor, ticket, case, "cancelled")
    if out_of_time(floor, case):
        return close_track(floor, ticket, case, "deadline")
    phase = track.phases[index]
    step = step_name(ticket, phase.name)
    started = _start(floor, ticket, attempt, phase_names(track))
    lost, inbox = floor.home.attempts.begin(ticket.mission_id, step, ticket.track)
    if lost > crash_limit(floor):
        return fail_track(floor, ticket, crash_loop(step, lost), phase.name)
    goal = {"step": phase.name, "kind": "phase", "goal": f"step {index + 1} of {len(track.phases)}"}
    floor.home.missions.append(
        ticket.mission_id, [Entry(f"phase:{step}", "plan.step", goal, ticket.track, ticket.attempt)]
    )
    context = make_context(floor, case, ticket, started, inbox, phase.name)
    state: State = floor.home.blobs.get_json(state_blob) if state_blob else {}
    after = phase.run(context, state)
    if floor.leaving():
        raise Interrupted
    return _keep(floor, ticket, track, index, after)


def _start(floor: Floor, ticket: Ticket, attempt: Attempt, phases: list[str]) -> str:
    if attempt.status != "pending":
        return floor.home.attempts.start(ticket.mission_id, ticket.track, ticket.attempt, phases)
    with telemetry.span("dispatch.claim", queue=ticket.track):
        return floor.home.attempts.start(ticket.mission_id, ticket.track, ticket.attempt, phases)


def _keep(floor: Floor, ticket: Ticket, track: Track, index: int, after: State) -> Recorded:
    blob = floor.home.blobs.put_json(after)
    bodies = [canonical_json(handoff.model_dump(mode="json")).decode() for handoff in track.outbox(after)]
    name = track.phases[index].name
    floor.home.attempts.phase_done(ticket.mission_id, ticket.track, ticket.attempt, name, index, blob, bodies)
    if bodies:
        _tell_handoffs(floor, ticket, track, after)
    return _after(floor, ticket, track, index, after, blob)


def _after(floor: Floor, ticket: Ticket, track: Track, index: int, after: State, blob: str | None) -> Recorded:
    case = look(floor, ticket.mission_id)
    if floor.cancelled(ticket.mission_id, case.row.round):
        return close_track(floor, ticket, case, "cancelled")
    if index + 1 < len(track.phases):
        return {"status": "going", "state": blob}
    package = PACKAGE.validate_python(after["package"])
    return finish_track(floor, ticket, package, partial=False)


def _tell_handoffs(floor: Floor, ticket: Ticket, track: Track, after: State) -> None:
    types = {"sources_offered": "handoff.offered", "evidence_request": "handoff.requested"}
    entries = [
        Entry(
            f"handoff:{ticket.track}:{ticket.attempt}:{number}",
            types[handoff.kind],
            {"kind": handoff.kind},
            ticket.track,
            ticket.attempt,
        )
        for number, handoff in enumerate(track.outbox(after))
    ]
    floor.home.missions.append(ticket.mission_id, entries)


def finish_track(floor: Floor, ticket: Ticket, package: Package, *, partial: bool) -> Recorded:
    """Store the package of an attempt and end it."""
    blob = floor.home.blobs.put_json(package.model_dump(mode="json"))
    floor.home.attempts.finish(ticket.mission_id, ticket.track, ticket.attempt, blob, len(package.claims), partial)
    return {"status": "done", "package": blob}


def fail_track(floor: Floor, ticket: Ticket, failure: Failure, last_step: str) -> Recorded:
    """End an attempt without a package; a failure is logged here, once, whoever noticed it."""
    recorded = floor.home.attempts.fail(ticket.mission_id, ticket.track, ticket.attempt, failure, last_step)
    if recorded and failure.status == "failed":
        where = {"mission_id": ticket.mission_id, "track": ticket.track, "attempt": ticket.attempt}
        log_failure("track.failed", failure, step=last_step, **where)
    return {"status": failure.status, "error": failure.error_code}


def close_track(floor: Floor, ticket: Ticket, case: Case, reason: str) -> Recorded:
    """End an attempt before its last phase: with its partial package at the deadline, without one when cancelled."""
    attempt = floor.home.attempts.get(ticket.mission_id, ticket.track, ticket.attempt)
    last = attempt.phase or "nothing"
    if reason == "cancelled":
        return fail_track(floor, ticket, CANCELLED, last)
    package = partial_package(floor, case, attempt)
    if package is not None:
        return finish_track(floor, ticket, package, partial=True)
    words = "The deadline passed before the track had anything to show; retry it with a longer --deadline."
    return fail_track(floor, ticket, Failure("DeadlineExceeded", "DEADLINE", words), last)


def partial_package(floor: Floor, case: Case, attempt: Attempt) -> Package | None:
    """Return what an open attempt could show now, from its last stored state."""
    if attempt.state is None or attempt.started_at is None:
        return None
    track = case.playbook.track(track_name(attempt))
    ticket = Ticket(attempt.mission_id, track_name(attempt), attempt.attempt)
    context = make_context(floor, case, ticket, attempt.started_at, [], "partial")
    return track.partial(context, floor.home.blobs.get_json(attempt.state))


def make_context(
    floor: Floor, case: Case, ticket: Ticket, started: str, inbox: list[dict[str, Any]], phase: str
) -> TrackContext:
    """Return what a phase may use."""
    return TrackContext(
        mission_id=ticket.mission_id,
        session_id=case.row.session_id,
        knowledge_space=case.row.knowledge_space,
        attempt=ticket.attempt,
        question=case.brief.question,
        options=case.options,
        library=floor.library(cast("str", case.row.library)),
        blobs=floor.home.blobs,
        started_at=datetime.fromisoformat(started),
        emit=_emitter(floor, ticket, phase),
        should_stop=should_stop(floor, case),
        inbox=tuple(HANDOFF.validate_python(body) for body in inbox),
    )


def _emitter(floor: Floor, ticket: Ticket, phase: str) -> Callable[[str, dict[str, Any]], None]:
    count = [0]

    def emit(event_type: str, payload: dict[str, Any]) -> None:
        # what the catalogue does not know is left out: an event may fail, the work must not notice
        known = coerce(event_type, payload)
        if known is None:
            return
        count[0] += 1
        key = f"emit:{ticket.track}:{ticket.attempt}:{phase}:{count[0]}"
        entry = Entry(key, event_type, known, ticket.track, ticket.attempt)
        floor.home.missions.append(ticket.mission_id, [entry], expect=("RUNNING", "FUSION"))

    return emit


def log_failure(event: str, failure: Failure, **where: Any) -> None:
    """Log the one ERROR line of a failure."""
    facts = {"error_type": failure.error_type, "error_code": failure.error_code, "module": failure.module or "missions"}
    log.error(event, **where, **facts, error_text=failure.text, tries=failure.tries, frames=list(failure.frames))


def bury(floor: Floor, mission_id: str, round_: int, failure: Failure, step: str) -> Recorded:
    """End the mission as FAILED, with a dead letter and its open attempts skipped."""
    for one in floor.home.attempts.current(mission_id).values():
        if one.status in {"pending", "running"}:
            skipped = Failure(failure.error_type, failure.error_code, failure.text, failure.tries, status="skipped")
            fail_track(floor, Ticket(mission_id, track_name(one), one.attempt), skipped, step)
    state = floor.home.missions.get(mission_id).state
    entries = ended(round_, state, "FAILED", failure)
    if floor.home.attempts.bury(mission_id, failure, step, round_, entries):
        log_failure("mission.failed", failure, step=step, mission_id=mission_id)
    return {"status": "over", "error": failure.error_code}


def ended(
    round_: int, old: str, new: str, failure: Failure | None = None, *, version: int = 0, partial: bool = False
) -> list[Entry]:
    """Return the two events with which a mission ends."""
    finished: dict[str, Any] = {"state": new, "version": version, "partial": partial}
    if failure is not None:
        finished |= {"error_type": failure.error_type, "error_code": failure.error_code, "text": failure.text[:280]}
        finished |= {"module": failure.module}
    return [
        Entry(f"state:{round_}:END", "mission.state", {"old": old, "new": new, "round": round_}),
        Entry(f"finished:{round_}", "mission.finished", finished),
    ]
