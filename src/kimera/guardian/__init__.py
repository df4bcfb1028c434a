"""Is it reliable (`tau`), is it inert and free of secrets (`checks`), what may it steer (`Label`), what was decided."""

from kimera.guardian import audit, checks, tau
from kimera.guardian.audit import AuditEvent, AuditLog
from kimera.guardian.labels import Integrity, Label, Secrecy, join
from kimera.guardian.redaction import redactor

__all__ = [
    "AuditEvent",
    "AuditLog",
    "Integrity",
    "Label",
    "Secrecy",
    "audit",
    "checks",
    "join",
    "redactor",
    "tau",
]
