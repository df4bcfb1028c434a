"""The control plane: submit, run, watch, cancel, resume and retry missions.

Every function takes an open `Home` and returns plain rows; none needs the durable engine but `run` and `work`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from kimera import telemetry
from kimera.errors import ConflictError, NotFoundError, RateLimited, StorageError, ValidationError
from kimera.missions.contracts import MissionOptions, MissionOutcomePackage, MissionState, TrackName
from kimera.missions.control._ahead import Ahead
from kimera.missions.control._envelope import at_work, read_envelope
from kimera.missions.control._reports import end_cancelled
from kimera.missions.control._worker import Worker, working
from kimera.missions.control.budget import ledger
from kimera.missions.control.home import Home, HomeLock, open_home
from kimera.missions.control.playbook import FuseRequest, IngestRequest, Playbook, register_playbook
from kimera.storage.artifacts import Artifact, find_artifact
from kimera.storage.attempts import Attempt, DeadLetter, Version, new_attempt
from kimera.storage.blobs import canonical_json
from kimera.storage.fold import TERMINAL, MissionRow
from kimera.storage.missions import Brief, Entry
from kimera.storage.workers import LEASE_SECONDS, Workers
from kimera.telemetry import MissionEvent

__all__ = [
    "Artifact",
    "Attempt",
    "Brief",
    "DeadLetter",
    "FuseRequest",
    "Home",
    "HomeLock",
    "IngestRequest",
    "MissionEvent",
    "MissionRow",
    "Playbook",
    "Version",
    "Worker",
    "artifact",
    "brief",
    "briefs",
    "cancel",
    "check_room",
    "dead_letters",
    "events",
    "get",
    "heads",
    "missions",
    "open_home",
    "outcome",
    "register_playbook",
    "resume",
    "retry",
    "run",
    "submit",
    "version_of",
    "versions",
    "work",
    "working",
]

LOCAL = "local"
"""The tenant of whoever uses the command line, and of a gateway without keys."""

QUESTION_LIMIT = 4_000
ROOM_SECONDS = 5.0
SERVE_SECONDS = 0.1
REVIVE_SECONDS = 5.0
UNFINISHED = ("PENDING", "RUNNING", "FUSION")
TRACKS: tuple[TrackName, ...] = ("deep_research", "ds_star")
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def submit(
    home: Home,
    question: str,
    folder: str | Path,
    options: MissionOptions | None = None,
    *,
    session_id: str = "default",
    knowledge_space: str = "default",
    request_key: str | None = None,
    playbook: str = "default",
    tenant: str = LOCAL,
) -> str:
    """Store a mission and return its id; nothing runs yet.

    Ids sort by time and are derived from the time and what is asked. Submitting with a ``request_key`` that the tenant
    used before returns the first mission. Raises `ValidationError` for an empty or oversized question, a missing
    folder, no or unknown tracks, a deadline that is not positive.
    """
    begun = home.clock.monotonic()
    options = options or MissionOptions(deadline=home.settings.deadline)
    words = " ".join(question.split())
    place = Path(folder).expanduser().absolute()
    _check(words, place, options, request_key)
    asked = {"question": words, "folder": str(place), "options": options.model_dump(mode="json"), "playbook": playbook}
    digest = hashlib.sha256(canonical_json(asked)).hexdigest()
    mission_id = _new_id(home, digest, f"{tenant}:{request_key or session_id}")
    created = {"session_id": session_id, "knowledge_space": knowledge_space, "brief": digest}
    tracks = [track for track in TRACKS if track in options.tracks]
    brief = Brief(
        mission_id=mission_id,
        sha256=digest,
        question=words,
        folder=str(place),
        options=canonical_json(asked["options"]).decode(),
        playbook=playbook,
        request_key=request_key,
        tenant=tenant,
    )
    with telemetry.bind(mission_id=mission_id, session_id=session_id), telemetry.span("mission.accept") as span:
        envelope = telemetry.headers()
        home.missions.owe(mission_id, home.clock.monotonic() - begun)
        stored = home.attempts.create(
            replace(brief, request_id=envelope["X-Request-ID"], traceparent=envelope.get("traceparent")),
            Entry("created", "mission.created", created),
            [Entry(f"dispatched:{track}:1", "track.dispatched", {"round": 0}, track, 1) for track in tracks],
            [new_attempt(mission_id, track, 1, 0) for track in tracks],
        )
        if stored != mission_id:
            span.set(known_as=stored)
        return stored


def run(
    home: Home,
    mission_id: str,
    on_event: Callable[[MissionEvent], None] | None = None,
    stop: threading.Event | None = None,
    *,
    wait: bool = True,
    notice: Callable[[str], None] | None = None,
) -> MissionRow:
    """Work on a mission in this process until it ends, and return its row.

    ``on_event`` is told each event once, in order. Setting ``stop`` ends politely: what there is gets fused and the
    mission stays unfinished (`resume` or `run` continues it). Missions that an earlier process left unfinished go on
    as well. Raises `HomeBusy` when another process works here and ``wait`` is false, and the storage error
    that made this process give up, if one did.
    """
    stop = stop or threading.Event()
    follow = _Follower(home, mission_id, on_event)
    if get(home, mission_id).ended:
        follow.catch_up()
        return get(home, mission_id)
    tell = notice or _say_nothing
    lock = HomeLock(home)
    if home.embedded and not lock.take(wait=wait, notice=tell, give_up=stop.is_set):
        return get(home, mission_id)
    try:
        ahead = Ahead(home, mission_id) if get(home, mission_id).library is None else None
        with working(home, stop=stop, polite=True, ahead=ahead) as worker:
            worker.start(mission_id)
            if ahead is not None:
                ahead.warm_later()
            worker.wait(mission_id, follow)
            fault, fenced = worker.fault(mission_id), worker.fenced.is_set()
            _finish_others(worker, mission_id, stop, tell)
    finally:
        lock.release()
    follow.catch_up()
    if fault is not None:
        raise fault
    if fenced:
        return _look_on(home, mission_id, follow, stop)
    return get(home, mission_id)


def _look_on(home: Home, mission_id: str, follow: _Follower, stop: threading.Event) -> MissionRow:
    """Follow a mission that another worker has taken over from us."""
    while not follow(get(home, mission_id)) and not stop.is_set():
        stop.wait(SERVE_SECONDS)
    follow.catch_up()
    return get(home, mission_id)


def _say_nothing(words: str) -> None:
    return None


def _finish_others(worker: Worker, mission_id: str, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """Stay until the missions that an earlier process left unfinished have ended too."""
    for other in worker.recovered:
        if other != mission_id and not stop.is_set() and not worker.home.missions.get(other).ended:
            tell(f"mission {other}, left unfinished by an earlier process, goes on; Ctrl-C leaves it for later")
            worker.start(other)
            worker.wait(other)


class _Follower:
    """Hands each new event of a mission on, once; as a callable it says whether the mission has ended."""

    def __init__(self, home: Home, mission_id: str, on_event: Callable[[MissionEvent], None] | None) -> None:
        self.home, self.mission_id, self.on_event = home, mission_id, on_event
        self.seq = 0

    def __call__(self, row: MissionRow) -> bool:
        if row.seq > self.seq:
            self.catch_up()
        return row.ended

    def catch_up(self) -> None:
        """Hand on what was recorded since the last time."""
        if self.on_event is None:
            return
        for event in self.home.missions.events(self.mission_id, self.seq):
            self.seq = event.seq
            self.on_event(event)


def missions(
    home: Home,
    limit: int = 50,
    *,
    tenant: str | None = None,
    before: str | None = None,
    state: MissionState | None = None,
) -> list[MissionRow]:
    """Return the newest missions first, of every tenant unless one is given.

    ``before`` is the id that the page before ended with: pages stay whole while missions are added.
    """
    return home.missions.newest(limit, tenant=tenant, before=before, state=state)


def get(home: Home, mission_id: str, tenant: str | None = None) -> MissionRow:
    """Return one mission; raises `NotFoundError`, also for a mission of another tenant than the one given."""
    return home.missions.get(mission_id, tenant)


def brief(home: Home, mission_id: str, tenant: str | None = None) -> Brief:
    """Return what was asked; raises `NotFoundError`."""
    get(home, mission_id, tenant)
    return home.missions.brief(mission_id)


def briefs(home: Home, rows: Iterable[MissionRow]) -> dict[str, Brief]:
    """Return what was asked by mission id, for a page of missions."""
    return home.missions.briefs(row.mission_id for row in rows)


def events(
    home: Home, mission_id: str, after_seq: int = 0, limit: int = 10_000, tenant: str | None = None
) -> list[MissionEvent]:
    """Return the events numbered above ``after_seq``, in order; poll with the last number seen to watch."""
    if tenant is not None:
        get(home, mission_id, tenant)
    return home.missions.events(mission_id, after_seq, limit)


def heads(home: Home, mission_ids: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """Return (number of events, whether it has ended) by mission id: one question for all that somebody watches."""
    return {name: (seq, state in TERMINAL) for name, (seq, state) in home.missions.heads(mission_ids).items()}


def versions(home: Home, mission_id: str, tenant: str | None = None) -> list[Version]:
    """Return the versions of a mission's report, oldest first."""
    get(home, mission_id, tenant)
    return home.attempts.versions(mission_id)


