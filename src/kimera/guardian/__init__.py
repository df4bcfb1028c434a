"""Is it reliable (`tau`), is what it shows inert and free of secrets (`checks`), what was decided (`audit`)."""

from kimera.guardian import checks, tau
from kimera.guardian.redaction import redactor

__all__ = ["checks", "redactor", "tau"]
