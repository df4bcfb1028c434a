"""Reading which rows are meant: comparisons, named values, flags, ordinals, years."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from kimera.missions.analysis.plan import Comparator, Condition, Scalar
from kimera.missions.analysis.question.items import Item, items_of
from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.question.words import number_of, stem

__all__ = ["Found", "find_conditions"]

_SUFFIX: tuple[tuple[str, Comparator], ...] = (
    (
        r"\s*(?:years(?: old)?|%|percent)?\s*(?:or|and) (?:more|above|older|higher|greater|over|later|up|"
        r"beyond|after|onwards?)\b|\s*\+|\s*onwards?\b",
        ">=",
    ),
    (r"\s*(?:years(?: old)?|%|percent)?\s*(?:or|and) (?:less|below|younger|lower|fewer|under|earlier)\b", "<="),
)
_FILLER = frozenset(
    [
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "value",
        "values",
        "of",
        "a",
        "an",
        "the",
        "that",
        "which",
        "who",
        "have",
        "has",
        "had",
        "having",
        "with",
        "its",
        "their",
        "strictly",
        "score",
        "level",
        "rating",
        "rate",
        "percentage",
        "index",
        "year",
        "age",
        "amount",
        "number",
        "equal",
        "to",
        "where",
        "only",
        "column",
        "columns",
    ]
)
_NOT = re.compile(
    r"(?:\bnot|n't|\bnever|\bnon|\bwithout|\bexcept|\bexcluding|\bunless)[\s-]*(?:\w+\s){0,1}$", re.IGNORECASE
)


@dataclass(frozen=True)
class Found:
    """A condition and where in the sentence it stands."""

    condition: Condition
    start: int
    end: int


def find_conditions(text: str, table: TableView, items: Sequence[Item] | None = None) -> list[Found]:
    """Return the conditions a sentence puts on rows, in order of their place."""
    sequence = list(items_of(text, table) if items is None else items)
    found: list[Found] = []
    readers = (_compared, _between, _inherited, _counted, _equal, _named, _numbered, _flagged, _years)
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
            if number is not None and number.kind == "col" and number.column != column.name and _sides(op):
                yield Found(Condition(column=column.name, op=op.op, other=number.column), item.start, number.end)
            if number is None or number.kind not in {"num", "agg"}:
                break
            end = number.end
            if number.kind == "num":
                sign, end = _with_suffix(text, number, op.op)
                yield Found(Condition(column=column.name, op=sign, value=_number(number.value)), item.start, end)
            else:
                following = _next(items, n, 1)[1]
                end = following.end if following is not None and following.kind == "col" else end
                aggregate: Literal["mean", "median"] = "median" if number.value == "median" else "mean"
                yield Found(Condition(column=column.name, op=op.op, aggregate=aggregate), item.start, end)
            link = items[n + 1] if n + 1 < len(items) else None
            if link is None or link.text not in {"and", "&", ","}:
                break
            j, op = _next(items, n + 1, 2)


def _sides(op: Item) -> bool:
    """Say whether a comparison may stand between two columns; over and before more often speak of time."""
    return op.op in {"<", "<=", ">", ">="} and op.text.lower() not in {"over", "under", "before", "after", "up to"}


def _between(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``between 20 and 30`` beside a column."""
    for k, item in enumerate(items):
        if item.kind != "word" or item.text not in {"between", "from"}:
            continue
        following = [i for i in items[k + 1 : k + 4] if i.kind in {"num", "word"}]
        if (
            len(following) < 3
            or following[0].kind != "num"
            or following[1].text not in {"and", "to", "-"}
            or following[2].kind != "num"
        ):
            continue
        before = [i for i in items[max(0, k - 5) : k] if i.kind == "col"]
        after = [i for i in items[k + 4 : k + 6] if i.kind == "col"]
        column = table.column((before[-1:] or after[:1] or [item])[0].column)
        years, part = _year_column(table)
        if years is not None and all(re.fullmatch(r"(?:1[89]|20)\d\d", following[n].text) for n in (0, 2)):
            column = years if column is None or (column.maximum or 0) < 1800 else column
        if column is None or not (column.numeric or column is years):
            continue
        part = part if column is years else None
        low, high = sorted((_number(following[0].value), _number(following[2].value)), key=float)
        yield Found(Condition(column=column.name, op=">=", value=low, part=part), item.start, following[0].end)
        yield Found(Condition(column=column.name, op="<=", value=high, part=part), following[0].end, following[2].end)


