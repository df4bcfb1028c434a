"""Which mention of a sentence fills the role the question asks for: its answer, when the wording says so plainly.

Few patterns, each of which rules out more than it lets in: a wrong conflict costs a reader more than a missed one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from kimera.missions.research.mentions import Mention, find_mentions, same_value
from kimera.missions.research.question import Question
from kimera.missions.research.words import STOP, content_stems, stem, words

__all__ = ["Asserted", "anchored", "asserted", "opposed", "triggers_of"]

# One relation a row: a question that uses a word of a row is answered by sentences that use any other of it.
_RELATIONS = """
win won winner winning champion victory victorious defeat beat bt title triumph crown thrash clinch victor
award awarded laureate prize recipient receive honour honor win won winner
direct director directed filmmaker helm
star starring play actor actress cast lead portray
release launch available debut publish premiere
acquire acquisition buy bought purchase own owner takeover merger
ceo chief executive
president presidency
write wrote written author writer novelist
found founder establish create creator
invent inventor discover discoverer
locate location held hold place venue host stadium headquarter headquartered based situated play
date held hold place
born birth birthplace
die died death
announce unveil reveal introduce
open inaugurate
sing sang singer perform artist record
design designer architect
coach manager captain
marry married wife husband spouse
cost price sell sold
population inhabitant people resident live
employ employee staff workforce worker
revenue turnover sales
build built builder construct complete
"""
_COMMON = "name called many much happen get make use year month day time number amount old first"
_GENERIC = frozenset(stem(word) for word in words(_COMMON))
_COMPANY = frozenset(stem(word) for word in words("group company inc corporation corp ltd plc co holding ag"))
_PARTS = frozenset(words("episode season part chapter volume book stage round version phase group division series act"))
_PLACE_LEAD = re.compile(r"\b(?:in|at|to)\s+(?:the\s+)?$", re.I)
_DATE_LEAD = re.compile(r"(?:\b(?:on|in|since|from|until)|[:.;,(–-])\s*$", re.I)
_CLAUSE = re.compile(r"[;!?·]|\.\.\.|\.\s+[A-Z]\w+\s+\w+\s")
_BETWEEN = 60  # characters between a trigger and a place, date or number it governs
_FILLER = r"(?:has|have|had|been|who|also|just|then|officially|finally|now|already)"
_ACTIVE = re.compile(rf"^(?:\s*\([^)]{{1,30}}\))*\s*,?\s*(?:{_FILLER}\s+){{0,3}}$")
_COPULA = re.compile(
    r"^\s*,?\s*(?:is|was|as|became|becomes|becoming|remains|serves?|served|elected|ha[sd] been|have been|the|a|an|"
    r"stood|took home|takes)\b[^,;.]{0,70}$"
)
_BY = re.compile(r"\bby\s+(?:the\s+)?(?:[\w’'-]+\s+){0,3}$", re.I)
_AWARDED = re.compile(r"^\s+to\s+(?:the\s+)?(?:[\w’'-]+\s+){0,3}$", re.I)
_APPOSED = re.compile(
    r"^\s*(?:[:,;.–—-]\s*|(?:is|was|are|were|named|went to)\s+)?(?:the\s+|a\s+)?(?:[A-Z]\w+(?:-[A-Z]\w+)?\s+)?"
    r"(?:[a-z]+ist\s+)?$"
)
_REFERS_BACK = re.compile(
    r"\s*(?:(?:it|he|she|they|this|the\s+[a-z]\w+(?:\s+(?!of\b)[a-z]\w+)?\s+(?:is|was|were|has|had|will|took)|"
    r"(?:both|its|his|her|their))\b|[A-Z][\w ]{1,30}:)",
    re.I,
)
_LOSER = re.compile(
    r"\b(?:against|beats?|beating|bt|defeat\w*|over|replac\w+|succeed\w+|vs\.?|than|unlike|like)\s+$", re.I
)
_TAKES_OBJECT = re.compile(r"(?:defeat|beat|bt$|thrash|wins?$|won$|winning|victor)", re.I)
_PART = re.compile(
    r"^\s+(?:the\s+|his\s+|her\s+)?(?:\w+\s+)?(?:stage|round|leg|heat|set|point|semi|quarter|clinching)\b", re.I
)
_FORMER = re.compile(
    r"\b(?:former|ex|previous|late|vice|deputy|acting|interim|then|assistant|co|video|first)[\s-]+$", re.I
)
_DEMONYM = re.compile(r"^[A-Z]\w+(?:ian|ean|ese|ish|can|ans|ench|utch)$")


@dataclass(frozen=True)
class Asserted:
    """A sentence's plain answers and everything it mentions of that type."""

    answers: tuple[Mention, ...]
    mentions: tuple[Mention, ...]
    names: tuple[Mention, ...] = ()


