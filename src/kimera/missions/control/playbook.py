"""What a mission does, apart from surviving: which tracks it has, how files become a library, how packages are fused.

The control plane knows a playbook by name only (the name is stored with the mission), so that any worker can find it.
The product's own is ``default`` and is looked up when first used; benchmarks and tests register smaller ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path

from kimera.errors import ConfigurationError
from kimera.knowledge.contracts import Degraded, Library
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    MissionOptions,
    MissionOutcomePackage,
    ResearchEvidencePackage,
    TrackName,
    TrackStatus,
)
from kimera.missions.track import Track
from kimera.storage.blobs import Blobs

__all__ = ["FuseRequest", "IngestRequest", "Playbook", "find_playbook", "register_playbook"]


@dataclass(frozen=True)
class IngestRequest:
    """A folder to be read. ``progress`` is told (what, done, of); ``should_stop`` asks to come to an end."""

    folder: Path
    blobs: Blobs
    knowledge_space: str
    progress: Callable[[str, int, int], None]
    should_stop: Callable[[], bool]
    tracks: tuple[TrackName, ...] = ()
    """Tracks that will work on what is read: what they need may be started while the folder is read."""


@dataclass(frozen=True)
class FuseRequest:
    """Everything fusion may look at; the same request always gives the same outcome."""

    mission_id: str
    session_id: str
    knowledge_space: str
    question: str
    folder: str
    created_at: datetime
    options: MissionOptions
    research: ResearchEvidencePackage | None
    analysis: AnalyticalReportPackage | None
    track_status: dict[TrackName, TrackStatus]
    library: Library
    library_blob: str
    previous: MissionOutcomePackage | None
    partial: bool
    degraded: tuple[Degraded, ...] = ()
    blobs: Blobs | None = None


@dataclass(frozen=True)
class Playbook:
    """Named parts of a mission. ``track`` returns the track of a name; all parts are plain, blocking functions.

    ``warm`` loads what the tracks begin with, in a thread while the folder is read; ``warm_later`` what they need only
    after the first report, in a thread once the engine runs. Either may be None.
    """

    name: str
    track: Callable[[TrackName], Track]
    ingest: Callable[[IngestRequest], Library]
    fuse: Callable[[FuseRequest], MissionOutcomePackage]
    warm: Callable[[], object] | None = None
    warm_later: Callable[[], object] | None = None


_known: dict[str, Playbook] = {}


def register_playbook(playbook: Playbook) -> None:
    """Make a playbook known in this process under its name; the last one registered counts."""
    _known[playbook.name] = playbook


def find_playbook(name: str) -> Playbook:
    """Return the playbook with this name; raises `ConfigurationError` when this process does not have it."""
    if name == "default" and name not in _known:
        register_playbook(Playbook("default", _track, _ingest, _fuse, _warm, _warm_later))
    if name not in _known:
        raise ConfigurationError(
            f"This process has no playbook {name!r}; start a worker that registers it and resume the mission.",
            "playbook",
        )
    return _known[name]


def _track(name: TrackName) -> Track:
    rooms = {"deep_research": "kimera.missions.research", "ds_star": "kimera.missions.analysis"}
    track: Track = import_module(rooms[name]).TRACK
    return track


def _warm() -> None:
    for module in ("research.track", "analysis.track", "fusion.facts", "fusion.outcome"):
        import_module(f"kimera.missions.{module}")


def _warm_later() -> None:
    import_module("kimera.missions.research.reading").load_sentence_encoder()


def _ingest(request: IngestRequest) -> Library:
    library: Library = import_module("kimera.knowledge").build_library(
        request.folder,
        request.blobs,
        knowledge_space=request.knowledge_space,
        progress=request.progress,
        should_stop=request.should_stop,
        found=lambda kinds: _expect(kinds, request.tracks),
    )
    return library


def _expect(kinds: frozenset[str], tracks: tuple[TrackName, ...]) -> None:
    """Start the sandbox while the tables are still being read: it imports longer than they take."""
    if "table" in kinds and "ds_star" in tracks:
        import_module("kimera.missions.analysis").prepare()


def _fuse(request: FuseRequest) -> MissionOutcomePackage:
    room = import_module("kimera.missions.fusion")
    facts = room.MissionFacts(
        mission_id=request.mission_id,
        session_id=request.session_id,
        knowledge_space=request.knowledge_space,
        question=request.question,
        folder=request.folder,
        created_at=request.created_at,
        options=request.options,
    )
    outcome: MissionOutcomePackage = room.fuse(
        facts,
        request.research,
        request.analysis,
        track_status=request.track_status,
        library=request.library,
        library_blob=request.library_blob,
        previous=request.previous,
        partial=request.partial,
        degraded=request.degraded,
        blobs=request.blobs,
    )
    return outcome
