"""Delimited text to a typed table: four rungs, from the strict reader to the one that takes anything."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Literal

from kimera.knowledge._cells import is_typed
from kimera.knowledge._duck import Engine, Written
from kimera.knowledge._encoding import detect
from kimera.knowledge._header import Header, find_header, unique_names, usual_width
from kimera.knowledge._layout import Layout, cut, find_layout, parse, prepare
from kimera.knowledge.contracts import ReadRecipe

__all__ = ["TOO_LARGE", "Unreadable", "read_delimited", "sample_lines", "write_canonical"]

HEAD = 1 << 18  # bytes looked at to find encoding and layout
HEAD_LINES = 1_000
FOOTER = 60  # records at the end among which notes are looked for
WIDEST = 50  # cells beyond the usual ones that still become columns

TOO_LARGE = "Written out, its table has far more cells than the file suggests; divide it."

Rung = Literal["duckdb", "duckdb_lenient", "polars_lenient", "sniffer"]


class Unreadable(Exception):
    """A file cannot be read as what it seems to be; the message is for a person."""


@dataclass
class _Physical:
    """What an independent pass over all records found: the check every rung is held against."""

    records: int = 0
    characters: int = 0
    widths: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    footer: list[str] = field(default_factory=list)
    filled_widths: Counter[int] = field(default_factory=Counter)
    beyond: int = 0

    def add(self, record: Sequence[str], sign: int) -> None:
        """Count a record, or with ``sign`` -1 take it back."""
        width = len(record)
        self.records += sign
        self.characters += sign * len("".join(record))
        self.widths[width] += sign
        while width and not record[width - 1]:
            width -= 1
        self.filled_widths[width] += sign


def sample_lines(path: Path, encoding: str | None = None) -> tuple[list[str], str]:
    """Return the first lines of a text file and its encoding."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    encoding = encoding or detect(head)
    text = head.decode(encoding, "replace").replace("\0", "")
    lines = re.split(r"\r\n|\n|\r", text) if "\n" not in text else text.replace("\r\n", "\n").split("\n")
    if len(head) == HEAD and len(lines) > 1:
        lines = lines[:-1]
    return [line.rstrip("\r") for line in lines[:HEAD_LINES]], encoding


def read_delimited(path: Path, engine: Engine, recipe: ReadRecipe | None = None) -> tuple[Written, ReadRecipe]:
    """Read a delimited text file; with ``recipe`` the encoding and delimiter are taken from it.

    Raises `Unreadable` when it holds no records.
    """
    lines, encoding = sample_lines(path, recipe.encoding if recipe else None)
    layout = find_layout(lines)
    if recipe is not None and recipe.delimiter is not None and recipe.delimiter != layout.delimiter:
        layout = replace(layout, delimiter=recipe.delimiter, quote=recipe.quote or "", whole_line_quoted=False)
    try:
        return _read(path, engine, layout, encoding, lines)
    except csv.Error:
        # A quote that never closes swallows the rest of the file: each line is a record then, such quotes are left out.
        return _read(path, engine, replace(layout, line_by_line=True), encoding, lines)


def _read(
    path: Path, engine: Engine, layout: Layout, encoding: str, lines: Sequence[str]
) -> tuple[Written, ReadRecipe]:
    head = [record for record in parse(lines[layout.skip :], layout) if _filled(record)][:500]
    if not head:
        raise Unreadable("The file holds no rows.")
    width = usual_width(head) if layout.delimiter else 1
    if width > engine.limits.columns:
        raise Unreadable(f"It has {width} columns, over the limit of {engine.limits.columns}; divide it.")
    header = _header(head, layout, width)
    staged = engine.scratch(".txt")
    try:
        physical = _stage(path, staged, layout, encoding, header.data, engine.limits.rows)
    except UnicodeDecodeError as wrong:
        encoding = _second_guess(encoding, wrong)
        physical = _stage(path, staged, layout, encoding, header.data, engine.limits.rows)
        physical.notes.append("the encoding changes within the file")
    width, names = _columns(header, width, physical, engine.limits.columns)
    if physical.records * width > engine.limits.cells:
        raise Unreadable(TOO_LARGE)
    if layout.line_by_line:
        physical.notes.append("a quote never closes; each line was read as one row")
    rung = _climb(staged, engine, layout, width, physical)
    written = engine.type_text(unique_names(names), names, header.units, delimiter=layout.delimiter)
    notes = (
        *header.notes,
        *physical.notes,
        *(f"note below the table: {line}" for line in physical.footer),
        *written.notes,
    )
    titles = tuple(title for title in (*layout.titles, *header.titles) if not title.startswith("sep="))
    recipe = ReadRecipe(
        rung=rung, encoding=encoding, delimiter=layout.delimiter, quote=layout.quote, decimal=written.decimal,
        header_row=_header_line(header, layout, lines), title_lines=titles[:20],
        rows_read=written.rows, rows_dropped=physical.records + physical.beyond - written.rows, notes=notes[:30],
    )  # fmt: skip
    return written, recipe


