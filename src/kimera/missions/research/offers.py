"""What research hands to the analysis track: requests for a number, tables found in text, hypotheses to test."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import JsonValue

from kimera.knowledge.contracts import Table
from kimera.missions.contracts import Handoff, TextClaim
from kimera.missions.research.question import read_question
from kimera.missions.research.reading import Reading
from kimera.missions.research.words import content_stems

__all__ = ["handoffs_of", "hypotheses_of", "tables_in_text"]

_ROW = re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.M)
LEAST_ROWS = 3


def tables_in_text(text: str) -> list[tuple[int, int]]:
    """Return the ``(start, end)`` of runs of at least three pipe-separated lines."""
    found: list[tuple[int, int]] = []
    rows = [match.span() for match in _ROW.finditer(text)]
    run: list[tuple[int, int]] = []
    for row in [*rows, (len(text) + 2, len(text) + 2)]:
        if run and row[0] - run[-1][1] > 1:
            if len(run) >= LEAST_ROWS:
                found.append((run[0][0], run[-1][1]))
            run = []
        run.append(row)
    return found


def handoffs_of(reading: Reading, question: str, claims: Sequence[TextClaim]) -> list[Handoff]:
    """Return at most one request and one offer: a number no sentence states, the tables that stand in documents."""
    handoffs: list[Handoff] = []
    asked = read_question(question)
    tables: list[JsonValue] = [table.name for table in reading.library.tables]
    if asked.asks == "number" and tables and not any(asked.answered_by(claim.statement) for claim in claims):
        handoffs.append(
            Handoff(
                kind="evidence_request",
                sender="deep_research",
                text="No document states the number that is asked for; please compute it.",
                payload={"question": question, "tables": tables[:20]},
            )
        )
    places: list[JsonValue] = [
        {"source_id": source_id, "start": start, "end": end}
        for source_id in dict.fromkeys(span.source_id for claim in claims for span in claim.spans)
        for start, end in tables_in_text(reading.text(source_id))
    ]
    if places:
        handoffs.append(
            Handoff(
                kind="sources_offered",
                sender="deep_research",
                text=f"{len(places)} table(s) found inside documents that speak of the question.",
                payload={"tables": places[:10]},
            )
        )
    return handoffs


def hypotheses_of(tables: Sequence[Table], claims: Sequence[TextClaim]) -> list[str]:
    """Return the statements that name two columns of one table: analysis can test these."""
    found: list[str] = []
    for claim in claims:
        said = set(content_stems(claim.statement))
        for table in tables:
            named = [c.source_name for c in table.columns if _column_stems(c.name) and _column_stems(c.name) <= said]
            if len(named) >= 2:
                found.append(f"{claim.statement} ({table.name}: {', '.join(named[:4])})")
                break
    return found[:6]


def _column_stems(name: str) -> set[str]:
    return {stem for stem in content_stems(name.replace("_", " ")) if len(stem) > 2}
