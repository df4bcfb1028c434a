"""Small rules that compose, and one way to clean text that came from outside.

No message and no log line made here ever holds the rejected value.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
import unicodedata
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Literal, Protocol, Self, Union, cast, get_args, get_origin

from kimera.errors import ValidationError

__all__ = [
    "Email",
    "InRange",
    "MaxLength",
    "MinLength",
    "NotEmpty",
    "OneOf",
    "Pattern",
    "ValidationRule",
    "Validator",
    "sanitize_text",
    "validate_type",
    "with_validation",
]


class ValidationRule(Protocol):
    """A callable that says whether a value passes; its ``repr`` reads as the rule."""

    def __call__(self, value: Any) -> bool:
        """Return whether ``value`` passes."""


class _Rule:
    message = "is not valid"

    def __init__(self, **shown: Any) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self._shown.items())})"


def _length(value: Any) -> int | None:
    try:
        return len(value)
    except TypeError:
        return None


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} takes a whole number of 0 or more, not {value!r}.")
    return value


class MinLength(_Rule):
    """At least ``n`` characters or items; a value without a length fails."""

    def __init__(self, n: int) -> None:
        self.n = _count("MinLength", n)
        self.message = f"must have at least {n} characters or items"
        super().__init__(n=n)

    def __call__(self, value: Any) -> bool:
        size = _length(value)
        return size is not None and size >= self.n


class MaxLength(_Rule):
    """At most ``n`` characters or items; a value without a length fails."""

    def __init__(self, n: int) -> None:
        self.n = _count("MaxLength", n)
        self.message = f"must have at most {n} characters or items"
        super().__init__(n=n)

    def __call__(self, value: Any) -> bool:
        size = _length(value)
        return size is not None and size <= self.n


class Pattern(_Rule):
    """The whole text matches the regular expression."""

    def __init__(self, regex: str | re.Pattern[str], description: str = "") -> None:
        self.regex = re.compile(regex)
        self.message = f"must match {description or self.regex.pattern}"
        super().__init__(regex=self.regex.pattern, **({"description": description} if description else {}))

    def __call__(self, value: Any) -> bool:
        return isinstance(value, str) and self.regex.fullmatch(value) is not None


class NotEmpty(_Rule):
    """Not None, not blank, not an empty container; 0 and False are values."""

    message = "must not be empty"

    def __call__(self, value: Any) -> bool:
        if value is None:
            return False
        if isinstance(value, str):
            return bool(value.strip())
        size = _length(value)
        return size is None or size > 0


class InRange(_Rule):
    """A real number between ``lo`` and ``hi``, both included; no booleans, no text, no NaN."""

    def __init__(self, lo: float, hi: float) -> None:
        if not lo <= hi:
            raise ValueError("InRange takes a lower bound that is not above the upper one.")
        self.lo, self.hi = lo, hi
        self.message = f"must be between {lo} and {hi}"
        super().__init__(lo=lo, hi=hi)

    def __call__(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.lo <= value <= self.hi


class OneOf(_Rule):
    """One of the given values; True is not 1."""

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = tuple(values)
        self.message = f"must be one of {', '.join(map(str, self.values))}"
        super().__init__(values=self.values)

    def __call__(self, value: Any) -> bool:
        return any(_same(value, allowed) for allowed in self.values)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)


class Email(_Rule):
    """An ASCII address: one @, local part of 1 to 64 without stray dots, a dotted domain, at most 254 characters."""

    message = "must be an e-mail address"

    def __call__(self, value: Any) -> bool:
        if not isinstance(value, str) or len(value) > 254 or value.count("@") != 1:
            return False
        local, domain = value.split("@")
        labels = domain.split(".")
        return (
            len(local) <= 64
            and _LOCAL.fullmatch(local) is not None
            and len(labels) >= 2
            and all(_LABEL.fullmatch(label) for label in labels)
        )


class Validator:
    """A chain of rules for one field. ``validate`` collects every failure in order; ``check`` raises them."""

    def __init__(self, field_name: str = "") -> None:
        self.field_name = field_name
        self._rules: list[tuple[Callable[[Any], bool], str]] = []

    def min_length(self, n: int) -> Self:
        """Add `MinLength`."""
        return self.add_rule(MinLength(n))

    def max_length(self, n: int) -> Self:
        """Add `MaxLength`."""
        return self.add_rule(MaxLength(n))

    def pattern(self, regex: str | re.Pattern[str], description: str = "") -> Self:
        """Add `Pattern`."""
        return self.add_rule(Pattern(regex, description))

    def not_empty(self) -> Self:
        """Add `NotEmpty`."""
        return self.add_rule(NotEmpty())

    def in_range(self, lo: float, hi: float) -> Self:
        """Add `InRange`."""
        return self.add_rule(InRange(lo, hi))

    def one_of(self, values: Iterable[Any]) -> Self:
        """Add `OneOf`."""
        return self.add_rule(OneOf(values))

    def is_email(self) -> Self:
        """Add `Email`."""
        return self.add_rule(Email())

    def add_rule(self, rule: Callable[[Any], bool], message: str | None = None) -> Self:
        """Add any callable that returns whether the value passes."""
        if not callable(rule):
            raise TypeError("add_rule takes a callable that returns whether the value passes.")
        self._rules.append((rule, message or getattr(rule, "message", None) or f"fails {rule!r}"))
        return self

    def validate(self, value: Any) -> tuple[bool, list[str]]:
        """Return ``(ok, errors)``; a rule that raises counts as failed."""
        prefix = f"{self.field_name} " if self.field_name else ""
        errors = [prefix + message for rule, message in self._rules if not _passes(rule, value)]
        return not errors, errors

    def check(self, value: Any) -> Any:
        """Return ``value`` or raise `ValidationError` naming the field and every failure."""
        ok, errors = self.validate(value)
        if not ok:
            raise ValidationError("; ".join(errors) + ".", field=self.field_name or None)
        return value


def _passes(rule: Callable[[Any], bool], value: Any) -> bool:
    try:
        return bool(rule(value))
    except Exception:  # noqa: BLE001 - a rule is foreign code and its failure is an answer
        return False


Check = Callable[[Any], bool] | Validator


def with_validation(**validators: Check) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Check the named arguments before each call of a sync or async function, defaults filled in.

    Raises TypeError at decoration for names the function does not take, `ValidationError` (``.errors`` holds
    ``(name, message)`` pairs) at the call.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        unknown = sorted(set(validators) - set(signature.parameters))
        if unknown and not open_ended:
            raise TypeError(f"{function.__qualname__} takes no argument named {', '.join(unknown)}.")
        check = _argument_check(signature, validators)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def call_async(*args: Any, **kwargs: Any) -> Any:
                """Check, then call."""
                check(args, kwargs)
                return await function(*args, **kwargs)

            return call_async

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            check(args, kwargs)
            return function(*args, **kwargs)

        return call

    return decorate


def _argument_check(
    signature: inspect.Signature, validators: dict[str, Check]
) -> Callable[[tuple[Any, ...], dict[str, Any]], None]:
    gather = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = {**bound.arguments, **(bound.arguments.get(gather, {}) if gather else {})}
        errors = [
            (name, message)
            for name, validator in validators.items()
            if name in values
            for message in _failures(name, validator, values[name])
        ]
        if errors:
            raise ValidationError(
                "; ".join(message for _, message in errors) + ".",
                field=errors[0][0] if len({name for name, _ in errors}) == 1 else None,
                errors=tuple(errors),
            )

    return check


def _failures(name: str, validator: Check, value: Any) -> list[str]:
    if isinstance(validator, Validator):
        if validator.field_name:
            return validator.validate(value)[1]
        return [f"{name} {message}" for message in validator.validate(value)[1]]
    return Validator(name).add_rule(validator).validate(value)[1]


def validate_type(value: Any, expected: Any) -> bool:
    """Return whether ``value`` has the type, looking into lists, dicts, tuples, unions, Optional, Literal and Any.

    Like isinstance, but True is no int.
    """
    if expected is Any:
        return True
    if expected is None or expected is type(None):
        return value is None
    origin = get_origin(expected)
    if origin is Literal:
        return any(_same(value, allowed) and type(value) is type(allowed) for allowed in get_args(expected))
    if origin in {Union, types.UnionType}:
        return any(validate_type(value, part) for part in get_args(expected))
    if origin is not None:
        return isinstance(value, origin) and _contents(value, origin, get_args(expected))
    if expected in {int, float} and isinstance(value, bool):
        return False
    return isinstance(value, cast("type[Any]", expected))


def _contents(value: Any, origin: type[Any], parts: tuple[Any, ...]) -> bool:
    if not parts:
        return True
    if issubclass(origin, dict):
        return all(validate_type(k, parts[0]) and validate_type(v, parts[1]) for k, v in value.items())
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return all(validate_type(item, parts[0]) for item in value)
        return len(value) == len(parts) and all(map(validate_type, value, parts))
    if issubclass(origin, typing.Collection):
        return all(validate_type(item, parts[0]) for item in value)
    return True


_DROPPED = frozenset(
    [
        *(code for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\n\t\r"),
        *range(0xD800, 0xE000),
        *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
        *(0x00AD, 0x200B, *range(0x2060, 0x2065), 0xFEFF),
    ]
)
_DROP_TABLE = dict.fromkeys(_DROPPED)
_JOINERS = re.compile("[\u200c\u200d]+")


def sanitize_text(text: str, max_length: int = 10_000) -> str:
    """Return ``text`` in NFC without control characters, surrogates and invisible or direction-changing marks.

    Cut to ``max_length`` code points without splitting a base from its marks, joiners, variation selectors, skin tone,
    or a flag. Idempotent. It is no defence against script or prompt injection: escape where you show, label where you
    use.
    """
    if not isinstance(text, str):
        raise TypeError(f"sanitize_text takes text, not {type(text).__name__}.")
    if max_length < 0:
        raise ValueError("max_length must be 0 or more.")
    clean = unicodedata.normalize("NFC", text.translate(_DROP_TABLE))
    clean = unicodedata.normalize("NFC", _keep_joiners_inside(clean)).strip()
    return _cut(clean, max_length).strip()


def _keep_joiners_inside(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
        inside = before and after and not any(c.isascii() or c.isspace() for c in before + after)
        return match.group()[0] if inside else ""

    return _JOINERS.sub(replace, text)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    end = limit
    while end > 0 and _sticks(text, end):
        end -= 1
    # a run of joiners may not end the text: without a right neighbour it would be dropped on the next pass
    while end > 0 and text[end - 1] in "\u200c\u200d":
        end -= 1
    return text[:end]


def _sticks(text: str, position: int) -> bool:
    here, before = text[position], text[position - 1]
    if unicodedata.combining(here) or unicodedata.category(here) in {"Mn", "Me", "Mc"}:
        return True
    if here in "\u200c\u200d" or before == "\u200d" or 0x1F3FB <= ord(here) <= 0x1F3FF:
        return True
    if _regional(here) and _regional(before):
        run = 0
        while run < position and _regional(text[position - 1 - run]):
            run += 1
        return run % 2 == 1
    return False


def _regional(character: str) -> bool:
    return 0x1F1E6 <= ord(character) <= 0x1F1FF
