"""A track is a fixed row of phases; the control plane runs each as one durable step.

A phase is a plain function ``(context, state) -> state``. State is JSON-safe and is all that survives a crash between
two phases, so the same context and state must always give the same next state (no clock, no random, no environment).
The state returned by the last phase holds the package under ``"package"``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from kimera.knowledge.contracts import Library
from kimera.missions.contracts import Handoff, MissionOptions, Package, TrackName
from kimera.storage.blobs import Blobs

__all__ = ["Phase", "State", "Track", "TrackContext"]

State = dict[str, Any]


def _ignore(event_type: str, payload: dict[str, Any]) -> None:
    return None


def _go_on() -> bool:
    return False


@dataclass(frozen=True)
class TrackContext:
    """What a phase may use.

    ``started_at`` is the recorded start of the attempt (use it for every ``created_at``); ``emit`` records a mission
    event; ``should_stop`` turns true when the mission is cancelled or out of time (check it in long loops and return
    what there is); ``inbox`` holds the other track's handoffs known when the phase began.
    """

    mission_id: str
    session_id: str
    knowledge_space: str
    attempt: int
    question: str
    options: MissionOptions
    library: Library
    blobs: Blobs
    started_at: datetime
    emit: Callable[[str, dict[str, Any]], None] = field(default=_ignore)
    should_stop: Callable[[], bool] = field(default=_go_on)
    inbox: tuple[Handoff, ...] = ()


@dataclass(frozen=True)
class Phase:
    """One named step of a track."""

    name: str
    run: Callable[[TrackContext, State], State]


class Track(Protocol):
    """What the control plane needs of a track."""

    name: TrackName
    phases: tuple[Phase, ...]
    shows_after: str | None
    """Name of the phase after which `partial` may have something worth a first report; None for no first look."""

    def partial(self, context: TrackContext, state: State) -> Package | None:
        """Return a usable package from an unfinished state, or None if there is nothing to show yet."""

    def outbox(self, state: State) -> tuple[Handoff, ...]:
        """Return the handoffs this state offers to the other track."""
