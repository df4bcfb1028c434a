"""The sentences of survey findings: what goes with what, how strongly, over how many rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kimera.missions.analysis.naming import in_words, say_exact, say_p, say_rounded, start_sentence
from kimera.missions.fusion.wording import number_text

__all__ = ["LEVEL", "adjusted_p", "say_finding", "say_group_mean", "say_median"]

LEVEL = 0.05


def adjusted_p(item: Mapping[str, Any]) -> float:
    """Return the adjusted p-value of the test that is reported; no test gives 1."""
    value = item.get("q")
    return float(value) if isinstance(value, int | float) else 1.0


def say_finding(item: Mapping[str, Any], units: Mapping[str, str], join: str | None = None) -> str:
    """Return the sentence of one tested relation; ``join`` is the key over which two tables were put together."""
    say = {"correlation": _correlation, "difference": _difference, "trend": _trend, "association": _association}
    text = say[item["kind"]](item, units)
    matched = f"; tables joined by {in_words(join)})" if join else ")"
    return start_sentence(f"{text[:-1]}{matched}." + _within(item))


def _correlation(item: Mapping[str, Any], units: Mapping[str, str]) -> str:
    a, b = (in_words(name) for name in item["columns"])
    way = "rises" if item["r"] > 0 else "falls"
    clear = f"{a} {way} with {b}" if adjusted_p(item) < LEVEL else f"no clear link between {a} and {b}"
    rank = f", Spearman rho = {item['rho']:.2f}" if abs(item["rho"] - item["r"]) >= 0.1 else ""
    return f"{clear} (Pearson r = {item['r']:.2f}{rank}, n = {item['n']:,}, {_p(item)})"


def _within(item: Mapping[str, Any]) -> str:
    """Say what becomes of a correlation inside the groups of a third column."""
    inside = item.get("within")
    if not inside:
        return ""
    low, high = f"{min(inside):.2f}", f"{max(inside):.2f}"
    if "turns_within" in item:
        group = in_words(item["turns_within"])
        return f" Beware: within most groups of {group} the sign is the opposite (r from {low} to {high})."
    return f" Within the groups of {in_words(item['fades_within'])} hardly any of it is left (r from {low} to {high})."


def _difference(item: Mapping[str, Any], units: Mapping[str, str]) -> str:
    a, b = (in_words(name) for name in item["columns"])
    unit = units.get(item["columns"][0])
    groups = sorted(item["groups"], key=lambda g: -g["mean"])
    high, low = groups[0], groups[-1]
    clear = f"{a} differs by {b}" if adjusted_p(item) < LEVEL else f"{a} does not clearly differ by {b}"
    share = say_rounded(100 * item["effect"], "%", 2)
    return (
        f"{clear}: the mean is {say_rounded(high['mean'], unit)} for {high['name']} (n = {high['n']:,}) and "
        f"{say_rounded(low['mean'], unit)} for {low['name']} (n = {low['n']:,}); {share} of the variance lies between "
        f"the groups ({item['test']}, n = {item['n']:,}, {_p(item)})"
    )


def _association(item: Mapping[str, Any], units: Mapping[str, str]) -> str:
    a, b = (in_words(name) for name in item["columns"])
    most, least = item["most"], item["least"]
    clear = f"{a} goes with {b}" if adjusted_p(item) < LEVEL else f"{a} does not clearly go with {b}"
    rows = f"n = {item['n']:,}"
    return (
        f"{clear}: {a} is {item['value']} for {100 * most['share']:.1f} % of {b} {most['name']} (n = {most['n']:,}) "
        f"and {100 * least['share']:.1f} % of {b} {least['name']} (n = {least['n']:,}) (chi-square, Cramér's V = "
        f"{item['effect']:.2f}, {rows}, {_p(item)})"
    )


def _trend(item: Mapping[str, Any], units: Mapping[str, str]) -> str:
    a, b = (in_words(name) for name in item["columns"])
    way = "rises" if item["tau"] > 0 else "falls"
    step = "year" if item["columns"][1].lower() in {"year", "yr"} else "day"
    tested = f"Mann-Kendall tau = {item['tau']:.2f}, n = {item['n']:,} times, {_p(item)})"
    if adjusted_p(item) >= LEVEL:
        return f"{a} shows no clear trend over {b} ({tested}"
    slope = say_rounded(abs(item["slope"]), units.get(item["columns"][0]))
    return f"{a} {way} over {b}, by {slope} a {step} (Theil-Sen slope; {tested}"


def _p(item: Mapping[str, Any]) -> str:
    return say_p(item.get("q"), "adjusted p")


def say_group_mean(item: Mapping[str, Any], part: Mapping[str, Any], units: Mapping[str, str]) -> str:
    """Return the sentence of the mean of one group."""
    column, group = item["columns"]
    mean = say_rounded(part["mean"], units.get(column))
    return f"The mean {in_words(column)} is {mean} for {in_words(group)} {part['name']} (n = {part['n']:,})."


def say_median(name: str, seen: Mapping[str, Any], title: str, unit: str | None) -> str:
    """Return the sentence that tells how the values of a column lie."""
    q1, q3, low, high = (say_exact(seen[key]) for key in ("q1", "q3", "minimum", "maximum"))
    far = seen["outliers_iqr"]
    beside = f"; {number_text(far)} beyond the interquartile fences" if far else ""
    return (
        f"The median {in_words(name)} in {title} is {say_exact(seen['median'], unit)} (middle half {q1} to {q3}, range "
        f"{low} to {high}, n = {seen['n']:,}{beside})."
    )
