"""How messy CSV files are read: rung, encoding, delimiter, header, rows kept and dropped, and what was misread.

    python benchmarks/tables.py --data DIR [--json]

DIR holds CSV files of any kind. Two checks are made with code of their own, not with the reader's:

* single-column misread: the file was read as one column although at least nine in ten of its physical lines hold the
  same delimiter, outside double quotes, the same number of times;
* wrong header: the reader's header line holds mostly numbers while a line above it holds none, or the first data
  row repeats the header.

The bar: every file loads, no single-column misreads.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from kimera.knowledge._delimited import read_delimited, sample_lines
from kimera.knowledge._duck import Engine
from kimera.knowledge.limits import Limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.folders import find_folder

NUMBER = re.compile(r"\s*[\"']?[-+]?[\d.,]+(?:[eE][-+]?\d+)?%?[\"']?\s*")


@dataclass
class Result:
    """One file. ``seconds`` is wall time; ``problem`` empty when all is well."""

    file: str
    bytes: int
    rung: str = ""
    encoding: str = ""
    delimiter: str = ""
    header_row: int | None = None
    columns: int = 0
    typed: int = 0
    rows: int = 0
    dropped: int = 0
    seconds: float = 0.0
    problem: str = ""


def outside_quotes(line: str) -> str:
    """Return the parts of a line that stand outside double quotes."""
    return "".join(line.split('"')[::2])


def held_delimiter(lines: list[str]) -> str | None:
    """Return a delimiter that nearly every line holds the same number of times, or None."""
    filled = [outside_quotes(line) for line in lines if line.strip()]
    for mark in (",", ";", "\t", "|"):
        counts = Counter(line.count(mark) for line in filled)
        count, times = counts.most_common(1)[0] if counts else (0, 0)
        if count > 0 and times >= 0.9 * len(filled):
            return mark
    return None


def wrong_header(lines: list[str], header_row: int | None, delimiter: str) -> bool:
    """Return whether the header line looks like data and another line above it like names."""
    if header_row is None or not delimiter.strip():
        return False
    cells = lines[header_row - 1].split(delimiter)
    numbers = sum(1 for cell in cells if NUMBER.fullmatch(cell))
    above = [line.split(delimiter) for line in lines[: header_row - 1]]
    named = any(len(c) == len(cells) and not any(NUMBER.fullmatch(cell) for cell in c) for c in above)
    return numbers > len(cells) / 2 and named


def measure(path: Path, engine: Engine) -> Result:
    """Read one file and check the result."""
    result = Result(path.name, path.stat().st_size)
    lines, _ = sample_lines(path)
    began = time.perf_counter()
    try:
        written, recipe = read_delimited(path, engine)
    except Exception as failed:
        result.problem = f"failed: {type(failed).__name__}: {failed}"[:200]
        return result
    finally:
        result.seconds = time.perf_counter() - began
    result.rung, result.encoding, result.delimiter = recipe.rung, recipe.encoding or "", recipe.delimiter or ""
    result.header_row, result.columns = recipe.header_row, len(written.columns)
    result.typed = sum(1 for column in written.columns if column.type != "text")
    result.rows, result.dropped = written.rows, recipe.rows_dropped
    if result.columns == 1 and held_delimiter(lines):
        result.problem = "single-column misread"
    elif wrong_header(lines, recipe.header_row, result.delimiter):
        result.problem = "wrong header"
    return result


def show(results: list[Result]) -> None:
    """Print the table and the totals."""
    shown = "{:<44} {:<15} {:<11} {:<5} {:>6} {:>4} {:>5} {:>8} {:>7} {:>7}  {}"
    print(
        shown.format("file", "rung", "encoding", "delim", "header", "cols", "typed", "rows", "dropped", "seconds", "")
    )
    for r in results:
        print(
            shown.format(
                r.file[:44], r.rung, r.encoding, repr(r.delimiter), str(r.header_row or "-"), r.columns, r.typed,
                r.rows, r.dropped, f"{r.seconds:.3f}", r.problem,
            )
        )  # fmt: skip


def totals(results: list[Result]) -> dict[str, object]:
    """Return the sums over all files."""
    megabytes, seconds = sum(r.bytes for r in results) / 1e6, sum(r.seconds for r in results)
    return {
        "files": len(results),
        "megabytes": round(megabytes, 1),
        "loaded": sum(1 for r in results if not r.problem.startswith("failed")),
        "failures": sum(1 for r in results if r.problem.startswith("failed")),
        "single_column_misreads": sum(1 for r in results if r.problem == "single-column misread"),
        "wrong_headers": sum(1 for r in results if r.problem == "wrong header"),
        "rows_dropped": sum(r.dropped for r in results),
        "rungs": dict(sorted(Counter(r.rung for r in results).items())),
        "seconds": round(seconds, 2),
        "median_seconds": round(sorted(r.seconds for r in results)[len(results) // 2], 3) if results else 0.0,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }


def main() -> int:
    """Run over a folder; exit 1 when a file failed or was misread as one column."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    inside = arguments.data / "messy_csv"
    folder = inside if inside.is_dir() else find_folder(arguments.data, "messy_csv", "*")
    with Engine(Limits()) as engine:
        engine.run("SELECT 1")  # the import of the engine is not the first file's time
        results = [measure(path, engine) for path in sorted(folder.rglob("*")) if path.is_file()]
    summary = totals(results)
    if arguments.json:
        print(json.dumps({"files": [asdict(r) for r in results], "totals": summary}))
    else:
        show(results)
        print("\n".join(f"{name}: {value}" for name, value in summary.items()))
    return 1 if summary["failures"] or summary["single_column_misreads"] else 0


if __name__ == "__main__":
    sys.exit(main())
