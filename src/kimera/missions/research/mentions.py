"""Typed mentions in a sentence: dates, quantities and names, with normalised values that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kimera.missions.research.words import MONTHS, NUMBER_WORDS, STOP, fold

__all__ = ["Kind", "Mention", "find_mentions", "same_value", "strip_dateline"]

Kind = Literal["date", "number", "name"]


def _row(text: str) -> list[str]:
    return text.split()


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


@dataclass(frozen=True)
class Mention:
    """One typed mention at ``text[start:end]``.

    ``value`` is the normalised form: a date as ``YYYY-MM-DD`` cut where it is unknown (``--MM-DD`` without a year), a
    name folded. Quantities carry ``number``, ``unit`` and ``slack``: half a unit of the last digit that was stated.
    """

    kind: Kind
    start: int
    end: int
    text: str
    value: str
    number: float | None = None
    unit: str | None = None
    slack: float = 0.0
    hedged: bool = False


_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?)\.?"
)
_YEAR = r"(?:1[0-9]|20|21)\d\d"
_DATES = (
    re.compile(rf"\b(?P<m>{_MONTH})\s+(?P<d>[0-3]?\d)(?:st|nd|rd|th)?,?\s+(?P<y>{_YEAR})\b", re.I),
    re.compile(rf"\b(?P<d>[0-3]?\d)(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<m>{_MONTH}),?\s+(?P<y>{_YEAR})\b", re.I),
    re.compile(rf"\b(?P<y>{_YEAR})-(?P<m>[01]\d)-(?P<d>[0-3]\d)\b"),
    re.compile(rf"\b(?P<m>{_MONTH}),?\s+(?P<y>{_YEAR})\b", re.I),
    re.compile(rf"\b(?P<m>{_MONTH})\s+(?P<d>[0-3]?\d)(?:st|nd|rd|th)?\b(?!\s*[,%]?\d)"),
    re.compile(rf"\b(?P<d>[0-3]?\d)(?:st|nd|rd|th)?\s+(?P<m>{_MONTH})(?!\w)"),
    re.compile(rf"\b(?P<q>Q[1-4]|H[12]|FY)[\s-]*(?P<y>{_YEAR})\b"),
    re.compile(rf"\b(?P<y>{_YEAR})[\s-]*(?P<q>Q[1-4]|H[12])\b"),
    re.compile(rf"(?<![\d.,$€£/–-])\b(?P<y>{_YEAR})\b(?![\d%]|[.,]\d|\s*(?:%|percent|million|billion|thousand))"),
)

_SCALES = {
    "hundred": 1e2,
    "thousand": 1e3,
    "k": 1e3,
    "million": 1e6,
    "mn": 1e6,
    "m": 1e6,
    "billion": 1e9,
    "bn": 1e9,
    "b": 1e9,
    "trillion": 1e12,
    "tn": 1e12,
}
_CURRENCY = {"$": "usd", "us$": "usd", "€": "eur", "£": "gbp", "¥": "jpy", "usd": "usd", "eur": "eur", "gbp": "gbp"}
_WORDED = "|".join(sorted(NUMBER_WORDS, key=len, reverse=True))
_ORDINALS = {
    name: float(value)
    for value, name in enumerate(
        _row("third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"), 3
    )
}
_ORDINAL = re.compile(rf"\b(?:\d{{1,3}}(?:st|nd|rd|th)|{'|'.join(_ORDINALS)})\b", re.I)
_START = r"(?<![\w.])(?<![^\W\d_][-–])[-−]?"  # no number begins inside a word: "delta-15N"
_NUMBER = re.compile(
    r"(?P<currency>US\$|[$€£¥]|(?:USD|EUR|GBP)\s)?\s?"
    rf"(?:(?P<digits>{_START}\d+(?:[,\u00a0\u202f]\d{{3}})+(?:\.\d+)?|{_START}\d+(?:\.\d+)?(?![AC-JLN-Z]\b))|"
    rf"\b(?P<word>{_WORDED})\b)"
    r"(?:[\s-]?(?P<scale>hundred|thousand|million|billion|trillion|bn|mn|tn)\b|(?<=\d)(?P<letter>[kmb])\b)?"
    r"(?:\s?(?P<percent>%|percent(?:age points?)?\b|per\s?cent\b))?",
    re.I,
)
_UNIT = re.compile(r"[\s-]*(?P<unit>[^\W\d_]+(?:/[^\W\d_]+)?)")
_HEDGE = re.compile(
    r"(?:about|approximately|around|roughly|nearly|almost|some|over|under|more than|less than|at least|up to|"
    r"fewer than|circa|ca\.|~|≈|just|exceed(?:s|ed)?)\s*$",
    re.I,
)
_PREDICATE = re.compile(
    r"^(?:and|or|of|in|to|the|a|an|on|at|by|for|from|with|as|than|is|was|were|are|that|which|per|but|"
    r"million|billion|thousand|respectively|more|fewer|less|other|new|it|he|she|they)$",
    re.I,
)

_CAPITAL = r"(?:[^\W\d_a-zß-öø-ÿ][\w’'&.-]*|[a-z]{1,2}[A-Z]\w+)"
_STRONG_JOINERS = _set("of de del der den van von la le les du da di dos el al bin ibn &")
_JOINERS = _STRONG_JOINERS | _set("the and y e to for in")
_TITLES = _set("mr mrs ms miss dr prof professor sir dame lord lady president ceo")
_WEEKDAYS = _set("monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur fri sat sun")
_DATELINE = re.compile(
    rf"^\s*(?:{_MONTH}\s+[0-3]?\d,?\s+{_YEAR}|[0-3]?\d\s+{_MONTH}\s+{_YEAR}|{_YEAR}-[01]\d-[0-3]\d)\s*"
    r"(?:\.\.\.|…|[—–·|]|--?\s)\s*",
    re.I,
)


def strip_dateline(text: str) -> int:
    """Return how many characters at the start are a dateline ("Jul 27, 2022 ... "), the text's own date."""
    match = _DATELINE.match(text)
    return match.end() if match and match.end() < len(text) else 0


