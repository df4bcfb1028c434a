"""How often opposed facts are flagged, and how often agreement is mistaken for conflict.

    python benchmarks/conflicts.py --data DIR [--json] [--half even|odd|all] [--show] [--limit N]
    python benchmarks/conflicts.py --unaltered FILE [--json] [--show] [--limit N]

DIR holds ``altered_facts*.jsonl``: questions with snippets that state a true value (``positive``), the same snippets
with the value altered (``positive_wrong``), and snippets that are merely related (``negative``). Every snippet becomes
a file of a folder; the folder goes through the librarian, the research track and fusion; nothing is known of the
question but its text; what stands as a conflict in the report counts. Variants:

* twins: all positive and all altered snippets; a conflict should be flagged.
* crossed: every other positive and the altered forms of the rest, so that no sentence has its twin; a harder case.
* true: positive snippets only; nothing should be flagged.
* related: positive and related snippets; nothing should be flagged.

A flag counts as right when the opposed values are the true and the altered one. ``--unaltered FILE`` takes a JSON list
of questions with ``context`` (title and sentences of real articles) instead, where every flag is a false one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kimera.knowledge import build_library
from kimera.missions.contracts import MissionOptions, MissionOutcomePackage, ResearchEvidencePackage
from kimera.missions.fusion import MissionFacts, fuse
from kimera.missions.research import TRACK
from kimera.missions.research.words import fold
from kimera.missions.track import TrackContext
from kimera.storage import Blobs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.folders import find_folder

Row = dict[str, Any]


def main() -> None:
    """Run the variants over the questions and print a table, or one JSON object."""
    options = arguments()
    if options.unaltered:
        numbers = unaltered(options.unaltered, options.limit, options.show)
        print(
            json.dumps({"benchmark": "conflicts", "machine": machine(), "results": numbers})
            if options.json
            else numbers
        )
        return
    questions = read_questions(options.data)[: options.limit]
    halves = {"even": questions[::2], "odd": questions[1::2], "all": questions}
    chosen = ["even", "odd", "all"] if options.half == "all" else [options.half]
    rows = {
        row["id"]: measure(row, options.show) for row in (questions if options.half == "all" else halves[options.half])
    }
    results = {half: summary([rows[q["id"]] for q in halves[half]]) for half in chosen}
    if options.json:
        print(json.dumps({"benchmark": "conflicts", "machine": machine(), "results": results}))
        return
    print(f"{machine()}; {len(rows)} questions")
    for half, numbers in results.items():
        print(f"{half:>5}: " + "  ".join(f"{name} {value}" for name, value in numbers.items()))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--unaltered", type=Path, default=None, help="JSON list of questions with real articles")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--half", choices=("even", "odd", "all"), default="all")
    parser.add_argument("--show", action="store_true", help="print what was missed or flagged wrongly")
    parser.add_argument("--limit", type=int, default=None)
    return parser.parse_args()


def unaltered(file: Path, limit: int | None, show: bool) -> dict[str, Any]:
    """Return how many of the questions over real articles get a conflict, which none of them should."""
    rows = json.loads(file.read_text())[:limit]
    flagged, seconds, claims = [], [], []
    for row in rows:
        articles = [f"# {title}\n\n" + "".join(sentences) for title, sentences in row["context"]]
        outcome, took = report(row["question"], articles)
        flagged.append(bool(outcome.conflicts))
        seconds.append(took)
        claims.append(len(outcome.claims))
        if show and outcome.conflicts:
            print(row["question"], [conflict.text for conflict in outcome.conflicts])
    return {
        "questions": len(rows),
        "false": share(flagged),
        "claims_mean": round(sum(claims) / max(1, len(rows)), 1),
        "seconds_p50": round(sorted(seconds)[len(rows) // 2], 2),
    }


def read_questions(folder: Path) -> list[Row]:
    """Return the questions of every ``altered_facts*.jsonl`` in ``folder``, in order."""
    files = sorted(find_folder(folder, "conflicts", "altered_facts*.jsonl").glob("altered_facts*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]


def variants(row: Row) -> dict[str, list[str]]:
    """Return the snippets of each variant's folder; crossed needs two positives."""
    true, false = row["positive"], row["positive_wrong"]
    made = {"twins": [*true, *false], "true": list(true), "related": [*true, *row.get("negative", [])]}
    if len(true) >= 2:
        made["crossed"] = [*true[::2], *false[1::2]]
    return made