def _second_guess(encoding: str, wrong: UnicodeDecodeError) -> str:
    """Return the codec for a file whose first part fitted ``encoding`` but which fails later on."""
    around = bytes(wrong.object[max(0, wrong.start - 2_000) : wrong.start + 2_000])
    again = detect(around)
    return again if again not in {encoding, "utf-8"} else "latin-1"


def _header(head: Sequence[list[str]], layout: Layout, width: int) -> Header:
    header = find_header(head, width)
    if layout.comment_header and header.row is None:
        return replace(header, names=layout.comment_header)
    return header


def _header_line(header: Header, layout: Layout, lines: Sequence[str]) -> int | None:
    """Return the physical line (from 1) that names the columns."""
    if header.row is None:
        return layout.skip or None if layout.comment_header else None
    seen = -1
    for number, line in enumerate(lines[layout.skip :], layout.skip + 1):
        if line.strip() and not (layout.comment and line.startswith(layout.comment)):
            seen += 1
            if seen >= header.row:
                return number
    return None


def _columns(header: Header, width: int, physical: _Physical, most: int) -> tuple[int, list[str]]:
    """Return the number of cells to load of each record, and the names of the columns to keep of them."""
    names = list(header.names)
    reached = [w for w, count in physical.filled_widths.items() if count > 0]
    if len(names) == width - 1 and physical.filled_widths[width] > 0.5 * physical.records:
        # R writes the names of rows without a name of their own.
        names = ["row", *names]
    # A delimiter at the end of every line makes a column without name and values.
    width = max(1, *[w for w, _ in enumerate(names, 1) if names[w - 1]], *[w for w in reached if w <= width])
    names = names[:width]
    narrow = max(width, len(names))
    widest = max((w for w in physical.filled_widths if w <= narrow + WIDEST), default=narrow)
    if widest > narrow:
        more = sum(count for w, count in physical.filled_widths.items() if w > narrow)
        physical.notes.append(f"{more} row(s) have more cells than the header; the extra ones are in unnamed columns")
    kept = min(max(narrow, widest), most)
    loaded = min(max([kept, *(w for w in physical.widths if w <= narrow + WIDEST)]), most)
    return loaded, (names + [""] * kept)[:kept]


def _stage(path: Path, staged: Path, layout: Layout, encoding: str, data: int, limit: int) -> _Physical:
    """Write the data records of ``path`` to ``staged`` as plain UTF-8 lines, and count them while they pass.

    Titles, comments, the header and trailing notes stay behind. Raises UnicodeDecodeError, csv.Error.
    """
    physical = _Physical()
    tail: deque[tuple[int, list[str]]] = deque(maxlen=FOOTER)
    offset = skipped = 0
    with staged.open("wb") as target, _open(path, encoding) as source:
        for record, raw in _records(_lines(source, layout.skip), layout):
            filled = _filled(record)
            if skipped < data or (not filled and len(record) <= 1):
                skipped += filled
                continue
            if physical.records >= limit:
                physical.beyond += 1
                continue
            tail.append((offset, record))
            physical.add(record, 1)
            written = raw.encode("utf-8", "replace")
            target.write(written)
            offset += len(written)
        target.truncate(_without_footer(tail, physical, offset))
    return physical


def _records(lines: Iterator[str], layout: Layout) -> Iterator[tuple[list[str], str]]:
    """Yield each record with the prepared lines it was cut from."""
    taken: list[str] = []

    def feed() -> Iterator[str]:
        for line in prepare(lines, layout):
            taken.append(line + "\n")
            yield line + "\n"

    raw = ""
    for record in cut(feed(), layout):
        raw = "".join(taken)
        taken.clear()
        yield record, raw
    if raw.count("\n") > 1 and not layout.line_by_line and _unclosed(raw, layout):
        raise csv.Error("the last quote never closes")


