"""What is known while the answer slots are read: sentences, the table as the steps leave it, filters, groups."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kimera.missions.analysis.plan import Condition, Step
from kimera.missions.analysis.question.linking import MEASURE_WORDS, Mention, find_columns
from kimera.missions.analysis.question.slots import Asked, Slot
from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.question.words import stem, words

__all__ = ["Context", "Unanswerable"]


class Unanswerable(Exception):
    """A slot that could not be tied to columns and rows; the text says why."""


@dataclass
class Context:
    """One question being read. ``compared`` holds columns whose values are set against each other."""

    asked: Asked
    sentences: list[str]
    table: TableView
    steps: tuple[Step, ...] = ()
    filters: tuple[Condition, ...] = ()
    compared: dict[str, list[tuple[Condition, ...]]] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the body of the question."""
        return "\n".join(self.sentences)

    def says(self, pattern: str) -> bool:
        """Return whether the body says something."""
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def mentions(self, sentence: str) -> list[Mention]:
        """Return the columns a sentence names, without those that only say what a row is."""
        return [m for m in find_columns(sentence, self.table) if not m.entity]

    def numeric(self, sentence: str) -> list[str]:
        """Return the columns of numbers a sentence names, each once, in order."""
        return list(dict.fromkeys(m.column for m in self.mentions(sentence) if self._number(m.column)))

    def _number(self, name: str) -> bool:
        column = self.table.column(name)
        return column is not None and column.numeric

    def column(self, name: str) -> ColumnView:
        """Return a column that is known to exist."""
        found = self.table.column(name)
        if found is None:
            raise KeyError(name)
        return found

    def with_words(self, pattern: str) -> Iterator[tuple[str, int]]:
        """Yield each sentence that matches and where the match ends."""
        for sentence in self.sentences:
            match = re.search(pattern, sentence, re.IGNORECASE)
            if match:
                yield sentence, match.end()

    def set_apart(self) -> set[str]:
        """Return the columns that choose rows and so are not themselves measured."""
        plain = {c.column for c in self.filters if c.aggregate is None and c.op not in {"present", "missing"}}
        return plain | set(self.compared)

    def slot_columns(self, slot: Slot) -> list[str]:
        """Return the columns the name of a slot speaks of."""
        return self.phrase_columns(" ".join(slot.tokens))

    def phrase_columns(self, phrase: str) -> list[str]:
        """Return the columns of a phrase; words such as mean or range do not name a column on their own."""
        if self.derived and re.search(
            r"\bnew(?:ly created)? (?:feature|column|variable)\b|\btransformed\b", phrase, re.IGNORECASE
        ):
            named = [m.column for m in self.mentions(phrase)]
            return named or [self.derived[-1]]
        found = []
        for mention in self.mentions(phrase):
            spoken = [w.stem for w in words(phrase[mention.start : mention.end])]
            if not all(w in MEASURE_WORDS for w in spoken) or mention.score >= 1.2:
                found.append(mention.column)
        return list(dict.fromkeys(found)) or self.introduced(phrase)

    def introduced(self, phrase: str) -> list[str]:
        """Return the column the question spells out, ``atmospheric temperature (AT)`` for ``atmos temp``."""
        spoken = [w for w in words(phrase.lower()) if w.stem not in MEASURE_WORDS and len(w.text) > 2]
        best: dict[str, int] = {}
        for column in self.table.columns:
            for match in re.finditer(
                rf"((?:[A-Za-z]+\s+){{1,4}})(?:column\s+)?\(\s*[\"'“]?{re.escape(column.name)}[\"'”]?\s*\)", self.text
            ):
                known = [w.text.lower() for w in words(match[1])]
                hits = [w for w in spoken if any(k.startswith(w.text) or w.stem == stem(k) for k in known)]
                best[column.name] = max(len(hits), best.get(column.name, 0))
        top = max(best.values(), default=0)
        return [c for c, n in best.items() if n == top] if top and list(best.values()).count(top) == 1 else []
