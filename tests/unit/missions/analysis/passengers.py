"""A small made-up table and the ways tests read and compute on it."""

from __future__ import annotations

from typing import Any

import duckdb

from kimera.missions.analysis.plan import Plan
from kimera.missions.analysis.question.reading import read_question
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.survey.columns import look
from kimera.missions.analysis.templates.code import write_code

ROWS = [
    # crew, deck, sex, age, ticket_price, lived, boarded
    (1, "A", "female", 30.0, 80.0, 1, "2020-01-05"),
    (2, "A", "male", 41.0, 75.5, 0, "2020-01-06"),
    (3, "B", "female", None, 20.0, 1, "2020-02-07"),
    (4, "B", "male", 22.0, 21.0, 0, "2020-02-08"),
    (5, "B", "male", 25.0, 19.5, 1, "2020-03-09"),
    (6, "C", "female", 9.0, 8.0, 1, "2021-03-10"),
    (7, "C", "male", 60.0, 7.5, 0, "2021-04-11"),
    (8, "C", "male", 35.0, 500.0, 0, "2021-05-12"),
]
COLUMNS = (
    "passenger_id INTEGER, deck VARCHAR, sex VARCHAR, age DOUBLE, ticket_price DOUBLE, lived INTEGER, boarded DATE"
)
TYPES = {
    "passenger_id": "integer",
    "deck": "text",
    "sex": "text",
    "age": "real",
    "ticket_price": "real",
    "lived": "integer",
    "boarded": "date",
}


def connect() -> Any:
    """Return a database that holds the table under the name ``people``."""
    db = duckdb.connect()
    db.execute(f"CREATE TABLE people ({COLUMNS})")
    db.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, ?)", ROWS)
    return db


def view() -> TableView:
    """Return the table as questions see it."""
    facts = look(connect(), {"people": [[name, kind] for name, kind in TYPES.items()]}, 60)["people"]
    columns = [
        {"name": name, "stored": kind, "role": "date" if kind == "date" else "number", "unique": 8, **facts[name]}
        for name, kind in TYPES.items()
    ]
    return TableView.model_validate(
        {"name": "people", "title": "people", "source_id": "s", "rows": len(ROWS), "columns": columns}
    )


def read(question: str) -> Plan:
    """Read a question against the table."""
    plan = read_question(question, [view()])
    assert plan is not None
    return plan


def ask(question: str) -> dict[str, Any]:
    """Read a question, write its code, run it here, and return slot -> value."""
    plan = read(question)
    if not plan.outputs:
        return {}
    names: dict[str, Any] = {"db": connect(), "parameters": {}}
    exec(write_code(plan, view()), names)
    answers: dict[str, Any] = names["result"]["answers"]
    return answers
