"""Where the titles of a sheet of records end, which record names the columns, and where the data begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kimera.knowledge._cells import is_missing, is_number, is_typed, is_year_like

__all__ = ["Header", "find_header", "unique_names", "usual_width"]

LOOK = 40  # records in which the header must appear
DESCRIPTIONS = 3  # rows of units or descriptions that may stand between header and data

Record = Sequence[str]


@dataclass(frozen=True)
class Header:
    """``row`` is the index of the naming record or None; data begin at index ``data``; ``names`` as written."""

    row: int | None
    data: int
    names: tuple[str, ...]
    titles: tuple[str, ...] = ()
    units: tuple[str | None, ...] = ()
    notes: tuple[str, ...] = ()


def usual_width(records: Sequence[Record]) -> int:
    """Return how many cells most records have; among near ties the wider one. 0 without records."""
    counts = Counter(len(record) for record in records if len(record) > 1 and any(c.strip() for c in record))
    if not counts:
        return 1 if records else 0
    most = max(counts.values())
    return max(width for width, count in counts.items() if count >= 0.8 * most)


def find_header(records: Sequence[Record], width: int) -> Header:
    """Return the header of ``records`` (the first few hundred of a sheet), whose usual number of cells is ``width``.

    Lines before it that fill less than half of the columns are titles. The header is the record just before the first
    one whose typed columns hold typed values; a record of words between the two is a row of units or descriptions.
    """
    first = _first_full(records, width)
    titles = tuple(_line(record) for record in records[:first] if any(c.strip() for c in record))
    block = records[first : first + 400]
    if not block:
        return Header(None, len(records), tuple([""] * width), titles)
    typed = _typed_columns(block, width)
    begin = _data_begin(block, typed) if typed else (1 if _all_words_header(block, width) else 0)
    if begin == 0 and not (typed and _years_as_names(block, typed)):
        return Header(None, first, tuple([""] * width), titles)
    begin = max(begin, 1)
    return _named(block, first, begin, width, titles)


def _first_full(records: Sequence[Record], width: int) -> int:
    """Return the index of the first record that fills at least half of the columns and has the usual number of them."""
    for index, record in enumerate(records[:LOOK]):
        filled = sum(1 for cell in record if cell.strip())
        fits = len(record) == width or (len(record) > width and filled >= width - 1)
        if len(record) == width - 1 and index + 1 < len(records):
            # One name fewer than cells: the names of rows have none. But a title may look so above the true header.
            fits = not (len(records[index + 1]) == width and _only_words(records[index + 1]))
        if fits and filled >= max(min(2, width), 0.5 * width):
            return index
    return next((i for i, record in enumerate(records[:LOOK]) if len(record) == width), 0)


def _line(record: Record) -> str:
    return " ".join(cell.strip() for cell in record if cell.strip())[:300]


def _typed_columns(block: Sequence[Record], width: int) -> list[int]:
    """Return the columns whose cells in the later part of the block are nearly all typed values."""
    # Headers, units and their like stand at the top: look below them, as far as the block is long enough.
    start = max(min(3, len(block) // 2), len(block) // 8)
    body = [record for record in block[start:] if len(record) >= width - 1]
    columns = []
    for column in range(width):
        cells = [record[column] for record in body if column < len(record) and not is_missing(record[column])]
        if cells and sum(map(is_typed, cells)) >= 0.9 * len(cells):
            columns.append(column)
    return columns


def _data_begin(block: Sequence[Record], typed: Sequence[int]) -> int:
    """Return the first index at which the typed columns hold values and no words."""
    begin = 0
    for index, record in enumerate(block[: DESCRIPTIONS + 3]):
        cells = [record[c] for c in typed if c < len(record) and not is_missing(record[c])]
        words = [cell for cell in cells if not is_typed(cell)]
        # One word in a typed column gives the first record away; below it, a stray word does not.
        if len(words) >= (1 if index == 0 else max(1, 0.5 * len(typed))) or _only_words(record):
            begin = index + 1
        elif cells and not all(map(is_year_like, cells)):
            break
    return begin or (0 if any(c < len(block[0]) and block[0][c].strip() for c in typed) else 1)


def _only_words(record: Record) -> bool:
    """Return whether a record holds several words and not one typed value, missing word or gap: a header's look."""
    return len(record) > 2 and all(cell.strip() and not is_typed(cell) and not is_missing(cell) for cell in record)


