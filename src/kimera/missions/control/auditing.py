"""The audit chain of a home: what people and gateways decided, beside what missions record about themselves."""

from __future__ import annotations

import os

from kimera import telemetry
from kimera.guardian.audit import Anchor, AuditEvent, AuditLog
from kimera.missions.control.home import Home
from kimera.storage.audit import AuditRows

__all__ = ["audit", "note"]


def audit(home: Home) -> AuditLog:
    """Return the audit chain of a home."""
    return AuditLog(AuditRows(home.database))


def note(home: Home, action: str, subject: str, *, actor: str | None = None, decision: str = "allow") -> Anchor:
    """Record that somebody did something to ``subject``; without ``actor`` it is the user this process runs as."""
    event = AuditEvent(
        actor=actor or f"uid:{os.getuid()}",
        role="operator",
        action=action,
        decision=decision,
        subject=subject,
        request_id=telemetry.current().request_id[:64],
    )
    return audit(home).append(event)
