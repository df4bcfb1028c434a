"""Is it reliable (`tau`), is what it shows inert (`checks`), what may it steer (`Label`).

The full Safeguard is not part of this version.
"""

from kimera.guardian import checks, tau
from kimera.guardian.labels import Integrity, Label, Secrecy, join

__all__ = ["Integrity", "Label", "Secrecy", "checks", "join", "tau"]