@cache
def _rows() -> tuple[frozenset[str], ...]:
    rows = (row.split() for row in _RELATIONS.strip().split("\n"))
    return tuple(frozenset(stem(part) for word in row for part in words(word)) for row in rows)


def triggers_of(question: Question) -> frozenset[str]:
    """Return the stems that express what is asked: the words of the question's relation and their like."""
    named = {s for m in question.names for s in content_stems(m.text)} if _mixed_case(question.text) else set()
    own = {s for s in question.stems if s not in _GENERIC and s not in named}
    related = {s for row in _rows() if row & own for s in row}
    if question.place:
        related |= next(row for row in _rows() if stem("venue") in row)
    return frozenset(related)


def _mixed_case(text: str) -> bool:
    """Return whether capitals mean names; a question in title case or in lower case has none to show."""
    return any(word[0].islower() and word not in STOP for word in re.findall(r"[^\W\d_]+", text))


def topic_of(question: Question) -> frozenset[str]:
    """Return the stems that say what the question is about, without its relation and its years."""
    years = {part for m in question.dates for part in words(m.text)}
    triggers = triggers_of(question)
    return frozenset(s for s in question.stems if s not in triggers and s not in _GENERIC and s not in years)


def anchored(question: Question, text: str, year: int | None = None, context: str = "") -> bool:
    """Return whether ``text`` speaks of the question's subject and year.

    ``year`` is that of the text's own date; ``context`` counts for a sentence that refers back ("The match was ...")
    or is a field ("Date: ...").
    """
    topic = topic_of(question)
    said = set(content_stems(text))
    if context and _REFERS_BACK.match(text):
        said |= set(content_stems(context))
    if topic and (len(topic & said) < 0.6 * len(topic) or _of_something_else(topic, text)):
        return False
    if _of_another_number(question, topic, text):
        return False
    asked = {m.value[:4] for m in question.dates if m.value[:4].isdigit()}
    held = {m.value[:4] for m in find_mentions(text) if m.kind == "date" and m.value[:4].isdigit()}
    if not asked or question.asks == "date":
        return True
    return bool(asked & held) if held else str(year) in asked


def _of_another_number(question: Question, topic: frozenset[str], text: str) -> bool:
    """Return whether the text speaks of another part or sequel ("Episode 17", "Spider-Man 2") than the question."""
    asked = set(words(question.text))
    return any(
        match[2].lower() not in asked and (match[1].lower() in _PARTS or stem(match[1].lower()) in topic)
        for match in re.finditer(r"([^\W\d_]+)\s+(\d{1,2}|[IVXL]+)\b(?![,.]?\d)", text)
    )


def _of_something_else(topic: frozenset[str], text: str) -> bool:
    """Return whether a sentence opens with another subject ("A second album with music of ...")."""
    opened = re.match(r"\s*(?:A|An|Another|This|These|Some)\s+((?:[\w’'-]+\s+){1,4})", text)
    return opened is not None and not topic & set(content_stems(opened[1]))


def asserted(question: Question, text: str) -> Asserted:
    """Return the mentions of the asked type that stand in an answering position of ``text``."""
    kind = question.asks
    triggers = triggers_of(question)
    topic = frozenset(question.stems) if kind == "name" else frozenset()
    mentions = tuple(
        trimmed
        for m in find_mentions(text)
        if m.kind == kind and (trimmed := _without_role(m, triggers)) and not topic & set(content_stems(trimmed.text))
    )
    spots = _spots(text, triggers)
    if not mentions or not spots:
        return Asserted((), mentions)
    if kind == "name" and not question.place:
        answers = [m for m in mentions if _acts(question, text, spots, m)]
    else:
        lead = {"name": _PLACE_LEAD, "date": _DATE_LEAD}.get(kind)
        answers = [m for m in mentions if (lead is None or lead.search(text[: m.start])) and _governed(text, spots, m)]
    if question.place:
        answers = _with_region(text, answers) or answers
    if kind == "date":
        answers = [m for m in answers if len(m.value) == 10]
    names = [] if kind == "name" else [m for m in find_mentions(text) if m.kind == "name"]
    return Asserted(tuple(answers), mentions, tuple(names))


def _with_region(text: str, places: list[Mention]) -> list[Mention]:
    """Return the places that name their region ("Lindow, Marland"), together with it: these compare like with like."""
    regioned = ((m, re.match(r",\s+([A-Z]\w+(?:\s[A-Z]\w+)?)", text[m.end :])) for m in places)
    return [
        Mention("name", m.start, m.end + region.end(), m.text + region.group(), m.value)
        for m, region in regioned
        if region
    ]


