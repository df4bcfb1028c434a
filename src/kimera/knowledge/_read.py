"""One file in, tables and documents out. The only place that survives whatever a reader throws."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kimera.knowledge._child import Child
from kimera.knowledge._delimited import TOO_LARGE, Unreadable, read_delimited, write_canonical
from kimera.knowledge._duck import Engine, Written
from kimera.knowledge._encoding import decode
from kimera.knowledge._header import find_header, unique_names, usual_width
from kimera.knowledge._json import json_lines_tables, json_tables
from kimera.knowledge._sniff import Form
from kimera.knowledge._sqlite import sqlite_tables
from kimera.knowledge._text import Block, Extracted, from_blocks, from_markdown, from_pages, from_plain
from kimera.knowledge.contracts import ReadRecipe

__all__ = ["Outcome", "ReadTable", "read", "table_again"]

Rung = Literal["excel", "json", "sqlite"]
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?\s*([A-Za-z0-9_-]{3,20})", re.I)


@dataclass(frozen=True)
class ReadTable:
    """One table of a file. ``part`` is the sheet or relation; ``title`` what the file calls it."""

    written: Written
    recipe: ReadRecipe
    part: str = ""
    title: str = ""


@dataclass
class Outcome:
    """What was read of one file, and what a person should know about it."""

    reader: str = ""
    tables: list[ReadTable] = field(default_factory=list)
    documents: list[Extracted] = field(default_factory=list)
    problem: str | None = None
    partly: str | None = None
    warnings: list[str] = field(default_factory=list)


def read(path: Path, name: str, form: Form, engine: Engine, child: Child) -> Outcome:
    """Read one plain file in its form. Never raises for what the file holds: the outcome says what went wrong."""
    outcome = Outcome(form.reader)
    try:
        _READERS[form.reader](path, name, engine, child, outcome)
    except Unreadable as reason:
        outcome.problem = str(reason)
    except OSError as refused:
        outcome.problem = (
            f"It cannot be read ({refused.strerror or 'input error'}); check the disk and its permissions."
        )
    except Exception as broken:  # noqa: BLE001 - a hostile file may make any reader fail in any way
        outcome.problem = (
            f"It is damaged or not what it seems ({type(broken).__name__}); save it again to have it read."
        )
    if outcome.problem and (outcome.tables or outcome.documents):
        outcome.partly, outcome.problem = outcome.problem, None
    return outcome


def table_again(path: Path, form: Form, recipe: ReadRecipe, engine: Engine, child: Child) -> ReadTable:
    """Read one table of a file again as ``recipe`` says. Raises `Unreadable` when it is not there any more."""
    if form.reader == "delimited":
        written, again = read_delimited(path, engine, recipe)
        return ReadTable(written, again)
    outcome = Outcome(form.reader)
    if form.reader not in {"json", "jsonl", "sqlite", "excel", "parquet"}:
        raise Unreadable("The file does not hold tables any more.")
    wanted = recipe.sheet or recipe.relation or ""
    for table in _tables(path, form.reader, engine, child, outcome, only=wanted):
        if (table.recipe.sheet or table.recipe.relation or "") == wanted:
            return table
    raise Unreadable(outcome.problem or f"The file does not hold the table {wanted} any more.")


def _read_delimited(path: Path, name: str, engine: Engine, child: Child, outcome: Outcome) -> None:
    written, recipe = read_delimited(path, engine)
    outcome.reader = recipe.rung
    outcome.tables.append(ReadTable(written, recipe, title=recipe.title_lines[0] if recipe.title_lines else ""))
    if recipe.rows_dropped:
        outcome.partly = (
            f"{recipe.rows_dropped} of {recipe.rows_read + recipe.rows_dropped} rows are beyond the limits."
        )


def _read_tables(path: Path, name: str, engine: Engine, child: Child, outcome: Outcome) -> None:
    for table in _tables(path, outcome.reader, engine, child, outcome):
        outcome.tables.append(table)
    if not outcome.tables and outcome.problem is None:
        outcome.problem = "It holds no table with rows."


def _tables(
    path: Path, reader: str, engine: Engine, child: Child, outcome: Outcome, only: str | None = None
) -> Iterator[ReadTable]:
    """Yield the tables of a workbook, database, JSON or Parquet file; with ``only`` just the part of that name."""
    if reader == "parquet":
        yield _parquet(path, engine)
    elif reader == "excel":
        yield from _sheets(path, engine, child, outcome, only)
    elif reader == "sqlite":
        yield from _relations("sqlite", sqlite_tables(path, engine.limits, only), engine, outcome)
    else:
        found = json_lines_tables(path, engine.limits) if reader == "jsonl" else json_tables(path, engine.limits)
        yield from _relations("json", found, engine, outcome)


def _relations(
    rung: Rung, found: Iterable[tuple[str, Sequence[str], Iterable[Sequence[str]]]], engine: Engine, outcome: Outcome
) -> Iterator[ReadTable]:
    """Yield typed tables of ``(name, columns, records)``; a table beyond the limits is named in the warnings."""
    for number, (part, names, records) in enumerate(found):
        if number >= engine.limits.tables or len(names) > engine.limits.columns:
            outcome.warnings.append(f"The table {part} was left out: it is beyond the limits.")
            continue
        canonical = engine.scratch(".csv")
        count = write_canonical(
            canonical, itertools.islice(records, engine.limits.rows), len(names), engine.limits.staged_bytes
        )
        if not count:
            outcome.warnings.append(f"The table {part} has no rows." if part else "It has no rows.")
            continue
        yield _canonical(engine, canonical, names, (), ReadRecipe(rung=rung, relation=part or None), part)


def _canonical(
    engine: Engine, path: Path, names: Sequence[str], units: Sequence[str | None], recipe: ReadRecipe, part: str
) -> ReadTable:
    engine.must_load(path, len(names))
    written = engine.type_text(unique_names([name.strip() for name in names]), list(names), units)
    path.unlink(missing_ok=True)
    notes = (*recipe.notes, *written.notes)
    update = {"rows_read": written.rows, "decimal": written.decimal, "notes": notes}
    title = recipe.title_lines[0] if recipe.title_lines else ""
    return ReadTable(written, recipe.model_copy(update=update), part, title)


def _parquet(path: Path, engine: Engine) -> ReadTable:
    # The engine sees its own folder only, so the file is linked or copied into it.
    inside = engine.scratch(".parquet")
    _bring(path, inside)
    rows, columns = engine.parquet_shape(inside)
    if rows * len(columns) > engine.limits.cells or len(columns) > engine.limits.columns:
        raise Unreadable(TOO_LARGE)
    engine.load_parquet(inside)
    written = engine.type_native(columns, unique_names([name for name, _ in columns]))
    inside.unlink(missing_ok=True)
    return ReadTable(written, ReadRecipe(rung="parquet", rows_read=written.rows))


def _bring(path: Path, inside: Path) -> None:
    import shutil

    shutil.copyfile(path, inside)


def _sheets(path: Path, engine: Engine, child: Child, outcome: Outcome, only: str | None) -> Iterator[ReadTable]:
    found = child.extract("excel", path, engine.scratch(".json"))
    if "problem" in found:
        outcome.problem = found["problem"]
        return
    outcome.reader = found["reader"]
    if found["cut"]:
        outcome.partly = f"Only the first {engine.limits.sheets} sheets were read."
    for sheet in found["sheets"]:
        if only is not None and sheet["name"] != only:
            continue
        table = _sheet(Path(sheet["path"]), sheet["name"], engine)
        if table is None:
            outcome.warnings.append(f"The sheet {sheet['name']} holds no table.")
        else:
            yield table


def _sheet(path: Path, name: str, engine: Engine) -> ReadTable | None:
    """Return the table of a sheet, with titles above its header and notes below its last row left out."""
    with path.open(encoding="utf-8", newline="") as stream:
        records = (row for row in csv.reader(stream) if any(cell.strip() for cell in row))
        head = list(itertools.islice(records, 500))
        width = min(usual_width(head), engine.limits.columns)
        if not head or (width < 2 and len(head) < 2):
            return None
        header = find_header(head, width)
        canonical = engine.scratch(".csv")
        kept = itertools.islice(_without_notes(itertools.chain(head[header.data :], records)), engine.limits.rows)
        if not write_canonical(canonical, kept, width, engine.limits.staged_bytes):
            return None
    names = (list(header.names) + [""] * width)[:width]
    recipe = ReadRecipe(
        rung="excel", sheet=name, header_row=None if header.row is None else header.row + 1,
        title_lines=header.titles[:20], notes=header.notes,
    )  # fmt: skip
    return _canonical(engine, canonical, names, header.units, recipe, name)


def _without_notes(records: Iterable[list[str]]) -> Iterator[list[str]]:
    """Yield the records but hold back remarks (words in the first cell only) until a fuller record follows them."""
    held: list[list[str]] = []
    for record in records:
        filled = [cell for cell in record if cell.strip()]
        if len(record) > 2 and len(filled) == 1 and record[0].strip() and " " in record[0].strip():
            held.append(record)
            continue
        yield from held
        held.clear()
        yield record


def _read_text(path: Path, name: str, engine: Engine, child: Child, outcome: Outcome) -> None:
    raw, encoding = decode(path.read_bytes())
    outcome.reader = f"text ({encoding})"
    extracted = from_plain(raw[: engine.limits.characters], name)
    _keep(extracted, len(raw) > engine.limits.characters, outcome)


def _read_markdown(path: Path, name: str, engine: Engine, child: Child, outcome: Outcome) -> None:
    raw, _ = decode(path.read_bytes())
    _keep(from_markdown(raw[: engine.limits.characters], name), len(raw) > engine.limits.characters, outcome)


def _read_by_child(path: Path, name: str, engine: Engine, child: Child, outcome: Outcome) -> None:
    source = path
    if outcome.reader == "html":
        source = engine.scratch(".html")
        source.write_text(_markup(path), encoding="utf-8", errors="replace")
    found = child.extract(outcome.reader, source, engine.scratch(".json"))
    if "problem" in found:
        outcome.problem = found["problem"]
        return
    outcome.reader = found["reader"]
    if "pages" in found:
        extracted = from_pages(found["pages"], found["title"], name)
    else:
        blocks = [Block(text, level, page) for text, level, page in found["blocks"]]
        extracted = from_blocks(blocks, found["title"], name, found.get("date", ""))
    _keep(extracted, bool(found.get("cut")), outcome)


def _markup(path: Path) -> str:
    raw = path.read_bytes()
    stated = _CHARSET.search(raw[:4096])
    if stated:
        try:
            return raw.decode(stated.group(1).decode("ascii"))
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(raw)[0]


def _keep(extracted: Extracted, cut: bool, outcome: Outcome) -> None:
    if not extracted.text.strip():
        outcome.problem = "It holds no text."
        return
    outcome.documents.append(extracted)
    if cut:
        outcome.partly = "It is longer than the limit; only its beginning was read."


_READERS: dict[str, Callable[[Path, str, Engine, Child, Outcome], None]] = {
    "delimited": _read_delimited,
    "text": _read_text,
    "markdown": _read_markdown,
    **dict.fromkeys(("json", "jsonl", "sqlite", "parquet", "excel"), _read_tables),
    **dict.fromkeys(("pdf", "docx", "pptx", "html"), _read_by_child),
}
