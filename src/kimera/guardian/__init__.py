"""Is it reliable (`tau`), is what it shows inert (`checks`). The full Safeguard is not part of this version."""

from kimera.guardian import checks, tau

__all__ = ["checks", "tau"]
