"""A sentence as a row of items: columns, comparisons, numbers, named values, words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kimera.missions.analysis.plan import Comparator, Scalar
from kimera.missions.analysis.question.linking import MEASURE_WORDS, Mention, find_columns
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import NUMBER, STOP, number_of, split_name, stem

__all__ = ["Item", "items_of"]

_COMPARE: tuple[tuple[str, str, Comparator], ...] = (
    (
        r"(?:greater|more|higher|larger|older|bigger) than or equals? to|(?:greater|more|higher) than or equal|"
        r"equal to or (?:greater|more|higher|larger) than|at least|no(?:t)? (?:less|fewer|lower) than|a minimum of",
        ">=|≥",
        ">=",
    ),
    (
        r"(?:less|lower|smaller|fewer|younger) than or equals? to|(?:less|lower|smaller) than or equal|"
        r"equal to or (?:less|lower|smaller|"
        r"fewer) "
        r"than|"
        r"at most|"
        r"no(?:t)? "
        r"(?:more|"
        r"greater|"
        r"higher) "
        r"than|"
        r"up to|a maximum of",
        "<=|≤",
        "<=",
    ),
    (r"not equal to|other than|different from", "!=|<>", "!="),
    (
        r"(?:greater|more|higher|larger|older|"
        r"bigger|"
        r"later|"
        r"longer) "
        r"than|"
        r"above|over|"
        r"beyond|"
        r"exceeds?|"
        r"exceeding|"
        r"exceeded|after",
        ">",
        ">",
    ),
    (r"(?:less|lower|smaller|fewer|younger|earlier|shorter) than|below|under|before", "<", "<"),
    (r"exactly equal to|equals? to|equals?|exactly", "==|=", "="),
)
_AGGREGATE = r"(?:the |its |their |overall )*(?P<agg>average|mean|median)\b(?: value)?(?: of)?"
_WEAK_VALUES = frozenset(
    [
        "yes",
        "no",
        "true",
        "false",
        "none",
        "other",
        "unknown",
        "all",
        "any",
        "a",
        "i",
        "e",
        "s",
        "m",
        "f",
        "n",
        "y",
        "the",
        "in",
        "on",
        "and",
        "or",
        "not",
        "of",
        "mean",
        "total",
        "average",
        "new",
        "low",
        "high",
        "null",
        "nan",
        "na",
        "day",
        "time",
        "data",
        "name",
        "us",
        "it",
        "one",
        "two",
        "three",
        "up",
        "normal",
        "positive",
        "negative",
        "other",
        "more",
        "less",
        "type",
    ]
)


@dataclass(frozen=True)
class Item:
    """One piece of a sentence: a column, a comparison, a number, a value, an aggregate or a plain word."""

    kind: str
    start: int
    end: int
    text: str
    column: str = ""
    value: Scalar = ""
    op: Comparator = "="
    quoted: bool = False


def items_of(text: str, table: TableView, mentions: Sequence[Mention] | None = None) -> list[Item]:
    """Return the sentence as columns, comparisons, numbers, values and words in order."""
    linked = find_columns(text, table) if mentions is None else mentions
    items = [
        Item("col", m.start, m.end, text[m.start : m.end], column=m.column, quoted=m.quoted)
        for m in linked
        if not m.entity
    ]
    for value in _value_items(text, table, linked):
        items = [i for i in items if i.end <= value.start or i.start >= value.end] + [value]
    for spoken, symbols, op in _COMPARE:
        places = re.finditer(rf"\b(?:{spoken})\b|(?<![<>=!])(?:{symbols})(?![<>=])", text, re.IGNORECASE)
        items += _fresh(items, (Item("op", m.start(), m.end(), m[0], op=op) for m in places))
    means = re.finditer(_AGGREGATE, text, re.IGNORECASE)
    items += _fresh(items, (Item("agg", m.start(), m.end(), m[0], value=m["agg"].lower()) for m in means))
    numbers = re.finditer(rf"(?<![\w.]){NUMBER}(?:st|nd|rd|th)?(?![\w])", text)
    items += _fresh(items, (Item("num", m.start(), m.end(), m[0], value=number_of(m[0]) or 0.0) for m in numbers))
    plain = (Item("word", m.start(), m.end(), m[0].lower()) for m in re.finditer(r"[A-Za-z]+(?:'t)?|[^\sA-Za-z]", text))
    return sorted([*items, *_fresh(items, plain)], key=lambda item: item.start)


def _fresh(taken: Sequence[Item], more: Iterator[Item]) -> list[Item]:
    kept: list[Item] = []
    for item in more:
        if all(item.end <= other.start or item.start >= other.end for other in [*taken, *kept]):
            kept.append(item)
    return kept


def _value_items(text: str, table: TableView, linked: Sequence[Mention]) -> list[Item]:
    """Find named values of text columns; a value of two columns goes to the one mentioned nearby, else to neither."""
    spans: dict[tuple[int, int], list[tuple[str, str, bool]]] = {}
    # a word that rows are called by (hotel in hotel_id, hotel_name) is no value, however often it is one
    row_words = [stem(w) for c in table.columns for w in split_name(c.name)[:-1]]
    for column in table.columns:
        if column.role in {"number", "date"}:
            continue
        # ``deck B``: beside its column even a letter is a value
        beside = {m.end + 1 for m in linked if m.column == column.name}
        for value in column.values:
            if row_words.count(stem(value)) >= 2:
                continue
            for start, end, quoted in _value_places(text, value, column.unique > 15, beside):
                spans.setdefault((start, end), []).append((column.name, value, quoted))
    items: list[Item] = []
    for (start, end), readings in sorted(spans.items(), key=lambda s: s[0][0] - s[0][1]):
        if any(start < i.end and end > i.start for i in items):
            continue
        near = {m.column for m in linked if abs(m.start - end) < 60 or abs(start - m.end) < 60}
        pick = [r for r in readings if r[0] in near] if len(readings) > 1 else readings
        exact = any(m.start <= start and m.end >= end and m.score >= 1 for m in linked)
        if len(pick) == 1 and not (exact and not pick[0][2]):
            name, value, quoted = pick[0]
            items.append(Item("val", start, end, text[start:end], column=name, value=value, quoted=quoted))
    return items


def _value_places(text: str, value: str, many: bool, beside: set[int]) -> Iterator[tuple[int, int, bool]]:
    bare = value.strip()
    if len(bare) < 1 or len(bare) > 60 or number_of(bare) is not None:
        return
    if bare.lower() not in text.lower():
        return
    weak = bare.lower() in _WEAK_VALUES or len(bare) < 3 or stem(bare) in MEASURE_WORDS
    plural = r"(?:'?s)?" if len(bare) > 3 and not weak else ""
    for match in re.finditer(rf"(?<![\w]){re.escape(bare)}{plural}(?![\w])", text, re.IGNORECASE):
        quoted = text[max(0, match.start() - 1) : match.start()] in set("\"'“`") and text[
            match.end() : match.end() + 1
        ] in set("\"'”`,")
        if bare.isupper() and (len(bare) <= 3 or bare.lower() in STOP) and match[0] != bare:
            continue  # CAN is a code, can is a word
        bracketed = (
            text[max(0, match.start() - 1) : match.start()] == "(" and text[match.end() : match.end() + 1] == ")"
        )
        if not quoted and bracketed and match[0] == bare and bare.isupper():
            yield match.start(), match.end(), True
            continue
        if not quoted and (weak or (many and match[0][0].islower())):
            if match.start() in beside and match[0] == bare:
                yield match.start(), match.end(), True
                continue
            before = text[max(0, match.start() - 6) : match.start()]
            if not re.search(r"[=:]\s*$", before):
                continue
        yield match.start(), match.end(), quoted
