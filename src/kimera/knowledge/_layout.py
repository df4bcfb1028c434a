"""How a delimited text file is laid out, found from its first lines by what its cells look like.

Each candidate delimiter is scored by how many records have the usual number of cells, times how many of those cells
are clean (a value of one kind, not a mixture that holds other delimiters): the idea of van den Burg et al., "Wrangling
messy CSV files by detecting row and type patterns" (2019), with our own patterns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from kimera.knowledge._cells import is_missing, is_typed
from kimera.knowledge._header import usual_width

__all__ = ["COLUMNS", "RUNS", "Layout", "cut", "find_layout", "parse", "prepare"]

RUNS = " "  # cells parted by any run of white space
COLUMNS = "  "  # cells parted by a tab or two and more blanks, so that a cell may hold single blanks
CELLS = 3_000  # cells judged for each candidate delimiter
_MARKS = (",", "\t", ";", "|", "\x01", "\x1f", "^", "~")
_COMMENTS = ("#", "%", "//", "!", "*", "--")
_FOREIGN = re.compile(r"[;|\t]")
_QUOTED_RUNS = re.compile(r'"[^"]*"|\S+')
_DOUBLE_GAP = re.compile(r"\t+| {2,}")
_SPACE_BEFORE_QUOTE = re.compile(r'[,;|\t] +"')

# Python refuses cells over 128 KiB by default; text cells of scraped pages are larger.
csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Layout:
    """How to cut lines into cells. ``delimiter`` empty: one column. ``skip`` counts physical lines before the table."""

    delimiter: str
    quote: str = '"'
    skip: int = 0
    comment: str | None = None
    titles: tuple[str, ...] = ()
    comment_header: tuple[str, ...] = ()
    space_before_quote: bool = False
    whole_line_quoted: bool = False
    line_by_line: bool = False
    score: float = 0.0
    width: int = 1

    @property
    def mark(self) -> str:
        """Return the delimiter of the prepared lines: white space is turned into tabs, one column into a rare mark."""
        return "\t" if self.delimiter in {RUNS, COLUMNS} else self.delimiter or "\x1d"


def find_layout(lines: Sequence[str]) -> Layout:
    """Return the layout of a file that begins with ``lines`` (without line ends; the last may be cut off)."""
    comment, body, skip, titles = _without_comments(lines)
    best = Layout("", comment=comment)
    quote = _quote(body)
    certain = _all_quoted(body)
    for delimiter in (certain,) if certain else (*_MARKS, COLUMNS, RUNS):
        if not any(_could_hold(line, delimiter) for line in body[:60]):
            continue
        layout = Layout(delimiter, quote, comment=comment)
        score, width = _score(list(parse(body, layout)), delimiter)
        if score > best.score * _advantage(delimiter, width, best):
            best = Layout(delimiter, quote, comment=comment, score=score, width=width)
    if certain:
        best = (
            replace(best, score=1.0) if best.delimiter else Layout(certain, quote, comment=comment, score=1.0, width=2)
        )
    elif best.score < 0.3 and _whole_line_quoted(body):
        inner = find_layout([_unwrapped(line) for line in body])
        best = Layout(
            inner.delimiter, '"', comment=comment, score=inner.score, width=inner.width, whole_line_quoted=True
        )
    elif best.score < 0.3:
        best = Layout("", quote, comment=comment)
    header = _comment_header(titles, best)
    spaced = sum(1 for line in body if _SPACE_BEFORE_QUOTE.search(line)) > 0.3 * max(1, len(body))
    return replace(
        best, skip=skip, titles=tuple(filter(None, titles[:-1] if header else titles)), comment_header=header,
        space_before_quote=spaced,
    )  # fmt: skip


def _all_quoted(lines: Sequence[str]) -> str | None:
    """Return the delimiter of a text in which every cell is quoted, whatever stands in the cells; None for others."""
    text = "\n".join(lines) + "\n"
    if not text.startswith('"'):
        return None
    for mark in _MARKS:
        whole = re.compile(rf'(?:"(?:[^"]++|"")*+"[{re.escape(mark)}\n]++)++')
        first = re.compile(rf'"(?:[^"]++|"")*+"{re.escape(mark)}"')
        if first.match(text) and whole.fullmatch(text):
            return mark
    return None


def prepare(lines: Iterable[str], layout: Layout) -> Iterator[str]:
    """Yield the lines of the table as one delimiter and one quote can cut them: no comments, white space as tabs."""
    for line in lines:
        if layout.comment and line.startswith(layout.comment):
            continue
        if layout.line_by_line and line.count(layout.quote) % 2:
            yield line.replace(layout.quote, "")
        elif layout.whole_line_quoted:
            yield _unwrapped(line)
        elif layout.delimiter == RUNS:
            yield "\t".join(_QUOTED_RUNS.findall(line) if '"' in line else line.split())
        elif layout.delimiter == COLUMNS:
            yield _DOUBLE_GAP.sub("\t", line.strip())
        else:
            yield line


def parse(lines: Iterable[str], layout: Layout) -> Iterator[list[str]]:
    """Yield the records of ``lines``; a quoted cell may hold line ends. Raises `csv.Error` on an endless cell."""
    return cut((line + "\n" for line in prepare(lines, layout)), layout)


def cut(lines: Iterable[str], layout: Layout) -> Iterator[list[str]]:
    """Yield the records of prepared lines that still have their line ends."""
    if layout.quote:
        return csv.reader(
            lines, delimiter=layout.mark, quotechar=layout.quote, skipinitialspace=layout.space_before_quote
        )
    return csv.reader(lines, delimiter=layout.mark, quoting=csv.QUOTE_NONE)


def _without_comments(lines: Sequence[str]) -> tuple[str | None, list[str], int, list[str]]:
    """Return the comment mark (if the file opens with comments), the other lines, the lines skipped, the comments."""
    filled = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    first = lines[filled] if filled < len(lines) else ""
    mark = next((m for m in _COMMENTS if first.startswith(m)), None)
    if mark is None or all(line.startswith(mark) for line in lines if line.strip()):
        return None, list(lines[filled:]), filled, []
    skip = filled
    while skip < len(lines) and (lines[skip].startswith(mark) or not lines[skip].strip()):
        skip += 1
    titles = [line[len(mark) :].lstrip(mark[0]).strip() for line in lines[filled:skip] if line.strip()]
    return mark, [line for line in lines[skip:] if not line.startswith(mark)], skip, titles


def _comment_header(titles: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """Return the names in the last comment line when they are as many as the columns."""
    if not titles or layout.width < 2:
        return ()
    for candidate in (layout, Layout(","), Layout("\t"), Layout(COLUMNS), Layout(RUNS)):
        names = next(iter(parse([titles[-1]], candidate)), [])
        if len(names) == layout.width and not any(is_typed(name) for name in names):
            return tuple(name.strip() for name in names)
    return ()


def _advantage(delimiter: str, width: int, best: Layout) -> float:
    """Return how many times better than ``best`` a candidate must score: white space only wins clearly."""
    if delimiter == RUNS and best.delimiter == COLUMNS:
        return 0.9 if width > best.width else 1.1
    return 1.25 if delimiter in {RUNS, COLUMNS} else 1.0


def _could_hold(line: str, delimiter: str) -> bool:
    if delimiter in {RUNS, COLUMNS}:
        return delimiter in line.strip() or "\t" in line.strip()
    return delimiter in line


def _quote(lines: Sequence[str]) -> str:
    """Return the single quote if cells are wrapped in it and never in double ones."""
    text = "\n".join(lines)
    double = len(re.findall(r'(?m)(?:^|[,;|\t]) *"', text))
    single = len(re.findall(r"(?m)(?:^|[,;|\t]) *'[^'\n]*'(?=$|[,;|\t])", text))
    return "'" if single > len(lines) / 2 and double == 0 else '"'


def _score(records: Sequence[list[str]], delimiter: str) -> tuple[float, int]:
    """Return ``(score 0..1, usual number of cells)`` of cutting the sample at ``delimiter``."""
    rows = [record for record in records[:-1] or records if any(cell.strip() for cell in record)]
    width = usual_width(rows)
    if width < 2:
        return 0.0, 1
    # Titles and notes around a short table must not outweigh it.
    usual = [record for record in rows if len(record) == width]
    share = (len(usual) + 0.5 * sum(1 for r in rows if 1 < len(r) < width)) / len(rows)
    cells = [cell for record in usual[: max(20, CELLS // width)] for cell in record]
    clean = sum(_clean(cell, delimiter) for cell in cells) / len(cells)
    if delimiter in {RUNS, COLUMNS} and (share < 0.7 or _typed_share(usual) < (0.5 if delimiter == RUNS else 0.2)):
        return 0.0, 1
    return share * clean * (1 - 0.3 / width), width


def _clean(cell: str, delimiter: str) -> float:
    """Return 1 for a value of one kind, less for words, 0 for a mixture that another delimiter would cut."""
    text = cell.strip()
    if is_missing(text) or is_typed(text):
        return 1.0
    foreign = _FOREIGN.findall(text) if delimiter not in {RUNS, COLUMNS} else re.findall(r"[,;|]", text)
    if any(mark != delimiter for mark in foreign):
        return 0.1
    return 0.8 if text.count('"') % 2 == 0 else 0.2


def _typed_share(records: Sequence[list[str]]) -> float:
    cells = [cell for record in records[1 : 1 + max(20, CELLS // len(records[0]))] or records for cell in record]
    return sum(1 for cell in cells if is_missing(cell) or is_typed(cell)) / max(1, len(cells))


def _whole_line_quoted(lines: Sequence[str]) -> bool:
    filled = [line.strip() for line in lines if line.strip()]
    wrapped = sum(1 for line in filled if line.startswith('"') and line.endswith('"') and re.search(r"[,;\t|]", line))
    return len(filled) > 1 and wrapped >= 0.9 * len(filled)


def _unwrapped(line: str) -> str:
    text = line.strip()
    return text[1:-1].replace('""', '"') if text.startswith('"') and text.endswith('"') and len(text) > 1 else line
