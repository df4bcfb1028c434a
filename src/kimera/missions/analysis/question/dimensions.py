"""Words of size that stand for a column: the longest flippers are those of the highest flipper length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import split_name, stem

__all__ = ["read_top", "spell_out"]

_OF_A_PART = {
    "longest": ("highest", "length"),
    "shortest": ("lowest", "length"),
    "tallest": ("highest", "height"),
    "deepest": ("highest", "depth"),
    "widest": ("highest", "width"),
    "longer": ("higher", "length"),
    "shorter": ("lower", "length"),
    "deeper": ("higher", "depth"),
    "wider": ("higher", "width"),
}
_SIZED = re.compile(rf"\b({'|'.join(_OF_A_PART)})\s+(\w+)\b", re.IGNORECASE)
_OF_THE_WHOLE = (
    (r"\b(?:is|are|was|were)\s+(?:the\s+)?heaviest\b", "has the highest {}", ("mass", "weight")),
    (r"\b(?:is|are|was|were)\s+(?:the\s+)?lightest\b", "has the lowest {}", ("mass", "weight")),
    (r"\bweighs?\s+(?:the\s+)?most\b", "has the highest {}", ("mass", "weight")),
    (r"\bweighs?\s+(?:the\s+)?least\b", "has the lowest {}", ("mass", "weight")),
    (r"\b(?:is|are|was|were)\s+heavier\b|\bweighs?\s+more\b", "have a higher {}", ("mass", "weight")),
    (r"\b(?:is|are|was|were)\s+lighter\b|\bweighs?\s+less\b", "have a lower {}", ("mass", "weight")),
    (r"\b(?:is|are|was|were)\s+(?:the\s+)?tallest\b", "has the highest {}", ("height",)),
    (r"\bheaviest\b", "highest {}", ("mass", "weight")),
    (r"\blightest\b", "lowest {}", ("mass", "weight")),
    (r"\bweight\b", "{}", ("mass",)),
)
_TOP = re.compile(
    r"\b(?P<edge>top|first|bottom|last)[ -](?P<most>\d+|two|three|four|five|ten)\s+(?P<group>[\w -]+?)\s+"
    r"(?:by|with|in terms of)\s+(?:the\s+)?(?:highest\s+|lowest\s+|largest\s+|smallest\s+)?(?P<value>[^?.]+)",
    re.IGNORECASE,
)
_COUNTED = {"two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}


def spell_out(text: str, tables: Sequence[TableView]) -> str:
    """Return the question with words of size replaced by the column they stand for, where exactly one fits."""
    names = {tuple(split_name(c.name)) for table in tables for c in table.columns if c.numeric}
    text = _SIZED.sub(lambda match: _part(match, names), text)
    for pattern, said, nouns in _OF_THE_WHOLE:
        column = _only(names, nouns)
        if column and re.search(pattern, text, re.IGNORECASE) and column not in text:
            text = re.sub(pattern, said.format(column), text, flags=re.IGNORECASE)
    return text


def _part(match: re.Match[str], names: Iterable[tuple[str, ...]]) -> str:
    """Return ``longest flippers`` as ``highest flipper length`` if a column has both words."""
    (edge, noun), word = _OF_A_PART[match[1].lower()], match[2].lower()
    fits = any(noun in parts and stem(word) in {stem(part) for part in parts} for parts in names)
    singular = next((p for parts in sorted(names) for p in parts if stem(p) == stem(word)), word)
    return f"{edge} {singular} {noun}" if fits and word != noun else match[0]


def _only(names: Iterable[tuple[str, ...]], nouns: Sequence[str]) -> str | None:
    """Return the one column that is named by a noun such as mass, as words up to that noun."""
    found = set()
    for parts in names:
        for noun in nouns:
            if noun in parts:
                words = [p for p in parts[: parts.index(noun) + 1] if p not in {"mean", "average", "avg", "median"}]
                found.add(" ".join(words))
    return found.pop() if len(found) == 1 else None


def read_top(text: str) -> tuple[str, int, bool] | None:
    """Read ``top 3 species by mean body mass`` as (``What is the mean body mass per species?``, 3, lowest first)."""
    match = _TOP.search(text)
    if match is None:
        return None
    most = _COUNTED.get(match["most"].lower()) or int(match["most"])
    low = re.search(r"\b(?:bottom|last|lowest|smallest)\b", match[0], re.IGNORECASE) is not None
    return f"What is the {match['value'].strip()} per {match['group'].strip()}?", most, low