def _inherited(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``ratings below 3, between 3 and 4, and above 4``: a later comparison speaks of the same column."""
    for k, item in enumerate(items):
        if item.kind != "op" or k + 1 >= len(items) or items[k + 1].kind != "num":
            continue
        if items[k - 1].kind == "col" or (k + 2 < len(items) and items[k + 2].kind == "col"):
            continue
        earlier = [j for j in range(max(0, k - 14), k) if items[j].kind == "col"]
        between = items[earlier[-1] + 1 : k] if earlier else []
        listed = any(i.kind == "num" for i in between) and all(
            i.kind in {"num", "op"} or i.text in _FILLER | {"and", "or", ",", "between", "/"} for i in between
        )
        column = table.column(items[earlier[-1]].column) if earlier and listed else None
        if column is not None and column.numeric:
            yield Found(
                Condition(column=column.name, op=item.op, value=_number(items[k + 1].value)),
                item.start,
                items[k + 1].end,
            )


def _counted(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``at least 100 reviews``: comparison, number, column; ``have 8 cylinders`` says equal."""
    for k, item in enumerate(items):
        if item.text in {"have", "has", "having", "with", "had"} and k + 2 < len(items) and items[k + 1].kind == "num":
            whole = table.column(items[k + 2].column) if items[k + 2].kind == "col" else None
            if whole is not None and str(_number(items[k + 1].value)) in {v.removesuffix(".0") for v in whole.values}:
                exact = Condition(column=whole.name, op="=", value=_number(items[k + 1].value))
                yield Found(exact, item.start, items[k + 2].end)
        if item.kind != "op" or k + 2 >= len(items) or items[k + 1].kind != "num":
            continue
        rest = [i for i in items[k + 2 : k + 4] if i.kind != "word" or i.text not in _FILLER]
        column = table.column(rest[0].column) if rest and rest[0].kind == "col" else None
        if column is not None and column.numeric:
            yield Found(
                Condition(column=column.name, op=item.op, value=_number(items[k + 1].value)), item.start, rest[0].end
            )


def _equal(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``Embarked = 'C'``, ``a star rating of 5``, ``Pclass is 3``."""
    for k, item in enumerate(items):
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or k + 1 >= len(items):
            continue
        link = items[k + 1]
        if not (link.op == "=" and link.kind == "op") and link.text not in {"of", "is", "was", "are", "were", "equals"}:
            continue
        _, value = _next(items, k + 1 if link.kind == "op" or link.text in {"of", "is", "was", "are"} else k, 3)
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
                yield Found(
                    Condition(column=column.name, op="=", value=_number(number)),
                    min(place.start, place.start),
                    place.end,
                )


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
            if number is not None and re.match(r"\s*=", text[item.end :]):
                break  # ``(0 = no, 1 = yes)`` explains codes
            if number is not None and (ordinal if step < 0 else not ordinal):
                yield item, number
            elif not (item.kind == "word" and item.text in {"and", "or", ",", "-", "("}):
                break
            j += step


def _flagged(text: str, items: Sequence[Item], table: TableView) -> Iterator[Found]:
    """``who survived``, ``did not survive``, ``married workers``, ``smokers`` for columns of yes and no."""
    for item in items:
        column = table.column(item.column) if item.kind == "col" else None
        if column is None or not column.binary or column.role == "date" or item.quoted:
            continue
        yes = _yes_value(column)
        if yes is not None and _chooses(text, item, column):
            value, other = yes
            chosen = Condition(column=column.name, op="=", value=other if _negated(text, item.start) else value)
            yield Found(chosen, item.start, item.end)


_COUNTING = re.compile(
    r"\W*(?:how many|what (?:percent\w*|proportion|share|fraction))\b|.*\b(?:count|number) of\b", re.IGNORECASE
)
_CLAUSE = re.compile(r"\b(?:who|that|which|not|did|were|are|have|had|and|is|had not)\s+(?:\w+\s)?$", re.IGNORECASE)
_NOUN = re.compile(r"\s+(?!column|feature|variable|rate|and\b|is\b|to\b|status|value|from\b|distribution)[a-z]+s\b")
_RELATED = re.compile(r"\b(?:between|of|with|predict|and the)\s+(?:the\s)?$", re.IGNORECASE)


def _chooses(text: str, item: Item, column: ColumnView) -> bool:
    """Say whether a yes/no column is used to choose rows here, not named as a column."""
    before, after = text[max(0, item.start - 30) : item.start], text[item.end : item.end + 16]
    counted = _COUNTING.match(text) is not None
    if re.search(r"(?:ed|ing|ive)$", item.text):
        clause = _CLAUSE.search(before) or (counted and re.search(r"[a-z]+s\s+$", before))
        return bool(clause) and not (_RELATED.search(before) and not _negated(text, item.start))
    if _NOUN.match(after):
        return True
    if counted and re.search(r"\b(?:are|is|were|was)\s+(?:not\s+)?$", before, re.IGNORECASE):
        return re.match(r"\s*(?:[?.,]|and\b|$)", after) is not None
    if counted and re.search(r"\b(?:have|has|had|with)\s+(?:an?\s+|the\s+)?$", before, re.IGNORECASE):
        return True
    plural = item.text.endswith("s") and not column.name.lower().endswith("s")
    return plural and not re.match(r"\W*(?:column|feature)", after)


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
        if before.kind == "col" and before.column == column.name and k > 1:
            before = items[k - 2] if items[k - 2].text != "the" else items[max(0, k - 3)]
            before = before if before.kind == "op" else Item("word", before.start, before.end, "year")
        if before.kind == "word" and before.text in {"year", "years"} and k > 1:
            before = items[k - 2] if items[k - 2].kind != "word" or items[k - 2].text != "the" else items[max(0, k - 3)]
        found = Condition(column=column.name, op="=", value=int(item.text), part=part)
        wider, end = _with_suffix(text, item, "=")
        if wider != "=":
            yield Found(found.model_copy(update={"op": wider}), before.start, end)
        elif before.kind == "op":
            yield Found(found.model_copy(update={"op": before.op}), before.start, item.end)
        elif before.text in {"in", "for", "during", "of", "from", "year", "is"} or items[k - 1].text == "year":
            ranged = [i.text for i in items[k + 1 : k + 3]]
            if (
                len(ranged) == 2
                and ranged[0] in {"to", "and", "-", "through"}
                and re.fullmatch(r"(?:1[89]|20)\d\d", ranged[1])
            ):
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
