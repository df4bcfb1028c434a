"""The shape of tables: rows, missing values, duplicates, keys, robust summaries, outliers, most frequent values."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["PROFILE_CODE", "profile"]


def profile(db: Any, table: str, kinds: dict[str, str]) -> dict[str, Any]:
    """Return the facts of one table. Outliers are counted by Tukey's fences and by the median absolute deviation."""
    import numpy as np

    def ask(statement: str) -> Any:
        # names cannot be bound as parameters; they are quoted
        return db.execute(statement).fetchall()

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    rows = ask(f"SELECT count(*) FROM {quoted(table)}")[0][0]
    distinct = ask(f"SELECT count(*) FROM (SELECT DISTINCT * FROM {quoted(table)})")[0][0]
    facts: dict[str, Any] = {
        "rows": rows,
        "columns": len(kinds),
        "duplicates": rows - distinct,
        "missing": {},
        "keys": [],
        "numbers": {},
        "groups": {},
    }
    for name, kind in kinds.items():
        x = quoted(name)
        filled, unique = ask(f"SELECT count({x}), count(DISTINCT {x}) FROM {quoted(table)}")[0]
        if filled < rows:
            facts["missing"][name] = rows - filled
        if rows > 1 and unique == rows:
            facts["keys"].append(name)
        if kind == "number":
            cast = f"TRY_CAST(regexp_replace(CAST({x} AS VARCHAR), '[,%$\\s]', '', 'g') AS DOUBLE)"
            values = np.array(
                [r[0] for r in ask(f"SELECT {cast} FROM {quoted(table)}") if r[0] is not None],
                dtype=float,
            )
            values = values[np.isfinite(values)]
            if len(values):
                low, middle, high = (float(v) for v in np.percentile(values, [25, 50, 75]))
                mad = float(np.median(np.abs(values - middle)))
                fence = int(((values < low - 1.5 * (high - low)) | (values > high + 1.5 * (high - low))).sum())
                far = int((np.abs(values - middle) > 3.5 * 1.4826 * mad).sum()) if mad else 0
                facts["numbers"][name] = {
                    "n": len(values),
                    "mean": float(values.mean()),
                    "median": middle,
                    "q1": low,
                    "q3": high,
                    "minimum": float(values.min()),
                    "maximum": float(values.max()),
                    "outliers_iqr": fence,
                    "outliers_mad": far,
                }
        elif kind == "group":
            top = ask(
                f"SELECT CAST({x} AS VARCHAR), count(*) FROM {quoted(table)} WHERE {x} IS NOT NULL "
                f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5"
            )
            facts["groups"][name] = [[str(value)[:80], count] for value, count in top]
    return facts


PROFILE_CODE = (
    "from typing import Any\n\n\n"
    + inspect.getsource(profile)
    + '\n\nresult = profile(db, parameters["table"], parameters["kinds"])\nrows_read = rows_used = result["rows"]\n'
)
