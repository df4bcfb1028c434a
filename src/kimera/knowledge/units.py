"""Units written into column names: ``body_mass_g``, ``Mean body mass (g)``, ``Price [EUR]``."""

from __future__ import annotations

import re

__all__ = ["split_unit"]

_BRACKETED = re.compile(r"^(?P<words>.*\S)\s*[\[(](?P<unit>[^\[\]()]{1,12})[\])]\s*$")
_TRAILING = re.compile(r"^(?P<words>\w[\w .]*?)[ _.](?P<unit>[A-Za-z%]{1,4}\d?)$")

# spelled as a person writes them; a bare letter counts only after an underscore, and "m" or "s" may mean many things
_UNITS = """
mg g kg t lb oz nm µm um mm cm km ft ml cl l °C °F K hPa kPa Pa bar mbar W kW MW GW Wh kWh MWh GWh Hz kHz MHz GHz ms min
h days % USD EUR GBP CHF JPY ha km2 m2 m3 ppm ppb mph kmh kB MB GB TB dB rpm kcal kJ MJ
"""
_KNOWN = {unit.lower(): unit for unit in _UNITS.split()}
_KNOWN |= {
    "c": "°C",
    "degc": "°C",
    "f": "°F",
    "degf": "°F",
    "pct": "%",
    "percent": "%",
    "$": "USD",
    "€": "EUR",
    "£": "GBP",
}
_BRACKETED_ONLY = frozenset({"c", "f", "k", "t", "h", "l", "pa", "w", "bar", "days", "min", "percent", "m", "s"})


def split_unit(name: str) -> tuple[str, str | None]:
    """Return the column name without its unit, and the unit or None; the name is unchanged when there is none."""
    bracketed = _BRACKETED.match(name)
    if bracketed:
        unit = _known(bracketed["unit"], bracketed=True)
        return (bracketed["words"].rstrip(" _"), unit) if unit else (name, None)
    trailing = _TRAILING.match(name)
    unit = _known(trailing["unit"], bracketed=False) if trailing else None
    return (trailing["words"].rstrip(" _."), unit) if trailing and unit else (name, None)


def _known(text: str, *, bracketed: bool) -> str | None:
    plain = text.strip().lower()
    if plain in {"m", "s"}:
        return plain if bracketed else None
    if plain in _BRACKETED_ONLY and not bracketed:
        return None
    return _KNOWN.get(plain)