def version_of(home: Home, mission_id: str, number: int | None = None, tenant: str | None = None) -> Version:
    """Return one version's record, the newest by default; raises `NotFoundError`."""
    found = home.attempts.version(mission_id, number, tenant)
    if found is None:
        get(home, mission_id, tenant)
        what = "report yet" if number is None else f"version {number} of its report"
        raise NotFoundError(f"Mission {mission_id} has no {what}; `kimera show {mission_id}` says where it stands.")
    return found


def outcome(
    home: Home, mission_id: str, version: int | None = None, tenant: str | None = None
) -> MissionOutcomePackage:
    """Return one version of the report, the newest by default; raises `NotFoundError`."""
    stored = version_of(home, mission_id, version, tenant)
    return MissionOutcomePackage.model_validate(home.blobs.get_json(stored.blob))


def artifact(home: Home, sha256: str, tenant: str) -> Artifact:
    """Return what a blob is to the reports of a tenant; raises `NotFoundError` when none of them rests on it."""
    found = find_artifact(home.database, sha256, tenant)
    if found is None:
        raise NotFoundError(f"No report rests on an artefact {sha256[:12]}; the ids stand in a report's JSON.")
    return found


def cancel(home: Home, mission_id: str, tenant: str | None = None) -> MissionRow:
    """Cancel a mission: at once when nobody works on it, else at its next step boundary (< 2 s).

    Cancelling twice is a no-op. Raises `ConflictError` when it has ended otherwise.
    """
    row = get(home, mission_id, tenant)
    if row.state == "CANCELLED":
        return row
    if row.ended:
        raise ConflictError(f"Mission {mission_id} is {row.state} and cannot be cancelled; its report stays.")
    home.missions.append(mission_id, [Entry("cancel", "human.decision", {"action": "cancel"})], expect=UNFINISHED)
    if not end_cancelled(home, mission_id, ("PENDING",)):
        lock = HomeLock(home)
        idle = lock.try_take() if home.embedded else Workers(home.database).live() == 0
        try:
            if idle:
                end_cancelled(home, mission_id)
        finally:
            lock.release()
    return get(home, mission_id)


