"""Each number that a document states, set against each computed value that may be the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kimera.missions.contracts import NumberClaim, TextClaim
from kimera.missions.fusion.quantities import Quantity, agree, canonical
from kimera.missions.fusion.topics import PLAIN, Scopes, Statement, Topic

__all__ = ["DIFFERENT", "SAME", "Match", "find_matches"]

SMALL = 20  # counts below this agree by accident too often to mean anything beside other numbers
SAME, DIFFERENT = "same", "different"


@dataclass(frozen=True)
class Match:
    """A document's number set against a computed one; ``verdict`` is same, different or the reason why neither."""

    text: TextClaim
    number: NumberClaim
    verdict: str
    stated: Quantity | None = None


def _different_things(statement: Statement, topic: Topic) -> bool:
    """Return whether both name an entity and these have no word in common; equal values are not asked for it."""
    return bool(topic.entity and statement.entity) and not topic.entity & (statement.entity | statement.words)


def find_matches(
    texts: Sequence[TextClaim],
    numbers: Sequence[NumberClaim],
    statements: dict[str, Statement],
    topics: dict[str, Topic],
    scopes: Scopes,
) -> list[Match]:
    """Return every pair of a sentence and a value that share their attribute, with what comes of it."""
    by_words: dict[frozenset[str], list[NumberClaim]] = {}
    for number in numbers:
        if topics[number.id].words and not isinstance(number.value, bool | str):
            by_words.setdefault(topics[number.id].words, []).append(number)
    found = []
    for text in texts:
        statement = statements[text.id]
        for words, group in by_words.items() if statement.quantities else ():
            if words <= statement.words:
                pairs = (_compare(text, number, statement, topics[number.id], scopes) for number in group)
                found += [match for match in pairs if match is not None]
    return found


def _compare(text: TextClaim, number: NumberClaim, statement: Statement, topic: Topic, scopes: Scopes) -> Match | None:
    value = float(number.value)
    stated = [q for q in statement.quantities if _fits(q, value, statement, topic)]
    if not stated:
        return None
    same = next((q for q in stated if agree(q, value, topic.unit)), None)
    reason = _apart(statement, topic, scopes)
    if reason is not None:
        return Match(text, number, reason, stated[0]) if _named(statement, topic, stated[0]) else None
    crowded = len(stated) > 1
    if same is not None and not (crowded and not same.unit and abs(value) < SMALL):
        return Match(text, number, SAME, same)
    if crowded or same is not None or stated[0].bound or not _named(statement, topic, stated[0]):
        return None
    if _different_things(statement, topic):
        return Match(text, number, "They speak of different things.", stated[0])
    if agree(stated[0], value, topic.unit) is None:
        return Match(text, number, "The units cannot be converted into each other.", stated[0])
    return Match(text, number, DIFFERENT, stated[0])


def _fits(quantity: Quantity, value: float, statement: Statement, topic: Topic) -> bool:
    """Return whether a stated number may be the computed one: unit of the same kind, statistic not another one."""
    _, dimension = canonical(value, topic.unit)
    units = quantity.unit == dimension or not quantity.unit or not dimension
    near = _nearest(statement, quantity)
    return units and (near == topic.statistic or (not near and topic.statistic in PLAIN))


def _nearest(statement: Statement, quantity: Quantity) -> str:
    cues = sorted((abs(place - quantity.start), name) for place, name in statement.statistics)
    return cues[0][1] if cues else ""


def _named(statement: Statement, topic: Topic, stated: Quantity) -> bool:
    """Return whether the sentence names the statistic; without that a difference proves nothing."""
    return bool(topic.statistic) and _nearest(statement, stated) == topic.statistic


def _apart(statement: Statement, topic: Topic, scopes: Scopes) -> str | None:
    """Return why two statements speak of different things, or None."""
    mentioned = statement.words & scopes.categories - topic.words
    if topic.scope - statement.words or mentioned - topic.scope or topic.figures - statement.figures:
        return "They speak of different groups."
    covered = any(
        low <= int(year) <= high
        for source in topic.sources
        for low, high in [scopes.years.get(source, (1, 0))]
        for year in statement.years
    )
    if (topic.period and topic.period != statement.years) or (not topic.period and covered):
        return "They speak of different periods."
    return None