def _unclosed(raw: str, layout: Layout) -> bool:
    """Return whether the last record ends inside quotes."""
    try:
        list(csv.reader([raw], delimiter=layout.mark, quotechar=layout.quote or None, strict=True))
    except csv.Error as wrong:
        return "end of data" in str(wrong)
    return False


def _open(path: Path, encoding: str) -> IO[str]:
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    # Old Mac files end lines with a bare carriage return; elsewhere one is a stray character inside a cell.
    wide = encoding.startswith(("utf-16", "utf-32"))
    bare = b"\n" not in head and b"\r" in head and not wide
    errors = "replace" if encoding == "utf-8" and not _clean_utf8(head) else "strict"
    return path.open("r", encoding=encoding, newline=None if bare else "\n", errors=errors)


def _clean_utf8(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _lines(source: IO[str], skip: int) -> Iterator[str]:
    for line in islice(source, skip, None):
        text = line.rstrip("\r\n")
        yield text.replace("\0", "").replace("\r", " ") if "\0" in text or "\r" in text else text


def _filled(record: Sequence[str]) -> bool:
    return any(cell and not cell.isspace() for cell in record)


def _without_footer(tail: Sequence[tuple[int, list[str]]], physical: _Physical, end: int) -> int:
    """Return the byte at which notes and empty records at the end begin, taking them out of the count."""
    usual = physical.widths.most_common(1)[0][0] if physical.widths else 0
    room = physical.records // 2
    for offset, record in reversed(tail):
        words = [cell.strip() for cell in record if cell.strip()]
        if words and not _is_note(record, words, usual):
            break
        if room == 0:
            break
        room -= 1
        physical.add(record, -1)
        if words:
            physical.footer.insert(0, " ".join(words)[:200])
        end = offset
    return end


def _is_note(record: Sequence[str], words: Sequence[str], usual: int) -> bool:
    """Return whether a last record is a remark: words in its first cell and nothing else where a table row has more."""
    if usual < 2 or not record[0].strip() or any(map(is_typed, words)):
        return False
    if len(words) > 1 and (len(record) >= usual or len(words) > 0.5 * usual):
        return False
    if len(record) == usual and usual < 3:
        return False
    first = words[0]
    return " " in first or first.endswith(":") or first[0] in "*†[(" or len(record) < usual


def _climb(staged: Path, engine: Engine, layout: Layout, width: int, physical: _Physical) -> Rung:
    """Load the staged lines by the first rung that finds exactly the records and characters of the physical pass."""
    if not layout.space_before_quote:
        expected = (physical.records, physical.characters)
        if engine.load_text(staged, layout.mark, layout.quote, width, lenient=False) == expected:
            return "duckdb"
        if engine.load_text(staged, layout.mark, layout.quote, width, lenient=True) == expected:
            return "duckdb_lenient"
        if _by_polars(staged, engine, layout, width) == expected:
            return "polars_lenient"
    rewritten = engine.scratch(".csv")
    with staged.open(encoding="utf-8", newline="\n") as source:
        write_canonical(rewritten, cut(source, layout), width, engine.limits.staged_bytes)
    engine.must_load(rewritten, width)
    return "sniffer"


def _by_polars(staged: Path, engine: Engine, layout: Layout, width: int) -> tuple[int, int] | None:
    if staged.stat().st_size > engine.limits.engine_bytes // 4:
        return None
    import polars

    target = engine.scratch(".parquet")
    try:
        polars.read_csv(
            staged, has_header=False, separator=layout.mark, quote_char=layout.quote or None, infer_schema=False,
            truncate_ragged_lines=True, ignore_errors=True, new_columns=[f"c{i}" for i in range(width)],
        ).write_parquet(target)  # fmt: skip
    except (polars.exceptions.PolarsError, OSError, ValueError):
        return None
    if len(engine.parquet_shape(target)[1]) != width:
        return None
    engine.load_parquet(target)
    return engine.count(width)


def write_canonical(target: Path, records: Iterable[Sequence[str]], width: int, most: int) -> int:
    """Write records as one unambiguous CSV of ``width`` columns; return how many.

    Raises `Unreadable` when they would take more than ``most`` bytes.
    """
    count = 0
    with target.open("w", encoding="utf-8", newline="", errors="replace") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for record in records:
            writer.writerow([*record[:width], *[""] * (width - len(record))])
            count += 1
            if not count % 1_000 and stream.tell() > most:
                raise Unreadable(TOO_LARGE)
    return count
