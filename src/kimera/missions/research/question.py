"""What a question asks for: its terms, the names and dates it fixes, and the type of answer it expects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kimera.missions.research.mentions import Mention, find_mentions
from kimera.missions.research.words import STOP, content_stems, stem, words

__all__ = ["AnswerKind", "Question", "read_question"]

AnswerKind = Literal["date", "number", "name", "boolean", "open"]

_DATE = re.compile(
    r"\bwhen\b|\b(?:what|which)\s+(?:\w+\s+){0,2}?(?:date|day|year|month)\b|\bdate\b|\bwhat time\b", re.I
)
_NUMBER = re.compile(
    r"\bhow\s+(?:many|much|old|tall|high|long|far|large|big|fast|deep|wide|heavy|often)\b|"
    r"\b(?:which\s+|what(?:['’]s)?\s+(?:(?!of\b|on\b|in\b|for\b|between\b|at\b)[\w'’.-]+\s+){0,5}?)(?:"
    r"number|amount|percentage|percent|share|rate|ratio|price|cost|revenue|income|profit|"
    r"budget|population|size|area|height|length|weight|distance|age|total|average|mean|median|score|salary|speed|"
    r"temperature|value|count|capacity|volume|attendance|turnover)\b",
    re.I,
)
_COUNTED = re.compile(r"\bhow\s+many\s+((?:(?!is\b|are\b|was\b|were\b|do|did|have|has|in\b|can\b)\w+\s+){1,3})", re.I)
_PLACE = re.compile(
    r"\bwhere\b|\blocation\b|\b(?:what|which)\s+(?:city|country|state|place|town|venue|stadium|region)\b", re.I
)
_NAME = re.compile(r"\b(?:who|whom|whose)\b", re.I)
_WHICH = re.compile(
    r"\bwhich\b|\bwhat(?:['’]s|\s+is|\s+was)\s+the\s+(?!effect|impact|relation|differ|role|reason|purpose|cause)(?:[\w-]+\s+){1,3}(?:of|for|in|by|at|on)\b|"
    r"\bwhat\s+(?!\w+s\s|do|does|did|is|are|was|were|has|have|had|can|could|should|will|would|happen\w*|makes?|about|kind)\w+\s+\w+",
    re.I,
)
_WHAT = re.compile(r"\bwhat(?:['’]s|\s+is|\s+was)\b", re.I)
_ASKED_WITH = re.compile(r"\b(?:who|whom|whose|what|which|when|where|why|how)\b", re.I)
_BARE_NAME = re.compile(
    r"\b(?:winner|champion|director|author|ceo|president|founder|inventor|actor|actress|singer|host|mayor|coach|captain|"
    r"owner|capital|location|venue|manufacturer|developer|publisher|runner-up|composer|designer|architect|headquarters)s?\b",
    re.I,
)
_BARE_NUMBER = re.compile(
    r"\b(?:population|revenue|income|profit|budget|area|height|length|weight|distance|age|attendance|capacity|turnover|"
    r"price|cost|salary|score|percentage|rate|number)\b",
    re.I,
)
_BOOLEAN = re.compile(r"^\s*(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should)\b", re.I)
_MANY = re.compile(
    r"\b(?:which|what)\s+(?:\w+\s+)?(?:factors|things|reasons|causes|effects|steps|ways|risks|benefits|differences|"
    r"advantages|changes|trends|patterns|measures|issues|problems|variables|features)\b|"
    r"\b(?:why|how)\b(?!\s+(?:many|much|old|tall|high|long|far|large|big|fast|deep|wide|heavy|often))",
    re.I,
)


@dataclass(frozen=True)
class Question:
    """A question read once. ``asks`` is the type of answer, ``stems`` its content stems without duplicates."""

    text: str
    asks: AnswerKind
    place: bool
    stems: tuple[str, ...]
    names: tuple[Mention, ...]
    dates: tuple[Mention, ...]
    counted: frozenset[str] = frozenset()

    @property
    def factoid(self) -> bool:
        """Return whether one date, number or name answers it."""
        return self.asks in {"date", "number", "name"}

    @property
    def loose(self) -> bool:
        """Return whether the type is only a guess: "what was the rainfall of ..." may want a number or a name."""
        return self.asks == "name" and not self.place and not _NAME.search(self.text) and bool(_WHAT.search(self.text))

    def answered_by(self, text: str) -> bool:
        """Return whether ``text`` holds a mention of the type that is asked for and not given in the question."""
        found = [m for m in find_mentions(text) if m.kind == self.asks and not self.mentions(m)]
        if self.asks == "number" and self.counted:
            found = [
                m
                for m in found
                if self.counted & set(content_stems(text[m.start : m.end + 40].split(",", maxsplit=1)[0])[:5])
            ]
        if self.loose and not found:
            found = [m for m in find_mentions(text) if not self.mentions(m)]
        return self.factoid and bool(found)

    def mentions(self, mention: Mention) -> bool:
        """Return whether the question itself already names this; what is given cannot be the answer."""
        asked = set(words(self.text))
        parts = [word for word in words(mention.value) if word not in STOP]
        return bool(parts) and all(part in asked for part in parts)


def read_question(text: str) -> Question:
    """Return what ``text`` asks for; a text that asks for no single value is ``open``."""
    mentions = find_mentions(text)
    return Question(
        text=text,
        asks=_asks(text),
        place=bool(_PLACE.search(text)),
        stems=tuple(dict.fromkeys(content_stems(text))),
        names=tuple(m for m in mentions if m.kind == "name"),
        dates=tuple(m for m in mentions if m.kind == "date"),
        counted=frozenset(stem(w) for match in _COUNTED.finditer(text) for w in words(match[1]) if w not in STOP),
    )


def _asks(text: str) -> AnswerKind:
    if _MANY.search(text) and not _NAME.search(text):
        return "open"
    typed = _TYPED if _ASKED_WITH.search(text) else _BARE  # "lindow fair location" asks without a question word
    return next((kind for pattern, kind in typed if pattern.search(text)), "open")


_TYPED: tuple[tuple[re.Pattern[str], AnswerKind], ...] = (
    (re.compile(r"\bhow\s+(?:many|much)\b", re.I), "number"),
    (_NAME, "name"),
    (_DATE, "date"),
    (_NUMBER, "number"),
    (_PLACE, "name"),
    (_BOOLEAN, "boolean"),
    (_WHICH, "name"),
)
_BARE: tuple[tuple[re.Pattern[str], AnswerKind], ...] = (
    (_BOOLEAN, "boolean"),
    (_DATE, "date"),
    (_BARE_NUMBER, "number"),
    (_BARE_NAME, "name"),
)
