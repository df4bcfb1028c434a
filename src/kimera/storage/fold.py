"""A mission row is the fold of its events: `MissionRow` is what the events say, `fold_one` how each one counts.

The store writes a row only by folding the event it appends, so the law "folding a mission's events gives exactly its
row" holds by construction; the tests check it over random histories and after kills.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from kimera.telemetry import MissionEvent

__all__ = ["ALLOWED", "TERMINAL", "MissionRow", "Tracks", "fold", "fold_one", "from_nano", "to_nano"]

TERMINAL = frozenset({"DONE", "FAILED", "CANCELLED"})

ALLOWED: dict[str, frozenset[str]] = {
    "PENDING": frozenset({"RUNNING", "FAILED", "CANCELLED"}),
    "RUNNING": frozenset({"FUSION", "FAILED", "CANCELLED"}),
    "FUSION": frozenset({"DONE", "FAILED", "CANCELLED"}),
    "DONE": frozenset({"PENDING"}),
    "FAILED": frozenset({"PENDING"}),
    "CANCELLED": frozenset(),
}
"""Where a mission may go from each state; back to PENDING only by `retry`."""

Tracks = tuple[str, ...]
NANO = 1_000_000_000


def to_nano(usd: Decimal) -> int:
    """Return whole nano-dollars, rounded up so that money is never under-counted."""
    scaled = usd * NANO
    whole = int(scaled)
    return whole if whole == scaled else whole + (1 if scaled > 0 else 0)


def from_nano(nano: int) -> Decimal:
    """Return dollars."""
    return Decimal(nano).scaleb(-9)


@dataclass(frozen=True)
class MissionRow:
    """The state of one mission. Instants are ISO 8601 text in UTC; ``seq`` is the number of its events."""

    mission_id: str
    session_id: str
    knowledge_space: str
    brief: str
    state: str = "PENDING"
    round: int = 0
    deep_research: str = "skipped"
    ds_star: str = "skipped"
    deep_research_attempt: int = 0
    ds_star_attempt: int = 0
    fusion: str = "pending"
    version: int = 0
    partial: bool = False
    library: str | None = None
    cost_nano: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    degraded: tuple[tuple[str, str], ...] = ()
    cancel_requested: bool = False
    error_type: str | None = None
    error_code: str | None = None
    error_text: str | None = None
    created_at: str = ""
    started_at: str | None = None
    first_report_at: str | None = None
    finished_at: str | None = None
    updated_at: str = ""
    seq: int = 0

    @property
    def ended(self) -> bool:
        """Return whether nothing more happens by itself."""
        return self.state in TERMINAL

    @property
    def track_status(self) -> dict[str, str]:
        """Return the status of each track."""
        return {"deep_research": self.deep_research, "ds_star": self.ds_star}

    @property
    def cost_usd(self) -> Decimal:
        """Return the money spent so far."""
        return from_nano(self.cost_nano)

    def attempt(self, track: str) -> int:
        """Return the number of the track's latest attempt; 0 when it was never dispatched."""
        return int(getattr(self, f"{track}_attempt"))


Change = dict[str, Any]


def _state(row: MissionRow, event: MissionEvent) -> Change:
    new = str(event.payload["new"])
    change: Change = {"state": new, "round": int(event.payload["round"])}
    if new == "RUNNING" and row.started_at is None:
        change["started_at"] = event.at.isoformat()
    if new in TERMINAL:
        change["finished_at"] = event.at.isoformat()
    if new == "PENDING":
        change |= {"finished_at": None, "error_type": None, "error_code": None, "error_text": None, "fusion": "pending"}
    if new == "FUSION":
        change["fusion"] = "running"
    return change


def _track(status: str) -> Callable[[MissionRow, MissionEvent], Change]:
    def change(row: MissionRow, event: MissionEvent) -> Change:
        return {str(event.track): status}

    return change


def _dispatched(row: MissionRow, event: MissionEvent) -> Change:
    return {str(event.track): "pending", f"{event.track}_attempt": int(event.attempt or 0)}


def _failed(row: MissionRow, event: MissionEvent) -> Change:
    return {str(event.track): str(event.payload["status"])}


def _version(row: MissionRow, event: MissionEvent) -> Change:
    partial = bool(event.payload["partial"])
    change: Change = {"version": int(event.payload["version"]), "partial": partial}
    change["fusion"] = "partial" if partial else "done"
    if row.first_report_at is None:
        change["first_report_at"] = event.at.isoformat()
    return change


def _plan(row: MissionRow, event: MissionEvent) -> Change:
    inputs = event.payload["inputs"]
    return {"library": inputs[0]} if event.payload["kind"] == "library" and inputs else {}


def _settled(row: MissionRow, event: MissionEvent) -> Change:
    return {
        "cost_nano": row.cost_nano + to_nano(Decimal(event.payload["usd"])),
        "input_tokens": row.input_tokens + int(event.payload["input_tokens"]),
        "output_tokens": row.output_tokens + int(event.payload["output_tokens"]),
        "calls": row.calls + 1,
    }


def _degraded(row: MissionRow, event: MissionEvent) -> Change:
    entry = (str(event.payload["cause"]), str(event.payload["text"]))
    return {} if entry in row.degraded else {"degraded": (*row.degraded, entry)}


def _decided(row: MissionRow, event: MissionEvent) -> Change:
    return {"cancel_requested": True} if event.payload["action"] == "cancel" else {}


def _finished(row: MissionRow, event: MissionEvent) -> Change:
    return {
        "error_type": event.payload["error_type"] or None,
        "error_code": event.payload["error_code"] or None,
        "error_text": event.payload["text"] or None,
    }


CHANGES: dict[str, Callable[[MissionRow, MissionEvent], Change]] = {
    "mission.state": _state,
    "track.dispatched": _dispatched,
    "track.started": _track("running"),
    "track.finished": _track("done"),
    "track.failed": _failed,
    "report.version": _version,
    "plan.step": _plan,
    "budget.settle": _settled,
    "degraded": _degraded,
    "human.decision": _decided,
    "mission.finished": _finished,
}


def fold_one(row: MissionRow | None, event: MissionEvent) -> MissionRow:
    """Return the row after one more event; the first event must be ``mission.created``."""
    at = event.at.isoformat()
    if row is None:
        if event.type != "mission.created":
            raise ValueError(f"the first event of a mission is mission.created, not {event.type}")
        return MissionRow(
            mission_id=event.mission_id,
            session_id=str(event.payload["session_id"]),
            knowledge_space=str(event.payload["knowledge_space"]),
            brief=str(event.payload["brief"]),
            created_at=at,
            updated_at=at,
            seq=event.seq,
        )
    change = CHANGES.get(event.type)
    return replace(row, updated_at=at, seq=event.seq, **(change(row, event) if change else {}))


def fold(events: Iterable[MissionEvent]) -> MissionRow:
    """Return the row that a mission's events, in order, add up to; ValueError when there are none."""
    row: MissionRow | None = None
    for event in events:
        row = fold_one(row, event)
    if row is None:
        raise ValueError("a mission has at least its mission.created event")
    return row
