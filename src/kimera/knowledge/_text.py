"""Text of documents, made uniform once; every offset in the library counts characters of the result."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kimera.knowledge.contracts import Heading

__all__ = ["Block", "Extracted", "from_blocks", "from_markdown", "from_pages", "from_plain", "normalise"]

_DROPPED = dict.fromkeys([*range(9), 11, *range(14, 32), 127, 0xAD, 0x200B, 0x2060, 0xFEFF, *range(0xD800, 0xE000)])
# Marks that turn the direction of what follows can make a quotation read differently from what it says.
_DROPPED.update(dict.fromkeys([0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
_ATX = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.+?)[ \t]*#*[ \t]*$", re.M)
_SETEXT = re.compile(r"^(?!\s*[-*>|])(\S.{0,118})\n(={3,}|-{3,})[ \t]*$", re.M)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
_FRONT = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)\n", re.S)
_FRONT_TITLE = re.compile(r"^title\s*:\s*[\"']?(.+?)[\"']?\s*$", re.M | re.I)
_NUMBERED = re.compile(
    r"^(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?\s+[A-Z][^.!?\n]{2,70}|(?:Abstract|Introduction|Background|Methods?|Results?|"
    r"Discussion|Conclusions?|References|Summary|Appendix(?: [A-Z])?|Acknowledge?ments?))$",
    re.M,
)
_CAPITALS = re.compile(r"(?:\A|\n\n)([A-Z][A-Z0-9 ,:&'()/-]{4,70})\n", re.M)
_NO_TITLE = re.compile(
    r"(?:untitled|document\d*|microsoft word\b.*|powerpoint presentation|slide \d+|.*\.\w{3,4})$", re.I
)
_ALONE = re.compile(
    r"(?:\A|\n\n|[.!?)]\n)(?!(?:Figure|Fig\.|Table|Page)\b)([A-Z][^\n.!;:,|]{2,60}[^\n.!;:,|\d])\n(?=[A-Z\"'(][^\n]{45,})"
)
_BROKEN_WORD = re.compile(r"(?<=[a-z])-\n(?=[a-z])")


@dataclass(frozen=True)
class Block:
    """A paragraph, or with ``level`` > 0 a heading; ``page`` true starts a new page."""

    text: str
    level: int = 0
    page: bool = False


@dataclass(frozen=True)
class Extracted:
    """A document's text with what is known of its structure. ``stated_date`` is what its metadata says."""

    title: str
    text: str
    headings: tuple[Heading, ...] = ()
    page_breaks: tuple[int, ...] = ()
    stated_date: str = ""
    warnings: tuple[str, ...] = ()


def normalise(text: str) -> str:
    """Return ``text`` in NFC with plain line ends, no control or direction marks, at most one empty line in a row."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))
    text = text.translate(_DROPPED).replace("\xa0", " ")
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


def from_plain(raw: str, name: str) -> Extracted:
    """Return a plain text; numbered or upper-case lines standing alone are its headings."""
    text = normalise(raw)
    headings = _headings(text, alone=False)
    return Extracted(_title(text, headings, name), text, headings)


def _headings(text: str, *, alone: bool) -> tuple[Heading, ...]:
    """Return the lines that look like headings; with ``alone`` also short lines between two full paragraphs."""
    found = {m.start(): m.group() for m in _NUMBERED.finditer(text)}
    for pattern in (_CAPITALS, _ALONE) if alone else (_CAPITALS,):
        for m in pattern.finditer(text):
            if any(c.isalpha() for c in m.group(1)):
                found[m.start(1)] = m.group(1)
    return tuple(Heading(start=start, level=1, text=found[start].strip()) for start in sorted(found))


def from_markdown(raw: str, name: str) -> Extracted:
    """Return a Markdown text as written, with its headings; front matter stays part of the text."""
    text = normalise(raw)
    fenced = [m.span() for m in _FENCE.finditer(text)]
    found: dict[int, Heading] = {}
    for m in _ATX.finditer(text):
        found[m.start()] = Heading(start=m.start(), level=len(m.group(1)), text=m.group(2).strip())
    front = _FRONT.match(text)
    for m in _SETEXT.finditer(text, front.end() if front else 0):
        level = 1 if m.group(2)[0] == "=" else 2
        found.setdefault(m.start(), Heading(start=m.start(), level=level, text=m.group(1).strip()))
    headings = tuple(
        heading for start, heading in sorted(found.items()) if not any(a <= start < b for a, b in fenced)
    )  # fmt: skip
    stated = _FRONT_TITLE.search(front.group(1)) if front else None
    return Extracted(stated.group(1) if stated else _title(text, headings, name), text, headings)


def from_blocks(blocks: Iterable[Block], title: str, name: str, stated_date: str = "") -> Extracted:
    """Return the text of blocks parted by empty lines, with offsets of headings and page starts."""
    parts: list[str] = []
    headings, breaks, length = [], [], 0
    for block in blocks:
        text = normalise(block.text).strip()
        if block.page and length:
            breaks.append(length + 2)
        if not text:
            continue
        if parts:
            length += 2
        if block.level:
            headings.append(Heading(start=length, level=block.level, text=" ".join(text.split())))
        parts.append(text)
        length += len(text)
    text = "\n\n".join(parts)
    inside = tuple(dict.fromkeys(at for at in breaks if at < len(text)))
    return Extracted(_stated(title) or _title(text, headings, name), text, tuple(headings), inside, stated_date)


def from_pages(pages: Sequence[str], title: str, name: str) -> Extracted:
    """Return the text of pages; paragraphs that run over a page end and words parted at line ends are joined."""
    text, breaks = "", []
    for number, page in enumerate(pages):
        body = _BROKEN_WORD.sub("", normalise(page)).strip()
        if number == 0 or not text:
            text = body
            continue
        runs_on = bool(body) and body[0].islower() and text[-1:] not in ".!?:"
        text += "\n" if runs_on else "\n\n"
        breaks.append(len(text))
        text += body
    headings = _headings(text, alone=True)
    return Extracted(_stated(title) or _title(text, headings, name), text, headings, tuple(breaks))


def _stated(title: str) -> str:
    """Return the title in a document's properties, unless a program put it there."""
    shown = " ".join(normalise(title).split())[:200]
    return "" if _NO_TITLE.match(shown) else shown


def _title(text: str, headings: Sequence[Heading], name: str) -> str:
    """Return the first heading near the top, else a short first line, else the file's name."""
    if headings and headings[0].start < 600:
        return headings[0].text[:200]
    first = text.split("\n", 1)[0].strip(" #*_")
    return first[:200] if 3 <= len(first) <= 120 and not first.endswith((".", ",", ";")) else name.rsplit("/", 1)[-1]
