"""Is it reliable (`tau`), is what it shows inert and free of secrets (`checks`), what was decided (`audit`)."""

from kimera.guardian import audit, checks, tau
from kimera.guardian.audit import AuditEvent, AuditLog
from kimera.guardian.redaction import redactor

__all__ = ["AuditEvent", "AuditLog", "audit", "checks", "redactor", "tau"]
