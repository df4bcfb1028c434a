"""One DuckDB for one library: typed tables from prepared files, with no way out of its own temporary folder."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from kimera.knowledge._cells import ABSENT, MISSING, TEXT, Reading, readings
from kimera.knowledge.contracts import Column, Scalar
from kimera.knowledge.limits import Limits
from kimera.knowledge.units import split_unit

__all__ = ["KEEP", "Engine", "Written"]

SAMPLE = 400  # rows from which types are guessed; every cell is checked against the guess
BLANKS = " \t\n\r\u00a0"  # taken off both ends of every cell
ROUNDS = 12
AT_ONCE = 16  # columns in one aggregate query; more cost DuckDB time and memory out of proportion
KEEP = 500
EXACT_UNIQUE = 2_000_000

_ALLOW = "SET allowed_directories = [{folder}]"
_LOCK = (
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
_CLEAR = "DROP TABLE IF EXISTS raw; DROP TABLE IF EXISTS cells; DROP TABLE IF EXISTS typed"
_LOAD = (
    "CREATE TABLE raw AS SELECT * FROM read_csv({path}, auto_detect = false, header = false, delim = {delim}, "
    "quote = {quote}, escape = {quote}, columns = {{{columns}}}, null_padding = {lenient}, strict_mode = {strict}, "
    "max_line_size = 67108864, parallel = false)"
)
_LOAD_PARQUET = "CREATE TABLE raw AS SELECT * FROM read_parquet({path})"
_PARQUET_ROWS = "SELECT count(*) FROM read_parquet({path})"
_PARQUET_COLUMNS = "SELECT * FROM read_parquet({path}) LIMIT 0"
_COUNT = "SELECT count(*), coalesce(sum({characters}), 0) FROM raw"
_CHARACTERS = "coalesce(length({column}), 0)"
_SAMPLE = "SELECT * FROM cells WHERE rowid % {step} = 0 LIMIT {limit}"
_CLEAN = "CREATE TABLE cells AS SELECT {columns} FROM raw; DROP TABLE raw"
_CLEAN_CELL = "nullif(trim({column}, '" + BLANKS + "'), '') AS {column}"
_PLAIN_MINUS = "replace({column}, '−', '-')"
_TYPED = "CASE WHEN regexp_full_match({x}, {pattern}) THEN {value} END"
_WORDS = "CASE WHEN {column} NOT IN ({words}) THEN {column} END"
_WRONG = "count(CASE WHEN ({typed}) IS NULL AND {x} IS NOT NULL AND lower({x}) NOT IN ({missing}) THEN 1 END)"
_WRONG_CELLS = (
    "SELECT DISTINCT {x} FROM cells WHERE ({typed}) IS NULL AND {x} IS NOT NULL AND lower({x}) NOT IN ({missing}) "
    "ORDER BY 1 LIMIT 300"
)
_SELECT = "SELECT {columns} FROM cells"
_MAKE = "CREATE TABLE typed AS SELECT {columns} FROM {table}"
_WRITE = "COPY (SELECT * FROM typed) TO {path} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)"
_PROFILE = "SELECT {columns} FROM typed"
_PROFILE_COLUMN = "count({c}), {unique}, {least}, {most}"
_HEAD = "SELECT * FROM typed LIMIT 200"
_DISTINCT = "SELECT DISTINCT {c} FROM typed WHERE {c} IS NOT NULL ORDER BY hash({c}) LIMIT {limit}"

_NATIVE: dict[str, tuple[str, str]] = {
    "BOOLEAN": ("boolean", "{x}"),
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
        ("integer", "CAST({x} AS BIGINT)"),
    ),
    **dict.fromkeys(
        ("FLOAT", "DOUBLE", "DECIMAL", "HUGEINT", "UHUGEINT", "UBIGINT"),
        ("real", "CASE WHEN isfinite(CAST({x} AS DOUBLE)) THEN CAST({x} AS DOUBLE) END"),
    ),
    "DATE": ("date", "{x}"),
    "TIMESTAMP WITH TIME ZONE": ("timestamp", "CAST({x} AT TIME ZONE 'UTC' AS TIMESTAMP)"),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S"), ("timestamp", "CAST({x} AS TIMESTAMP)")
    ),
    **dict.fromkeys(("STRUCT", "MAP", "LIST", "UNION"), ("text", "CAST(to_json({x}) AS VARCHAR)")),
}


T = TypeVar("T")


@dataclass(frozen=True)
class Written:
    """A typed table on disk: its Parquet file, rows, profiled columns and what a reader should know of the types.

    ``values`` holds up to `KEEP` distinct values, as text, of the columns that could join it to another table.
    """

    path: Path
    rows: int
    columns: tuple[Column, ...]
    decimal: str | None = None
    notes: tuple[str, ...] = ()
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_MISSING_LIST = ", ".join(_literal(word) for word in MISSING)


class Engine:
    """A DuckDB that sees one temporary folder, loads no extension and keeps to a memory bound.

    Use as a context manager; ``folder`` is where prepared files go and vanishes on exit. One table at a time.
    """

    def __init__(self, limits: Limits, near: Path | None = None) -> None:
        self.limits = limits
        # Beside the blobs a finished file is moved into them, not copied.
        self.folder = Path(tempfile.mkdtemp(prefix=".reading-", dir=near)).absolute()
        self._connection: Any = None
        self._number = 0
        self._minus: frozenset[int] = frozenset()
        self._absent: dict[int, tuple[str, ...]] = {}

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def scratch(self, suffix: str) -> Path:
        """Return a fresh path in the engine's folder."""
        self._number += 1
        return self.folder / f"{self._number:06d}{suffix}"

    def run(self, statement: str) -> Any:
        """Run one statement, connecting on first use."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection.execute(statement)

    def _connect(self) -> Any:
        import duckdb

        connection = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "memory_limit": f"{self.limits.engine_bytes // 1024**2}MiB",
                "threads": "2",
                "temp_directory": str(self.folder),
            },
        )
        connection.execute(_ALLOW.format(folder=_literal(str(self.folder))))
        for statement in _LOCK:
            connection.execute(statement)
        return connection

    def clear(self) -> None:
        """Forget the loaded table."""
        if self._connection is not None:
            self._connection.execute(_CLEAR)

    def load_text(self, path: Path, mark: str, quote: str, width: int, *, lenient: bool) -> tuple[int, int] | None:
        """Load a prepared text file as ``width`` text columns; return ``(rows, characters in all cells)``.

        None when a record does not fit. ``lenient`` pads short records and allows stray quotes.
        """
        import duckdb

        try:
            self._load(path, mark, quote, width, lenient)
        except duckdb.Error:
            return None
        return self.count(width)

    def must_load(self, path: Path, width: int) -> None:
        """Load a file written by ourselves: commas, every cell quoted. Raises ``duckdb.Error`` when out of memory."""
        self._load(path, ",", '"', width, False)

    def _load(self, path: Path, mark: str, quote: str, width: int, lenient: bool) -> None:
        self.clear()
        columns = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width))
        self.run(
            _LOAD.format(
                path=_literal(str(path)), delim=_literal(mark), quote=_literal(quote), columns=columns,
                lenient=str(lenient).lower(), strict=str(not lenient).lower(),
            )
        )  # fmt: skip

    def count(self, width: int) -> tuple[int, int]:
        """Return ``(rows, characters in all cells)`` of the loaded table."""
        rows = total = 0
        for some in _batched([f"c{i}" for i in range(width)], 64):
            characters = " + ".join(_CHARACTERS.format(column=column) for column in some)
            rows, part = self.run(_COUNT.format(characters=characters)).fetchone()
            total += int(part)
        return int(rows), total

    def parquet_shape(self, path: Path) -> tuple[int, list[tuple[str, str]]]:
        """Return ``(rows, (column, DuckDB type) pairs)`` of a Parquet file in the engine's folder, from its footer."""
        where = _literal(str(path))
        rows = self.run(_PARQUET_ROWS.format(path=where)).fetchone()[0]
        found = self.run(_PARQUET_COLUMNS.format(path=where)).description
        return int(rows), [(str(one[0]), str(one[1])) for one in found]

    def load_parquet(self, path: Path) -> None:
        """Load a Parquet file of the engine's folder."""
        self.clear()
        self.run(_LOAD_PARQUET.format(path=_literal(str(path))))

    def type_text(
        self, names: Sequence[str], sources: Sequence[str], units: Sequence[str | None], *, delimiter: str = ","
    ) -> Written:
        """Choose a type for each text column of the loaded table by all of its cells, and write it as Parquet."""
        columns = ", ".join(_CLEAN_CELL.format(column=f"c{i}") for i in range(len(names)))
        self.run(_CLEAN.format(columns=columns))
        chosen = self._choose(len(names), delimiter)
        parts, plans, notes = [], [], set()
        for i, (name, reading) in enumerate(zip(names, chosen, strict=True)):
            value = self._text_sql(i) if reading.type == "text" else _typed_sql(self._x(i), reading)
            parts.append(f"{value} AS {_identifier(name)}")
            unit = reading.unit or (units[i] if i < len(units) and reading.type in {"integer", "real"} else None)
            plans.append(Column(name=name, source_name=sources[i], type=reading.type, unit=unit))
            if i in self._absent:
                notes.add(f"{', '.join(self._absent[i])} read as missing in text")
            if reading.note:
                notes.add(f"{reading.note} in {name}")
        self.run(_MAKE.format(columns=", ".join(parts), table="cells"))
        decimal = "," if any(reading.decimal == "," for reading in chosen) else "."
        return self._write(plans, decimal, tuple(sorted(notes))[:20])

    def type_native(self, found: Sequence[tuple[str, str]], names: Sequence[str]) -> Written:
        """Bring the columns of a loaded Parquet file to the types of the contracts, and write them."""
        parts, plans = [], []
        for (source, native), name in zip(found, names, strict=True):
            kind, value = _native(native)
            parts.append(f"{value.format(x=_identifier(source))} AS {_identifier(name)}")
            plans.append(Column.model_validate({"name": name, "source_name": source, "type": kind}))
        self.run(_MAKE.format(columns=", ".join(parts), table="raw"))
        return self._write(plans, None, ())

    def _values(self, columns: Sequence[Column]) -> dict[str, frozenset[str]]:
        """Return some distinct values of each column that may be a key, the same ones for the same values."""
        found = {}
        for column in columns:
            if column.type in {"text", "integer", "date"} and column.unique > 1:
                rows = self.run(_DISTINCT.format(c=_identifier(column.name), limit=KEEP)).fetchall()
                found[column.name] = frozenset(str(row[0])[:200] for row in rows)
        return found

    def _x(self, column: int) -> str:
        """Return the SQL for the cell of a column, with typographic minus signs as plain ones where there are any."""
        return _PLAIN_MINUS.format(column=f"c{column}") if column in self._minus else f"c{column}"

    def _choose(self, width: int, delimiter: str) -> list[Reading]:
        """Return one reading per column: the first that fits the sample and then every cell of the table."""
        count = self.run("SELECT count(*) FROM cells").fetchone()[0]
        rows = self.run(_SAMPLE.format(step=max(1, count // SAMPLE), limit=SAMPLE)).fetchall()
        samples = [_cells(row[i] for row in rows) for i in range(width)]
        self._minus = frozenset(i for i, sample in enumerate(samples) if any("−" in cell for cell in sample))
        comma = _decimal_comma(samples, european=delimiter == ";")
        padded = delimiter.isspace() and delimiter != "\t"
        options = {i: readings(samples[i], decimal_comma=comma, padded_numbers=padded) for i in range(width)}
        chosen: dict[int, Reading] = {}
        widened: set[int] = set()
        for _ in range(ROUNDS):
            waiting = [i for i in range(width) if i not in chosen]
            if not waiting:
                break
            for i, wrong in zip(waiting, self._wrong([(i, options[i][0]) for i in waiting]), strict=True):
                if wrong == 0:
                    chosen[i] = options[i][0]
                elif len(options[i]) > 2 or i in widened:
                    options[i] = options[i][1:]
                else:
                    # The sample was not typical: guess once more from the cells that did not fit as well.
                    widened.add(i)
                    samples[i] = [*samples[i], *self._wrong_cells(i, options[i][0])]
                    options[i] = readings(samples[i], decimal_comma=comma, padded_numbers=padded)
        result = [chosen.get(i, TEXT) for i in range(width)]
        self._absent = _absent(samples, result)
        return result

    def _text_sql(self, column: int) -> str:
        words = self._absent.get(column)
        if not words:
            return f"c{column}"
        return _WORDS.format(column=f"c{column}", words=", ".join(map(_literal, words)))

    def _wrong(self, pairs: Sequence[tuple[int, Reading]]) -> list[int]:
        """Return for each column how many cells the reading cannot read; text reads anything."""
        counts = dict.fromkeys((i for i, _ in pairs), 0)
        asked = [(i, reading) for i, reading in pairs if reading.type != "text"]
        for some in _batched(asked, AT_ONCE):
            parts = ", ".join(self._wrong_sql(i, reading) for i, reading in some)
            counts.update(zip((i for i, _ in some), self.run(_SELECT.format(columns=parts)).fetchone(), strict=True))
        return list(counts.values())

    def _wrong_sql(self, column: int, reading: Reading) -> str:
        x = self._x(column)
        return _WRONG.format(x=x, missing=_MISSING_LIST, typed=_typed_sql(x, reading))

    def _wrong_cells(self, column: int, reading: Reading) -> list[str]:
        x = self._x(column)
        statement = _WRONG_CELLS.format(x=x, missing=_MISSING_LIST, typed=_typed_sql(x, reading))
        return sorted(row[0] for row in self.run(statement).fetchall())

    def _write(self, plans: Sequence[Column], decimal: str | None, notes: tuple[str, ...]) -> Written:
        path = self.scratch(".parquet")
        self.run(_WRITE.format(path=_literal(str(path))))
        rows, columns = self._profile(plans)
        return Written(path, rows, columns, decimal, notes, self._values(columns))

    def _profile(self, plans: Sequence[Column]) -> tuple[int, tuple[Column, ...]]:
        """Return the number of rows and the columns with nulls, uniques, extremes and three examples."""
        rows = int(self.run("SELECT count(*) FROM typed").fetchone()[0])
        unique = "count(DISTINCT {c})" if rows <= EXACT_UNIQUE else "approx_count_distinct({c})"
        parts = []
        for plan in plans:
            c = _identifier(plan.name)
            ordered = plan.type not in {"text", "boolean"}
            parts.append(
                _PROFILE_COLUMN.format(
                    c=c, unique=unique.format(c=c), least=f"min({c})" if ordered else "NULL",
                    most=f"max({c})" if ordered else "NULL",
                )
            )  # fmt: skip
        facts: list[Any] = []
        for some in _batched(parts, AT_ONCE):
            facts.extend(self.run(_PROFILE.format(columns=", ".join(some))).fetchone())
        head = self.run(_HEAD).fetchall()
        columns = []
        for i, plan in enumerate(plans):
            filled, distinct, least, most = facts[4 * i : 4 * i + 4]
            columns.append(
                plan.model_copy(
                    update={
                        "unit": _unit(plan), "nulls": rows - int(filled),
                        "unique": min(int(distinct), rows), "minimum": _scalar(least),
                        "maximum": _scalar(most), "examples": _examples([row[i] for row in head]),
                    }
                )
            )  # fmt: skip
        return rows, tuple(columns)


def _typed_sql(x: str, reading: Reading) -> str:
    return _TYPED.format(x=x, pattern=_literal(reading.pattern), value=reading.value.format(x=x))


def _native(name: str) -> tuple[str, str]:
    upper = name.upper()
    if upper.endswith("[]"):
        return _NATIVE["LIST"]
    return _NATIVE.get(upper.split("(")[0].strip(), ("text", "CAST({x} AS VARCHAR)"))


def _cells(values: Any) -> list[str]:
    """Return the distinct cells in order of appearance."""
    return list(dict.fromkeys(value for value in values if value is not None))


def _absent(samples: Sequence[Sequence[str]], chosen: Sequence[Reading]) -> dict[int, tuple[str, ...]]:
    """Return for each text column the words that mean "no value" there: those the file uses so in its typed columns.

    A column of short codes keeps them: NA among AT, BE, CH is Namibia.
    """
    used = {
        cell
        for sample, reading in zip(samples, chosen, strict=True)
        if reading.type != "text"
        for cell in sample
        if cell.lower() in ABSENT
    }
    found = {}
    for i, (sample, reading) in enumerate(zip(samples, chosen, strict=True)):
        others = [cell for cell in sample if cell and cell not in used]
        codes = others and all(len(cell) <= 3 and cell.isupper() for cell in others)
        if reading.type == "text" and others and not codes and used:
            found[i] = tuple(sorted(used))
    return found


def _decimal_comma(samples: Sequence[Sequence[str]], *, european: bool) -> bool:
    """Return whether some column can only be read with a comma as decimal sign, and none needs a point for it.

    ``european``: the cells are parted by semicolons, as programs do where the comma is the decimal sign; then a
    column that could be read either way counts too.
    """
    comma = False
    for sample in samples:
        found = readings(sample, decimal_comma=False, padded_numbers=False)[0]
        if found.type == "real" and found.decimal != "," and found.note is None and found.unit is None:
            return False
        comma = comma or found.decimal == "," or (european and found.note == "thousands commas")
    return comma


def _unit(plan: Column) -> str | None:
    return plan.unit or (split_unit(plan.source_name)[1] if plan.type in {"integer", "real"} else None)


def _scalar(value: Any) -> Scalar:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int | str | bool) or value is None else str(value)


def _examples(values: Sequence[Any]) -> tuple[Scalar, ...]:
    seen: list[Scalar] = []
    for value in values:
        shown = _scalar(value)
        if isinstance(shown, str):
            shown = shown[:80]
        if shown is not None and shown not in seen:
            seen.append(shown)
        if len(seen) == 3:
            break
    return tuple(seen)


def _batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in runs of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
