"""What missions usually do: their steps as event sequences in a memory, with how they turned out.

Each track of a mission that has ended is one pattern of its tenant's memory `missions`; how well it went and how long
it took are the pattern's outcome. A mission is learned once, and never fails because it could not be learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kimera.errors import KimeraError
from kimera.memory import Memories, NextEvents, Predictions
from kimera.memory.contracts import Events, Record
from kimera.memory.traces import Trace, convert
from kimera.missions.control.home import Home
from kimera.storage.fold import MissionRow
from kimera.telemetry import get_logger

__all__ = ["MEMORY", "Habit", "compare", "learn_mission"]

MEMORY = "missions"
EVENTS = 100_000
UTILITY = {"done": 1.0, "failed": 0.0}
HALF = 0.5
"""Utility of what ended in between: a partial report, a track that was cut short."""

_log = get_logger("missions")


@dataclass(frozen=True, slots=True)
class Habit(Record):
    """One track of a mission beside what was learned: ``events`` are its steps so far."""

    trace: str
    events: Events
    next: NextEvents
    predictions: Predictions


def learn_mission(home: Home, mission_id: str) -> None:
    """Learn the steps of a mission that has ended; once, however often it is called. Failures are told, not raised."""
    try:
        row = home.missions.get(mission_id)
        if row.state in {"DONE", "FAILED"}:
            _learn(home, row)
    except KimeraError as error:
        _log.warning("missions.not_remembered", cause="memory", error_code=error.code, mission=mission_id)


def compare(home: Home, mission_id: str, **options: Any) -> list[Habit]:
    """Say for each track of a mission what it is like and what usually comes next; raises `NotFoundError`."""
    home.missions.get(mission_id)
    with closing(Memories(home.database)) as memories:
        memory = memories.get(MEMORY, tenant=home.missions.brief(mission_id).tenant)
        return [
            Habit(str(trace.trace), trace.events, memory.next(trace.events), memory.predict(trace.events, **options))
            for trace, _ in _traces(home, mission_id)
        ]


def _learn(home: Home, row: MissionRow) -> None:
    with closing(Memories(home.database)) as memories:
        memory = memories.get(MEMORY, tenant=home.missions.brief(row.mission_id).tenant)
        for trace, seconds in _traces(home, row.mission_id):
            if sum(map(len, trace.events)) > 1:
                memory.learn(
                    trace.events,
                    source=row.mission_id,
                    outcome={"utility": _utility(row, str(trace.trace)), "cost": seconds},
                    unique_id=f"kimera:{trace.trace}:{row.round}",
                )


def _traces(home: Home, mission_id: str) -> Iterator[tuple[Trace, float]]:
    """Yield the mission's own steps and those of each track, and how many seconds they took."""
    events = home.missions.events(mission_id, limit=EVENTS)
    taken: dict[str, list[datetime]] = {}
    for event in events:
        taken.setdefault(f"{mission_id}:{event.track}" if event.track else mission_id, []).append(event.at)
    records = [
        event.model_dump(mode="json", include={"mission_id", "seq", "type", "track", "payload"}) for event in events
    ]
    for trace in convert(records, "kimera"):
        times = taken[str(trace.trace)]
        yield trace, max(0.0, (times[-1] - times[0]).total_seconds())


def _utility(row: MissionRow, trace: str) -> float:
    track = trace.partition(":")[2]
    status = row.track_status.get(track) if track else row.state.lower()
    return HALF if not track and row.partial else UTILITY.get(str(status), HALF)
