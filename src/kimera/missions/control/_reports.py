"""When a report is due and how a version of it comes to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from kimera import telemetry
from kimera.knowledge.contracts import Degraded
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    MissionOutcomePackage,
    Package,
    ResearchEvidencePackage,
    TrackStatus,
    fingerprint,
)
from kimera.missions.control._floor import Floor
from kimera.missions.control._steps import (
    CANCELLED,
    PACKAGE,
    Case,
    Recorded,
    Ticket,
    bury,
    close_track,
    crash_limit,
    crash_loop,
    ended,
    log_failure,
    look,
    partial_package,
    phase_names,
    track_name,
)
from kimera.missions.control.counting import count_trust
from kimera.missions.control.home import Home
from kimera.missions.control.playbook import FuseRequest
from kimera.storage.artifacts import Artifact
from kimera.storage.attempts import Attempt, Failure, Version
from kimera.storage.missions import Entry

__all__ = ["News", "act", "decide", "end_cancelled", "look_for_news"]

CLOSING_SECONDS = 1.0
"""How long after the deadline the tracks may take to end by themselves."""

PERSIST = telemetry.metric("kimera_mission_phase_duration_seconds").bind(track="fusion", phase="persist")

OPEN = frozenset({"pending", "running"})

CAUSES = {
    "deadline": Degraded(cause="deadline", text="The deadline passed before every track was finished."),
    "partial_due": Degraded(cause="in_progress", text="A track is still at work; a later version will hold more."),
    "first_look": Degraded(
        cause="first_look",
        text="A first look by words only; the tracks are at work, a later version holds more.",
    ),
    "stop": Degraded(cause="stopped", text="The mission was stopped before it was finished; resume it for the rest."),
}


@dataclass(frozen=True)
class News:
    """What the mission does next. ``reason`` is tracks, first_look, partial_due, deadline, stop, cancel or over."""

    reason: str
    done: tuple[str, ...] = ()
    final: bool = False

    def as_json(self) -> Recorded:
        """Return what is recorded."""
        return {"reason": self.reason, "done": list(self.done), "final": self.final}


def look_for_news(floor: Floor, mission_id: str, round_: int, seen: Sequence[str], told: Sequence[str]) -> News | None:
    """Return what is due now, None to keep waiting; ``seen`` tracks are fused, ``told`` reasons were acted on."""
    case = look(floor, mission_id)
    if case.row.ended or case.row.round != round_:
        return News("over")
    if case.row.cancel_requested:
        return News("cancel", final=True)
    current = floor.home.attempts.current(mission_id)
    due = decide(case, current.values(), seen, told, floor.home.clock.now())
    if due is None and floor.polite and floor.leaving() and "stop" not in told:
        return News("stop", tuple(seen))
    return due


def decide(
    case: Case, current: Iterable[Attempt], seen: Sequence[str], told: Sequence[str], now: datetime
) -> News | None:
    """Return what is due at ``now`` by the state of the tracks and the deadline alone."""
    attempts = list(current)
    done = tuple(sorted(one.track for one in attempts if one.status == "done"))
    if not any(one.status in OPEN for one in attempts):
        return News("tracks", done, final=True)
    deadline, partial = case.deadline_at, case.partial_at
    if case.row.round == 0 and deadline is not None and now >= deadline + timedelta(seconds=CLOSING_SECONDS):
        return News("deadline", done, final=True)
    if set(done) - set(seen):
        return News("tracks", done)
    first = case.row.round == 0 and not done and not case.row.version and "first_look" not in told
    if first and any(_can_show(case, one) for one in attempts):
        return News("first_look", done)
    if case.row.round == 0 and partial is not None and now >= partial and not done and "partial_due" not in told:
        return News("partial_due", done)
    return None


def _can_show(case: Case, one: Attempt) -> bool:
    track = case.playbook.track(track_name(one))
    if one.status not in OPEN or one.phase is None or track.shows_after is None:
        return False
    names = phase_names(track)
    return names.index(one.phase) >= names.index(track.shows_after)


def act(floor: Floor, mission_id: str, round_: int, number: str, news: Recorded) -> Recorded:
    """Do what the news ask for: fuse a version, end the mission, or both."""
    case = look(floor, mission_id)
    if case.row.ended or case.row.round != round_:
        return {"status": "over"}
    if news["reason"] == "cancel":
        end_cancelled(floor.home, mission_id)
        return {"status": "over"}
    step = f"fuse:{round_}:{number}"
    lost, _ = floor.home.attempts.begin(mission_id, step)
    if lost > crash_limit(floor):
        return bury(floor, mission_id, round_, crash_loop("fuse", lost), "fuse")
    if news["final"]:
        if news["reason"] == "deadline":
            _close_open(floor, case)
        payload = {"old": "RUNNING", "new": "FUSION", "round": round_, "reason": news["reason"]}
        entry = Entry(f"state:{round_}:FUSION", "mission.state", payload)
        floor.home.missions.append(mission_id, [entry], expect=("RUNNING",))
    return _fuse(floor, look(floor, mission_id), f"{round_}:{number}", news)


def end_cancelled(home: Home, mission_id: str, expect: Sequence[str] = ("PENDING", "RUNNING", "FUSION")) -> bool:
    """End a mission as CANCELLED and its open tracks with it; False when it had ended before."""
    row = home.missions.get(mission_id)
    if row.state not in expect:
        return False
    for one in home.attempts.current(mission_id).values():
        if one.status in OPEN:
            home.attempts.fail(mission_id, one.track, one.attempt, CANCELLED, one.phase or "nothing")
    row = home.missions.get(mission_id)
    entries = ended(row.round, row.state, "CANCELLED", CANCELLED, version=row.version, partial=row.partial)
    return home.missions.append(mission_id, entries, expect=expect)


def _close_open(floor: Floor, case: Case) -> None:
    for one in floor.home.attempts.current(case.row.mission_id).values():
        if one.status in OPEN:
            close_track(floor, Ticket(one.mission_id, track_name(one), one.attempt), case, "deadline")


def _fuse(floor: Floor, case: Case, key: str, news: Recorded) -> Recorded:
    mission_id, final = case.row.mission_id, bool(news["final"])
    current = floor.home.attempts.current(mission_id)
    packages = {track: _package(floor, case, one, news["reason"]) for track, one in current.items()}
    if not any(packages.values()):
        return _nothing(floor, case, current.values()) if final else {"status": "going"}
    stored = floor.home.attempts.versions(mission_id)
    if not any(version.key == key for version in stored):
        previous = floor.home.blobs.get_json(stored[-1].blob) if stored else None
        request = _request(floor, case, current, packages, previous, news)
        outcome = case.playbook.fuse(request)
        number = case.row.version + 1
        outcome = outcome if outcome.version == number else outcome.model_copy(update={"version": number})
        if final and request.previous is not None and _says_the_same(outcome, request.previous):
            return _end_with(floor, case, request.previous)
        with PERSIST.time():
            _store(floor, case, key, outcome, news)
    return {"status": "over" if final else "going", "version": floor.home.missions.get(mission_id).version}


def _says_the_same(outcome: MissionOutcomePackage, previous: MissionOutcomePackage) -> bool:
    one, two = (item.model_copy(update={"version": 0, "change": None}) for item in (outcome, previous))
    return fingerprint(one) == fingerprint(two)


def _end_with(floor: Floor, case: Case, last: MissionOutcomePackage) -> Recorded:
    """End a mission with the version that is there: the last fusion had nothing new to say."""
    entries = ended(case.row.round, case.row.state, "DONE", version=last.version, partial=last.partial)
    floor.home.missions.append(case.row.mission_id, entries, expect=("RUNNING", "FUSION"))
    return {"status": "over", "version": last.version}


def _package(floor: Floor, case: Case, one: Attempt, reason: str) -> Package | None:
    if one.package is not None:
        return PACKAGE.validate_python(floor.home.blobs.get_json(one.package))
    if one.status in OPEN and reason in {"first_look", "partial_due", "stop"}:
        return partial_package(floor, case, one)
    return None


def _request(
    floor: Floor,
    case: Case,
    current: dict[str, Attempt],
    packages: dict[str, Package | None],
    previous: Any,
    news: Recorded,
) -> FuseRequest:
    statuses = {track_name(one): cast("TrackStatus", one.status) for one in current.values()}
    whole = all(one.status == "done" and not one.partial for one in current.values())
    blob = cast("str", case.row.library)
    research, analysis = packages.get("deep_research"), packages.get("ds_star")
    return FuseRequest(
        mission_id=case.row.mission_id,
        session_id=case.row.session_id,
        knowledge_space=case.row.knowledge_space,
        question=case.brief.question,
        folder=case.brief.folder,
        created_at=datetime.fromisoformat(case.row.created_at),
        options=case.options,
        research=research if isinstance(research, ResearchEvidencePackage) else None,
        analysis=analysis if isinstance(analysis, AnalyticalReportPackage) else None,
        track_status=statuses,
        library=floor.library(blob),
        library_blob=blob,
        previous=MissionOutcomePackage.model_validate(previous) if previous is not None else None,
        partial=not whole,
        degraded=_causes(current.values(), news),
        blobs=floor.home.blobs,
    )


def _causes(current: Iterable[Attempt], news: Recorded) -> tuple[Degraded, ...]:
    causes = [CAUSES[news["reason"]]] if news["reason"] in CAUSES else []
    for one in current:
        if one.status == "failed":
            words = f"The track {one.track} failed ({one.error_code}): {one.error_text}"
            causes.append(Degraded(cause="track_failed", text=words))
        elif one.partial and CAUSES["deadline"] not in causes:
            causes.append(CAUSES["deadline"])
    return tuple(causes)


def _store(floor: Floor, case: Case, key: str, outcome: MissionOutcomePackage, news: Recorded) -> None:
    row, final = case.row, bool(news["final"])
    blob = floor.home.blobs.put_json(outcome.model_dump(mode="json"))
    version = Version(
        mission_id=row.mission_id,
        version=outcome.version,
        key=key,
        blob=blob,
        fingerprint=fingerprint(outcome),
        partial=outcome.partial,
        reason=news["reason"],
        created_at=floor.home.clock.now().astimezone(UTC).isoformat(),
    )
    payload = {"version": outcome.version, "blob": blob, "partial": outcome.partial, "reason": news["reason"]}
    entries = [Entry(f"version:{key}", "report.version", payload | {"claims": len(outcome.claims)})]
    for cause in outcome.degraded:
        text = {"cause": cause.cause[:280], "text": cause.text[:280]}
        entries.append(Entry(f"degraded:{cause.cause}:{cause.text}"[:160], "degraded", text))
    if final:
        entries += ended(row.round, row.state, "DONE", version=outcome.version, partial=outcome.partial)
    artifacts = list(_artifacts(floor, outcome, blob))
    kept = floor.home.attempts.add_version(version, entries, expect=("RUNNING", "FUSION"), artifacts=artifacts)
    if kept and final:
        count_trust(outcome)


def _artifacts(floor: Floor, outcome: MissionOutcomePackage, blob: str) -> Iterator[Artifact]:
    """Yield what a reader of this version may fetch: the report, what was read from the folder, and the drawings."""
    mission_id, number = outcome.mission_id, outcome.version
    yield Artifact(blob, mission_id, "report", "application/json", f"{mission_id}.{number}.json")
    if outcome.library is not None:
        library = floor.library(outcome.library)
        yield Artifact(outcome.library, mission_id, "library", "application/json", "library.json")
        for document in library.documents:
            yield Artifact(document.text, mission_id, "text", "text/plain", f"{document.title}.txt")
        for table in library.tables:
            yield Artifact(table.data, mission_id, "table", "application/vnd.apache.parquet", f"{table.name}.parquet")
    for chart in outcome.charts:
        if chart.svg:
            drawing = floor.home.blobs.put(chart.svg.encode())
            yield Artifact(drawing, mission_id, "chart", "image/svg+xml", f"{chart.claim_id}.svg")


def _nothing(floor: Floor, case: Case, current: Iterable[Attempt]) -> Recorded:
    """End a mission none of whose tracks delivered anything; their own dead letters say why."""
    failed = [one for one in current if one.status == "failed"]
    words = "; ".join(f"{one.track}: {one.error_text}" for one in failed) or "No track delivered anything."
    first = failed[0] if failed else None
    failure = Failure(
        (first.error_type if first else None) or "NothingDelivered",
        (first.error_code if first else None) or "NOTHING_DELIVERED",
        words,
    )
    entries = ended(case.row.round, case.row.state, "FAILED", failure)
    recorded = floor.home.missions.append(case.row.mission_id, entries, expect=("RUNNING", "FUSION"))
    if recorded and first is None:
        log_failure("mission.failed", failure, mission_id=case.row.mission_id, step="fuse")
    return {"status": "over"}
