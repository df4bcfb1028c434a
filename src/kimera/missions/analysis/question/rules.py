"""Reading labels that a question defines itself: ``"high" if the mean is above 10, otherwise "low"``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from kimera.missions.analysis.plan import Comparison, Measure, Rule
from kimera.missions.analysis.question.words import NUMBER, number_of

__all__ = ["METRICS", "read_rules"]

METRICS: tuple[tuple[str, str], ...] = (
    ("p", r"p-?\s?values?"),
    ("skewness", r"skew\w*(?: (?:value|coefficient))?"),
    ("kurtosis", r"kurtosis"),
    ("r2", r"r-?\s?squared?|R2|coefficient of determination"),
    ("r", r"correlation(?: coefficient)?(?: value)?|coefficient|\br\b(?:-value)?"),
)
Sign = Literal["<", "<=", ">", ">="]
_ABOVE = r"greater than or equal to|at least|>=|≥|greater than|more than|larger than|higher than|above|exceeds|>"
_BELOW = r"less than or equal to|at most|<=|≤|less than|lower than|smaller than|below|under|<"
_TEST = re.compile(
    rf"(?P<abs>absolute (?:value of )?(?:the )?)?(?P<metric>{'|'.join(p for _, p in METRICS)})[^.;,\d<>≤≥=]{{0,30}}?"
    rf"(?:(?P<op>{_ABOVE}|{_BELOW})\s*(?:or equal to\s*)?(?P<edge>{NUMBER})|between\s+(?P<low>{NUMBER})\s+(?:and|"
    rf"to)\s+(?P<high>{NUMBER}))",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    rf"^[^.;\d<>≤≥=]{{0,24}}?(?:(?P<op>{_ABOVE}|{_BELOW})\s*(?:or equal to\s*)?(?P<edge>{NUMBER})|"
    rf"between\s+(?P<low>{NUMBER})\s+(?:and|to)\s+(?P<high>{NUMBER}))",
    re.IGNORECASE,
)


def read_rules(options: Sequence[str], text: str, measure: Callable[[str], Measure]) -> tuple[Rule, ...] | None:
    """Return one rule per option when the text states a condition for all of them (one may be what is left).

    ``measure`` turns the name of a metric into what is computed. None when the text does not settle the choice.
    """
    found: dict[str, list[tuple[str, Sign, float, bool]]] = {}
    places = _places(options, text)
    last: tuple[str, bool] | None = None
    spent = False  # the text before an option belongs to the option before when that one took it
    for k, (option, start, end) in enumerate(places):
        until = places[k + 1][1] if k + 1 < len(places) else len(text)
        before = "" if spent else text[places[k - 1][2] if k else 0 : start]
        if re.search(r"\b(?:otherwise|else)\b[^.]{0,24}$", text[:start], re.IGNORECASE):
            continue
        after = re.split(r"\n|(?<=[a-z\d])\.\s", text[end:until])[0]
        spent = bool(
            re.search(r"\b(?:if|when|for)\b", after, re.IGNORECASE) and (_TEST.search(after) or _AGAIN.search(after))
        )
        clause = after if spent else before
        tests = _tests(clause, last)
        if tests and option not in found:
            found[option] = tests
            last = tests[-1][0], tests[-1][3]
    rest = [o for o in options if o not in found]
    if not found or len(rest) > 1:
        return None
    rules = [
        Rule(
            label=option,
            when=tuple(Comparison(measure=measure(m), op=op, value=v, absolute=a) for m, op, v, a in tests),
        )
        for option, tests in found.items()
    ]
    return (*rules, *(Rule(label=option) for option in rest))


def _places(options: Sequence[str], text: str) -> list[tuple[str, int, int]]:
    """Find where options stand in the text; the longest option wins a place."""
    found: list[tuple[str, int, int]] = []
    for option in sorted(options, key=len, reverse=True):
        for match in re.finditer(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text, re.IGNORECASE):
            if all(match.end() <= start or match.start() >= end for _, start, end in found):
                found.append((option, match.start(), match.end()))
    return sorted(found, key=lambda place: place[1])


def _tests(clause: str, last: tuple[str, bool] | None) -> list[tuple[str, Sign, float, bool]]:
    tests: list[tuple[str, Sign, float, bool]] = []
    for match in _TEST.finditer(clause):
        metric = next(name for name, pattern in METRICS if re.fullmatch(pattern, match["metric"], re.IGNORECASE))
        tests += _bounds(match, metric, bool(match["abs"]) or "absolute" in clause.lower())
    again = _AGAIN.search(clause) if not tests and last is not None else None
    if again and last is not None:
        tests += _bounds(again, *last)
    return tests


def _bounds(match: re.Match[str], metric: str, absolute: bool) -> list[tuple[str, Sign, float, bool]]:
    if match["low"]:
        low, high = number_of(match["low"]), number_of(match["high"])
        return [(metric, ">=", low or 0.0, absolute), (metric, "<=", high or 0.0, absolute)]
    op, equal = match["op"].lower(), "equal" in match[0] or match["op"] in {"≤", "≥", "<=", ">="}
    up = re.fullmatch(_ABOVE, op) is not None
    closed = equal or op.startswith("at ")
    sign: Sign = (">=" if closed else ">") if up else ("<=" if closed else "<")
    return [(metric, sign, number_of(match["edge"]) or 0.0, absolute)]
