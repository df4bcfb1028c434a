"""What is hidden in every log line: configured secrets by value, credentials by shape, personal data by form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kimera.errors import ConfigurationError
from kimera.guardian.checks import pii, secrets
from kimera.guardian.checks.canary import CanarySet
from kimera.settings import Settings
from kimera.telemetry.recording.redaction import configured_secrets

__all__ = ["redactor"]


def redactor(settings: Settings, also: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Return the function that `telemetry` runs over every text before it is written anywhere.

    Every secret setting is found by value in any disguise, ``also`` the values given here (a mission's canary). Values
    with fewer than eight characters would be found in honest words; they are hidden only where their shape tells.
    Raises `ConfigurationError` when the file of further secret rules cannot be used.
    """
    secrets.use_rules(_further_rules(settings.secret_rules))
    canaries = CanarySet(value for value in (*configured_secrets(settings), *also) if CanarySet.accepts(value))

    def redact(text: str) -> str:
        return pii.redact(secrets.redact(canaries.redact(text)))

    return redact


def _further_rules(path: Path | None) -> tuple[secrets.Rule, ...]:
    if path is None:
        return ()
    try:
        return secrets.load_rules(path.expanduser().read_text("utf-8"))
    except OSError as refused:
        problem = refused.strerror or "it cannot be read"
    except KeyError as missing:
        problem = f"a rule has no {missing.args[0]}"
    except (ValueError, TypeError) as wrong:
        problem = str(wrong)
    raise ConfigurationError(f"KIMERA_SECRET_RULES: {problem}; mend the file or unset it.", "secret_rules")
