"""How often fusion lines up what a document states with what a table gives, and how often it is wrong about it.

    python benchmarks/fusion.py [--data DIR] [--json] [--show]

DIR is a folder of tables and documents that state figures of these tables (default: the bundled example). Every
sentence becomes a text claim; for every table all means, medians, extremes and correlations, overall and by each
category column, become computed claims. Nobody chooses which sentence belongs to which value. Documents in ``archive/``
hold outdated figures, the others are computed from the tables, so that the truth is known:

* stale: conflicts with archived documents (right) and with others (false).
* agreements: sentences of current documents that were matched with a value.
* altered: each of these sentences once more with its number raised by 7 %; it should now be a conflict.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from kimera.knowledge import build_library, read_document_text
from kimera.knowledge.contracts import Library, Span, Table
from kimera.knowledge.sentences import split
from kimera.missions.contracts import (
    About,
    AnalyticalReportPackage,
    Computation,
    ComputationInput,
    MissionOutcomePackage,
    NumberClaim,
    ResearchEvidencePackage,
    TextClaim,
)
from kimera.missions.fusion import MissionFacts, fuse
from kimera.storage import Blobs

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "penguins"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATISTICS = {"mean": "avg", "median": "median", "maximum": "max", "minimum": "min"}
RAISED = 1.07


def main() -> None:
    """Measure and print a table, or one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=EXAMPLE)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--show", action="store_true", help="print every conflict")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(options.data, Blobs(Path(scratch)), show=options.show)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:>28}: {value}")


def measure(folder: Path, blobs: Blobs, *, show: bool) -> dict[str, Any]:
    """Return the counts for one folder."""
    library = build_library(folder, blobs, knowledge_space="bench")
    texts = list(sentences(library, blobs))
    computations, numbers = computed(library, blobs)
    started = time.perf_counter()
    outcome = fused(library, texts, numbers, computations)
    seconds = time.perf_counter() - started
    old = {source.id for source in library.sources if source.archived}
    source_of = {claim.id: claim.spans[0].source_id for claim in texts}
    stated = [
        next(c for c in conflict.claims if c in source_of)
        for conflict in outcome.conflicts
        if any(c in source_of for c in conflict.claims)
    ]
    matched = [
        c for agreement in outcome.agreements for c in agreement.claims if source_of.get(c, "") not in old | {""}
    ]
    altered = alter([claim for claim in texts if claim.id in matched], outcome)
    after = fused(library, altered, numbers, computations)
    caught = {c for conflict in after.conflicts for c in conflict.claims} & {claim.id for claim in altered}
    if show:
        by_id = {claim.id: claim.statement for claim in (*outcome.claims, *after.claims)}
        for conflict in (*outcome.conflicts, *after.conflicts):
            print(conflict.kind, " | ".join(by_id[claim] for claim in conflict.claims))
        missed = {claim.id for claim in altered} - caught
        print(*(f"missed: {claim.statement}" for claim in altered if claim.id in missed), sep="\n")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "sentences": len(texts),
        "computed values": len(numbers),
        "agreements": len(matched),
        "stale figures flagged": sum(source_of[c] in old for c in stated),
        "false conflicts": sum(source_of[c] not in old for c in stated),
        "altered sentences": len(altered),
        "altered flagged": len(caught),
        "altered flagged, share": round(len(caught) / max(1, len(altered)), 3),
        "fusion, seconds": round(seconds, 3),
    }


def sentences(library: Library, blobs: Blobs) -> Iterator[TextClaim]:
    """Yield every sentence of every document as a claim."""
    for document in library.documents:
        text = read_document_text(blobs, document)
        for start, end in split(text):
            yield text_claim(document.source_id, start, text[start:end])


def text_claim(source_id: str, start: int, quote: str) -> TextClaim:
    """Return a claim that is its own quotation."""
    digest = hashlib.sha256(quote.encode()).hexdigest()
    span = Span(source_id=source_id, start=start, end=start + len(quote), quote=quote, quote_sha256=digest)
    name = hashlib.sha256(f"{source_id}:{start}:{quote}".encode()).hexdigest()[:16]
    statement = " ".join(quote.split())
    return TextClaim(id=f"t_{name}", statement=statement, track="deep_research", created_at=NOW, spans=(span,))


def computed(library: Library, blobs: Blobs) -> tuple[list[Computation], list[NumberClaim]]:
    """Return one computation per table and a claim per statistic, column and category."""
    computations, claims = [], []
    for table in library.tables:
        made = Computation(
            id=f"c_{table.name}",
            code="",
            inputs=(ComputationInput(name=table.name, source_id=table.source_id, table=table.name),),
            result=0,
            sandbox_level="reduced",
        )
        computations.append(made)
        claims += [number_claim(made, *row) for row in values(table, blobs.path(table.data))]
    return computations, claims