def resume(home: Home, mission_id: str, tenant: str | None = None) -> MissionRow:
    """Check that a mission can go on, note that somebody wants it to, and return its row; `run` or a worker continues.

    Raises `ConflictError` when it has ended.
    """
    row = get(home, mission_id, tenant)
    if row.ended:
        next_step = "submit it again" if row.state == "CANCELLED" else f"`kimera retry {mission_id}` runs a track again"
        raise ConflictError(f"Mission {mission_id} is {row.state}, there is nothing to resume; {next_step}.")
    home.missions.append(mission_id, [Entry(f"resume:{row.seq}", "human.decision", {"action": "resume"})])
    return get(home, mission_id)


def check_room(home: Home, tenant: str, most: int) -> None:
    """Raise `RateLimited` when a tenant has as many unfinished missions as it may."""
    if home.missions.count_unfinished(tenant, most) >= most:
        raise RateLimited(
            f"{most} missions are unfinished, more are not taken; wait for one to end, or cancel one.",
            retry_after=ROOM_SECONDS,
        )


def retry(home: Home, mission_id: str, track: TrackName | None = None, tenant: str | None = None) -> MissionRow:
    """Open one more attempt of a track (None: of every failed one) of a mission that has ended; a worker executes it.

    Tracks that never began (the mission itself had failed) are opened with it. What earlier attempts made is marked
    superseded, and the money they had reserved is released. Raises `ConflictError` for a mission that has not ended
    or was cancelled, `ValidationError` for a track the mission does not have.
    """
    row = get(home, mission_id, tenant)
    if row.state not in {"DONE", "FAILED"}:
        raise ConflictError(f"Mission {mission_id} is {row.state}; only DONE and FAILED missions can be retried.")
    if track is not None and (track not in TRACKS or row.attempt(track) == 0):
        raise ValidationError(f"Mission {mission_id} has no track {track!r}; it has {_tracks(row)}.", "track")
    failed = [one for one in TRACKS if row.track_status[one] == "failed"] if track is None else [track]
    again = [one for one in TRACKS if one in failed or (row.attempt(one) and row.track_status[one] == "skipped")]
    if not again:
        raise ValidationError(
            f"No track of mission {mission_id} failed; name the one to run again with track (--track): {_tracks(row)}.",
            "track",
        )
    round_ = row.round + 1
    change = {"old": row.state, "new": "PENDING", "round": round_, "reason": "retry"}
    entries = [
        Entry(f"retry:{round_}", "human.decision", {"action": "retry", "track": ", ".join(failed)}),
        Entry(f"state:{round_}:PENDING", "mission.state", change),
    ]
    for one in again:
        number = row.attempt(one) + 1
        entries.append(Entry(f"dispatched:{one}:{number}", "track.dispatched", {"round": round_}, one, number))
    for one in again:
        ledger(home).abandon(mission_id, one)
    home.attempts.reopen(mission_id, [(one, row.attempt(one) + 1) for one in again], round_, entries)
    return get(home, mission_id)


