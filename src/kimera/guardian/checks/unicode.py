"""Characters that a reader does not see but a program does (guardian.md section 4, the unicode table).

`strip` removes what can smuggle instructions or reorder the display and leaves honest text alone: emoji with one
variation selector or ZWJ, flags of England, Scotland and Wales, joiners in Arabic and Indic scripts.
"""

from __future__ import annotations

import re
import unicodedata

from kimera.guardian.checks.findings import Hit, hit

__all__ = ["STRIPPED", "scan", "strip"]

TAGS = "\U000e0000-\U000e007f"
FLAGS = tuple("".join(chr(0xE0000 + ord(c)) for c in code) + "\U000e007f" for code in ("gbeng", "gbsct", "gbwls"))
ZERO_WIDTH = "\u200b\u200c\u200d\u2060\u2061-\u2064\ufeff\u00ad\u180e"

TAG = re.compile(f"[{TAGS}]+")
ANSI = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]?"
)
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]+")
ZERO_WIDTH_RUN = re.compile(f"[{ZERO_WIDTH}]+")
BIDI_OVERRIDE = re.compile("[\u202d\u202e]")
BIDI_CONTROL = re.compile("[\u202a-\u202c\u2066-\u2069\u200e\u200f\u061c]")
PRIVATE_USE = re.compile("[\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd]")
WORD = re.compile(r"[^\W\d_]{4,}")
MIXING = ("CYRILLIC", "ARMENIAN", "CHEROKEE")

STRIPPED = frozenset(
    {
        "UNICODE_TAG_SMUGGLING",
        "VARIATION_SELECTOR_SMUGGLING",
        "ZERO_WIDTH_RUN",
        "ZERO_WIDTH_IN_WORD",
        "BIDI_OVERRIDE",
        "ANSI_ESCAPE",
        "CONTROL_CHARS",
    }
)
"""Rules whose matches `strip` removes; the others are only flagged."""


def scan(text: str) -> list[Hit]:
    """Return every hit of every rule, by position."""
    found = [*_escapes(text), *_tags(text), *_selectors(text), *_zero_width(text), *_bidi(text), *_scripts(text)]
    return sorted(found, key=lambda item: (item.start, item.end, item.rule))


def strip(text: str) -> tuple[str, list[Hit]]:
    """Return ``text`` without what the stripping rules match, and the hits on the text as it came in.

    Idempotent: scanning the result finds nothing that would be stripped again.
    """
    findings = scan(text)
    hits = [item for item in findings if item.rule in STRIPPED]
    while hits:
        text = _without(text, hits)
        # Removing one thing can join two others (an escape split by a zero-width character), so look again.
        hits = [item for item in scan(text) if item.rule in STRIPPED]
    return text, findings


def _without(text: str, hits: list[Hit]) -> str:
    kept, position = [], 0
    for item in hits:
        kept.append(text[position : max(position, item.start)])
        position = max(position, item.end)
    return "".join(kept) + text[position:]


def _escapes(text: str) -> list[Hit]:
    found = [hit("ANSI_ESCAPE", text, *match.span()) for match in ANSI.finditer(text)]
    rest = ANSI.sub(lambda match: " " * len(match.group()), text)
    return found + [hit("CONTROL_CHARS", text, *match.span()) for match in CONTROL.finditer(rest)]


def _tags(text: str) -> list[Hit]:
    found = []
    for match in TAG.finditer(text):
        start = match.start()
        if start and text[start - 1] == "\U0001f3f4":
            start += next((len(flag) for flag in FLAGS if match.group().startswith(flag)), 0)
        if start < match.end():
            found.append(hit("UNICODE_TAG_SMUGGLING", text, start, match.end()))
    return found


def _selectors(text: str) -> list[Hit]:
    found = []
    for match in SELECTORS.finditer(text):
        start, end = match.span()
        supplementary = any(ord(character) >= 0xE0100 for character in match.group())
        if end - start >= 2 or (supplementary and not (start and _is_ideograph(text[start - 1]))):
            found.append(hit("VARIATION_SELECTOR_SMUGGLING", text, start, end))
    return found


def _is_ideograph(character: str) -> bool:
    return unicodedata.name(character, "").startswith("CJK ")


def _zero_width(text: str) -> list[Hit]:
    runs = [match.span() for match in ZERO_WIDTH_RUN.finditer(text)]
    runs = [(start, end) for start, end in runs if not _is_joiner(text, start, end)]
    too_many = sum(end - start for start, end in runs) > max(8, len(text) // 200)
    found = []
    for start, end in runs:
        if end - start >= 3 or too_many:
            found.append(hit("ZERO_WIDTH_RUN", text, start, end))
        elif start and end < len(text) and _is_latin(text[start - 1]) and _is_latin(text[end]):
            found.append(hit("ZERO_WIDTH_IN_WORD", text, start, end))
    return found


def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith("LATIN ")


def _is_joiner(text: str, start: int, end: int) -> bool:
    """Return whether one ZWJ or ZWNJ stands where its script or an emoji needs it."""
    if end - start != 1 or text[start] not in "\u200c\u200d" or not start or end >= len(text):
        return False
    before, after = text[start - 1], text[end]
    if text[start] == "\u200d" and _is_pictograph(before) and _is_pictograph(after):
        return True
    return _joins(before) and (_joins(after) or after.isspace())


def _is_pictograph(character: str) -> bool:
    return unicodedata.category(character) in {"So", "Sk"} or character == "\ufe0f"


JOINING = (
    "ARABIC ",
    "BENGALI ",
    "DEVANAGARI ",
    "GUJARATI ",
    "GURMUKHI ",
    "KANNADA ",
    "MALAYALAM ",
    "MONGOLIAN ",
    "ORIYA ",
    "SINHALA ",
    "SYRIAC ",
    "TAMIL ",
    "TELUGU ",
)


def _joins(character: str) -> bool:
    return unicodedata.name(character, "").startswith(JOINING)


def _bidi(text: str) -> list[Hit]:
    return [hit("BIDI_OVERRIDE", text, *match.span()) for match in BIDI_OVERRIDE.finditer(text)] + [
        hit("BIDI_CONTROL", text, *match.span()) for match in BIDI_CONTROL.finditer(text)
    ]


def _scripts(text: str) -> list[Hit]:
    found = [hit("MIXED_SCRIPT_WORD", text, *m.span()) for m in WORD.finditer(text) if _is_mixed(m.group())]
    private = [match.span() for match in PRIVATE_USE.finditer(text)]
    if len(private) >= 4:
        found += [hit("PRIVATE_USE", text, start, end) for start, end in private]
    return found


def _is_mixed(word: str) -> bool:
    if word.isascii():
        return False
    scripts = {unicodedata.name(character, "").split(" ")[0] for character in word}
    return "LATIN" in scripts and not scripts.isdisjoint(MIXING)
