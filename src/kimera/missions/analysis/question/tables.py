"""What the reader of a question knows about a table: columns, roles, and the values a question may name."""

from __future__ import annotations

from typing import Literal

from kimera.knowledge.contracts import Frozen, Table

__all__ = ["ColumnView", "Role", "TableView", "view_of"]

Role = Literal["number", "text", "flag", "date"]


class ColumnView(Frozen):
    """A column as questions see it. ``values`` are its distinct values when there are few, as text.

    ``stored`` is the type in the Parquet; ``role`` what the values mean: a text column of numbers is a number.
    """

    name: str
    role: Role
    stored: str
    nulls: int = 0
    unique: int = 0
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    date_format: str | None = None
    unit: str | None = None

    @property
    def numeric(self) -> bool:
        """Return whether arithmetic on the column makes sense."""
        return self.role in {"number", "flag"}

    @property
    def binary(self) -> bool:
        """Return whether the column holds yes/no as 1/0, true/false or two words."""
        return self.unique == 2


class TableView(Frozen):
    """A table as questions see it."""

    name: str
    title: str
    source_id: str
    rows: int
    columns: tuple[ColumnView, ...]
    duplicates: int = 0

    def column(self, name: str) -> ColumnView | None:
        """Return the column with this name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def with_column(self, name: str, role: Role, values: tuple[str, ...] = ()) -> TableView:
        """Return the table with a column added or given a new meaning."""
        known = self.column(name)
        stored = {"number": "real", "flag": "integer", "text": "text", "date": "timestamp"}[role]
        fresh = ColumnView(name=name, role=role, stored=stored, values=values, unique=len(values) or self.rows)
        if known is not None:
            fresh = known.model_copy(update={"role": role, "stored": stored, "values": values or known.values})
        rest = tuple(column for column in self.columns if column.name != name)
        return self.model_copy(update={"columns": (*rest, fresh)})


def view_of(table: Table, facts: dict[str, dict[str, object]]) -> TableView:
    """Join the librarian's table with what the analyze phase measured per column (see survey.columns)."""
    columns = []
    for column in table.columns:
        seen = facts.get(column.name, {})
        columns.append(
            ColumnView.model_validate(
                {
                    "name": column.name,
                    "stored": column.type,
                    "unique": column.unique,
                    "nulls": column.nulls,
                    "role": _role(column.type),
                    "unit": column.unit,
                    **seen,
                }
            )
        )
    return TableView(
        name=table.name, title=table.title, source_id=table.source_id, rows=table.rows, columns=tuple(columns)
    )


def _role(stored: str) -> Role:
    if stored in {"integer", "real"}:
        return "number"
    if stored == "boolean":
        return "flag"
    return "date" if stored in {"date", "timestamp"} else "text"
