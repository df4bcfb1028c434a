"""The control plane: submit, run, watch, cancel, resume and retry missions.

Every function takes an open `Home` and returns plain rows; none needs the durable engine but `run` and `work`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from kimera.errors import NotFoundError, ValidationError
from kimera.missions._worker import Worker, working
from kimera.missions.contracts import MissionOptions, MissionOutcomePackage, TrackName
from kimera.missions.home import Home, HomeLock, open_home
from kimera.missions.playbook import FuseRequest, IngestRequest, Playbook, register_playbook
from kimera.storage.attempts import Attempt, DeadLetter, Version, new_attempt
from kimera.storage.blobs import canonical_json
from kimera.storage.fold import MissionRow
from kimera.storage.missions import Brief, Entry
from kimera.telemetry.events import MissionEvent

__all__ = [
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
    "brief",
    "dead_letters",
    "events",
    "get",
    "missions",
    "open_home",
    "outcome",
    "register_playbook",
    "run",
    "submit",
    "versions",
    "working",
]

QUESTION_LIMIT = 4_000
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
) -> str:
    """Store a mission and return its id; nothing runs yet.

    Ids sort by time and are derived from the time and what is asked. Submitting with a ``request_key`` that was used
    before returns the first mission. Raises `ValidationError` for an empty or oversized question, a missing folder,
    no or unknown tracks, a deadline that is not positive.
    """
    options = options or MissionOptions(deadline=home.settings.deadline)
    words = " ".join(question.split())
    place = Path(folder).expanduser().absolute()
    _check(words, place, options, request_key)
    asked = {"question": words, "folder": str(place), "options": options.model_dump(mode="json"), "playbook": playbook}
    digest = hashlib.sha256(canonical_json(asked)).hexdigest()
    mission_id = _new_id(home, digest, request_key or session_id)
    brief = Brief(
        mission_id=mission_id,
        sha256=digest,
        question=words,
        folder=str(place),
        options=canonical_json(asked["options"]).decode(),
        playbook=playbook,
        request_key=request_key,
    )
    created = {"session_id": session_id, "knowledge_space": knowledge_space, "brief": digest}
    tracks = [track for track in TRACKS if track in options.tracks]
    return home.attempts.create(
        brief,
        Entry("created", "mission.created", created),
        [Entry(f"dispatched:{track}:1", "track.dispatched", {"round": 0}, track, 1) for track in tracks],
        [new_attempt(mission_id, track, 1, 0) for track in tracks],
    )


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
    lock = HomeLock(home)
    if home.embedded and not lock.take(wait=wait, notice=notice or (lambda words: None), give_up=stop.is_set):
        return get(home, mission_id)
    try:
        with working(home, stopping=stop) as worker:
            worker.start(mission_id)
            row = worker.wait(mission_id, follow)
            fault = worker.fault(mission_id)
        if fault is not None:
            raise fault
        return row
    finally:
        lock.release()


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


def missions(home: Home, limit: int = 50) -> list[MissionRow]:
    """Return the newest missions first."""
    return home.missions.newest(limit)


def get(home: Home, mission_id: str) -> MissionRow:
    """Return one mission; raises `NotFoundError`."""
    return home.missions.get(mission_id)


def brief(home: Home, mission_id: str) -> Brief:
    """Return what was asked; raises `NotFoundError`."""
    return home.missions.brief(mission_id)


def events(home: Home, mission_id: str, after_seq: int = 0, limit: int = 10_000) -> list[MissionEvent]:
    """Return the events numbered above ``after_seq``, in order; poll with the last number seen to watch."""
    return home.missions.events(mission_id, after_seq, limit)


def versions(home: Home, mission_id: str) -> list[Version]:
    """Return the versions of a mission's report, oldest first."""
    home.missions.get(mission_id)
    return home.attempts.versions(mission_id)


def outcome(home: Home, mission_id: str, version: int | None = None) -> MissionOutcomePackage:
    """Return one version of the report, the newest by default; raises `NotFoundError`."""
    stored = versions(home, mission_id)
    wanted = [one for one in stored if version is None or one.version == version]
    if not wanted:
        what = "a report yet" if version is None else f"version {version} of its report"
        raise NotFoundError(f"Mission {mission_id} has no {what}; `kimera show {mission_id}` says where it stands.")
    return MissionOutcomePackage.model_validate(home.blobs.get_json(wanted[-1].blob))


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
    if not options.tracks or not set(options.tracks) <= set(TRACKS):
        raise ValidationError(f"Choose one or both of the tracks {', '.join(TRACKS)}.", "tracks")
    if options.deadline <= 0:
        raise ValidationError("The deadline must be longer than nothing; give it in seconds, e.g. 900.", "deadline")
    if request_key is not None and not 0 < len(request_key) <= 128:
        raise ValidationError("A request key has 1 to 128 characters; shorten it.", "request_key")


def _new_id(home: Home, digest: str, salt: str) -> str:
    """Return ``m`` + 9 time characters (milliseconds, base 32, sortable) + 8 of a hash."""
    stamp = int(home.clock.now().timestamp() * 1000)
    time_part = ""
    for _ in range(9):
        stamp, digit = divmod(stamp, 32)
        time_part = ALPHABET[digit] + time_part
    tail = hashlib.sha256(f"{digest}:{salt}:{time_part}".encode()).hexdigest()[:8]
    return f"m{time_part}{tail}"
