"""Reading which rows are meant: comparisons, named values, flags, ordinals, years."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kimera.missions.analysis.plan import Comparator, Condition, Scalar
from kimera.missions.analysis.question.linking import Mention, find_columns
from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.question.words import NUMBER, number_of, stem

__all__ = ["Found", "Item", "find_conditions", "items_of"]

_COMPARE: tuple[tuple[str, str, Comparator], ...] = (
    (
        r"(?:greater|more|higher|larger|older|bigger) than or equals? to|(?:greater|more|higher) than or equal|"
        r"equal to or (?:greater|more|higher|larger) than|at least|no(?:t)? (?:less|fewer|lower) than|a minimum of",
        ">=|≥", ">=",
    ),
    (
        r"(?:less|lower|smaller|fewer|younger) than or equals? to|(?:less|lower|smaller) than or equal|"
        r"equal to or (?:less|lower|smaller|fewer) than|at most|no(?:t)? (?:more|greater|higher) than|up to|a maximum of",
        "<=|≤", "<=",
    ),
    (r"not equal to|other than|different from", "!=|<>", "!="),
    (r"(?:greater|more|higher|larger|older|bigger|later|longer) than|above|over|exceeds?|exceeding|exceeded|after", ">", ">"),
    (r"(?:less|lower|smaller|fewer|younger|earlier|shorter) than|below|under|before", "<", "<"),
    (r"exactly equal to|equals? to|equals?|exactly", "==|=", "="),
)  # fmt: skip
_SUFFIX: tuple[tuple[str, Comparator], ...] = (
    (r"\s*(?:years(?: old)?|%|percent)?\s*(?:or|and) (?:more|above|older|higher|greater|over|later|up)\b|\s*\+", ">="),
    (r"\s*(?:years(?: old)?|%|percent)?\s*(?:or|and) (?:less|below|younger|lower|fewer|under|earlier)\b", "<="),
)
_AGGREGATE = r"(?:the |its |their |overall )*(?P<agg>average|mean|median)\b(?: value)?(?: of)?"
_FILLER = frozenset(
    "is are was were be been being value values of a an the that which who have has had having with its their strictly "
    "score level rating year age amount number equal to where only column columns".split()
)  # fmt: skip
_WEAK_VALUES = frozenset(
    "yes no true false none other unknown all any a i e s m f n y the in on and or not of mean total average new low high "
    "null nan na day time data name us it one two three up normal positive negative other more less type".split()
)  # fmt: skip
_NOT = re.compile(r"(?:\bnot|n't|\bnever|\bnon|\bwithout|\bexcept|\bexcluding|\bunless)[\s-]*(?:\w+\s){0,1}$", re.IGNORECASE)


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


@dataclass(frozen=True)
class Found:
    """A condition and where in the sentence it stands."""

    condition: Condition
    start: int
    end: int


def items_of(text: str, table: TableView, mentions: Sequence[Mention] | None = None) -> list[Item]:
    """Return the sentence as columns, comparisons, numbers, values and words in order."""
    linked = find_columns(text, table) if mentions is None else mentions
    items = [Item("col", m.start, m.end, text[m.start : m.end], column=m.column, quoted=m.quoted) for m in linked if not m.entity]
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
    for column in table.columns:
        if column.role in {"number", "date"}:
            continue
        for value in column.values:
            for start, end, quoted in _value_places(text, value, column.unique > 60):
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


def _value_places(text: str, value: str, many: bool) -> Iterator[tuple[int, int, bool]]:
    bare = value.strip()
    if len(bare) < 1 or len(bare) > 60 or number_of(bare) is not None:
        return
    weak = bare.lower() in _WEAK_VALUES or len(bare) < 3
    plural = r"(?:'?s)?" if len(bare) > 3 and not weak else ""
    for match in re.finditer(rf"(?<![\w]){re.escape(bare)}{plural}(?![\w])", text, re.IGNORECASE):
        quoted = text[max(0, match.start() - 1) : match.start()] in set("\"'“`") and text[match.end() : match.end() + 1] in set("\"'”`,")
        if not quoted and (weak or (many and match[0][0].islower())):
            before = text[max(0, match.start() - 6) : match.start()]
            if not re.search(r"[=:]\s*$", before):
                continue
        yield match.start(), match.end(), quoted


def find_conditions(text: str, table: TableView, items: Sequence[Item] | None = None) -> list[Found]:
    """Return the conditions a sentence puts on rows, in order of their place."""
    sequence = list(items_of(text, table) if items is None else items)
    found: list[Found] = []
    readers = (_compared, _between, _counted, _equal, _named, _numbered, _flagged, _years)
    for reader in readers:
        for condition in reader(text, sequence, table):
            if all(condition.end <= f.start or condition.start >= f.end for f in found):
                found.append(condition)
    return sorted(found, key=lambda f: f.start)


def _next(items: Sequence[Item], k: int, limit: int = 4) -> tuple[int, Item | None]:
    """Return the next item that is not filler, looking over at most ``limit`` words."""
    for j in range(k + 1, min(k + 2 + limit, len(items))):
        if items[j].kind == "word" and items[j].text in _FILLER | {"'", '"', "“", "”", "(", "`"}:
            continue
        return j, items[j]
    return len(items), None


def _with_suffix(text: str, item: Item, op: Comparator) -> tuple[Comparator, int]:
    for pattern, wider in _SUFFIX:
        match = re.compile(pattern, re.IGNORECASE).match(text, item.end)
        if match:
            return wider, match.end()
    return op, item.end


def _number(value: Scalar) -> Scalar:
    number = float(value)
    return int(number) if number.is_integer() else number


def _compared(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``fare is greater than 50``, ``age > 18 and < 60``, ``fare above the average fare``."""
    for k, item in enumerate(items):
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or column.role == "text":
            continue
        j, op = _next(items, k)
        while op is not None and op.kind == "op":
            n, number = _next(items, j, 2)
            if number is None or number.kind not in {"num", "agg"}:
                break
            end = number.end
            if number.kind == "num":
                sign, end = _with_suffix(text, number, op.op)
                yield Found(Condition(column=column.name, op=sign, value=_number(number.value)), item.start, end)
            else:
                following = _next(items, n, 1)[1]
                end = following.end if following is not None and following.kind == "col" else end
                aggregate = "median" if number.value == "median" else "mean"
                yield Found(Condition(column=column.name, op=op.op, aggregate=aggregate), item.start, end)
            link = items[n + 1] if n + 1 < len(items) else None
            if link is None or link.text not in {"and", "&", ","}:
                break
            j, op = _next(items, n + 1, 2)


