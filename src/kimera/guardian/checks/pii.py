"""Personal data by its form: e-mail, IBAN, card, IP address, US social security number, phone.

Names and postal addresses are not found: they have no form. Phone numbers need the package ``phonenumbers``; without
it `unavailable` says so. Loopback and unspecified addresses identify nobody and are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module, util
from ipaddress import ip_address
from typing import Any

from kimera.guardian.checks.findings import Hit, hit

__all__ = ["REGIONS", "RULES", "find", "redact", "unavailable"]

RULES = ("EMAIL", "IBAN", "CARD", "IP", "US_SSN", "PHONE")
REGIONS = ("US", "GB", "DE", "FR")
"""Countries whose national phone numbers are tried when no others are named."""

EMAIL = r"\b[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}\b"
IBAN = r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"
CARD = r"\b[2-6](?:[ -]?[0-9]){12,18}\b"
IPV4 = r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b"
IPV6 = (
    r"(?i)(?:^|[^0-9a-z:.])((?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?)(?:[^0-9a-z:]|\z)"
)
SSN = r"\b([0-9]{3})-([0-9]{2})-([0-9]{4})\b"
DIGITS = re.compile(r"[^0-9]+")
SPREAD = re.compile(r"[ -]")
DECIMAL_BEFORE, DECIMAL_AFTER = re.compile(r"[0-9][.,]$"), re.compile(r"^[.,][0-9]")

Span = tuple[int, int]


def find(text: str, regions: Sequence[str] = REGIONS) -> list[Hit]:
    """Return personal data by position; of overlapping finds the earlier rule of `RULES` counts.

    ``regions`` are ISO country codes whose national phone numbers are recognised.
    """
    data = text.encode("ascii", "replace")  # one byte per character; every form here is ASCII
    kept: list[tuple[int, int, str]] = []
    for rule in sorted({PATTERNS[number][0] for number in _all_patterns().Match(data) or ()}, key=RULES.index):
        kept += _apart(kept, FINDERS[rule](data), rule)
    kept += _apart(kept, _phones(text, regions), "PHONE")
    return [hit(rule, text, start, end) for start, end, rule in sorted(kept)]


def _apart(kept: list[tuple[int, int, str]], spans: Iterable[Span], rule: str) -> list[tuple[int, int, str]]:
    return [(*span, rule) for span in spans if all(span[1] <= other[0] or other[1] <= span[0] for other in kept)]


def redact(text: str, regions: Sequence[str] = REGIONS) -> str:
    """Return ``text`` with each find as ``[REDACTED:rule]``."""
    for one in reversed(find(text, regions)):
        text = f"{text[: one.start]}[REDACTED:{one.rule}]{text[one.end :]}"
    return text


def unavailable() -> frozenset[str]:
    """Return the rules that cannot be tried on this installation."""
    return frozenset() if _has_phones() else frozenset({"PHONE"})


@cache
def _has_phones() -> bool:
    return util.find_spec("phonenumbers") is not None


@cache
def _all_patterns() -> Any:
    """Return one automaton that says which patterns occur at all; most log lines hold none."""
    import re2

    every = re2.Set.SearchSet()
    for _, pattern in PATTERNS:
        every.Add(pattern)
    every.Compile()
    return every


@cache
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern.encode("ascii"))


def _matches(pattern: str, data: bytes) -> Iterator[Any]:
    found: Iterable[Any] = _compiled(pattern).finditer(data)
    yield from found


def _emails(data: bytes) -> Iterator[Span]:
    yield from (match.span() for match in _matches(EMAIL, data))


def _ibans(data: bytes) -> Iterator[Span]:
    for match in _matches(IBAN, data):
        text = match.group().decode("ascii")
        # a word in capitals may follow the number as if it were its last group
        while " " in text and not _is_iban(text.replace(" ", "")):
            text = text.rpartition(" ")[0]
        if _is_iban(text.replace(" ", "")):
            yield match.start(), match.start() + len(text)


def _is_iban(text: str) -> bool:
    """Return whether the check digits hold (ISO 13616: letters as 10..35, remainder 1 modulo 97)."""
    turned = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(one, 36)) for one in turned)) % 97 == 1


def _cards(data: bytes) -> Iterator[Span]:
    for match in _matches(CARD, data):
        start, end = match.span()
        around = data[max(0, start - 2) : start].decode(), data[end : end + 2].decode()
        is_decimal = DECIMAL_BEFORE.search(around[0]) or DECIMAL_AFTER.search(around[1])
        if not is_decimal and _is_card(SPREAD.sub("", match.group().decode("ascii"))):
            yield start, end


def _is_card(digits: str) -> bool:
    """Return whether the check digit holds (ISO/IEC 7812, Luhn)."""
    doubled = (sum(divmod(2 * int(one), 10)) if place % 2 else int(one) for place, one in enumerate(reversed(digits)))
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and sum(doubled) % 10 == 0


def _addresses(data: bytes) -> Iterator[Span]:
    for match in _matches(IPV4, data):
        if _identifies(match.group().decode("ascii")):
            yield match.span()
    for match in _matches(IPV6, data):
        text = match.group(1).decode("ascii")
        # "abc::def" is a name in many languages; an address nobody wrote for fun has a digit
        if any(one.isdigit() for one in text) and _identifies(text):
            yield match.span(1)


def _identifies(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def _numbers(data: bytes) -> Iterator[Span]:
    for match in _matches(SSN, data):
        area, group, serial = (int(part) for part in match.groups())
        # never issued: area 000, 666 and from 900 on, group 00, serial 0000
        if area not in {0, 666} and area < 900 and group and serial:
            yield match.span()


def _phones(text: str, regions: Sequence[str]) -> Iterator[Span]:
    if not _has_phones() or sum(map(text.count, "0123456789")) < 7:
        return
    package = import_module("phonenumbers")
    for region in regions:
        for match in package.PhoneNumberMatcher(text, region):
            yield match.start, match.end


PATTERNS = (
    ("EMAIL", EMAIL),
    ("IBAN", IBAN),
    ("CARD", CARD),
    ("IP", IPV4),
    ("IP", IPV6),
    ("US_SSN", SSN),
)
FINDERS: dict[str, Callable[[bytes], Iterator[Span]]] = {
    "EMAIL": _emails,
    "IBAN": _ibans,
    "CARD": _cards,
    "IP": _addresses,
    "US_SSN": _numbers,
}