def values(table: Table, path: Path) -> Iterator[tuple[str, str, str | None, dict[str, str], float]]:
    """Yield (statistic, columns, unit, scope, value) for everything an analyst would compute first."""
    database = duckdb.connect()
    database.read_parquet(str(path)).create_view("t")
    numeric = [c for c in table.columns if c.type in {"integer", "real"} and "id" not in c.name.split("_")]
    groups = [c for c in table.columns if 2 <= c.unique <= 6]
    scopes: list[tuple[str, ...]] = [(), *((g.name,) for g in groups), *combinations((g.name for g in groups), 2)]
    for scope in scopes:
        keys = [f'"{name}"' for name in scope]
        head = "".join(f"{key}, " for key in keys)
        for column in numeric:
            if column.name not in scope:
                aggregates = ", ".join(f'{function}("{column.name}")' for function in STATISTICS.values())
                for row in database.execute(f"select {head}{aggregates} from t group by all order by all").fetchall():
                    yield from rows(scope, row, list(STATISTICS), column.name, column.unit)
        for one, two in combinations([c.name for c in numeric if c.name not in scope], 2):
            for row in database.execute(
                f'select {head}corr("{one}", "{two}") from t group by all order by all'
            ).fetchall():
                yield from rows(scope, row, ["correlation"], f"{one} and {two}", None)


def rows(
    scope: Sequence[str], row: Sequence[Any], names: Sequence[str], columns: str, unit: str | None
) -> Iterator[tuple[str, str, str | None, dict[str, str], float]]:
    """Yield one row of a grouped query as claims' contents; rows without a category or value are left out."""
    keys, found = row[: len(scope)], row[len(scope) :]
    if None not in keys:
        for name, value in zip(names, found, strict=True):
            if value is not None and math.isfinite(value):
                yield name, columns, unit, dict(zip(scope, map(str, keys), strict=True)), float(value)


def number_claim(
    made: Computation, statistic: str, columns: str, unit: str | None, scope: dict[str, str], value: float
) -> NumberClaim:
    """Return the claim on one computed value."""
    said = " ".join(f"{key} {name}" for key, name in scope.items())
    name = hashlib.sha256(f"{made.id}:{statistic}:{columns}:{said}".encode()).hexdigest()[:16]
    return NumberClaim(
        id=f"n_{name}",
        statement=f"The {statistic} of {columns}{' for ' + said if said else ''} is {value}.",
        value=value,
        unit=unit,
        track="ds_star",
        created_at=NOW,
        computation_id=made.id,
        about=About(attribute=f"{statistic} {columns}", unit=unit, scope=scope),
    )


def fused(
    library: Library, texts: Sequence[TextClaim], numbers: Sequence[NumberClaim], computations: Sequence[Computation]
) -> MissionOutcomePackage:
    """Fuse the claims as one mission's."""
    facts = MissionFacts(
        mission_id="m", session_id="s", knowledge_space="bench", question="?", folder="", created_at=NOW
    )
    return fuse(
        facts,
        ResearchEvidencePackage(question="?", claims=tuple(texts)),
        AnalyticalReportPackage(question="?", claims=tuple(numbers), computations=tuple(computations)),
        track_status={"deep_research": "done", "ds_star": "done"},
        library=library,
        library_blob="0" * 64,
    )


def alter(texts: Sequence[TextClaim], outcome: MissionOutcomePackage) -> list[TextClaim]:
    """Return the sentences with the figure that agreed raised by 7 %, written as precisely as it was."""
    agreed = {c: a.text for a in outcome.agreements for c in a.claims}
    changed = []
    for claim in texts:
        figures = re.findall(r"“[^\d“]*(\d[\d,]*(?:\.\d+)?)", agreed[claim.id])
        figure = next(
            (f for f in figures if re.search(rf"(?<![\d.,]){re.escape(f)}(?![\d,]|\.\d)", claim.statement)), None
        )
        if figure is not None:
            raised = float(figure.replace(",", "")) * RAISED
            decimals = len(figure.partition(".")[2])
            written = f"{raised:,.{decimals}f}" if "," in figure else f"{raised:.{decimals}f}"
            changed.append(
                text_claim(claim.spans[0].source_id, claim.spans[0].start, claim.statement.replace(figure, written, 1))
            )
    return changed


if __name__ == "__main__":
    main()
