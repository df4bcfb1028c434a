"""Write what is made from the code: the tables' schemas, and the BigQuery text of the queries.

    python deploy/observability/warehouse/generate.py

A test compares the committed files with what this gives. Needs the development dependencies (sqlglot).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import sqlglot

from kimera.telemetry.reading.warehouse import TABLES, TEXTS, bigquery_schema

FOLDER = Path(__file__).resolve().parent
QUERIES = ("reliability", "cost")
NOTE = "-- Made from {}.sql by generate.py; do not edit. Tables lie in the default dataset of the job.\n"


def queries(text: str) -> Iterator[tuple[str, str]]:
    """Yield (name, statement) of a file of named queries."""
    for part in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        name, _, statement = part.partition("\n")
        yield name.strip(), statement.strip().removesuffix(";").strip()


def in_bigquery(statement: str) -> str:
    """Return a DuckDB statement in BigQuery's words; raises for what it does not have."""
    (text,) = sqlglot.transpile(
        statement, read="duckdb", write="bigquery", pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE
    )
    return text


def files() -> dict[str, str]:
    """Return every generated file by name."""
    made = {
        f"{table.name}.schema.json": json.dumps(bigquery_schema(table), indent=2) + "\n"
        for table in (*TABLES.values(), TEXTS)
    }
    for name in QUERIES:
        source = (FOLDER / f"{name}.sql").read_text("utf-8")
        body = "\n".join(f"-- name: {query}\n{in_bigquery(text)};\n" for query, text in queries(source))
        made[f"{name}.bigquery.sql"] = f"{NOTE.format(name)}\n{body}"
    return made


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, "utf-8")
