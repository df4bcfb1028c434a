"""Numbers with units as people write them, brought to one unit per dimension so that they can be compared."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["Quantity", "agree", "canonical", "find_quantities", "is_unit"]

# name -> (unit that stands for the dimension, factor, offset): canonical = (value + offset) * factor
UNITS: dict[str, tuple[str, float, float]] = {}


def _define(dimension: str, **factors: float) -> None:
    for name, factor in factors.items():
        UNITS[name] = (dimension, factor, 0.0)


_define("g", mg=1e-3, milligram=1e-3, g=1, gram=1, gm=1, gramme=1, kg=1e3, kilogram=1e3, kilo=1e3, tonne=1e6, ton=1e6)
_define("g", lb=453.59237, pound=453.59237, oz=28.349523125, ounce=28.349523125)
_define("m", um=1e-6, µm=1e-6, nm=1e-9, mm=1e-3, millimetre=1e-3, millimeter=1e-3, cm=1e-2, centimetre=1e-2)
_define("m", centimeter=1e-2, m=1, metre=1, meter=1, km=1e3, kilometre=1e3, kilometer=1e3, inch=0.0254)
_define("m", ft=0.3048, foot=0.3048, feet=0.3048, mile=1609.344, mi=1609.344)
_define("s", ms=1e-3, millisecond=1e-3, s=1, sec=1, second=1, minute=60, min=60, h=3600, hr=3600, hour=3600)
_define("s", day=86400, week=604800)
_define("month", month=1)
_define("year", year=1, yr=1)
_define("l", ml=1e-3, millilitre=1e-3, milliliter=1e-3, l=1, litre=1, liter=1)
_define("Wh", wh=1, kwh=1e3, mwh=1e6, gwh=1e9, twh=1e12)
_define("W", w=1, watt=1, kw=1e3, kilowatt=1e3, mw=1e6, megawatt=1e6, gw=1e9, gigawatt=1e9)
_define("ha", ha=1, hectare=1)
_define("m2", m2=1, km2=1e6, sqm=1)
_define("B", byte=1, kb=1e3, mb=1e6, gb=1e9, tb=1e12)
_define("usd", usd=1, dollar=1)
_define("eur", eur=1, euro=1)
_define("gbp", gbp=1)
_define("share", share=1, proportion=1, fraction=1, percent=0.01, pct=0.01, percentage=0.01)
UNITS["%"] = ("share", 0.01, 0.0)
for _name in ("c", "°c", "degc", "celsius"):
    UNITS[_name] = ("K", 1.0, 273.15)
for _name in ("f", "°f", "degf", "fahrenheit"):
    UNITS[_name] = ("K", 5 / 9, 459.67)
CURRENCY = {"$": "usd", "€": "eur", "£": "gbp"}
SCALES = {"thousand": 1e3, "k": 1e3, "million": 1e6, "m": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
# Names too short or too common to be read as a unit in running text ("4 in 2008", "5 m" is kept, "12 c" is not).
UNREADABLE = frozenset({"c", "f", "h", "s", "share", "min", "ton", "foot", "second"})

NUMBER = re.compile(
    r"(?P<currency>[$€£]\s?)?(?<![\w.,/-])(?P<sign>[-−+])?(?P<digits>\d{1,3}(?:[,\u202f\u00a0 ]\d{3})+(?!\d)|\d+)"
    r"(?P<fraction>\.\d+)?(?!\w*-?\d|\.\d)"
    r"(?:\s?(?P<scale>thousand|million|billion|trillion|bn|mn|k|m)\b(?![²³/]))?"
    r"(?:\s?(?P<unit>%|°\s?[CF]\b|µ?[A-Za-z]+[²2]?))?"
)
HEDGE = re.compile(r"(?:about|approximately|approx\.?|around|roughly|nearly|almost|some|circa|ca\.|~|≈)\s*$", re.I)
BOUND = re.compile(
    r"(?:more than|less than|fewer than|at least|at most|over|under|up to|above|below|exceed\w*|between|from|[<>≤≥]"
    r"|between\s\S{1,12}\sand)\s*$",
    re.I,
)
HEDGED_SHARE = 0.03
ROUND_CAP = 0.025  # "4,000" may be rounded to thousands, but not by more than this share


@dataclass(frozen=True)
class Quantity:
    """A stated number at ``text[start:end]``; ``raw`` as written, ``value`` and ``slack`` in ``unit`` ("" if none).

    ``slack`` is half a unit of the last stated place; trailing zeros of a whole number do not count as stated.
    """

    raw: float
    value: float
    slack: float
    unit: str
    start: int
    end: int
    text: str
    bound: bool = False


def canonical(value: float, unit: str | None) -> tuple[float, str]:
    """Return (value, unit of its dimension); an unknown unit stands for itself, none for ""."""
    known = _unit(unit or "")
    if known is None:
        return value, (unit or "").strip().lower()
    name, factor, offset = known
    return (value + offset) * factor, name


def is_unit(word: str) -> bool:
    """Return whether ``word`` names a unit, as the last part of a column name does in ``body_mass_g``."""
    return _unit(word) is not None


def find_quantities(text: str) -> list[Quantity]:
    """Return the numbers stated in ``text``, without bare years, ordinals and numbers inside names."""
    found = (_read(text, match) for match in NUMBER.finditer(text))
    return [quantity for quantity in found if quantity is not None]


def agree(stated: Quantity, value: float, unit: str | None) -> bool | None:
    """Return whether a computed ``value`` rounds to what was stated; None when the units cannot be compared.

    Percent and share are one dimension. A number without a unit is compared as it was written, and then only
    equality means something.
    """
    computed, dimension = canonical(value, unit)
    if stated.unit == dimension:
        return _within(stated.value, computed, stated.slack)
    if stated.unit and dimension:
        return None
    factor = stated.slack / abs(stated.value) if stated.value else 0.0
    same = _within(stated.raw, value, factor * abs(stated.raw)) or _within(stated.value, computed, stated.slack)
    return True if same else None


def _within(stated: float, computed: float, slack: float) -> bool:
    return abs(stated - computed) <= slack * (1 + 1e-9) + 1e-12 * max(abs(stated), abs(computed))


def _unit(word: str) -> tuple[str, float, float] | None:
    name = word.strip().lower().replace(" ", "").replace("²", "2")
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in UNITS:
            return UNITS[form]
    return None


def _read(text: str, match: re.Match[str]) -> Quantity | None:
    parts = match.groupdict()
    digits = re.sub(r"\D", "", parts["digits"])
    number = float(digits + (parts["fraction"] or ""))
    place = 10.0 ** -(len(parts["fraction"]) - 1) if parts["fraction"] else 1.0
    unit, end = _stated_unit(parts), match.end()
    if unit is None:
        end = match.end("scale") if parts["scale"] else max(match.end("digits"), match.end("fraction"))
        if _is_year(parts, number) or re.match(r"(?:st|nd|rd|th)\b", text[end : end + 3]):
            return None
    before = text[max(0, match.start() - 16) : match.start()]
    slack = _rounding(number, digits, place, stated_fraction=bool(parts["fraction"]))
    if HEDGE.search(before):
        slack = max(slack, abs(number) * HEDGED_SHARE)
    scale = SCALES[parts["scale"].lower()] if parts["scale"] else 1.0
    if scale == SCALES["m"] and parts["scale"] == "m" and not parts["currency"]:
        scale, unit = 1.0, "m"
    raw = number * scale * (-1 if parts["sign"] in {"-", "−"} else 1)
    value, dimension = canonical(raw, unit)
    known = _unit(unit or "")
    factor = known[1] if known else 1.0
    start = match.start()
    return Quantity(
        raw, value, slack * scale * factor, dimension, start, end, text[start:end].strip(), bool(BOUND.search(before))
    )


def _stated_unit(parts: dict[str, str]) -> str | None:
    if parts["currency"]:
        return CURRENCY[parts["currency"].strip()]
    word = (parts["unit"] or "").replace(" ", "")
    return word if word and word.lower() not in UNREADABLE and _unit(word) else None


def _is_year(parts: dict[str, str], number: float) -> bool:
    return not parts["fraction"] and not parts["scale"] and parts["digits"].isdigit() and 1500 <= number <= 2200


def _rounding(number: float, digits: str, place: float, *, stated_fraction: bool) -> float:
    if stated_fraction or not number:
        return place / 2
    zeros = len(digits) - len(digits.rstrip("0"))
    return min(10.0**zeros / 2, max(0.5, abs(number) * ROUND_CAP)) if math.isfinite(number) else 0.5
