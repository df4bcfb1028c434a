"""Known secrets in any common disguise: `CanarySet` finds configured values and a mission's canary by value.

Text and values are brought to the same plain forms and then compared exactly, so that nothing depends on the shape of a
secret. Forms: case-folded without white space, zero-width characters and ``-_.`` (also backwards, also after undoing
percent escapes), base64 in either alphabet at its three alignments, hex with or without separators.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from kimera.errors import ConfigurationError
from kimera.guardian.checks.findings import Hit, hit

__all__ = ["MIN_LENGTH", "CanarySet", "Watch"]

MIN_LENGTH = 8
UNESCAPINGS = 4

INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"


class _Drop:
    """Characters to leave out, or a pattern; for ASCII text of single characters as one table, ten times as fast."""

    def __init__(self, pattern: str, characters: bool = True) -> None:
        self.pattern = re.compile(f"{pattern}+" if characters else pattern)
        self.table = bytes(code for code in range(128) if characters and self.pattern.match(chr(code)))

    def from_text(self, text: str) -> str:
        """Return the text without them."""
        if self.table and text.isascii():
            return text.encode("ascii").translate(None, self.table).decode("ascii")
        return self.pattern.sub("", text)


FILLING = _Drop(rf"[\s\-_.{INVISIBLE}]")
BLANK = _Drop(rf"[\s{INVISIBLE}]")
NOT_ALPHANUMERIC = _Drop(r"[^A-Za-z0-9]")
HEX_PREFIX = _Drop(r"0[xX]", characters=False)
NOT_HEX = _Drop(r"[^0-9a-f]")
ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
URL_ALPHABET = str.maketrans("-_", "+/")


@dataclass(frozen=True)
class _Needles:
    plain: tuple[str, ...]
    base64: tuple[str, ...]
    alphanumeric: tuple[str, ...]
    hex: tuple[str, ...]


class CanarySet:
    """Values that must not leave, found raw, case-folded, reversed, encoded or pulled apart."""

    def __init__(self, values: Iterable[str], min_length: int = MIN_LENGTH, rule: str = "SECRET_EXACT") -> None:
        self.rule = rule
        given = list(dict.fromkeys(values))
        short = sum(not self.accepts(value, min_length) for value in given)
        if short:
            raise ConfigurationError(
                f"{short} of {len(given)} secrets to watch for have fewer than {min_length} characters besides "
                "spaces and -_. and would be found everywhere; use longer secrets.",
                "canary",
            )
        self._needles = _needles(given)
        self.window = max((_longest_form(value) for value in given), default=0)

    @staticmethod
    def accepts(value: str, min_length: int = MIN_LENGTH) -> bool:
        """Return whether a value is long enough to be watched for."""
        return len(value) >= min_length and len(_squeezed(value)) >= min_length

    def scan(self, text: str) -> list[Hit]:
        """Return where a value stands in ``text``; positions span the disguise, with its separators."""
        if not self._needles.plain:
            return []
        spans: set[tuple[int, int]] = set()
        for form, needles in self._forms(text):
            plain = form(_Plain(text)).text
            present = [needle for needle in needles if needle in plain]
            if present:
                traced = form(_Traced.of(text))
                spans |= {span for needle in present for span in traced.places(needle)}
        return [hit(self.rule, text, start, end) for start, end in _joined(spans)]

    def found(self, text: str) -> bool:
        """Return whether any value is in ``text``; cheaper than `scan`."""
        for form, needles in self._forms(text):
            plain = form(_Plain(text)).text
            if any(needle in plain for needle in needles):
                return True
        return False

    def redact(self, text: str) -> str:
        """Return ``text`` with each value as ``[REDACTED:rule]``."""
        if not self.found(text):
            return text
        for one in reversed(self.scan(text)):
            text = f"{text[: one.start]}[REDACTED:{one.rule}]{text[one.end :]}"
        return text

    def watch(self) -> Watch:
        """Return a scanner for text that comes in chunks."""
        return Watch(self)

    def _forms(self, text: str) -> Iterator[tuple[Callable[[_Form], _Form], tuple[str, ...]]]:
        needles = self._needles
        yield _plain, needles.plain
        if "%" in text:
            yield _unescaped, needles.plain
        yield _base64, needles.base64
        yield _alphanumeric, needles.alphanumeric
        yield _hex, needles.hex


class Watch:
    """Chunks of one text: a value is found whatever the cuts, as long as its form fits the window."""

    def __init__(self, canaries: CanarySet) -> None:
        self.canaries = canaries
        self._tail = ""

    def feed(self, chunk: str) -> bool:
        """Return whether a value ends in ``chunk``, seen together with the end of what came before."""
        seen = self._tail + chunk
        self._tail = seen[-self.canaries.window :] if self.canaries.window else ""
        return self.canaries.found(seen)


class _Form:
    """A text on its way to a plain form."""

    text: str

    def without(self, drop: _Drop) -> _Form:
        """Leave characters out."""
        raise NotImplementedError

    def mapped(self, change: Callable[[str], str]) -> _Form:
        """Change characters one by one."""
        raise NotImplementedError

    def unescaped(self) -> _Form:
        """Undo percent escapes once."""
        raise NotImplementedError

    def places(self, needle: str) -> Iterator[tuple[int, int]]:
        """Yield where in the original text each occurrence begins and ends."""
        raise NotImplementedError


class _Plain(_Form):
    """The form alone; what every text goes through."""

    def __init__(self, text: str) -> None:
        self.text = text

    def without(self, drop: _Drop) -> _Form:
        return _Plain(drop.from_text(self.text))

    def mapped(self, change: Callable[[str], str]) -> _Form:
        return _Plain(change(self.text))

    def unescaped(self) -> _Form:
        return _Plain(ESCAPES.sub(_decoded, self.text))


class _Traced(_Form):
    """The form with the place each of its characters came from; only made for a text that holds a value."""

    def __init__(self, pieces: list[tuple[str, int, int]]) -> None:
        self.pieces = [(one, start, end) for text, start, end in pieces for one in text]
        self.text = "".join(one for one, _, _ in self.pieces)

    @classmethod
    def of(cls, text: str) -> _Traced:
        """Return the text itself."""
        return cls([(one, place, place + 1) for place, one in enumerate(text)])

    def places(self, needle: str) -> Iterator[tuple[int, int]]:
        at = self.text.find(needle)
        while at >= 0:
            held = self.pieces[at : at + len(needle)]
            yield min(start for _, start, _ in held), max(end for _, _, end in held)
            at = self.text.find(needle, at + 1)

    def without(self, drop: _Drop) -> _Form:
        kept, place = [], 0
        for match in drop.pattern.finditer(self.text):
            kept += self.pieces[place : match.start()]
            place = match.end()
        return _Traced(kept + self.pieces[place:])

    def mapped(self, change: Callable[[str], str]) -> _Form:
        return _Traced([(change(one), start, end) for one, start, end in self.pieces])

    def unescaped(self) -> _Form:
        changed, place = [], 0
        for match in ESCAPES.finditer(self.text):
            held = self.pieces[match.start() : match.end()]
            changed += self.pieces[place : match.start()]
            changed.append((_decoded(match), held[0][1], held[-1][2]))
            place = match.end()
        return _Traced(changed + self.pieces[place:])


def _decoded(match: re.Match[str]) -> str:
    return unquote_to_bytes(match.group()).decode("utf-8", "replace")


def _plain(form: _Form) -> _Form:
    return form.without(FILLING).mapped(str.casefold)


def _unescaped(form: _Form) -> _Form:
    for _ in range(UNESCAPINGS):
        form = form.unescaped()
    return _plain(form)


def _base64(form: _Form) -> _Form:
    return form.without(BLANK).mapped(lambda text: text.translate(URL_ALPHABET))


def _alphanumeric(form: _Form) -> _Form:
    return form.without(NOT_ALPHANUMERIC)


def _hex(form: _Form) -> _Form:
    return form.without(HEX_PREFIX).mapped(str.lower).without(NOT_HEX)


def _squeezed(value: str) -> str:
    return _plain(_Plain(value)).text


def _needles(values: list[str]) -> _Needles:
    plain, encoded, bare, digits = [], [], [], []
    for value in values:
        squeezed = _squeezed(value)
        undone = _unescaped(_Plain(value)).text
        plain += [squeezed, _squeezed(value[::-1])]
        if len(undone) >= MIN_LENGTH:
            plain.append(undone)
        for core in _base64_cores(value):
            encoded.append(core)
            alphanumeric = NOT_ALPHANUMERIC.from_text(core)
            if len(alphanumeric) >= MIN_LENGTH:
                bare.append(alphanumeric)
        digits.append(value.encode("utf-8", "surrogatepass").hex())
    return _Needles(*(tuple(dict.fromkeys(words)) for words in (plain, encoded, bare, digits)))


def _base64_cores(value: str) -> Iterator[str]:
    """Yield the characters that every base64 text holding the value has, for the three places it can begin at.

    A character stands for six bits; those that share bits with what comes before or after are left out.
    """
    data = value.encode("utf-8", "surrogatepass")
    for shift, shared in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(bytes(shift) + data).decode("ascii")
        yield text[shared : (shift + len(data)) * 8 // 6]


def _longest_form(value: str) -> int:
    """Return how many characters the longest usual disguise has: each byte an escape, each escape set apart."""
    return 2 * 3 * len(value.encode("utf-8", "surrogatepass")) + 8


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans by position, overlapping ones as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
