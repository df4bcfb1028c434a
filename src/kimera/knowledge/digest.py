"""What a planner needs to know of a table in 400 tokens, and which columns of different tables could be joined."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations

from kimera.knowledge._duck import KEEP
from kimera.knowledge.contracts import Column, Scalar, Table

__all__ = ["Values", "digest", "join_candidates", "with_joins"]

TOKENS = 400
NAMES = 60  # tokens kept for the names of columns that are not described
_TOKEN = re.compile(r"[A-Za-z]{1,5}|[0-9]{1,3}|[^\sA-Za-z0-9]")
MOST = 6  # candidates listed per column
OVERLAP = 0.5  # share of the smaller column's values found in the other one

Values = Mapping[tuple[str, str], frozenset[str]]


def digest(table: Table) -> str:
    """Return the table as text of at most `TOKENS` tokens: shape, then one line per column while there is room."""
    lines = [f"table {table.name}: {table.title[:80]} ({table.rows} rows, {len(table.columns)} columns)"]
    used = _tokens(lines[0])
    for position, column in enumerate(table.columns):
        line = _line(column)
        left = len(table.columns) - position - 1
        if used + _tokens(line) > TOKENS - (NAMES if left else 0):
            lines.append(_names(table.columns[position:], TOKENS - used))
            break
        lines.append(line)
        used += _tokens(line)
    return "\n".join(lines)


def _names(columns: Sequence[Column], room: int) -> str:
    """Return the names of the columns there is no room to describe, as many as fit."""
    text = f"and {len(columns)} more:"
    for column in columns:
        longer = f"{text} {column.name[:24]},"
        if _tokens(longer) >= room:
            break
        text = longer
    return text.rstrip(",:")


def _tokens(text: str) -> int:
    """Return an upper bound on the tokens of ``text``: usual tokenizers need fewer."""
    return len(_TOKEN.findall(text)) + 1


def _line(column: Column) -> str:
    kind = f"{column.type} [{column.unit}]" if column.unit else column.type
    parts = [f"- {column.name[:40]}: {kind}"]
    if column.nulls:
        parts.append(f"{column.nulls} missing")
    parts.append(f"{column.unique} distinct")
    if column.minimum is not None:
        parts.append(f"{_short(column.minimum)}..{_short(column.maximum)}")
    elif column.examples:
        parts.append("e.g. " + " | ".join(_short(example) for example in column.examples))
    if column.joins:
        parts.append("joins " + ", ".join(column.joins[:2]))
    return ", ".join(parts)


def _short(value: Scalar) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())[:28]


def join_candidates(tables: Sequence[Table], values: Values) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return for each ``(table, column)`` the columns of other tables it could be joined with, best first.

    A pair counts when the same kind of values overlaps by at least half, and either the names agree or one side is
    nearly unique. Numbers need agreeing names: small integers overlap by accident.
    """
    scores: dict[tuple[str, str], dict[tuple[str, str], float]] = defaultdict(dict)
    columns = {(t.name, c.name): (t, c) for t in tables for c in t.columns if (t.name, c.name) in values}
    for first, second in sorted(_meeting(values)):
        score = _score(columns[first], columns[second], values[first], values[second])
        if score > 0:
            scores[first][second] = scores[second][first] = score
    return {
        key: tuple(f"{table}.{column}" for table, column in sorted(found, key=lambda k: (-found[k], k))[:MOST])
        for key, found in scores.items()
    }


def _meeting(values: Values) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the pairs of columns of different tables that share at least one value, by an inverted index."""
    holders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key in sorted(values):
        for value in values[key]:
            holders[value].append(key)
    pairs: set[tuple[tuple[str, str], tuple[str, str]]] = set()
    for keys in holders.values():
        # A value held by very many columns (0, 1, yes) says nothing about a join.
        if 1 < len(keys) <= 40:
            pairs.update((a, b) for a, b in combinations(sorted(keys), 2) if a[0] != b[0])
    return pairs


def _score(
    first: tuple[Table, Column], second: tuple[Table, Column], mine: frozenset[str], theirs: frozenset[str]
) -> float:
    left, right = first[1], second[1]
    shared = len(mine & theirs) / max(1, min(len(mine), len(theirs)))
    same_name = _key(left.name) == _key(right.name) or _names_key(first, second) or _names_key(second, first)
    key_like = any(c.unique >= 0.95 * max(1, t.rows) and c.unique > 1 for t, c in (first, second))
    sampled = left.unique > KEEP or right.unique > KEEP
    if shared < (0.1 if sampled and same_name else OVERLAP):
        return 0.0
    numeric = left.type in {"integer", "real"} or right.type in {"integer", "real"}
    if numeric and not same_name:
        return 0.0
    if not same_name and not (key_like and min(len(mine), len(theirs)) >= 3):
        return 0.0
    return shared + (1.0 if same_name else 0.0) + (0.5 if key_like else 0.0)


def _names_key(first: tuple[Table, Column], second: tuple[Table, Column]) -> bool:
    """Return whether the first column is called after the second one's table, as customer_id after customers.id."""
    table, column = _key(second[0].name), _key(second[1].name)
    return _key(first[1].name) in {table + column, table.removesuffix("s") + column}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def with_joins(tables: Sequence[Table], values: Values) -> list[Table]:
    """Return the tables with join candidates in their columns and with their digests written."""
    joins = join_candidates(tables, values)
    result = []
    for table in tables:
        columns = tuple(
            column.model_copy(update={"joins": joins.get((table.name, column.name), ())}) for column in table.columns
        )
        full = table.model_copy(update={"columns": columns})
        result.append(full.model_copy(update={"digest": digest(full)}))
    return result