def find_mentions(text: str) -> list[Mention]:
    """Return the dates, quantities and names of ``text`` in order of position; they never overlap."""
    taken: list[Mention] = []
    for finder in (_dates, _names, _ordinals, _numbers):
        found = [m for m in finder(text, taken) if all(m.end <= t.start or m.start >= t.end for t in taken)]
        taken.extend(found)
    return sorted(taken, key=lambda mention: mention.start)


def same_value(one: Mention, other: Mention) -> bool:
    """Return whether both may mean the same: compatible dates, numbers within precision, a name within the other."""
    if one.kind != other.kind:
        return False
    if one.kind == "date":
        return _same_date(one.value, other.value)
    if one.kind == "number":
        return _same_number(one, other)
    return same_name(one.value, other.value)


def same_name(one: str, other: str) -> bool:
    """Return whether two folded names may name the same: equal, one's words within the other's, or an abbreviation."""
    first, second = _name_words(one), _name_words(other)
    if not first or not second:
        return one == other
    short, long = sorted((first, second), key=len)
    if set(short) <= set(long) or "".join(short) == "".join(long):
        return True
    if all(any(w == v or (len(w) >= 3 and v.startswith(w)) for v in long) for w in short):
        return True
    initials = "".join(word[0] for word in long)
    compact = "".join(short)
    return (len(short) == 1 and len(compact) >= 2 and compact == initials) or _initialled(short, long)


def _initialled(short: list[str], long: list[str]) -> bool:
    """Match "N. Christiansen" with "Niels Christiansen": same last word, the others agree by initial."""
    return (
        len(short) >= 2
        and short[-1] == long[-1]
        and all(len(word) == 1 and any(v.startswith(word) for v in long[:-1]) for word in short[:-1])
    )


def _name_words(name: str) -> list[str]:
    found = re.findall(r"[^\W_]+", name)
    return [word for word in found if word not in STOP and word not in _TITLES] or found


def _same_date(one: str, other: str) -> bool:
    if one.startswith("--") or other.startswith("--"):
        return one[-6:][-5:] == other[-5:] if min(len(one), len(other)) >= 7 else one == other
    return one.startswith(other) or other.startswith(one)


def _same_number(one: Mention, other: Mention) -> bool:
    if one.number is None or other.number is None:
        return one.value == other.value
    gap = abs(one.number - other.number)
    allowed = max(one.slack, other.slack)
    if one.hedged or other.hedged:
        allowed = max(allowed, 0.05 * max(abs(one.number), abs(other.number)))
    return gap <= allowed + 1e-9 * max(abs(one.number), abs(other.number))


