"""Where sentences begin and end, as character offsets into the text. English first."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

__all__ = ["split"]

LONGEST = 1_200  # characters; a run without any terminator is cut here so that a passage stays readable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A point after these never ends a sentence: something always follows.
_NEVER = _words("""
    adj adm approx art assoc ave bldg brig ca capt cf ch chap cmdr col comdr dept dist dr ed eds eq eqs eqn est ex
    exp fig figs ft gen gov hon lat lt maj mr mrs ms msgr mt n.b no nos nr op p para pp prof pt ref refs rep rev
    sec sect sen sens ser sgt sp spp ssp st supt suppl tab tbl univ viz vol vols vs v i.e e.g resp incl max min avg
    messrs mmes temp var subsp
""")
# A point after these ends a sentence only when a usual opening word follows.
_SOMETIMES = _words("""
    al etc inc ltd co corp llc jr sr bros plc jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu
    thurs fri sat sun a.m p.m ph.d m.d b.c a.d u.s u.k u.n u.s.a d.c hr hrs min mins sec secs wk yr yrs mo kg mg ml mm
    cm km mi lb lbs oz ibid
""")
_OPENERS = _words("""
    a about according additionally after although among an and another are as at based because before both but by
    can consequently conversely despite did do does during each either every few finally first for from further
    furthermore given had has have he hence her here his how however i if in indeed initially instead is it its last
    later like many meanwhile more moreover most much my nevertheless next no none nonetheless not now of on once one
    only or other others our out overall people perhaps previous recent recently respectively second several she since
    so some somewhat specifically still such subsequently that the their then there therefore these they third this
    those though through thus to today together under unlike until upon using we well were what when where whereas
    whether which while who whom why will with within without yes yet you your
""")

_BULLET = re.compile(r"[ \t]*(?:[-*+•‣◦▪·–—][ \t]+|\(?\d{1,3}[.)][ \t]+|\(?[a-zA-Z][.)][ \t]+|#{1,6}[ \t]|>[ \t]|\|)")
_FIELD = re.compile(r"[ \t]*[A-Z][\w /-]{0,30}:(?:[ \t]|$)")
_HEADING = re.compile(r"[ \t]*#{1,6}[ \t]")
_RULE = re.compile(r"[ \t]*[-=_*~]{3,}[ \t]*$")
_END = re.compile(
    r"[.!?…]+(?:[\"'”’»)\]]|\[\d+(?:\s?[,–-]\s?\d+)*\])*(?=\s|$)"  # before a space or the end
    r"|(?<=[a-z)])\.(?=[A-Z][a-z]*\b)"  # two sentences glued together, as PDF extraction leaves them
    r"|[。！？]+[」』”]*"
)
_LAST_WORD = re.compile(r"[^\s(\[{\"'“‘«/—–]+$")
_NEXT_WORD = re.compile(r"[\s\"'“‘«(\[]*([^\s,;:)\]\"'”’]+)")
_ENUMERATOR = re.compile(r"[\s(\[]*(?:\d{1,3}(?:\.\d{1,3})*|[a-zA-Z]|[ivxlIVXL]{1,5})\.$")
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]?$")
_NAME_LIKE = re.compile(r"[a-z]{1,3}(?:[A-Z]|-?\d)")  # mTOR, p53, miR-21: a sentence may open with these


def split(text: str) -> list[tuple[int, int]]:
    """Return the sentences of ``text`` as ``(start, end)`` character offsets, in order, without outer white space.

    Headings, bullets, table lines and blank lines end a sentence; a line break inside a wrapped paragraph does not.
    Abbreviations, initials, decimals and citations ("et al.", "Fig. 2") do not end one. Every character that is not
    white space belongs to exactly one sentence; a run without terminator is cut at `LONGEST` characters.
    """
    spans: list[tuple[int, int]] = []
    for start, end in _blocks(text):
        for first, last in _sentences(text, start, end):
            spans.extend(_bounded(text, first, last))
    return spans


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Yield the runs of lines that belong together."""
    for start, end in _paragraphs(text):
        lines = _lines(text, start, end)
        longest = max(last - first for first, last in lines)
        opened = lines[0][0]
        for (first, last), (following, following_end) in itertools.pairwise(lines):
            if _breaks(text, (first, last), (following, following_end), longest):
                yield opened, last
                opened = following
        yield opened, lines[-1][1]


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    for gap in re.finditer(r"\n[ \t\r]*\n\s*|\f", text):
        if text[position : gap.start()].strip():
            yield position, gap.start()
        position = gap.end()
    if text[position:].strip():
        yield position, len(text)


def _lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    lines = []
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        lines.append((start, stop))
        start = stop + 1
    return lines


def _breaks(text: str, line: tuple[int, int], following: tuple[int, int], longest: int) -> bool:
    """Return whether the line break after ``line`` ends a sentence even without a terminator."""
    here, there = text[line[0] : line[1]], text[following[0] : following[1]]
    if not here.strip() or not there.strip():
        return True
    if _HEADING.match(here) or _RULE.match(here) or _RULE.match(there) or _BULLET.match(there) or _FIELD.match(there):
        return True
    if here.lstrip().startswith("|"):
        return True
    opening = there.lstrip()[0]
    if opening.islower() or here.rstrip().endswith((",", "-", "–", "(", "/")):
        return False
    # In a wrapped paragraph every line but the last is nearly as long as the longest one.
    return len(here.rstrip()) < max(40, 0.7 * longest)


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    opened = start
    for found in _END.finditer(text, start, end):
        if found.start() >= opened and _ends(text, opened, found, end):
            yield opened, found.end()
            opened = found.end()
    yield opened, end


def _ends(text: str, opened: int, found: re.Match[str], end: int) -> bool:
    """Return whether the terminator in ``found`` really ends the sentence that began at ``opened``."""
    if found.group()[0] in "。！？":
        return True
    following = _NEXT_WORD.match(text, found.end(), end)
    if following is None:
        return True
    word = following.group(1)
    opens = word.lower().rstrip(".!?") in _OPENERS and word[0].isupper()
    if found.end() == following.start(1):  # glued, no space between
        return opens
    if word[0].islower() and not _NAME_LIKE.match(word):
        return False
    if found.group() != "." or _ENUMERATOR.match(text[opened : found.end()]):
        return found.group() != "."
    return _point_ends(text[opened : found.start()], word, opens)


def _point_ends(before: str, word: str, opens: bool) -> bool:
    """Return whether a single point after ``before`` ends the sentence when ``word`` follows."""
    last = _LAST_WORD.search(before[-40:])
    if last is None:
        return True
    token = last.group()
    lower = token.lower()
    if lower in _SOMETIMES or _DOTTED.match(token):
        return opens and lower not in _NEVER
    if lower in _NEVER:
        # "no" and "max" are words too: they abbreviate only before a number or a name.
        return opens and lower in {"no", "max", "min", "pt", "ex", "art", "rep", "temp"}
    if len(token) == 1 and token.isalpha() and token.isupper():
        return opens
    return not (token.isdigit() and len(token) <= 2 and word[0].islower())


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the trimmed span, cut into pieces of at most `LONGEST` characters at a line break or a space."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > LONGEST:
        window = text[start : start + LONGEST]
        cut = max(window.rfind(mark, LONGEST // 2) for mark in ("\n", "; ", ", ", " "))
        cut = start + (cut + 1 if cut > 0 else LONGEST)
        last = cut
        while last > start and text[last - 1].isspace():
            last -= 1
        yield start, last
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end