def measure(row: Row, show: bool) -> dict[str, Any]:
    """Return, for each variant of one question, the opposed values of every conflict and the seconds it took."""
    result: dict[str, Any] = {}
    for name, snippets in variants(row).items():
        outcome, seconds = report(row["query"], snippets)
        opposed = [re.findall(r"“(.*?)”", conflict.text) for conflict in outcome.conflicts]
        right = any(opposes(values, row["answer"], row["fakeanswer"]) for values in opposed)
        result[name] = {"flagged": bool(opposed), "right": right, "seconds": seconds, "conflicts": len(opposed)}
        wanted = name in {"twins", "crossed"}
        if show and (bool(opposed) != wanted or (wanted and not right)):
            print(f"{name}: {row['query']} | {row['answer']} | {row['fakeanswer']} -> {opposed}")
            for conflict in outcome.conflicts if not wanted else ():
                for claim in conflict.claims:
                    print("     ", next(c.statement for c in outcome.claims if c.id == claim)[:200])
    return result


def report(question: str, snippets: Sequence[str]) -> tuple[MissionOutcomePackage, float]:
    """Put the snippets into a folder, read it, run the track and fuse; seconds are those of track and fusion."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "folder"
        folder.mkdir()
        for number, snippet in enumerate(snippets):
            (folder / f"note-{number:02d}.txt").write_text(snippet + "\n")
        blobs = Blobs(Path(place) / "blobs")
        library = build_library(folder, blobs, knowledge_space="benchmark")
        context = TrackContext(
            mission_id="benchmark",
            session_id="benchmark",
            knowledge_space="benchmark",
            attempt=1,
            question=question,
            options=MissionOptions(),
            library=library,
            blobs=blobs,
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        began = time.perf_counter()
        state: dict[str, Any] = {}
        for phase in TRACK.phases:
            state = phase.run(context, state)
        facts = MissionFacts(
            mission_id="benchmark",
            session_id="benchmark",
            knowledge_space="benchmark",
            question=question,
            folder="folder",
            created_at=context.started_at,
            options=context.options,
        )
        outcome = fuse(
            facts,
            ResearchEvidencePackage.model_validate(state["package"]),
            None,
            track_status={"deep_research": "done", "ds_star": "skipped"},
            library=library,
            library_blob=blobs.put_json(library.as_json()),
            blobs=blobs,
        )
        return outcome, time.perf_counter() - began


def opposes(values: Sequence[str], answer: object, fake: str) -> bool:
    """Return whether one of the opposed values is the answer and another one the altered fact."""
    true = [variant for group in (answer if isinstance(answer, list) else [answer]) for variant in _flat(group)]
    is_true = [any(same(value, variant) for variant in true) for value in values]
    is_false = [same(value, fake) for value in values]
    return any(a and not b for a, b in zip(is_true, is_false, strict=True)) and any(
        b and not a for a, b in zip(is_true, is_false, strict=True)
    )


def _flat(group: object) -> list[str]:
    return [str(part) for part in group] if isinstance(group, list) else [str(group)]


def same(value: str, wanted: str) -> bool:
    """Return whether the words of one are among the words of the other."""
    first, second = set(re.findall(r"\w+", fold(value))), set(re.findall(r"\w+", fold(wanted)))
    return bool(first and second) and (first <= second or second <= first)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return shares over the questions: flagged and right where facts are opposed, false flags where they are not."""
    numbers: dict[str, Any] = {}
    for name in ("twins", "crossed"):
        found = [row[name] for row in rows if name in row]
        numbers[f"{name}_flagged"] = share([f["flagged"] for f in found])
        numbers[f"{name}_right"] = share([f["right"] for f in found])
    for name in ("true", "related"):
        numbers[f"{name}_false"] = share([row[name]["flagged"] for row in rows])
    seconds = sorted(row["twins"]["seconds"] for row in rows)
    numbers["seconds_p50"] = round(seconds[len(seconds) // 2], 2)
    return numbers


def share(flags: Sequence[bool]) -> float:
    """Return the share of true flags."""
    return round(sum(flags) / len(flags), 3) if flags else 0.0


def machine() -> str:
    """Name processor count, system and interpreter."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
