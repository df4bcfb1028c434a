"""Columns, tables and values as a person writes them: ``body_mass_g`` is body mass, 5076.016 is 5,076 g."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from kimera.knowledge.units import split_unit
from kimera.missions.analysis.plan import Condition
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.fusion.wording import number_text, p_text

__all__ = ["in_words", "listed", "rows_in_words", "say_exact", "say_p", "say_rounded", "start_sentence", "units_of"]

DIGITS = 4  # of a computed mean or slope: more than that is noise in nearly all data


def in_words(name: str) -> str:
    """Return a header as words, without its unit and without capitals that only begin its words."""
    words = " ".join(re.sub(r"_+(?!\d)", " ", split_unit(name)[0]).split()) or name  # delta_15n stays one name
    parts = words.split()
    title_case = all(part[0].isupper() for part in parts)
    lowered = [_lowered(part) if title_case or not place else part for place, part in enumerate(parts)]
    return " ".join(lowered)


def _lowered(word: str) -> str:
    return word.lower() if word[1:].islower() else word


def units_of(view: TableView) -> dict[str, str]:
    """Return the units of a table's columns, by name, where they are known."""
    found = {column.name: column.unit or split_unit(column.name)[1] for column in view.columns}
    return {name: unit for name, unit in found.items() if unit}


def say_exact(value: object, unit: str | None = None) -> str:
    """Return a value of the data: thousands apart, whole numbers whole, at most six digits of a fraction."""
    if isinstance(value, float) and abs(value) >= 1e-4:
        value = round(value, 6)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, float) and 1e-4 <= abs(value) < 1e15:
        return number_text(f"{value:,.6f}".rstrip("0"), unit)
    return number_text(value, unit) if isinstance(value, bool | int | float) else str(value)


def say_rounded(value: float, unit: str | None = None, digits: int = DIGITS) -> str:
    """Return a computed real with so many significant digits; digits before the point are never dropped."""
    if not math.isfinite(value) or value == 0:
        return number_text(value, unit)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return say_exact(round(value, decimals), unit)


def say_p(p: float | None, name: str = "p") -> str:
    """Return a p-value as people print it, never as zero."""
    return f"{name} {p_text(p)}" if p is not None else f"no {name}-value"


def listed(parts: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    *most, last = [*parts] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def start_sentence(text: str) -> str:
    """Return ``text`` with a capital at its start."""
    return text[:1].upper() + text[1:]


def rows_in_words(conditions: Iterable[Condition], units: Mapping[str, str]) -> str:
    """Return which rows are meant: ``species Gentoo and sex female``, ``body mass above 4,000 g``."""
    return listed([_condition(c, units) for c in conditions])


_COMPARED = {">": "above", "<": "below", ">=": "at least", "<=": "at most", "!=": "other than", "contains": "with"}


def _condition(condition: Condition, units: Mapping[str, str]) -> str:
    subject = in_words(condition.column)
    if condition.part:
        subject = f"{condition.part} of {subject}"
    if condition.op == "missing":
        return f"no {subject}"
    if condition.op == "present":
        return f"a known {subject}"
    against = f"its {condition.aggregate}" if condition.aggregate else condition.other
    if against is None:
        year = isinstance(condition.value, int) and 1500 <= condition.value <= 2200
        against = str(condition.value) if year else say_exact(condition.value, units.get(condition.column))
    return " ".join(filter(None, (subject, _COMPARED.get(condition.op, ""), against)))
