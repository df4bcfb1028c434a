"""Reading a mission's folder while the durable engine is still being imported.

The library is content-addressed and reading is repeatable, so doing it early changes nothing but the wait: the ingest
step takes the result, and if there is none (another process, a crash, an error) reads the folder itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from kimera import telemetry
from kimera.clock import Clock
from kimera.knowledge.contracts import Library
from kimera.missions.contracts import MissionOptions
from kimera.missions.control._envelope import at_work, read_envelope
from kimera.missions.control.home import Home
from kimera.missions.control.playbook import IngestRequest, Playbook, find_playbook
from kimera.storage.missions import Entry
from kimera.telemetry import coerce

__all__ = ["Ahead", "progress_events"]

PROGRESS_SECONDS = 0.5
LOOK_SECONDS = 0.05


class Ahead:
    """One folder being read in a thread of its own."""

    def __init__(self, home: Home, mission_id: str) -> None:
        brief, row = home.missions.brief(mission_id), home.missions.get(mission_id)
        options = MissionOptions.model_validate_json(brief.options)
        self.mission_id = mission_id
        self._enough = threading.Event()
        request = IngestRequest(
            folder=Path(brief.folder),
            blobs=home.blobs,
            knowledge_space=row.knowledge_space,
            progress=progress_events(home, mission_id, f"ahead:{row.seq}"),
            should_stop=self._enough.is_set,
            tracks=options.tracks,
        )
        playbook = find_playbook(brief.playbook)
        self._pool = pool = ThreadPoolExecutor(2, thread_name_prefix="kimera-ahead")
        self._later = playbook.warm_later or _nothing
        # what goes wrong in warming goes wrong again where it is used, and is reported there
        pool.submit(telemetry.carry(playbook.warm or _nothing))
        with at_work(read_envelope(home, mission_id)):
            self._library: Future[Library] = pool.submit(telemetry.carry(_read), playbook, request)

    def warm_later(self) -> None:
        """Load what the first report can do without: call this when the engine is imported and the processor free."""
        with suppress(RuntimeError):  # stopped already
            self._pool.submit(telemetry.carry(self._later))
        self._pool.shutdown(wait=False)

    def take(self, should_stop: Callable[[], bool]) -> Library:
        """Return the library when it is read; what went wrong in reading is raised here."""
        while True:
            wait((self._library,), LOOK_SECONDS)
            if self._library.done():
                return self._library.result()
            if should_stop():
                self._enough.set()

    def stop(self) -> None:
        """Ask the reading to come to an end."""
        self._enough.set()
        self._pool.shutdown(wait=False)


def _nothing() -> None:
    return None


def _read(playbook: Playbook, request: IngestRequest) -> Library:
    with telemetry.span("agent.step", phase="read_ahead"):
        return playbook.ingest(request)


def progress_events(home: Home, mission_id: str, salt: str) -> Callable[[str, int, int], None]:
    """Return a progress function that records an event every half second at most."""
    clock: Clock = home.clock
    told, count = [clock.monotonic()], [0]

    def progress(what: str, done: int, of: int) -> None:
        if clock.monotonic() - told[0] < PROGRESS_SECONDS:
            return
        told[0] = clock.monotonic()
        count[0] += 1
        payload = coerce("plan.step", {"step": "ingest", "kind": "progress", "goal": f"{what}: {done} of {of}"})
        entry = Entry(f"progress:{salt}:{count[0]}", "plan.step", payload or {})
        home.missions.append(mission_id, [entry], expect=("PENDING", "RUNNING"))

    return progress
