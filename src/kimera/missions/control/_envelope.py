"""Who a mission's work is for: bound around every step, whichever process and thread runs it.

The envelope is stored with the brief, so it survives a kill and reaches any worker that takes the mission.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kimera import telemetry
from kimera.errors import StorageError
from kimera.missions.control.home import Home

__all__ = ["Envelope", "at_work", "read_envelope"]


@dataclass(frozen=True)
class Envelope:
    """What travels with a mission: the request that asked for it and the span that accepted it."""

    mission_id: str
    request_id: str | None = None
    session_id: str | None = None
    traceparent: str | None = None


def read_envelope(home: Home, mission_id: str) -> Envelope:
    """Return the envelope of a mission; without a database that answers, only its id."""
    try:
        brief, row = home.missions.brief(mission_id), home.missions.get(mission_id)
    except StorageError:
        return Envelope(mission_id)
    return Envelope(mission_id, brief.request_id, row.session_id, brief.traceparent)


@contextmanager
def at_work(envelope: Envelope, track: str | None = None, attempt: int | None = None) -> Iterator[None]:
    """Bind an envelope, and the attempt it is about, for the length of the block."""
    with telemetry.bind(
        request_id=envelope.request_id,
        mission_id=envelope.mission_id,
        session_id=envelope.session_id,
        track=track,
        attempt=attempt,
        traceparent=envelope.traceparent,
    ):
        yield
