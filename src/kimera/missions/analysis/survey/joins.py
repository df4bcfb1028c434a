"""Relations over two tables: which may be put together by a key, and the table that comes of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kimera.knowledge.contracts import Library
from kimera.missions.analysis.naming import in_words
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.survey.relations import RELATIONS_CODE

__all__ = ["JOIN_CODE", "Join", "find_joins", "put_together"]

MOST_JOINS = 4
NAME = "joined"


@dataclass(frozen=True)
class Join:
    """Rows of ``left``, each with the columns of the one row of ``right`` that has the same key."""

    left: TableView
    right: TableView
    left_key: str
    right_key: str

    @property
    def view(self) -> TableView:
        """Return the table that comes of it, under a name of its own; columns that both have are the left one's."""
        title = f"{self.left.title} and {self.right.title}"
        columns = (*self.left.columns, *self.added)
        name = f"{self.left.name}+{self.right.name}"
        return self.left.model_copy(update={"name": name, "title": title, "columns": columns})

    @property
    def added(self) -> tuple[Any, ...]:
        """Return the columns that the right table brings."""
        known = {column.name.lower() for column in self.left.columns}
        return tuple(c for c in self.right.columns if c.name.lower() not in known and c.name != self.right_key)

    def focus(self, focus: Mapping[str, set[str]]) -> set[str]:
        """Return the columns of the joined table that the question speaks of."""
        return focus[self.left.name] | (focus[self.right.name] & {column.name for column in self.added})

    def said(self, rows: Mapping[str, Any]) -> str:
        """Return how many rows matched, in words."""
        return (
            f"The tables {in_words(self.left.title)} and {in_words(self.right.title)} were joined by "
            f"{in_words(self.left_key)}: {rows['matched']:,} of {rows['left']:,} rows found a partner."
        )


def find_joins(
    library: Library, views: Sequence[TableView], focus: Mapping[str, set[str]]
) -> tuple[list[Join], list[str]]:
    """Return the joins worth testing and notes on those refused because they would multiply rows.

    A join starts at a table that the question speaks of and goes over a key that the librarian found; the key must be
    unique on the other side, so that every row of the first table stays one row.
    """
    joins: dict[frozenset[str], Join] = {}
    refused: dict[frozenset[str], str] = {}
    spoken = sorted((view for view in views if focus[view.name]), key=lambda v: (-len(focus[v.name]), -v.rows, v.name))
    for left in spoken:
        for join in _candidates(library, left, views):
            pair = frozenset({left.name, join.right.name})
            key = join.right.column(join.right_key)
            if pair in joins or key is None or not join.added:
                continue
            if key.unique == join.right.rows and not key.nulls:
                joins[pair] = join
            elif focus[join.right.name]:
                refused[pair] = (
                    f"The tables {in_words(left.title)} and {in_words(join.right.title)} were not joined by "
                    f"{in_words(join.left_key)}: that would multiply rows."
                )
    return list(joins.values())[:MOST_JOINS], [text for pair, text in refused.items() if pair not in joins]


def _candidates(library: Library, left: TableView, views: Sequence[TableView]) -> Iterator[Join]:
    by_name = {view.name: view for view in views}
    for column in library.table(left.name).columns:
        for target in column.joins:
            table, _, key = target.partition(".")
            if table in by_name and table != left.name:
                yield Join(left, by_name[table], column.name, key)


def put_together(
    db: Any, name: str, left: str, right: str, left_key: str, right_key: str, added: list[str]
) -> dict[str, int]:
    """Make the joined table and return how many rows there are and match; a key that is not unique is an error."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"'

    def ask(statement: str) -> Any:
        # names cannot be bound as parameters; they are quoted
        return db.execute(statement).fetchone()

    one, two, a, b = quoted(left), quoted(right), quoted(left_key), quoted(right_key)
    keys, unique = ask(f"SELECT count({b}), count(DISTINCT {b}) FROM {two}")
    if keys != unique:
        raise ValueError(f"{right_key} is not unique in {right}; the join would multiply rows")
    columns = "".join(f", r.{quoted(column)}" for column in added)
    condition = f"CAST(l.{a} AS VARCHAR) = CAST(r.{b} AS VARCHAR)"
    ask(f"CREATE TABLE {quoted(name)} AS SELECT l.*{columns} FROM {one} l JOIN {two} r ON {condition}")
    rows, matched = ask(f"SELECT (SELECT count(*) FROM {one}), (SELECT count(*) FROM {quoted(name)})")
    return {"left": rows, "right": keys, "matched": matched}


_CALL = """
matched = put_together(
    db, parameters["table"], parameters["left"], parameters["right"], parameters["left_key"], parameters["right_key"],
    parameters["added"],
)
"""
JOIN_CODE = (
    RELATIONS_CODE.split("\n\nvalues = ")[0]
    + "\n\n\n"
    + inspect.getsource(put_together)
    + "\n"
    + _CALL
    + "\nvalues = "
    + RELATIONS_CODE.split("\n\nvalues = ")[1]
    + 'result["rows"] = matched\n'
)
