"""The first look at a table: distinct values, numbers kept as text, dates kept as text."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["SURVEY_CODE", "date_format", "look"]


def date_format(db: Any, source: str, x: str, total: int) -> str | None:
    """Return the format nearly all values of a text column follow as dates, or None."""
    formats = [
        "%Y-%m-%d",
        "%d-%b-%Y",
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%Y/%m/%d",
        "%Y-%m-%d %H:%M:%S",
        "%m/%d/%Y %H:%M",
        "%d/%m/%Y %H:%M",
        "%m/%d/%y",
        "%d.%m.%Y",
        "%B %d, %Y",
        "%b %d, %Y",
        "%Y.%m.%d_%H:%M:%S_TAI",
        "%I:%M %p",
        "%H:%M:%S",
        "%H:%M",
        "%Y-%m",
        "%Y-%m-%dT%H:%M:%SZ",
        "%d %B %Y",
        "%d %b %Y",
    ]
    tests = ", ".join(f"count(try_strptime(trim({x}), '{form}'))" for form in formats)
    statement = f"SELECT {tests} FROM (SELECT {x} FROM {source} LIMIT 2000)"
    hits = db.execute(statement).fetchall()[0]
    best = max(range(len(formats)), key=lambda k: hits[k])
    return formats[best] if hits[best] >= 0.95 * min(total, 2000) else None


def look(db: Any, tables: dict[str, list[list[str]]], most: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return per table and column: role, distinct values when few, bounds, the date format of dates kept as text."""

    def ask(statement: str) -> Any:
        # names cannot be bound as parameters; they are quoted
        return db.execute(statement).fetchall()

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table, columns in tables.items():
        found[table] = {}
        for name, kind in columns:
            x, facts = quoted(name), dict[str, Any]()
            source = f"{quoted(table)} WHERE {x} IS NOT NULL"
            if kind in {"integer", "real"}:
                # NaN is no number a question can mean
                bounds = (
                    f"SELECT min({x}), max({x}), count(DISTINCT {x}) FROM {source} AND isfinite(CAST({x} AS DOUBLE))"
                )
                facts = dict(zip(("minimum", "maximum", "unique"), ask(bounds)[0], strict=True), role="number")
            elif kind == "text":
                cast = f"TRY_CAST(regexp_replace(trim({x}), '[,%$\\s]', '', 'g') AS DOUBLE)"
                coded = f"count(*) FILTER (regexp_matches(trim({x}), '^0[0-9]'))"
                asked = f"SELECT count(*), count({cast}), {coded}, count(DISTINCT {x}) FROM {source}"
                total, numeric, zeros, unique = ask(asked)[0]
                # codes such as 02013 are names, not numbers
                number = total and numeric >= 0.9 * total and zeros < 0.1 * total
                facts = {"role": "number" if number else "text", "unique": unique}
                form = date_format(db, source, x, total) if facts["role"] == "text" and total else None
                facts.update({"date_format": form, "role": "date"} if form else {})
            elif kind == "boolean":
                facts = {"role": "flag"}
            if kind in {"integer", "real", "text", "boolean"} and facts.get("unique", 2) <= most:
                statement = (
                    f"SELECT CAST({x} AS VARCHAR), count(*) FROM {source} GROUP BY {x} ORDER BY min({x}) LIMIT {most}"
                )
                rows = ask(statement)
                facts["values"], facts["counts"] = [row[0][:80] for row in rows], [row[1] for row in rows]
            found[table][name] = facts
    return found


SURVEY_CODE = (
    "from typing import Any\n\n\n"
    + inspect.getsource(date_format)
    + "\n\n"
    + inspect.getsource(look)
    + '\n\nresult = look(db, parameters["tables"], parameters["most"])\n'
)
