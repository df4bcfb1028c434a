"""Linking words of a question to columns: exact, normalised, stem, abbreviation, synonym."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import STOP, Word, split_name, stem, words

__all__ = ["Mention", "alike", "find_columns", "name_match"]

_SAME = (
    "sex gender",
    "population pop people",
    "temperature temp",
    "quantity qty amount",
    "average avg mean",
    "maximum max",
    "number num count no # total",
    "latitude lat",
    "longitude lon lng long",
    "year yr",
    "description desc",
    "department dept",
    "percentage percent pct % per",
    "country nation",
    "salary income earnings wage",
    "price cost",
    "date day dt datetime timestamp time",
    "min minimum",
    "sq square",
    "ft foot feet",
    "wind windspeed",
    "relative rel",
    "humidity hum relhum",
    "pressure baro barometric",
    "visibility vis",
    "direction dir",
    "category type",
    "mpg mileage",
    "horsepower hp",
    "weight wt",
    "height ht",
    "identifier id",
    "company firm",
    "votes vote",
    "gop republican",
    "democrat democratic dem",
    "sold sale sales",
    "medical health",
    "revenue sales turnover",
    "state province",
    "embarked embarkation boarded",
    "class category",
    "spouse sp",
    "sibling sib",
    "experience exper",
    "brand make",
)
_GENERIC = frozenset(
    stem(w)
    for w in [
        "number",
        "count",
        "value",
        "name",
        "type",
        "date",
        "score",
        "total",
        "level",
        "rate",
        "index",
        "id",
        "code",
        "average",
        "mean",
        "time",
        "per",
        "of",
        "in",
        "size",
        "amount",
        "status",
        "group",
        "percent",
    ]
)
_IDENTITY = frozenset({"id", "code", "key", "index", "name", "no", "title", "label", "abbr", "abbreviation"})
_SKIP = STOP - {"number", "per", "total"}
_APART = frozenset(
    [
        "and",
        "or",
        "column",
        "columns",
        "between",
        "with",
        "that",
        "is",
        "are",
        "was",
        "by",
        "for",
        "from",
        "in",
        "on",
        "using",
        "based",
        "vs",
        "versus",
        "than",
        "as",
    ]
)
MEASURE_WORDS = frozenset(
    stem(w)
    for w in [
        "mean",
        "average",
        "median",
        "mode",
        "standard",
        "deviation",
        "std",
        "variance",
        "sum",
        "minimum",
        "maximum",
        "min",
        "max",
        "skewness",
        "kurtosis",
        "correlation",
        "coefficient",
        "outlier",
        "outliers",
        "missing",
        "null",
        "normal",
        "distribution",
        "p",
        "range",
        "percentile",
        "quartile",
    ]
)


# a column may be called like an order; unquoted the word is the order
_COMMANDS = frozenset(
    ["drop", "use", "round", "report", "calculate", "find", "filter", "group", "test", "result", "split"]
)
# ``the number of outliers`` names no column called Count
_COUNTING = frozenset(stem(w) for w in ["number", "count", "total", "amount", "value", "size"])


@dataclass(frozen=True)
class Mention:
    """Words ``text[start:end]`` that name a column; ``score`` 1 is certain, ``entity`` only says what rows are."""

    column: str
    start: int
    end: int
    score: float
    quoted: bool = False
    entity: bool = False


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, int]:
    groups: dict[str, int] = {}
    for number, line in enumerate(_SAME):
        for word in line.split():
            groups.setdefault(stem(word), number)
    return groups


@lru_cache(maxsize=65536)
def alike(spoken: str, part: str) -> float:
    """Return how well a spoken word (lower case) fits a part of a column name, 0..1."""
    a, b = stem(spoken), stem(part)
    if a == b or spoken == part:
        return 1.0
    groups = _synonyms()
    if a in groups and groups.get(b) == groups[a]:
        return 0.9
    if len(part) >= 3 and spoken.startswith(part) and len(spoken) > len(part):
        return 0.85
    if len(a) >= 4 and part.startswith(a):
        return 0.75
    if min(len(a), len(b)) >= 6 and a[:6] == b[:6] and abs(len(a) - len(b)) <= 3:
        return 0.8
    if 3 <= len(part) <= 5 and _skeleton(spoken, part):
        return 0.75
    return 0.0


def _skeleton(spoken: str, part: str) -> bool:
    """Say whether ``part`` is ``spoken`` without some letters, as in qty for quantity; no vowel may be in ``part``."""
    if spoken[0] != part[0] or len(spoken) <= len(part) or re.search("[aeiou]", part[1:]):
        return False
    rest = iter(spoken)
    return all(letter in rest for letter in part)


def _forms(column: str) -> list[tuple[list[str], float]]:
    """Return the ways a header can be spoken: whole, inside its brackets, before them, each with a weight."""
    inside = re.search(r"\(([^)]{2,})\)", column)
    forms = [(split_name(column), 1.0)]
    if inside:
        forms.append((split_name(inside[1]), 0.96))
        forms.append((split_name(column[: inside.start()] + column[inside.end() :]), 0.97))
    return [(parts, weight) for parts, weight in forms if parts]


_UNITS = frozenset(
    [
        "cm",
        "mm",
        "km",
        "kg",
        "mg",
        "lb",
        "lbs",
        "usd",
        "eur",
        "gbp",
        "deg",
        "mph",
        "kmh",
        "kph",
        "hpa",
        "mb",
        "ml",
        "sec",
        "ms",
        "hrs",
        "celsius",
        "fahrenheit",
        "kwh",
    ]
)


def _weight(part: str) -> float:
    return (
        0.3 if stem(part) in _GENERIC or part in _IDENTITY or part in _UNITS or part in STOP or len(part) == 1 else 1.0
    )


def name_match(spoken: Sequence[str], column: str) -> tuple[float, bool]:
    """Return how well spoken words name a column (0..1) and whether only its identity part is missing.

    Every content word spoken must belong to the name; the score is the covered share of the name's weight.
    """
    content = [w for w in spoken if w not in _SKIP] or list(spoken)
    best, entity = 0.0, False
    for parts, form_weight in _forms(column):
        score, rest = _cover(content, parts)
        # the last word of a header is its noun: ``duration`` for poi_duration, if no other column ends so
        if 0.45 <= score < 0.6 and parts[-1] not in rest and parts[-1] not in _IDENTITY and len(parts) == 2:
            score = 0.6
        if score * form_weight > best:
            best = score * form_weight
            entity = bool(rest) and set(rest) <= _IDENTITY
    glued = _glued(content, column)
    return (glued, False) if glued > best else (best, entity)


def _cover(content: Sequence[str], parts: list[str]) -> tuple[float, list[str]]:
    rest = list(parts)
    gained = 0.0
    for word in content:
        fits = sorted(((alike(word, part), -k) for k, part in enumerate(rest)), reverse=True)
        if fits and fits[0][0] > 0:
            part = rest.pop(-fits[0][1])
            gained += _weight(part) * fits[0][0]
        elif any(alike(word, part) >= 0.9 for part in parts) or (
            word.endswith("ed") and word not in {content[0], content[-1]}
        ):
            continue
        else:
            return 0.0, rest
    whole = sum(_weight(part) for part in parts)
    return gained / whole, rest


def _glued(content: Sequence[str], column: str) -> float:
    """Match run-together headers such as ``gdppercap`` or ``Pclass`` with the words they are made of."""
    name = re.sub(r"[^a-z0-9]", "", column.lower())
    if len(content) == 1:
        word = content[0]
        if name == word or (len(word) > 4 and stem(word) == stem(name)):
            return 1.0
        return 0.62 if len(word) >= 5 and len(name) <= len(word) + 2 and name.endswith(word) else 0.0
    if len(name) >= 4 and _segments(name, tuple(content)):
        return 0.9
    last = content[-1]
    short = len(content) == 2 and len(last) >= 5 and last != name and len(name) <= len(last) + 2
    return 0.62 if short and name.endswith(last) else 0.0


@lru_cache(maxsize=16384)
def _segments(name: str, content: tuple[str, ...]) -> bool:
    if not content:
        return not name
    word = content[0]
    return any(
        name.startswith(word[:size]) and _segments(name[size:], content[1:])
        for size in range(min(len(word), len(name)), 0, -1)
        if size >= 3 or size == len(word) or (size == 1 and len(content) > 1)
    )


def _written(name: str) -> str:
    """Return a pattern for a header whose words may be joined by spaces, underscores or hyphens."""
    return r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", name) if part) or re.escape(name)


def _exact(text: str, table: TableView) -> list[Mention]:
    found = []
    for column in sorted(table.columns, key=lambda c: -len(c.name)):
        name = column.name.strip()
        if not name or (len(name) == 1 and not name.isupper()):
            continue
        flags = re.IGNORECASE if len(name) > 3 else 0
        for match in re.finditer(rf"(?<![A-Za-z0-9_]){_written(name)}(?![A-Za-z0-9_])", text, flags):
            quoted = text[max(0, match.start() - 1) : match.start()] in set("\"'“`")
            plain = name.islower() and match[0].islower() and " " not in name and "_" not in name
            found.append(Mention(column.name, match.start(), match.end(), 1.0 if plain else 1.2, quoted))
    return found


def _spoken(text: str, tokens: list[Word], table: TableView) -> list[Mention]:
    found = []
    for first, word in enumerate(tokens):
        if word.text.lower() in _SKIP or word.text[0].isdigit():
            continue
        for last in range(first, min(first + 8, len(tokens))):
            if last > first and not _joined(text, tokens[last - 1], tokens[last]):
                break
            if tokens[last].text.lower() in _SKIP:
                continue
            span = tokens[first : last + 1]
            mention = _best([w.text.lower() for w in span], table)
            if mention and not (mention[1] < 0.98 and all(w.stem in MEASURE_WORDS | _COUNTING for w in span)):
                column, score, entity = mention
                found.append(Mention(column, word.start, tokens[last].end, score, entity=entity))
    return found


def _joined(text: str, before: Word, after: Word) -> bool:
    between = text[before.end : after.start]
    apart = before.text.lower() in _APART or after.text.lower() in _APART
    return len(between) <= 2 and not apart and not re.search(r"[,;:()\[\]\"'“”.]", between)


def _best(spoken: list[str], table: TableView) -> tuple[str, float, bool] | None:
    scored = sorted(((*name_match(spoken, c.name), c.name) for c in table.columns), key=lambda s: -s[0])
    if not scored or scored[0][0] < 0.55:
        return None
    if len(scored) > 1 and scored[1][0] > scored[0][0] - 0.02:
        return None  # two columns fit equally well: saying nothing is better than choosing
    extra = sum(1 for w in spoken if w not in _SKIP)
    return scored[0][2], scored[0][0] + 0.04 * (extra - 1), scored[0][1]


def _whole(text: str, mention: Mention) -> bool:
    """Say whether the mention is not a piece of a longer identifier such as ``a_b_ratio``."""
    around = text[max(0, mention.start - 1) : mention.start] + text[mention.end : mention.end + 1]
    return not re.search(r"[A-Za-z0-9_]", around)


def _ordered(text: str, mention: Mention) -> bool:
    """Say whether an unquoted word is an order (``drop rows``), though a column is called so too."""
    plain = not mention.quoted and text[mention.start : mention.end].lower() in _COMMANDS
    return plain and not re.match(r"\W*(?:column|feature)", text[mention.end :])


def _spelled_out(text: str, mention: Mention, others: Sequence[Mention]) -> bool:
    """Say whether the mention only introduces a header in brackets, as in ``ticket class (Pclass)``."""
    for other in others:
        if other.start > mention.end and other.score >= 1.0 and text[other.start - 1] == "(":
            between = text[mention.end : other.start - 1]
            closed = re.match(r"[\"'`]?(?: column)?\s*\)", text[other.end :])
            if closed and len(between.split()) <= 2 and not re.search(r"\band\b|[,.()]", between):
                return True
    return False


def find_columns(text: str, table: TableView) -> list[Mention]:
    """Return the column mentions of ``text`` in order, not overlapping, the best reading of each place."""
    found = _exact(text, table) + _spoken(text, words(text), table)
    found = [m for m in found if _whole(text, m) and not _ordered(text, m)]
    found.sort(key=lambda m: (-(m.score + 0.12 * (m.end - m.start > 12) + 0.004 * (m.end - m.start)), m.start))
    chosen: list[Mention] = []
    for mention in found:
        if all(mention.end <= other.start or mention.start >= other.end for other in chosen):
            chosen.append(mention)
    chosen.sort(key=lambda m: m.start)
    return [m for m in chosen if not _spelled_out(text, m, chosen)]
