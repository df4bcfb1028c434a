"""The audit chain of a home."""

from __future__ import annotations

from kimera.guardian.audit import AuditLog
from kimera.missions.control.home import Home
from kimera.storage.audit import AuditRows

__all__ = ["audit"]


def audit(home: Home) -> AuditLog:
    """Return the audit chain of a home."""
    return AuditLog(AuditRows(home.database))
