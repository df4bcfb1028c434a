"""What a home holds of a mission's story, put before `kimera.telemetry.reading`."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from kimera.missions.control.budget import ledger
from kimera.missions.control.home import Home, HomeLock
from kimera.storage.trail import open_trail
from kimera.storage.workers import LEASE_SECONDS, Workers
from kimera.telemetry.recording.recorder import lives, place_of

if TYPE_CHECKING:
    from kimera.storage.fold import MissionRow
    from kimera.telemetry.reading.trace import Material, Trace

__all__ = ["export_trace", "trace"]

EVENTS = 100_000
DROPS = 100


def trace(home: Home, mission_id: str, tenant: str | None = None) -> Trace:
    """Return a mission's story from the home's store alone; raises `NotFoundError`."""
    from kimera.telemetry.reading.trace import trace as told

    return told(gather(home, mission_id, tenant))


def export_trace(home: Home, mission_id: str) -> dict[str, Any]:
    """Return a mission's spans as an OTLP/JSON request; raises `NotFoundError`."""
    from kimera.telemetry.reading.otlp import otlp
    from kimera.telemetry.reading.trace import trace as told

    material = gather(home, mission_id)
    return otlp(told(material), list(material.spans))


def gather(home: Home, mission_id: str, tenant: str | None = None) -> Material:
    """Read everything that the store holds of a mission."""
    from kimera.telemetry.reading.steps import AttemptFacts
    from kimera.telemetry.reading.trace import Material

    row = home.missions.get(mission_id, tenant)
    trail = open_trail(home.database)
    try:
        spans, logs = trail.spans(mission_id), trail.logs(mission_id)
        dropped = [one for one in trail.logs(None, DROPS) if one.event == "telemetry.dropped"]
    finally:
        trail.close()
    events = home.missions.events(mission_id, limit=EVENTS)
    first = events[0].at.timestamp()
    processes = _Processes(home, {span.process for span in spans})
    return Material(
        mission=asdict(row) | {"cost_usd": str(row.cost_usd)},
        events=events,
        spans=spans,
        logs=logs,
        attempts=[AttemptFacts(a.track, a.attempt, a.status, a.phase) for a in home.attempts.every(mission_id)],
        now=home.clock.now().timestamp(),
        alive=lambda process: not row.ended and processes.alive(process),
        spent=_spent(home, row),
        beats=processes.beats,
        dropped=[one for one in dropped if one.at >= first],
    )


class _Processes:
    """Which processes are still at work: on SQLite whoever holds the home's lock, on PostgreSQL whoever beats."""

    def __init__(self, home: Home, names: set[str]) -> None:
        self.nobody = home.embedded and _idle(home)
        self.beats: dict[str, float] = {}
        self.now = 0.0
        if not home.embedded:
            known = Workers(home.database).beats()
            self.beats = {name: known[place_of(name)[:2]] for name in names if place_of(name)[:2] in known}
            self.now = home.database.now()

    def alive(self, name: str) -> bool:
        """Return whether a process is at work; for one of another machine its heartbeat says so."""
        here = lives(name)
        fresh = self.now - self.beats.get(name, 0.0) < LEASE_SECONDS
        return not self.nobody and (fresh if here is None else here)


def _idle(home: Home) -> bool:
    lock = HomeLock(home)
    free = lock.try_take()
    lock.release()
    return free


def _spent(home: Home, row: MissionRow) -> dict[str, Any]:
    """Return what the ledger says; what was settled before a kill is there, and what was set aside then."""
    spent = ledger(home).spent(row.mission_id)
    settled = max(spent.settled, row.cost_usd)
    tokens = {"input_tokens": row.input_tokens, "output_tokens": row.output_tokens, "calls": row.calls}
    return {"usd": _money(settled), "reserved_usd": _money(spent.reserved)} | tokens


def _money(amount: Decimal) -> str:
    return format(amount.normalize(), "f") if amount else "0"
