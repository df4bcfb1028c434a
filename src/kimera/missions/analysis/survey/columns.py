"""The first look at a table: distinct values, numbers kept as text, dates kept as text."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["SURVEY_CODE", "look"]


def look(db: Any, tables: dict[str, list[list[str]]], most: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return per table and column: role, distinct values when few, bounds, the date format of dates kept as text."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    formats = ["%Y-%m-%d", "%d-%b-%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M",
        "%m/%d/%y", "%d.%m.%Y", "%B %d, %Y", "%b %d, %Y", "%Y.%m.%d_%H:%M:%S_TAI", "%I:%M %p", "%H:%M:%S", "%H:%M", "%Y-%m",
        "%Y-%m-%dT%H:%M:%SZ", "%d %B %Y", "%d %b %Y"]  # fmt: skip
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for table, columns in tables.items():
        found[table] = {}
        for name, kind in columns:
            x, facts = quoted(name), dict[str, Any]()
            source = f"{quoted(table)} WHERE {x} IS NOT NULL"
            if kind in {"integer", "real"}:
                # NaN is no number a question can mean
                low, high, unique = db.execute(f"SELECT min({x}), max({x}), count(DISTINCT {x}) FROM {source} AND isfinite(CAST({x} AS DOUBLE))").fetchall()[0]
                facts = {"role": "number", "minimum": low, "maximum": high, "unique": unique}
            elif kind == "text":
                share = f"SELECT count(*), count(TRY_CAST(regexp_replace(trim({x}), '[,%$\\s]', '', 'g') AS DOUBLE)), count(DISTINCT {x}) FROM {source}"
                total, numeric, unique = db.execute(share).fetchall()[0]
                facts = {"role": "number" if total and numeric >= 0.9 * total else "text", "unique": unique}
                if facts["role"] == "text" and total:
                    tests = ", ".join(f"count(try_strptime(trim({x}), '{form}'))" for form in formats)
                    hits = db.execute(f"SELECT {tests} FROM (SELECT {x} FROM {source} LIMIT 2000)").fetchall()[0]
                    best = max(range(len(formats)), key=lambda k: hits[k])
                    if hits[best] >= 0.95 * min(total, 2000):
                        facts["date_format"], facts["role"] = formats[best], "date"
            elif kind == "boolean":
                facts = {"role": "flag"}
            if kind in {"integer", "real", "text", "boolean"} and facts.get("unique", 2) <= most:
                rows = db.execute(f"SELECT CAST({x} AS VARCHAR) AS v, count(*) FROM {source} GROUP BY {x} ORDER BY min({x}) LIMIT {most}").fetchall()
                facts["values"], facts["counts"] = [row[0][:80] for row in rows], [row[1] for row in rows]
            found[table][name] = facts
    return found


SURVEY_CODE = "from typing import Any\n\n\n" + inspect.getsource(look) + '\n\nresult = look(db, parameters["tables"], parameters["most"])\n'
