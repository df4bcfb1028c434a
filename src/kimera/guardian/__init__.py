"""Is it reliable (`tau`), is it inert and free of secrets (`checks`), what may it steer (`Label`), what was decided."""

from kimera.guardian import audit, checks, tau
from kimera.guardian.access import Denial, Denials, audited_keys
from kimera.guardian.audit import AuditEvent, AuditLog
from kimera.guardian.labels import Integrity, Label, Secrecy, join
from kimera.guardian.redaction import redactor

__all__ = [
    "AuditEvent",
    "AuditLog",
    "Denial",
    "Denials",
    "Integrity",
    "Label",
    "Secrecy",
    "audit",
    "audited_keys",
    "checks",
    "join",
    "redactor",
    "tau",
]
