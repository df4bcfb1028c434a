"""What is hidden in every log line: configured secrets by value, credentials by shape, personal data by form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from kimera.guardian.checks import pii, secrets
from kimera.guardian.checks.canary import CanarySet
from kimera.settings import Settings

__all__ = ["configured_secrets", "redactor"]


def redactor(settings: Settings, also: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Return the function that `telemetry` runs over every text before it is written anywhere.

    Every secret setting is found by value in any disguise, ``also`` the values given here (a mission's canary). Values
    with fewer than eight characters would be found in honest words; they are hidden only where their shape tells.
    """
    canaries = CanarySet(value for value in (*configured_secrets(settings), *also) if CanarySet.accepts(value))

    def redact(text: str) -> str:
        return pii.redact(secrets.redact(canaries.redact(text)))

    return redact


def configured_secrets(settings: Settings) -> list[str]:
    """Return the values of all secret settings; of an address with a password both the whole and the password."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found += _parts(value.get_secret_value())
    return list(dict.fromkeys(found))


def _parts(value: str) -> Iterator[str]:
    if "://" not in value:
        yield value
        return
    try:
        password = urlsplit(value).password
    except ValueError:
        password = None
    # an address without a password says only where a server is, which an error message must be able to say
    if password:
        yield from (value, password, unquote(password))