def _between(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``between 20 and 30`` beside a column."""
    for k, item in enumerate(items):
        if item.kind != "word" or item.text not in {"between", "from"}:
            continue
        following = [i for i in items[k + 1 : k + 4] if i.kind in {"num", "word"}]
        if len(following) < 3 or following[0].kind != "num" or following[1].text not in {"and", "to", "-"} or following[2].kind != "num":
            continue
        before = [i for i in items[max(0, k - 5) : k] if i.kind == "col"]
        after = [i for i in items[k + 4 : k + 6] if i.kind == "col"]
        column = table.column((before[-1:] or after[:1] or [item])[0].column)
        if column is None or not column.numeric:
            continue
        low, high = sorted((_number(following[0].value), _number(following[2].value)), key=float)
        yield Found(Condition(column=column.name, op=">=", value=low), item.start, following[0].end)
        yield Found(Condition(column=column.name, op="<=", value=high), following[0].end, following[2].end)


def _counted(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``at least 100 reviews``: comparison, number, column."""
    for k, item in enumerate(items):
        if item.kind != "op" or k + 2 >= len(items) or items[k + 1].kind != "num":
            continue
        rest = [i for i in items[k + 2 : k + 4] if i.kind != "word" or i.text not in _FILLER]
        column = table.column(rest[0].column) if rest and rest[0].kind == "col" else None
        if column is not None and column.numeric:
            yield Found(Condition(column=column.name, op=item.op, value=_number(items[k + 1].value)), item.start, rest[0].end)


def _equal(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``Embarked = 'C'``, ``a star rating of 5``, ``Pclass is 3``."""
    for k, item in enumerate(items):
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or k + 1 >= len(items):
            continue
        link = items[k + 1]
        if not (link.op == "=" and link.kind == "op") and link.text not in {"of", "is", "was", "are", "were", "equals"}:
            continue
        j, value = _next(items, k + 1 if link.kind == "op" or link.text in {"of", "is", "was", "are"} else k, 3)
        if value is None:
            continue
        op: Comparator = "!=" if _negated(text, value.start) else "="
        if value.kind == "num" and column.numeric and _plausible(column, float(value.value), link):
            sign, end = _with_suffix(text, value, op)
            yield Found(Condition(column=column.name, op=sign, value=_number(value.value)), item.start, end)
        elif value.kind == "val" and value.column == column.name:
            yield Found(Condition(column=column.name, op=op, value=value.value), item.start, value.end)


def _plausible(column: ColumnView, value: float, link: Item) -> bool:
    if link.kind == "op" or column.minimum is None or column.maximum is None:
        return True
    return column.minimum <= value <= column.maximum


def _negated(text: str, start: int) -> bool:
    return bool(_NOT.search(text[max(0, start - 24) : start].rstrip(" \"'") + " "))


def _named(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """A value by its name: ``male passengers``, ``in France``."""
    for item in items:
        if item.kind == "val":
            op: Comparator = "!=" if _negated(text, item.start) else "="
            yield Found(Condition(column=item.column, op=op, value=item.value), item.start, item.end)


def _numbered(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``first class``, ``3rd class``, ``class 1``, ``the 1st and 3rd classes`` for columns of few whole numbers."""
    for k, item in enumerate(items):
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or column.role != "number" or not 1 < column.unique <= 20:
            continue
        known = {float(v) for v in column.values if number_of(v) is not None}
        for place, number in _numbers_beside(text, items, k):
            if number in known:
                yield Found(Condition(column=column.name, op="=", value=_number(number)), min(place.start, place.start), place.end)


def _numbers_beside(text: str, items: Sequence[Item], k: int) -> Iterator[tuple[Item, float]]:
    head = re.match(r"(\w+)\W", items[k].text)
    inside = number_of(head[1]) if head else None
    if inside is not None:
        yield items[k], inside
    for step in (-1, 1):
        j = k + step
        while 0 <= j < len(items):
            item = items[j]
            number = number_of(item.text) if item.kind in {"word", "num"} else None
            ordinal = item.kind == "word" or bool(re.search(r"(?:st|nd|rd|th)$", item.text))
            if number is not None and (ordinal if step < 0 else not ordinal):
                yield item, number
            elif not (item.kind == "word" and item.text in {"and", "or", ",", "-", "("}):
                break
            j += step


def _flagged(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``who survived``, ``did not survive``, ``married workers`` for columns of yes and no."""
    for k, item in enumerate(items):
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or not column.binary or column.role == "date" or item.quoted:
            continue
        yes = _yes_value(column)
        if yes is None:
            continue
        before = text[max(0, item.start - 30) : item.start]
        after = text[item.end : item.end + 16]
        clause = re.search(r"\b(?:who|that|which|not|did|were|are|have|had|and|is|had not)\s+(?:\w+\s)?$", before, re.IGNORECASE)
        noun = re.match(r"\s+(?!column|feature|variable|rate|and\b|is\b|to\b|status|value|from\b|distribution)[a-z]+s\b", after)
        related = re.search(r"\b(?:between|of|with|predict|and the)\s+(?:the\s)?$", before, re.IGNORECASE)
        verbal = re.search(r"(?:ed|ing|ive)$", item.text)
        if (clause and verbal and not (related and not _negated(text, item.start))) or (noun and not verbal):
            value, other = yes
            yield Found(Condition(column=column.name, op="=", value=other if _negated(text, item.start) else value), item.start, item.end)


def _yes_value(column: ColumnView) -> tuple[Scalar, Scalar] | None:
    lower = {v.lower() for v in column.values}
    if column.stored == "boolean":
        return True, False
    if lower <= {"0", "1", "0.0", "1.0"}:
        return 1, 0
    for yes, no in (("yes", "no"), ("true", "false"), ("y", "n"), ("t", "f")):
        if lower == {yes, no}:
            pick = {v.lower(): v for v in column.values}
            return pick[yes], pick[no]
    return None


def _years(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``in 2015``, ``after 2010``, ``between 2010 and 2015`` for a year column or a date column."""
    column, part = _year_column(table)
    if column is None:
        return
    for k, item in enumerate(items):
        if item.kind != "num" or not re.fullmatch(r"(?:1[89]|20)\d\d", item.text) or not k:
            continue
        before = items[k - 1]
        if before.kind == "word" and before.text in {"year", "years"} and k > 1:
            before = items[k - 2] if items[k - 2].kind != "word" or items[k - 2].text != "the" else items[max(0, k - 3)]
        found = Condition(column=column.name, op="=", value=int(item.text), part=part)
        if before.kind == "op":
            yield Found(found.model_copy(update={"op": before.op}), before.start, item.end)
        elif before.text in {"in", "for", "during", "of", "from", "year", "is"} or items[k - 1].text == "year":
            ranged = [i.text for i in items[k + 1 : k + 3]]
            if len(ranged) == 2 and ranged[0] in {"to", "and", "-", "through"} and re.fullmatch(r"(?:1[89]|20)\d\d", ranged[1]):
                last = Condition(column=column.name, op="<=", value=int(ranged[1]), part=part)
                yield Found(found.model_copy(update={"op": ">="}), before.start, item.end)
                yield Found(last, item.end, items[k + 2].end)
            else:
                yield Found(found, before.start, item.end)


def _year_column(table: TableView) -> tuple[ColumnView | None, str | None]:
    years = [c for c in table.columns if c.role == "number" and stem(c.name) in {"year", "yr"}]
    dates = [c for c in table.columns if c.role == "date"]
    if len(years) == 1:
        return years[0], None
    return (dates[0], "year") if len(dates) == 1 else (None, None)
