"""Closed-form data questions with named answers, with no model: how many are answered, and how many rightly.

    python benchmarks/dabench.py --data DIR [--json] [--level easy|medium|hard] [--half dev|held|all] [--show]

DIR holds ``questions.jsonl`` (question, constraints, format, file_name, level, concepts, answers) and ``tables/``.
The question is put as a person would: question, constraints and format as one text, the folder holding the one table.
It goes through the librarian and the phases of the analysis track; answers are read from the claims' ``slot``.

* right: every labelled answer is matched. Numbers are compared at the decimals the format asks for (the label's own
  decimals when it asks for none); text without case and outer quotes; lists in any order.
* answered: at least one named answer was given. What was refused counts against the overall share only.
* half: tables are parted by the parity of the sha256 of their name; ``dev`` was looked at while building, ``held`` only
  counted until the second round of work, which looked at all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from kimera.knowledge import build_library
from kimera.knowledge.contracts import Library
from kimera.missions.analysis import TRACK
from kimera.missions.analysis.question.slots import decimals_of
from kimera.missions.contracts import AnalyticalReportPackage, MissionOptions, NumberClaim
from kimera.missions.track import TrackContext
from kimera.storage.blobs import Blobs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.folders import find_folder

Row = dict[str, Any]


def main() -> None:
    """Ask every question and print counts, or one JSON object."""
    options = arguments()
    options.data = find_folder(options.data, "dabench", "questions*.jsonl", "tables")
    rows = [row for row in questions(options.data) if wanted(row, options)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        outcomes = ask_all(rows, options.data, Path(home), options.show)
    seconds = time.perf_counter() - started
    report = {
        "benchmark": "dabench",
        "machine": machine(),
        "seconds": round(seconds, 1),
        "overall": counts(outcomes),
        "level": {level: counts([o for o in outcomes if o["level"] == level]) for level in ("easy", "medium", "hard")},
        "half": {half: counts([o for o in outcomes if o["half"] == half]) for half in ("dev", "held")},
        "concept": {c: counts([o for o in outcomes if c in o["concepts"]]) for c in concepts(outcomes)},
    }
    print(json.dumps(report) if options.json else table(report))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--level", choices=["easy", "medium", "hard"])
    parser.add_argument("--half", choices=["dev", "held", "all"], default="all")
    parser.add_argument("--show", action="store_true", help="print each question that was not answered rightly")
    return parser.parse_args()


def questions(data: Path) -> list[Row]:
    """Return the questions with the half their table belongs to."""
    listed, tables = data / "questions.jsonl", data / "tables"
    if not listed.is_file() or not tables.is_dir():
        sys.exit(f"dabench: {data} does not hold questions.jsonl and tables/. Give that folder with --data.")
    rows = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines() if line]
    missing = sorted({row["file_name"] for row in rows if not (tables / row["file_name"]).is_file()})
    if not rows or missing:
        said = f"lacks {len(missing)} table(s), first {missing[0]}" if missing else "holds no question"
        sys.exit(f"dabench: {data} {said}. Copy the whole data set.")
    for row in rows:
        odd = int(hashlib.sha256(row["file_name"].encode()).hexdigest(), 16) % 2
        row["half"] = "dev" if odd else "held"
    return rows


def wanted(row: Row, options: argparse.Namespace) -> bool:
    """Say whether a question is among those asked for."""
    return options.level in {None, row["level"]} and options.half in {"all", row["half"]}


def ask_all(rows: list[Row], data: Path, home: Path, show: bool) -> list[Row]:
    """Ask the questions, each table read once by the librarian; later questions find the worker warm."""
    blobs = Blobs(home / "blobs")
    libraries: dict[str, Library] = {}
    outcomes = []
    for row in rows:
        name = row["file_name"]
        if name not in libraries:
            folder = home / hashlib.sha256(name.encode()).hexdigest()[:12]
            folder.mkdir()
            (folder / name).write_bytes((data / "tables" / name).read_bytes())
            libraries[name] = build_library(folder, blobs, knowledge_space="benchmark")
        outcome = judge(row, ask(row, libraries[name], blobs))
        outcomes.append(outcome)
        if show and not outcome["right"]:
            tell(row, outcome)
    return outcomes


def ask(row: Row, library: Library, blobs: Blobs) -> AnalyticalReportPackage:
    """Put one question to the analysis track and return its package."""
    context = TrackContext(
        mission_id=f"dabench-{row['id']}",
        session_id="benchmark",
        knowledge_space="benchmark",
        attempt=1,
        question=f"{row['question']}\n{row['constraints']}\n{row['format']}",
        options=MissionOptions(),
        library=library,
        blobs=blobs,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    state: dict[str, Any] = {}
    for phase in TRACK.phases:
        state = phase.run(context, state)
    return AnalyticalReportPackage.model_validate(state["package"])


def judge(row: Row, package: AnalyticalReportPackage) -> Row:
    """Compare the answers with the labels: each label takes one answer of its name."""
    given: dict[str, list[Any]] = defaultdict(list)
    for claim in package.claims:
        if isinstance(claim, NumberClaim) and claim.slot:
            given[claim.slot].append(claim.value)
    left = {name: list(values) for name, values in given.items()}
    right = True
    for name, label in row["answers"]:
        places = [k for k, value in enumerate(left.get(name, [])) if same(label, value, row["format"])]
        right = right and bool(places)
        if places:
            left[name].pop(places[0])
    gaps = [gap.text for gap in package.gaps]
    facts = {key: row[key] for key in ("id", "level", "concepts", "half")}
    return {**facts, "answered": bool(given), "right": right, "given": dict(given), "gaps": gaps}


def same(label: str, value: Any, form: str) -> bool:
    """Compare one answer with its label."""
    text = str(value)
    number, wanted_number = as_number(text), as_number(label)
    if number is not None and wanted_number is not None:
        places = len(label.split(".")[1]) if "." in label and "e" not in label.lower() else 0
        asked = decimals_of(form) is not None
        return abs((number if asked else round(number, places)) - wanted_number) < 1e-6 * max(1.0, abs(wanted_number))
    given, expected = parts(text), parts(label)
    if len(given) != len(expected):
        return False
    return all(same_word(a, b) for a, b in zip(sorted(given), sorted(expected), strict=True)) or all(
        same_word(a, b) for a, b in zip(given, expected, strict=True)
    )


def as_number(text: str) -> float | None:
    """Return a text as a number, or None."""
    try:
        return float(text.replace(",", "").strip(" %'\""))
    except ValueError:
        return None


def parts(text: str) -> list[str]:
    """Return the items of a list, lower case, without quotes and brackets."""
    return [part.strip(" '\"[]()").lower() for part in text.split(",")]


def same_word(a: str, b: str) -> bool:
    """Compare two list items."""
    x, y = as_number(a), as_number(b)
    return a == b if x is None or y is None else abs(x - y) < 1e-6 * max(1.0, abs(y))


def counts(outcomes: list[Row]) -> dict[str, float]:
    """Return how many were asked, answered and right, and the two shares."""
    right, answered = sum(o["right"] for o in outcomes), sum(o["answered"] for o in outcomes)
    return {
        "asked": len(outcomes),
        "answered": answered,
        "right": right,
        "overall": round(right / len(outcomes), 3) if outcomes else 0.0,
        "precision": round(right / answered, 3) if answered else 0.0,
    }


def concepts(outcomes: list[Row]) -> list[str]:
    """Return the concepts, the most frequent first."""
    return [c for c, _ in Counter(c for o in outcomes for c in sorted(o["concepts"])).most_common()]


def tell(row: Row, outcome: Row) -> None:
    """Print what went wrong with one question."""
    # standard output is kept for the report, which may be one JSON object
    say = partial(print, file=sys.stderr)
    say(f"#{row['id']} {row['file_name']} {row['level']} {'wrong' if outcome['answered'] else 'refused'}")
    say("   ", " ".join(row["question"].split())[:200])
    say("    label", row["answers"], "given", outcome["given"])
    for gap in outcome["gaps"]:
        say("    gap:", gap[:200])


def table(report: Row) -> str:
    """Return the report as text."""
    rows = [("all", report["overall"])]
    for key in ("half", "level", "concept"):
        rows += [(f"{key}: {name}", numbers) for name, numbers in report[key].items() if numbers["asked"]]
    head = f"{'':46}{'asked':>7}{'answered':>10}{'right':>7}{'overall':>9}{'precision':>11}"
    lines = [
        f"{name:46}{c['asked']:>7}{c['answered']:>10}{c['right']:>7}{c['overall']:>9.1%}{c['precision']:>11.1%}"
        for name, c in rows
    ]
    return "\n".join([f"{report['machine']}; {report['seconds']} s", head, *lines])


def machine() -> str:
    """Return what this ran on."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
