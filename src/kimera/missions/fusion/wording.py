"""Values in words: numbers, units, probabilities, dates, the same in every rendering."""

from __future__ import annotations

import math

__all__ = ["number_text", "one_line", "p_text", "sentence"]

CLOSED_UP = frozenset({"%", "°", "°C", "°F"})
MONEY = frozenset({"$", "€", "£"})


def number_text(value: float | int | bool | str, unit: str | None = None) -> str:
    """Return a value with its unit: thousands separated, six significant digits for reals, whole numbers whole."""
    text = _plain(value)
    if not unit:
        return text
    if unit in MONEY:
        return unit + text
    return text + ("" if unit in CLOSED_UP else " ") + unit


def p_text(p_value: float) -> str:
    """Return a p-value as people print it: three decimals, or ``< 0.001``."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.3f}"


def one_line(text: str) -> str:
    """Return ``text`` with every run of white space as one space."""
    return " ".join(text.split())


def sentence(text: str) -> str:
    """Return ``text`` on one line, ending in a full stop unless it ends a sentence already."""
    line = one_line(text)
    return line if not line or line[-1] in ".!?…:”\"'" else line + "."


def _plain(value: float | int | bool | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    if abs(value) >= 1e15 or abs(value) < 1e-4:
        return f"{value:.3g}"
    decimals = max(0, 5 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
