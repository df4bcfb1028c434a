"""What a cell of text means: number, date, yes/no, missing. The same patterns run in Python and in DuckDB (RE2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

__all__ = ["ABSENT", "MISSING", "TEXT", "Reading", "is_missing", "is_number", "is_typed", "is_year_like", "readings"]

ColumnType = Literal["integer", "real", "text", "boolean", "date", "timestamp"]

MISSING = (
    "", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "null", "none", "nil", "-", "--", "---", "–", "—", ".", "..", "...",
    "?", "missing", "(null)", "<na>", "\\n", "#value!", "#div/0!", "#ref!", "#num!", "inf", "-inf", "+inf", "infinity",
    "-infinity", "not available", "n.d.",
)  # fmt: skip
"""Words for "no value", in lower case; they count as missing only in columns whose other cells are all typed."""

ABSENT = frozenset({"na", "n/a", "#n/a", "nan", "null", "none", "<na>", "(null)", "missing"})
"""The words among them that mean "no value" in text as well, once the same file uses them so in a typed column."""

_DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_PLAIN = rf"[+-]?{_DIGITS}(?:[eE][+-]?[0-9]+)?"
_COMMA_THOUSANDS = r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?|[+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+"
_COMMA_DECIMAL = r"[+-]?[0-9]*,[0-9]+(?:[eE][+-]?[0-9]+)?|[+-]?[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]*)?|[+-]?[0-9]+,?"
_GAP = "[ \u00a0\u202f'’]"
_SPACE_THOUSANDS = rf"[+-]?[0-9]{{1,3}}(?:{_GAP}[0-9]{{3}})+(?:[.,][0-9]+)?|[+-]?[0-9]{{1,3}}(?:[.,][0-9]+)?"
_CURRENCY = r"[$€£¥₹₩₽]"
_MONTH = r"(?:[Jj]an|[Ff]eb|[Mm]ar|[Aa]pr|[Mm]ay|[Jj]un|[Jj]ul|[Aa]ug|[Ss]ep|[Oo]ct|[Nn]ov|[Dd]ec|[A-Z]{3})"
_TIME = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_UNITS = frozenset(
    re.findall(
        r"\S+",
        """kg g mg lb lbs oz t km m cm mm nm mi ft in km/h mph m/s s ms h hr hrs min °C °F K kW kWh MW MWh GWh W V A Hz
        kHz MHz GHz MB GB KB TB bytes L l ml mL ppm ppb USD EUR GBP CHF JPY hPa kPa Pa mol""",
    )
)
_UNIT = re.compile(r"([+-]?[0-9][0-9.,]*)(\s*)([A-Za-zµμ°%Ω$€£/²³^0-9-]{1,12})$")


@dataclass(frozen=True)
class Reading:
    """One way to read a whole column. ``value`` is DuckDB SQL with ``{x}`` for the trimmed text of the cell."""

    type: ColumnType
    pattern: str
    value: str
    unit: str | None = None
    decimal: str | None = None
    note: str | None = None


TEXT = Reading("text", r"(?s).*", "{x}")
_INTEGER = Reading("integer", r"[+-]?[0-9]{1,19}", "TRY_CAST({x} AS BIGINT)")
_REAL = Reading("real", _PLAIN, "TRY_CAST({x} AS DOUBLE)")
_BOOLEAN = Reading("boolean", r"(?i:true|false)", "lower({x}) = 'true'")
_THOUSANDS_INT = Reading(
    "integer",
    r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)",
    "TRY_CAST(replace({x}, ',', '') AS BIGINT)",
    note="thousands commas",
)
_THOUSANDS = Reading("real", _COMMA_THOUSANDS, "TRY_CAST(replace({x}, ',', '') AS DOUBLE)", note="thousands commas")
_DECIMAL_COMMA = Reading(
    "real", _COMMA_DECIMAL, "TRY_CAST(replace(replace({x}, '.', ''), ',', '.') AS DOUBLE)", decimal=","
)
_SPACED = Reading(
    "real",
    _SPACE_THOUSANDS,
    "TRY_CAST(replace(regexp_replace({x}, '[ \u00a0\u202f''’]', '', 'g'), ',', '.') AS DOUBLE)",
    note="thousands spaces",
)


def _strptime(kind: ColumnType, pattern: str, form: str, note: str | None = None) -> Reading:
    cast = "DATE" if kind == "date" else "TIMESTAMP"
    return Reading(kind, pattern, f"CAST(TRY_STRPTIME({{x}}, '{form}') AS {cast})", note=note)


_DATES = (
    Reading("date", r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", "TRY_CAST({x} AS DATE)"),
    _strptime("date", r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}", "%Y/%m/%d"),
    _strptime("date", r"[0-9]{4}\.[0-9]{2}\.[0-9]{2}", "%Y.%m.%d"),
    _strptime("date", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", "%m/%d/%Y", "month/day/year"),
    _strptime("date", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", "%d/%m/%Y", "day/month/year"),
    _strptime("date", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}", "%m/%d/%y", "month/day/year"),
    _strptime("date", r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}", "%d/%m/%y", "day/month/year"),
    _strptime("date", r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}", "%d.%m.%Y", "day.month.year"),
    _strptime("date", r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", "%d-%m-%Y", "day-month-year"),
    _strptime("date", r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", "%m-%d-%Y", "month-day-year"),
    _strptime("date", rf"[0-9]{{1,2}}-{_MONTH}-[0-9]{{4}}", "%d-%b-%Y"),
    _strptime("date", rf"[0-9]{{1,2}}-{_MONTH}-[0-9]{{2}}", "%d-%b-%y"),
    _strptime("date", rf"[0-9]{{1,2}} {_MONTH} [0-9]{{4}}", "%d %b %Y"),
    _strptime("date", r"[0-9]{1,2} [A-Z][a-z]{2,8} [0-9]{4}", "%d %B %Y"),
    _strptime("date", rf"{_MONTH} [0-9]{{1,2}}, [0-9]{{4}}", "%b %d, %Y"),
    _strptime("date", r"[A-Z][a-z]{2,8} [0-9]{1,2}, [0-9]{4}", "%B %d, %Y"),
)
_STAMPS = (
    Reading("timestamp", rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}(?:[ T]{_TIME})?", "TRY_CAST({x} AS TIMESTAMP)"),
    Reading(
        "timestamp",
        rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_TIME} ?(?:Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}}|[+-][0-9]{{2}})",
        "CAST(TRY_CAST(regexp_replace(regexp_replace({x}, ' ?(?:Z|UTC)$', '+00'), "
        "'([+-][0-9]{{2}}):?([0-9]{{2}})$', '\\1:\\2') AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS TIMESTAMP)",
        note="converted to UTC",
    ),
    *(
        _strptime("timestamp", pattern + time, form + clock, note)
        for pattern, form, note in (
            (r"[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}", "%Y/%m/%d", None),
            (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", "%m/%d/%Y", "month/day/year"),
            (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", "%d/%m/%Y", "day/month/year"),
            (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}", "%m/%d/%y", "month/day/year"),
            (r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}", "%d/%m/%y", "day/month/year"),
            (r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}", "%d.%m.%Y", "day.month.year"),
            (r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", "%d-%m-%Y", "day-month-year"),
            (r"[0-9]{1,2}-[0-9]{1,2}-[0-9]{4}", "%m-%d-%Y", "month-day-year"),
            (rf"[0-9]{{1,2}}-{_MONTH}-[0-9]{{4}}", "%d-%b-%Y", None),
        )
        for time, clock in (
            (r" [0-9]{1,2}:[0-9]{2}", " %H:%M"),
            (r" [0-9]{1,2}:[0-9]{2}:[0-9]{2}", " %H:%M:%S"),
            (r" [0-9]{1,2}:[0-9]{2} (?:[AaPp][Mm])", " %I:%M %p"),
            (r" [0-9]{1,2}:[0-9]{2}:[0-9]{2} (?:[AaPp][Mm])", " %I:%M:%S %p"),
        )
    ),
)
_DATE_LIKE = re.compile(
    r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}(?:[ T_].*)?|"
    rf"[0-9]{{1,2}}[- ]{_MONTH}[a-z]*[- ][0-9]{{2,4}}|{_TIME}|"
    r"[0-9]{4}-[0-9]{2}"
)
_NUMBER = re.compile(
    rf"{_CURRENCY}?\s?(?:{_PLAIN}|{_COMMA_THOUSANDS}|{_COMMA_DECIMAL})\s?%?|"
    rf"\({_CURRENCY}?\s?[0-9][0-9.,]*\)|[+-]?{_CURRENCY}\s?[0-9][0-9.,]*"
)
_YEAR = re.compile(r"(?:[A-Za-z]{1,3}[ _]?)?(?:1[5-9]|20|21)[0-9]{2}(?:[ _/-]?(?:Q[1-4]|[0-9]{1,4}))?")


def is_missing(cell: str) -> bool:
    """Return whether ``cell`` is empty or a word for "no value"."""
    return cell.strip().lower() in MISSING


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def is_number(cell: str) -> bool:
    """Return whether ``cell`` reads as a number in some notation, with or without a currency or percent sign."""
    return _NUMBER.fullmatch(cell.strip().replace("−", "-")) is not None


def is_typed(cell: str) -> bool:
    """Return whether ``cell`` is a number, a date, a time or a truth value rather than words."""
    text = cell.strip()
    return is_number(text) or _DATE_LIKE.fullmatch(text) is not None or text.lower() in {"true", "false"}


def is_year_like(cell: str) -> bool:
    """Return whether ``cell`` could be a year or quarter used as a column name."""
    return _YEAR.fullmatch(cell.strip()) is not None


def readings(sample: Sequence[str], *, decimal_comma: bool, padded_numbers: bool) -> list[Reading]:
    """Return the ways to read a column, likeliest first, that fit every cell of ``sample``; always ends with `TEXT`.

    ``sample`` holds trimmed cells. ``decimal_comma``: the rest of the file writes 1,5 for one and a half.
    ``padded_numbers``: leading zeros are lay-out (fixed-width numeric files), not part of a code.
    """
    cells = [cell.replace("−", "-") for cell in sample if not is_missing(cell)]
    if not cells:
        return [TEXT]
    found = _numbers(cells, decimal_comma, padded_numbers)
    if not found:
        found = [reading for reading in (_BOOLEAN, *_DATES, *_STAMPS) if _fits(reading, cells)]
        found += [] if found else _with_signs(cells, decimal_comma)
    return [*found, TEXT]


def _fits(reading: Reading, cells: Sequence[str]) -> bool:
    match = _compiled(reading.pattern).fullmatch
    return all(match(cell) for cell in cells)


def _numbers(cells: Sequence[str], decimal_comma: bool, padded: bool) -> list[Reading]:
    if _fits(_REAL, cells):
        if any(_is_code(cell, padded) for cell in cells):
            return []
        return [_INTEGER, _REAL] if _fits(_INTEGER, cells) else [_REAL]
    commas = [cell for cell in cells if "," in cell]
    if not commas:
        return [_SPACED] if _fits(_SPACED, cells) else []
    if not decimal_comma and _fits(_THOUSANDS, cells) and not any(re.match(r"[+-]?0,", cell) for cell in commas):
        return [_THOUSANDS_INT, _THOUSANDS] if _fits(_THOUSANDS_INT, cells) else [_THOUSANDS]
    return [reading for reading in (_DECIMAL_COMMA, _THOUSANDS, _SPACED) if _fits(reading, cells)]


def _is_code(cell: str, padded: bool) -> bool:
    """Return whether a number is written like a code: leading zeros in three or more digits, or over 64 bits."""
    if not cell.isdigit():
        return False
    return (cell[0] == "0" and len(cell) > 2 and not padded) or (len(cell) > 18 and int(cell) >= 2**63)


def _with_signs(cells: Sequence[str], decimal_comma: bool) -> list[Reading]:
    """Return readings for numbers with one sign or unit that all cells share: percent, money, kg, (5) for minus."""
    if all(cell.endswith("%") for cell in cells):
        return _stripped(cells, decimal_comma, "%", r"\s?%$", "%")
    signs = sorted({sign for cell in cells for sign in re.findall(_CURRENCY, cell)})
    if len(signs) == 1 or (not signs and any(cell.startswith("(") for cell in cells)):
        return _stripped(cells, decimal_comma, signs[0] if signs else "", r"[()\s$€£¥₹₩₽]", signs[0] if signs else None)
    found = [_UNIT.fullmatch(cell) for cell in cells]
    units = {match.group(3) for match in found if match}
    if len(cells) < 3 or not all(found) or len(units) != 1 or not units <= _UNITS:
        return []
    unit = units.pop()
    return _stripped(cells, decimal_comma, unit, rf"\s*{re.escape(unit)}$", unit)


def _stripped(cells: Sequence[str], decimal_comma: bool, sign: str, marks: str, unit: str | None) -> list[Reading]:
    """Return the readings of the numbers in ``cells`` once ``marks`` (a pattern) are taken off; brackets mean minus."""
    bracket = re.compile(r"\((.*)\)")
    bare = [re.sub(marks, "", bracket.sub(r"-\1", cell)) for cell in cells]
    mark = rf"(?:{re.escape(sign)})?" if sign else ""
    value = "regexp_replace(regexp_replace({x}, '\\((.*)\\)', '-\\1'), '" + marks + "', '', 'g')"
    return [
        Reading(
            "real",
            rf"\(?[+-]?{mark}\s?[+-]?(?:{reading.pattern})\s?{mark}\)?",
            f"TRY_CAST(({reading.value.replace('{x}', value)}) AS DOUBLE)",
            unit, reading.decimal, reading.note,
        )
        for reading in _numbers(bare, decimal_comma, padded=True)
    ]  # fmt: skip
