"""What a claim speaks about, in a form two claims can be compared by: statistic, attribute, scope, period, unit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache

from kimera.knowledge.contracts import Library
from kimera.missions.contracts import Computation, ComputationInput, NumberClaim, TextClaim
from kimera.missions.fusion.quantities import Quantity, find_quantities, is_unit

__all__ = ["Scopes", "Statement", "Topic", "inputs_of", "known_scopes", "read_statement", "stems", "topic_of"]

STATISTICS: dict[str, str] = {
    **dict.fromkeys(("mean", "average", "averag", "avg"), "mean"),
    "median": "median",
    **dict.fromkeys(("total", "sum", "altogeth"), "total"),
    **dict.fromkeys(("count", "number"), "count"),
    **dict.fromkeys(("maximum", "max", "highest", "largest", "heaviest", "longest", "peak", "biggest"), "maximum"),
    **dict.fromkeys(("minimum", "min", "lowest", "smallest", "lightest", "shortest"), "minimum"),
    **dict.fromkeys(("std", "sd", "deviat", "variat"), "deviation"),
    "varianc": "variance",
    **dict.fromkeys(("share", "percentag", "proport", "fraction"), "share"),
    **dict.fromkeys(("correl", "pearson", "spearman"), "correlation"),
    **dict.fromkeys(("differ", "gap"), "difference"),
    **dict.fromkeys(("slope", "trend"), "trend"),
    **dict.fromkeys(("quartil", "percentil", "quantil", "iqr", "rang", "outlier", "ratio", "skew", "kurtosi"), "other"),
}
PLAIN = frozenset({"", "mean", "total", "count", "share"})
"""Statistics that a sentence may state without naming them ("Adelies weigh 3.7 kg", "344 penguins were ringed")."""

CARRYING = frozenset({"", "mean", "median", "total", "maximum", "minimum", "deviation", "difference"})
"""Statistics that have the unit of their column; a correlation or a count has none."""

MOST_CATEGORIES = 50
WORDS_OF_A_NAME = 3  # longer cells are remarks, not categories
GENERIC = frozenset("a an the of in by per and for to from with valu column row data tabl group record all is".split())  # noqa: SIM905
FIGURE = re.compile(r"(?<![\w.,])\d+(?:\.\d+)?(?![\w]|[.,]\d)")
COLUMN = re.compile(r"[^\W_]+(?:_[^\W_]+)+")
NESTED = "nested"
"""The statistic of a column that holds statistics itself, such as the mean of ``mean_body_mass_g``: like no other."""

WORD = re.compile(r"[^\W\d_]+")
YEAR = re.compile(r"(?<![\d.,/])(?:1[5-9]|20|21)\d\d(?![\d,]|\.\d)")


@dataclass(frozen=True)
class Topic:
    """What a computed number speaks about. ``words`` and ``scope`` are stems; ``dated`` is the age of its table.

    ``figures`` are the parts of the scope that have no letters (a class 3, a house number 28) and no year.
    """

    statistic: str
    words: frozenset[str]
    scope: frozenset[str]
    figures: frozenset[str]
    period: frozenset[str]
    entity: frozenset[str]
    unit: str | None
    dated: date | None
    archived: bool
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """A sentence from a document, read for numbers."""

    words: frozenset[str]
    figures: frozenset[str]
    statistics: tuple[tuple[int, str], ...]
    years: frozenset[str]
    quantities: tuple[Quantity, ...]
    entity: frozenset[str]
    dated: date | None
    archived: bool
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Scopes:
    """Stems of the categories that the tables distinguish, and the years that their columns span, per source."""

    categories: frozenset[str]
    years: dict[str, tuple[int, int]]


def stems(text: str) -> frozenset[str]:
    """Return the stems of the words of ``text``; snake_case and hyphens separate words."""
    return frozenset(_stem(word.lower()) for word in WORD.findall(text.replace("_", " ")))


@lru_cache(maxsize=65536)
def _stem(word: str) -> str:
    stemmer = _stemmer()
    return str(stemmer.stemWord(word))


@cache
def _stemmer():  # type: ignore[no-untyped-def]
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def topic_of(claim: NumberClaim, computation: Computation | None, library: Library) -> Topic:
    """Return what a computed claim speaks about, from its ``about`` or, failing that, from its sentence."""
    about = claim.about
    named = about.attribute or ""
    scoped = " ".join(about.scope.values())
    scope = stems(scoped)
    statistic = _statistic(stems(named)) or _statistic(stems(claim.statement))
    if _is_nested(f"{named} {claim.statement}"):
        statistic = NESTED
    unit = claim.unit or about.unit or (_unit_in_name(named) if statistic in CARRYING else None)
    words = _content(named)
    if not words:
        words = _content(claim.statement) - scope
    inputs = tuple(sorted({item.source_id for item in inputs_of(claim, computation)})) if computation else ()
    dated, archived = _vintage(library, inputs)
    return Topic(
        statistic=statistic,
        words=words,
        scope=scope,
        figures=frozenset(FIGURE.findall(scoped)) - frozenset(YEAR.findall(scoped)),
        period=frozenset(YEAR.findall(" ".join([about.period or "", *about.scope.values()]))),
        entity=stems(about.entity or ""),
        unit=unit,
        dated=claim.dated or dated,
        archived=archived,
        sources=inputs,
    )


def inputs_of(claim: NumberClaim, computation: Computation) -> tuple[ComputationInput, ...]:
    """Return the tables a claim is about: those its path, entity or sentence names; all that were read otherwise."""
    path = {str(step) for step in claim.path}
    said = f" {claim.statement} "
    named = [
        item
        for item in computation.inputs
        if {item.name, item.table} & {*path, claim.about.entity}
        or any(re.search(rf"\b(?:in|of|from) {re.escape(name)}\b", said) for name in (item.name, item.table) if name)
    ]
    return tuple(named) or computation.inputs


def read_statement(claim: TextClaim, library: Library) -> Statement:
    """Return the numbers of a document's sentence and what stands around them."""
    text = claim.statement
    sources = tuple(sorted({span.source_id for span in claim.spans}))
    dated, archived = _vintage(library, sources)
    cues = ((match.start(), STATISTICS.get(_stem(match.group().lower()), "")) for match in WORD.finditer(text))
    return Statement(
        words=stems(text),
        figures=frozenset(FIGURE.findall(text)),
        statistics=tuple((place, name) for place, name in cues if name),
        years=frozenset(YEAR.findall(" ".join([text, claim.about.period or ""]))),
        quantities=tuple(find_quantities(text)),
        entity=stems(claim.about.entity or ""),
        dated=claim.dated or dated,
        archived=archived,
        sources=sources,
    )