def _without_role(mention: Mention, triggers: frozenset[str]) -> Mention | None:
    """Cut role words off the start of a name ("Director Ann Berg"); nationalities and bare roles are no names."""
    if mention.kind != "name":
        return mention
    text, start = mention.text, mention.start
    while text:
        head = re.match(r"[\w’'-]+[\s.]*", text)
        if head is None or not all(stem(part) in triggers for part in words(head.group())):
            break
        text, start = text[head.end() :], start + head.end()
    if not text or not text[0].isupper() or _DEMONYM.match(text):
        return None
    folded = find_mentions(text) if text != mention.text else [mention]
    value = folded[0].value if folded else text.casefold()
    return Mention("name", start, mention.end, text, value)


def _spots(text: str, triggers: frozenset[str]) -> list[tuple[int, int]]:
    return [
        match.span()
        for match in re.finditer(r"[^\W_]+(?:['’-][^\W_]+)*", text)
        if any(stem(part) in triggers for part in words(match.group()))
    ]


def _governed(text: str, spots: list[tuple[int, int]], mention: Mention) -> bool:
    """Return whether a trigger stands shortly before the mention within the same clause."""
    return any(
        end <= mention.start <= end + _BETWEEN and not _CLAUSE.search(text[end : mention.start]) for _, end in spots
    )


def _acts(question: Question, text: str, spots: list[tuple[int, int]], mention: Mention) -> bool:
    """Return whether a name does, is, or is named by what a trigger word says."""
    if re.match(r"['’]s?\s+[A-Z]", text[mention.end :]) or _LOSER.search(text[: mention.start]):
        return False  # "Romania's Simona Halep": the owner is no answer
    before = [spot for spot in spots if spot[1] <= mention.start]
    after = [spot for spot in spots if spot[0] >= mention.end]
    return (bool(after) and _subject(question, text, mention, after[0])) or (
        bool(before) and _named(text, mention, before[-1])
    )


def _subject(question: Question, text: str, mention: Mention, spot: tuple[int, int]) -> bool:
    between, rest = text[mention.end : spot[0]], text[spot[1] :]
    if _PART.match(rest) or _FORMER.search(between) or _LOSER.search(between):
        return False
    if re.search(r"\b(?:not|never|no)\b", between) or _object_differs(question, rest):
        return False
    if _ACTIVE.match(between):
        return not re.search(r"\b(?:and|with|or|,)\s+$", text[: mention.start])
    others = [m for m in find_mentions(between) if m.kind == "name" and not question.mentions(m)]
    return bool(_COPULA.match(between)) and not [m for m in others if not _DEMONYM.match(m.text)]


def _object_differs(question: Question, rest: str) -> bool:
    """Return whether "of ..." after the trigger names something else than the question, or a part of it."""
    of = re.match(r"\s+(?:of|for|at)\s+(?:[\w’'.-]+\s*){1,5}", rest)
    if of is None:
        return False
    names = [m for m in find_mentions(of.group()) if m.kind == "name"]
    extra = set(content_stems(names[0].text)) - set(question.stems) - _COMPANY if names else set()
    return bool(extra) or not set(question.stems) & set(content_stems(of.group()))


def _named(text: str, mention: Mention, spot: tuple[int, int]) -> bool:
    between = text[spot[1] : mention.start]
    if _FORMER.search(text[: spot[0]]):
        return False
    if len(between) <= 45 and (_BY.search(between) or _AWARDED.match(between)):
        return not _CLAUSE.search(between)
    if " " not in mention.text and re.match(r"\s+[a-z]", text[mention.end :]):
        return False  # "Awards: Complete list": one capital opens a phrase
    return bool(_APPOSED.match(between)) and not _TAKES_OBJECT.match(text[spot[0] : spot[1]])


def _named_in(answers: tuple[Mention, ...], mentions: tuple[Mention, ...]) -> bool:
    """Return whether an answer is among the mentions; a bare year says nothing about a day."""
    return any(same_value(a, m) for a in answers for m in mentions if a.kind != "date" or len(m.value) >= len(a.value))


def opposed(one: Asserted, other: Asserted) -> Iterator[tuple[Mention, Mention]]:
    """Yield the pair of answers that exclude each other: neither sentence mentions an answer of the other one.

    Dates and numbers of sentences that name only different things are not comparable.
    """
    if one.names and other.names and not any(same_value(m, n) for m in one.names for n in other.names):
        return
    if _named_in(one.answers, other.mentions) or _named_in(other.answers, one.mentions):
        return
    if one.answers and other.answers:
        yield one.answers[0], other.answers[0]