def _years_as_names(block: Sequence[Record], typed: Sequence[int]) -> bool:
    """Return whether the first record names typed columns by years that no data below repeat."""
    head = [block[0][c].strip() for c in typed if c < len(block[0])]
    if len(head) < 2 or len(set(head)) != len(head) or not all(map(is_year_like, head)):
        return False
    below = [record[c] for record in block[1:40] for c in typed if c < len(record) and not is_missing(record[c])]
    return sum(map(is_year_like, below)) < 0.5 * max(1, len(below))


def _all_words_header(block: Sequence[Record], width: int) -> bool:
    """Return whether the first of records without any typed column looks like names rather than like one more row."""
    head = [cell.strip() for cell in block[0]]
    if width == 1:
        return (
            len(block) > 1 and bool(head[0]) and len(head[0]) <= 60 and head[0] not in {r[0].strip() for r in block[1:]}
        )
    repeated = sum(
        1 for c, name in enumerate(head) if name and any(len(r) > c and r[c].strip() == name for r in block[1:])
    )
    return repeated < 0.5 * max(1, len(head))


def _named(block: Sequence[Record], first: int, begin: int, width: int, titles: tuple[str, ...]) -> Header:
    """Return the header when ``block[:begin]`` stands above the data."""
    above = [list(record) for record in block[:begin]]
    full = [i for i, record in enumerate(above) if sum(1 for c in record if c.strip()) >= 0.8 * len(record)]
    row = full[0] if full else begin - 1
    names = [cell.strip() for cell in above[row]]
    notes: list[str] = []
    if row + 1 < begin and _repeats(names) and row + 1 in full:
        names, row = _spanned(names, above[row + 1]), row + 1
        notes.append("two header rows were joined")
    elif row > 0 and (_repeats(names) or not all(names)) and sum(1 for c in above[row - 1] if c.strip()) > 1:
        names = _spanned(above[row - 1], names)
        notes.append("two header rows were joined")
    described = above[row + 1 : begin]
    if len(described) > DESCRIPTIONS:
        described, begin = [], row + 1
    if described:
        notes.append(f"{len(described)} row(s) of units or descriptions below the header are not data")
    units = tuple(_unit(cell) for cell in described[0]) if described else ()
    more = tuple(_line(record) for record in above[:row] if any(c.strip() for c in record))
    return Header(first + row, first + begin, tuple(names), titles + more, units, tuple(notes))


def _repeats(names: Sequence[str]) -> bool:
    filled = [name.lower() for name in names if name]
    return len(set(filled)) < len(filled)


def _spanned(upper: Sequence[str], lower: Sequence[str]) -> list[str]:
    """Return names of a two-row header: each upper name reaches right to the next one."""
    names, span = [], ""
    for column, name in enumerate(lower):
        above = upper[column].strip() if column < len(upper) else ""
        span = above or span
        names.append(f"{span} {name.strip()}".strip() if span != name.strip() else span)
    return names


def _unit(cell: str) -> str | None:
    text = cell.strip().strip("()[]").strip()
    return text if 0 < len(text) <= 15 and not is_missing(text) and not is_number(text) else None


def unique_names(names: Sequence[str]) -> list[str]:
    """Return ``names`` without gaps and repeats (case does not distinguish): ``column_3``, ``price``, ``price_2``."""
    taken: set[str] = set()
    result = []
    written = {name.lower() for name in names}
    for position, written_name in enumerate(names, 1):
        name = written_name or f"column_{position}"
        number = 2
        while name.lower() in taken or (number > 2 and name.lower() in written):
            name = f"{written_name or f'column_{position}'}_{number}"
            number += 1
        taken.add(name.lower())
        result.append(name)
    return result