def work(
    home: Home,
    stop: threading.Event | None = None,
    *,
    notice: Callable[[str], None] | None = None,
    wait: bool = True,
    lease: float = LEASE_SECONDS,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Take queued missions until ``stop`` is set: up to ``settings.workers`` at once, recovering unfinished ones.

    On PostgreSQL many processes may do this; a process that was taken for dead drops its work and joins again.
    Stopping is orderly: steps under way are given back and continued by whoever works next.
    """
    stop = stop or threading.Event()
    tell = notice or _say_nothing
    lock = HomeLock(home)
    if home.embedded and not lock.take(wait=wait, notice=tell, give_up=stop.is_set):
        return
    try:
        while not stop.is_set() and not until():
            with working(home, listen=home.settings.workers, lease=lease) as worker:
                tell(f"worker {worker.slot} takes missions, {home.settings.workers} at once")
                _serve(worker, stop, until)
                if worker.fenced.is_set():
                    tell(f"worker {worker.slot} was taken for dead; it drops its work and joins again")
    finally:
        lock.release()


def _serve(worker: Worker, stop: threading.Event, until: Callable[[], bool]) -> None:
    queued: set[tuple[str, int]] = set()
    clock = worker.home.clock
    revived = clock.monotonic()
    while not (stop.is_set() or worker.fenced.is_set() or until()):
        # the database may be away for longer than a transaction repeats; a worker outlives that
        with suppress(StorageError):
            for row in worker.home.missions.pending():
                if (row.mission_id, row.round) not in queued:
                    envelope = read_envelope(worker.home, row.mission_id)
                    with at_work(envelope), telemetry.span("dispatch.enqueue", queue="missions"):
                        worker.engine.enqueue(row.mission_id, row.round)
                    queued.add((row.mission_id, row.round))
            if clock.monotonic() - revived > REVIVE_SECONDS:
                revived = clock.monotonic()
                for mission_id in sorted(worker.floor.paused):
                    worker.start(mission_id)
        stop.wait(SERVE_SECONDS)


def _tracks(row: MissionRow) -> str:
    return ", ".join(track for track in TRACKS if row.attempt(track))


def dead_letters(home: Home) -> list[DeadLetter]:
    """Return the tracks that failed for good and were not retried since."""
    return home.attempts.dead_letters()


def _check(question: str, folder: Path, options: MissionOptions, request_key: str | None) -> None:
    if not question:
        raise ValidationError("The question is empty; ask one, in quotes, before the folder.", "question")
    if len(question) > QUESTION_LIMIT:
        raise ValidationError(
            f"The question has {len(question)} characters, at most {QUESTION_LIMIT} are read; shorten it and put the "
            "rest into a text file in the folder.",
            "question",
        )
    if not folder.is_dir():
        raise ValidationError(f"There is no folder {folder}; give the path of an existing folder.", "folder")
    if _is_empty(folder):
        raise ValidationError(f"The folder {folder} is empty; put tables or documents into it.", "folder")
    if not options.tracks or not set(options.tracks) <= set(TRACKS):
        raise ValidationError(f"Choose one or both of the tracks {', '.join(TRACKS)}.", "tracks")
    if options.deadline <= 0:
        raise ValidationError("The deadline must be longer than nothing; give it in seconds, e.g. 900.", "deadline")
    if request_key is not None and not 0 < len(request_key) <= 128:
        raise ValidationError("A request key has 1 to 128 characters; shorten it.", "request_key")


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError as error:
        raise ValidationError(
            f"The folder {folder} cannot be read ({error.strerror}); allow reading it or give another one.", "folder"
        ) from error


def _new_id(home: Home, digest: str, salt: str) -> str:
    """Return ``m`` + 9 time characters (milliseconds, base 32, sortable) + 8 of a hash."""
    stamp = int(home.clock.now().timestamp() * 1000)
    time_part = ""
    for _ in range(9):
        stamp, digit = divmod(stamp, 32)
        time_part = ALPHABET[digit] + time_part
    tail = hashlib.sha256(f"{digest}:{salt}:{time_part}".encode()).hexdigest()[:8]
    return f"m{time_part}{tail}"