def _dates(text: str, taken: list[Mention]) -> Iterator[Mention]:
    seen: list[tuple[int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            if any(match.start() < end and match.end() > start for start, end in seen):
                continue
            value = _date_value(match.groupdict())
            if value:
                seen.append(match.span())
                yield Mention("date", match.start(), match.end(), match.group(), value)


def _date_value(parts: dict[str, str | None]) -> str | None:
    year, month, day = parts.get("y"), parts.get("m"), parts.get("d")
    if parts.get("q"):
        return f"{year}-{str(parts['q']).upper()}" if parts["q"] != "FY" else year
    number = None
    if month:
        number = int(month) if month.isdigit() else MONTHS.get(month.lower().rstrip("."), MONTHS.get(month.lower()[:3]))
    if day and not 1 <= int(day) <= 31:
        return None
    tail = (f"-{number:02d}" if number else "") + (f"-{int(day):02d}" if day else "")
    return f"{year}{tail}" if year else f"-{tail}"


def _numbers(text: str, taken: list[Mention]) -> Iterator[Mention]:
    for match in _NUMBER.finditer(text):
        digits, word = match["digits"], match["word"]
        if word and not _counts(text, match):
            continue
        start = match.start() + (len(match.group()) - len(match.group().lstrip()))
        raw = (digits or "").replace("−", "-")
        plain = re.sub(r"[,\u00a0\u202f]", "", raw)
        number = float(plain) if digits else NUMBER_WORDS[word.lower()]
        step = 10.0 ** -(len(plain.split(".")[1]) if "." in plain else 0)
        letter = match["letter"] or ""
        scale = _SCALES.get((match["scale"] or (letter if match["currency"] or letter in "KM" else "")).lower(), 1.0)
        unit, end = _unit(text, match)
        slack = 0.0 if scale == 1.0 and step == 1.0 else 0.5 * step * scale
        yield Mention(
            "number",
            start,
            end,
            text[start:end],
            f"{number * scale:.12g}",
            number * scale,
            unit,
            slack,
            bool(_HEDGE.search(text[: match.start()])),
        )


def _ordinals(text: str, taken: list[Mention]) -> Iterator[Mention]:
    for match in _ORDINAL.finditer(text):
        word = match.group().lower()
        number = float(re.match(r"\d+", word).group()) if word[0].isdigit() else _ORDINALS[word]  # type: ignore[union-attr]
        yield Mention("number", match.start(), match.end(), match.group(), f"{number:.0f}.", number, "ordinal")


def _counts(text: str, match: re.Match[str]) -> bool:
    """Tell a counting word ("seven people") from a pronoun ("one of them")."""
    return match["word"].lower() not in {"one", "half"} or bool(match["scale"] or match["percent"])


def _unit(text: str, match: re.Match[str]) -> tuple[str | None, int]:
    if match["percent"]:
        return ("percentage points" if "point" in match["percent"].lower() else "%"), match.end()
    if match["currency"]:
        return _CURRENCY.get(match["currency"].strip().lower()), match.end()
    if match["letter"] in {"k", "m", "b"}:
        return match["letter"], match.end()
    following = _UNIT.match(text, match.end())
    if following is None or _PREDICATE.match(following["unit"]) or "\n" in following.group():
        return None, match.end()
    return following["unit"].casefold(), match.end()


def _names(text: str, taken: list[Mention]) -> Iterator[Mention]:
    blocked = [(m.start, m.end) for m in taken if m.kind == "date"]
    run: list[tuple[int, int]] = []
    for start, end, word in _name_tokens(text):
        inside = any(start < b and end > a for a, b in blocked)
        joined = bool(run) and not re.search(r"[^\s]", text[run[-1][1] : start])
        if run and (inside or not joined):
            yield from _named(text, run)
            run = []
        if inside:
            continue
        if run and word[0].isupper() and word.lower() in STOP and word not in {"I", "A"}:
            yield from _named(text, run)  # a title in capitals: "The Company To Acquire ..."
            run = []
            continue
        if _is_capital(word) or (run and word in _JOINERS) or _numeral(text, run, word, end):
            run.append((start, end))
        elif run:
            yield from _named(text, run)
            run = []
    if run:
        yield from _named(text, run)


def _name_tokens(text: str) -> Iterator[tuple[int, int, str]]:
    for match in re.finditer(r"&|[^\W_][\w’'-]*(?:\.(?=\w\.|\s[A-Z])(?:\w\.)*)?", text):
        start, end, word = match.start(), match.end(), match.group()
        if word.endswith(".") and len(word) > 3 and "." not in word[:-1]:
            end, word = end - 1, word[:-1]
        if word.endswith(("'s", "’s")):
            end, word = end - 2, word[:-2]
        yield start, end, word


def _numeral(text: str, run: list[tuple[int, int]], word: str, end: int) -> bool:
    """Return whether a number ends a name ("Toy Story 4", "Part 2.") and does not count what follows."""
    if not run or not word.isdigit() or len(word) > 2:
        return False
    return len(run) >= 2 or not re.match(r"\s*(?:[\w%]|[.,:–-]\d)", text[end:])


def _is_capital(word: str) -> bool:
    return bool(re.match(rf"{_CAPITAL}$", word)) and word.lower() not in _WEEKDAYS


def _named(text: str, run: list[tuple[int, int]]) -> Iterator[Mention]:
    """Yield the names of a run of name tokens: weak joiners split it, loose ends and sentence openers are cut off."""
    parts: list[list[tuple[int, int]]] = [[]]
    for token in run:
        word = text[token[0] : token[1]]
        if word in _JOINERS and word not in _STRONG_JOINERS:
            parts.append([])
        else:
            parts[-1].append(token)
    for part in parts:
        while part and text[part[-1][0] : part[-1][1]] in _JOINERS:
            part.pop()
        while part and (text[part[0][0] : part[0][1]] in _JOINERS or _opens(text, part)):
            part.pop(0)
        if part:
            start, end = part[0][0], part[-1][1]
            yield Mention("name", start, end, text[start:end], fold(text[start:end]))


def _opens(text: str, part: list[tuple[int, int]]) -> bool:
    """Return whether the first token is capitalised only because a sentence begins there."""
    word = text[part[0][0] : part[0][1]]
    return word.lower() in STOP
