"""How missions ended: one record per ended round, the protocol of where they are kept, and such a place in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Cause", "Ending", "MemoryOutcomes", "Outcome", "OutcomeStore"]

Ending = Literal["done", "degraded", "partial", "failed", "cancelled"]
Cause = Literal["none", "provider_outage", "budget", "input", "timeout", "internal"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one round of a mission ended. Instants are seconds since 1970; a retried mission has a record per round.

    ``outcome``: done without a flag, degraded with causes, partial, failed or cancelled. ``cause`` is that of the
    round's first error. ``orchestration_seconds`` is the control plane's own time: waiting in a queue and the work of
    the tracks are left out. None is what was not measured or did not happen.
    """

    mission_id: str
    round: int
    outcome: Ending
    cause: Cause
    accepted_at: float
    ended_at: float
    first_report_seconds: float | None = None
    orchestration_seconds: float | None = None
    queue_seconds: float | None = None


class OutcomeStore(Protocol):
    """A place that keeps outcomes; written with the final state itself, so only read here."""

    def between(self, start: float, end: float) -> Sequence[Outcome]:
        """Return what ended from ``start`` up to before ``end``, by end."""


class MemoryOutcomes:
    """Outcomes in this process's memory."""

    def __init__(self, held: Sequence[Outcome] = ()) -> None:
        self.held = list(held)

    def between(self, start: float, end: float) -> Sequence[Outcome]:
        """Return what ended in this time, by end."""
        return sorted(self._inside(start, end), key=lambda one: (one.ended_at, one.mission_id, one.round))

    def _inside(self, start: float, end: float) -> Iterator[Outcome]:
        return (one for one in self.held if start <= one.ended_at < end)
