"""What must not reach a log, a span or an event: configured secrets, credential-like fields, what the guardian knows.

Credential-shaped text is the registered redactor's business; the two rules here need no knowledge of shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from types import NoneType
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

__all__ = ["HIDDEN", "Redaction", "configured_secrets"]

HIDDEN = "[redacted]"
UNREADABLE = "[withheld: the redactor failed]"
SHORTEST = 4
"""A shorter secret occurs in innocent words; replacing it would only make logs unreadable."""

CREDENTIAL = re.compile(
    r"(?:^|[_\W])(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|auth(?:orization)?"
    r"|bearer|cookie|credentials?|dsn|signature|ticket)s?(?:$|[_\W])",
    re.IGNORECASE,
)
COUNTS = frozenset({"tokens", "input_tokens", "output_tokens", "cached_tokens"})
VERBATIM = frozenset(
    {
        "ts",
        "level",
        "event",
        "logger",
        "request_id",
        "mission_id",
        "session_id",
        "track",
        "attempt",
        "trace_id",
        "span_id",
        "method",
        "route",
        "key_id",
    }
)
"""Fields made by us from ids and names; only secrets by value are looked for in them."""

NUMBERS = frozenset({NoneType, bool, int, float})
MOST_NAMES = 1_000


class Redaction:
    """The rules that stand before every sink. ``failed`` counts texts that a raising redactor withheld."""

    def __init__(self, secrets: Iterable[str] = (), redactor: Callable[[str], str] | None = None) -> None:
        # the longest first, so that a secret inside another does not leave the other's rest behind
        self.secrets = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
        self.redactor = redactor
        self.failed = 0
        self._rules: dict[str, tuple[str, str]] = {}

    def text(self, words: str) -> str:
        """Return ``words`` without secrets and without what the redactor takes out."""
        words = self.by_value(words)
        if self.redactor is None:
            return words
        try:
            return self.redactor(words)
        except Exception:  # noqa: BLE001 - a redactor that fails must neither stop the work nor let the text pass
            self.failed += 1
            return UNREADABLE

    def by_value(self, words: str) -> str:
        """Return ``words`` without the configured secrets."""
        for secret in self.secrets:
            if secret in words:
                words = words.replace(secret, HIDDEN)
        return words

    def fields(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a log line or a span, redacted at any depth."""
        shown: dict[str, Any] = {}
        for name, value in line.items():
            known, rule = self._rules.get(name) or self._rule(name)
            if rule == "hide":
                shown[known] = HIDDEN
            elif type(value) in NUMBERS:
                shown[known] = value
            elif rule == "verbatim":
                shown[known] = self.by_value(value) if isinstance(value, str) else value
            else:
                shown[known] = self._value(value)
        return shown

    def payload(self, values: dict[str, Any], prose: Collection[str]) -> dict[str, Any]:
        """Return an event's payload: ``prose`` fields redacted in full, all others by value, for they are ids."""
        if not self.secrets and self.redactor is None:
            return values
        return {name: self._known(value, full=name in prose) for name, value in values.items()}

    def _known(self, value: Any, *, full: bool) -> Any:
        if isinstance(value, str):
            return self.text(value) if full else self.by_value(value)
        return [self._known(item, full=full) for item in value] if isinstance(value, list) else value

    def _rule(self, name: str) -> tuple[str, str]:
        """Return how a field of this name is shown, and what happens to its value; looked at once per name."""
        rule = "verbatim" if name in VERBATIM else "text"
        if name not in VERBATIM | COUNTS and CREDENTIAL.search(name):
            rule = "hide"
        found = self.by_value(name), rule
        if len(self._rules) < MOST_NAMES:  # names inside values come from data
            self._rules[name] = found
        return found

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return self.fields({str(name): item for name, item in value.items()})
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item) for item in value]
        return self.text(value if isinstance(value, str) else str(value))


def configured_secrets(settings: BaseModel) -> list[str]:
    """Return every secret of the settings: the values themselves and the passwords inside addresses."""
    found: list[str] = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            found.append(value.get_secret_value())
        elif isinstance(value, str) and (CREDENTIAL.search(name) or "://" in value):
            found += [] if "://" in value else [value]
            found += _passwords(value)
    return found + [password for value in found for password in _passwords(value)]


def _passwords(address: str) -> list[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return []
    return [] if not password else [password, unquote(password)]