def known_scopes(library: Library, claims: Iterable[NumberClaim]) -> Scopes:
    """Return the categories and years by which the folder's tables divide their rows."""
    categories: set[str] = set()
    years: dict[str, tuple[int, int]] = {}
    for table in library.tables:
        for column in table.columns:
            if column.type == "text" and column.unique <= MOST_CATEGORIES:
                names = (str(example) for example in column.examples)
                categories |= stems(" ".join(name for name in names if len(name.split()) <= WORDS_OF_A_NAME))
            low, high = column.minimum, column.maximum
            if (
                column.type == "integer"
                and isinstance(low, int)
                and isinstance(high, int)
                and 1500 <= low <= high <= 2200
            ):
                years[table.source_id] = (low, high)
    for claim in claims:
        categories |= stems(" ".join(claim.about.scope.values()))
    return Scopes(frozenset(categories) - GENERIC, years)


def _statistic(words: frozenset[str]) -> str:
    found = sorted({STATISTICS[word] for word in words if word in STATISTICS})
    if len(found) > 1 and "count" in found:  # "mean number of visits" is a mean
        found.remove("count")
    return found[0] if len(found) == 1 else next((name for name in found if name not in PLAIN), "")


def _is_nested(text: str) -> bool:
    """Return whether ``text`` names a statistic of a column that is an aggregate by its own name."""
    inner = [name for name in COLUMN.findall(text) if _statistic(stems(name))]
    return bool(inner) and bool(_statistic(stems(COLUMN.sub(" ", text))))


def _content(text: str) -> frozenset[str]:
    words: set[str] = set()
    for name in text.split():
        pieces = [piece for piece in re.split(r"[\W_]+", name) if piece and not piece.isdigit()]
        if len(pieces) > 1 and is_unit(pieces[-1]):  # the unit at the end of a column name
            pieces.pop()
        words.update(_stem(word.lower()) for piece in pieces for word in WORD.findall(piece))
    return frozenset(words - GENERIC - STATISTICS.keys())


def _unit_in_name(name: str) -> str | None:
    last = re.split(r"[\W_]+", name.strip())[-1] if "_" in name or " " in name else ""
    return last if last and is_unit(last) else None


def _vintage(library: Library, source_ids: tuple[str, ...]) -> tuple[date | None, bool]:
    """Return (youngest date, whether every source is archived) of some sources."""
    sources = [source for source in library.sources if source.id in source_ids]
    dates = [source.dated for source in sources if source.dated]
    return max(dates, default=None), bool(sources) and all(source.archived for source in sources)
