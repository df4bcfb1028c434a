"""Which statements cannot both hold: pairs are compared, equal values are joined, vintages are told from errors."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kimera.missions.research.disagreement.contracts import Disagreement, Side, Statement
from kimera.missions.research.disagreement.frames import Sentence, Slot, differ, differing_slots, read_sentence
from kimera.missions.research.disagreement.polarity import opposite, read_stand
from kimera.missions.research.disagreement.quantities import Measured, comparable, read_measured
from kimera.missions.research.disagreement.roles import Asserted, anchored, asserted, opposed
from kimera.missions.research.disagreement.subjects import other_subjects
from kimera.missions.research.mentions import Kind, Mention, same_value, strip_dateline
from kimera.missions.research.question import Question, read_question
from kimera.missions.research.words import words

__all__ = ["Pair", "find_disagreements"]

LIMIT = 160  # statements compared pairwise; the most relevant ones first

_EVENT = re.compile(
    r"\b(?:open|found|establish|launch|releas|publish|born|died?|death|birth|sign|built|complet|start|began|beg[iu]n|"
    r"end|clos|introduc|held|took place|elect|announc|discover|invent|creat|form|inaugurat|adopt|arriv|debut|premier|"
    r"abolish|approv|issued|effective|expire|due|deadline)",
    re.I,
)
_RELATION = re.compile(
    r"\b(?:located|situated|headquarter|based in|born in|died in|capital|founded by|directed by|written by|won by|"
    r"owned by|acquired by|led by|invented by|discovered by|designed by|built by|composed by|published by|"
    r"director|author|founder|chief executive|ceo|chair|president|minister|winner|champion|owner|manufacturer)\b",
    re.I,
)
_IN_YEAR = re.compile(r"\b(?:in|on|since|from|during)\s+(?:\w+\s+){0,2}(?:\d{1,2},\s+)?(?:1\d|20)\d\d\b", re.I)
_DEFINES = re.compile(r"[\s”\"’')]*(?:\([^)]*\)\s*)?,?\s*(?:is|was|are|were)\s+(?:an?|one of)\b")
_LABEL = re.compile(
    r"\b(?:table|figure|fig|section|chapter|stage|round|page|step|part|version|appendix|equation|eq|no|number|item|"
    r"question|group|level|grade|class|type|phase|day|week|lot|unit|room|article|volume|issue|line|row)\.?\s*$",
    re.I,
)


@dataclass(frozen=True)
class Pair:
    """Two statements (by index) with different values in one role; ``answers`` if the question asks for it."""

    one: int
    other: int
    first: Mention
    second: Mention
    answers: bool = False


def find_disagreements(question: str, statements: Sequence[Statement]) -> list[Disagreement]:
    """Return the disagreements among ``statements``, most supported first; the same input gives the same list."""
    asked = read_question(question)
    order = sorted(range(len(statements)), key=lambda i: (-statements[i].relevance, i))[:LIMIT]
    read = {index: read_sentence(statements[index].text) for index in order}
    pairs = [
        *_framed(asked, statements, read),
        *_answering(asked, statements, read),
        *_measuring(asked, statements, read),
    ]
    valued = [_disagreement(statements, group) for group in _grouped(pairs)]
    return [*valued, *_polar(statements, sorted(read), {p.one: p.other for p in pairs})]


def _framed(asked: Question, statements: Sequence[Statement], read: dict[int, Sentence]) -> Iterator[Pair]:
    for one, other in itertools.combinations(sorted(read), 2):
        slots = differing_slots(read[one], read[other])
        if not slots:
            continue
        open_slots = [slot for slot in slots if differ(slot)]
        if not open_slots or not _one_pair(open_slots):
            continue  # nothing differs, or several things do: not comparable
        slot = open_slots[0]
        same_source = statements[one].source_id == statements[other].source_id
        if slot.kind != asked.asks and (same_source or (asked.factoid and not asked.loose)):
            continue  # one document that repeats a frame is usually a list; a question for a date is not about counts
        if slot.kind == "name" and (
            _own_subject(statements[one], slot.one) or _own_subject(statements[other], slot.other)
        ):
            continue
        if other_subjects(statements[one], statements[other], (slot.one, slot.other)):
            continue
        if _comparable(asked, slot, read[one], read[other]):
            yield Pair(one, other, slot.one, slot.other, slot.kind == asked.asks)


def _answering(asked: Question, statements: Sequence[Statement], read: dict[int, Sentence]) -> Iterator[Pair]:
    """Yield pairs in other words: sentences of different sources that answer plainly and differently."""
    if not asked.factoid:
        return
    plain: dict[int, Asserted] = {}
    for index in sorted(read):
        statement = statements[index]
        text = statement.text[strip_dateline(statement.text) :]
        year = statement.dated.year if statement.dated else None
        if anchored(asked, text, year, f"{statement.heading}. {statement.context}"):
            plain[index] = asserted(asked, text)
    for one, other in itertools.combinations(plain, 2):
        if statements[one].source_id == statements[other].source_id:
            continue
        if not asked.dates and asked.asks != "date" and _other_years(read, statements, one, other):
            continue
        for first, second in opposed(plain[one], plain[other]):
            if _defined(statements[one], first) or _defined(statements[other], second):
                continue
            if asked.asks != "number" or (first.unit == second.unit and not first.hedged and not second.hedged):
                yield Pair(one, other, first, second, answers=True)


def _measuring(asked: Question, statements: Sequence[Statement], read: dict[int, Sentence]) -> Iterator[Pair]:
    """Yield pairs that state one quantity differently in other words."""
    if asked.factoid and asked.asks != "number" and not asked.loose:
        return
    found: dict[int, Measured] = {}
    for index in sorted(read):
        statement = statements[index]
        measured = read_measured(statement.text, statement.heading)
        if measured is not None:
            found[index] = measured
    for one, other in itertools.combinations(found, 2):
        first, second = found[one].quantity, found[other].quantity
        other_source = statements[one].source_id != statements[other].source_id
        if other_subjects(statements[one], statements[other], ()):
            continue
        if other_source and comparable(found[one], found[other]) and not same_value(first, second):
            yield Pair(one, other, first, second)


def _polar(statements: Sequence[Statement], order: Sequence[int], known: dict[int, int]) -> Iterator[Disagreement]:
    """Yield disagreements by negation or opposite between statements of different sources."""
    stands = {index: read_stand(statements[index].text) for index in order}
    for one, other in itertools.combinations(order, 2):
        if statements[one].source_id == statements[other].source_id or known.get(one) == other:
            continue
        if opposite(stands[one], stands[other]) and not other_subjects(statements[one], statements[other], ()):
            sides = tuple(Side(_short(statements[index].text), (index,)) for index in (one, other))
            current = _newest(statements, sides)
            kind: Literal["temporal", "factual"] = "factual" if current is None else "temporal"
            yield Disagreement(kind, sides, "One source denies what the other one states.", current)


def _short(text: str) -> str:
    return text if len(text) <= 90 else text[:89].rstrip() + "…"


def _other_years(read: dict[int, Sentence], statements: Sequence[Statement], one: int, other: int) -> bool:
    """Return whether two statements speak of different times: years that they name, or else the year they are from.

    The year a text is from counts only against an event that the other text sets in a year ("In 1981 ...").
    """
    first, second = _years(read[one]), _years(read[other])
    if first and second:
        return not first & second
    for years, placed, bare in ((first, one, other), (second, other, one)):
        dated = statements[bare].dated
        if years and dated and str(dated.year) not in years and _IN_YEAR.search(statements[placed].text):
            return True
    return False


def _years(sentence: Sentence) -> set[str]:
    return {m.value[:4] for m in sentence.mentions if m.kind == "date" and m.value[0] != "-"}


def _one_pair(slots: list[Slot]) -> bool:
    first = slots[0]
    return all(
        slot.kind == first.kind and same_value(slot.one, first.one) and same_value(slot.other, first.other)
        for slot in slots[1:]
    )


def _comparable(asked: Question, slot: Slot, one: Sentence, other: Sentence) -> bool:
    """Return whether the slot is what the sentences assert, not the subject, period or label they speak of."""
    if slot.kind == "number":
        if _labels(one, slot.one) or _labels(other, slot.other):
            return False
        return slot.one.unit == slot.other.unit or None in {slot.one.unit, slot.other.unit}
    if slot.kind == "date":
        return asked.asks == "date" or _dates_an_event(one, slot.one)
    if asked.mentions(slot.one) or asked.mentions(slot.other):
        return asked.asks == "boolean" and asked.mentions(slot.one) != asked.mentions(slot.other)
    return asked.asks == "name" or (asked.asks not in {"number", "date"} and _related(one, slot.one))


def _own_subject(statement: Statement, name: Mention) -> bool:
    """Return whether the name is what the document is about or what the sentence defines ("X is a country ...")."""
    titled, named = set(words(statement.title)), set(words(name.text))
    if titled and titled <= named:
        return True
    return _defined(statement, name)


def _defined(statement: Statement, name: Mention) -> bool:
    """Return whether the sentence defines the name: "X is a country ..." answers nothing about anything else."""
    place = statement.text.find(name.text)
    return 0 <= place < 60 and _DEFINES.match(statement.text[place + len(name.text) :]) is not None


def _labels(sentence: Sentence, mention: Mention) -> bool:
    return bool(_LABEL.search(sentence.text[: mention.start]))


def _dates_an_event(sentence: Sentence, mention: Mention) -> bool:
    """Tell "opened in 1932" (the date is asserted) from "in 2019 staff was 40" (the date is the period)."""
    others = [m for m in sentence.mentions if m.kind == "number"]
    return not others and bool(_EVENT.search(sentence.text[: mention.start][-60:]))


def _related(sentence: Sentence, mention: Mention) -> bool:
    return bool(_RELATION.search(sentence.text[max(0, mention.start - 40) : mention.start]))


def _grouped(pairs: Sequence[Pair]) -> list[list[tuple[Mention, list[int]]]]:
    """Join pairs that are about the same values into groups of sides, each with its statements."""
    groups: list[list[tuple[Mention, list[int]]]] = []
    for pair in pairs:
        home = next((group for group in groups if _belongs(group, pair)), None)
        if home is None:
            home = []
            groups.append(home)
        for mention, statement in ((pair.first, pair.one), (pair.second, pair.other)):
            side = _side(home, mention)
            if side is None:
                home.append((mention, [statement]))
            elif statement not in side:
                side.append(statement)
    return sorted(groups, key=lambda g: (-sum(len(s) for _, s in g), min(s[0] for _, s in g)))


def _belongs(group: list[tuple[Mention, list[int]]], pair: Pair) -> bool:
    """Join by a shared statement; by a shared value only where both answer the question."""
    held = {statement for _, statements in group for statement in statements}
    if pair.one in held or pair.other in held:
        return True
    return pair.answers and bool(_side(group, pair.first) or _side(group, pair.second))


def _side(group: list[tuple[Mention, list[int]]], mention: Mention) -> list[int] | None:
    return next((held for value, held in group if same_value(value, mention)), None)


def _disagreement(statements: Sequence[Statement], group: list[tuple[Mention, list[int]]]) -> Disagreement:
    sides = tuple(Side(mention.text, tuple(sorted(held))) for mention, held in group)
    current = _newest(statements, sides)
    if current is not None:
        return Disagreement("temporal", sides, "A newer vintage of the same source states another value.", current)
    kind: Kind = group[0][0].kind
    return Disagreement("numeric" if kind == "number" else "factual", sides, _REASON[kind])


_REASON: dict[Kind, str] = {
    "number": "The sources state different numbers for the same thing.",
    "date": "The sources state different dates for the same event.",
    "name": "The sources name different answers for the same thing.",
}


def _newest(statements: Sequence[Statement], sides: tuple[Side, ...]) -> int | None:
    """Return the side that a newer vintage of the same series asserts, or None if dates or series do not tell."""
    held = [[statements[i] for i in side.statements] for side in sides]
    series = {s.series for side in held for s in side}
    archived = [all(s.archived for s in side) for side in held]
    if archived.count(False) == 1:
        return archived.index(False)
    if len(series) != 1 or None in series:
        return None
    newest = [max((s.dated for s in side if s.dated), default=None) for side in held]
    if any(date is None for date in newest):
        return None
    best = max(range(len(sides)), key=lambda i: str(newest[i]))
    return best if [str(d) for d in newest].count(str(newest[best])) == 1 else None
