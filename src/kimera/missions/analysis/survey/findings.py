"""From survey results to claims: which findings, in which order, in which words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from kimera.missions.analysis.answers import claim_id
from kimera.missions.analysis.naming import in_words, units_of
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import words
from kimera.missions.analysis.survey.wording import LEVEL, adjusted_p, say_finding, say_group_mean, say_median
from kimera.missions.contracts import About, Computation, NumberClaim
from kimera.missions.track import TrackContext

__all__ = ["describe_tables", "p_values", "rank"]

MOST_FINDINGS, MOST_OPEN, MOST_BESIDE = 12, 3, 2
Path = tuple[str | int, ...]
_Found = tuple[Computation, int, dict[str, Any]]


def p_values(made: Computation) -> list[float]:
    """Return every p-value of a table's relations, in the order of the result."""
    return [item[key] for item in _items(made) for key in ("p", "p_rho") if key in item]


def _items(made: Computation) -> list[dict[str, Any]]:
    found = made.result["found"] if isinstance(made.result, dict) else []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _adjusted(relations: dict[str, Computation], adjustment: Computation | None) -> list[_Found]:
    """Return every tested relation of every table with its adjusted p-value."""
    values = iter(adjustment.result if adjustment is not None and isinstance(adjustment.result, list) else [])
    found = []
    for table, made in relations.items():
        for place, item in enumerate(_items(made)):
            adjusted = {key.replace("p", "q", 1): next(values, None) for key in ("p", "p_rho") if key in item}
            found.append((made, place, {**item, **adjusted, "table": table}))
    return found


def rank(
    context: TrackContext,
    views: list[TableView],
    focus: dict[str, set[str]],
    relations: dict[str, Computation],
    adjustment: Computation | None,
    *,
    answering: bool = True,
    named: dict[str, set[str]] | None = None,
) -> list[NumberClaim]:
    """Return findings by question overlap x effect x support; nothing whose adjusted p is 0.05 or more counts as found.

    Some relations that the question speaks of and that did not show are said too. ``answering`` lets the relation
    between the two columns of a question be its answer. Where the question names no column of a relation (``named``;
    a value alone is not enough) and does not ask for an overview, the relation is context and never the answer.
    """
    any_focus = any(focus.values())
    overview = wants_overview(context.question, views)
    named = focus if named is None else named
    listed = _adjusted(relations, adjustment)
    scored = sorted(((-_score(found[2], focus), k) for k, found in enumerate(listed)))
    by_name = {view.name: view for view in views}
    claims: list[NumberClaim] = []
    found_ones = open_ends = beside = 0
    for minus_score, k in scored:
        made, place, item = listed[k]
        overlap = _overlap(item, focus)
        speaks = overlap if _overlap(item, named) else int(overview and (not any_focus or overlap > 0))
        if any_focus and overlap == 0:
            beside += 1
            if beside > MOST_BESIDE:
                continue
        if adjusted_p(item) < LEVEL and found_ones < MOST_FINDINGS:
            found_ones += 1
            found = _claims(context, made, place, item, by_name[item["table"]], -minus_score, overlap)
            claims += _roles(found, item, context.question if answering else "", speaks)
        elif overlap >= 1 and open_ends < MOST_OPEN * overlap and adjusted_p(item) >= LEVEL:
            open_ends += 1
            found = _claims(context, made, place, item, by_name[item["table"]], -minus_score / 4, overlap)
            claims += _roles(found, item, context.question if answering else "", speaks)
    return claims


_OVERVIEW = re.compile(
    r"\b(?:overview|summar\w+|describe\w*|explor\w+|insights?|interesting|patterns?|stands? out|differ\w*|compar\w+|"
    r"profile|analy[sz]e|key (?:facts|findings)|main (?:facts|findings|drivers|factors)|what do we know|tell me about|"
    r"what (?:is|are|does|do)\b.{0,30}\b(?:data\w*|tables?|folder|files?))\b",
    re.IGNORECASE,
)


def wants_overview(question: str, views: Sequence[TableView]) -> bool:
    """Return whether a question asks what there is to see: in general, or in a table it names and nothing else."""
    if _OVERVIEW.search(question):
        return True
    spoken = {word.stem for word in words(question)}
    return bool(spoken) and any(spoken <= {word.stem for word in words(view.title)} for view in views)


_ASKS_PAIR = re.compile(r"\W*(?:is|are|was|were|do|does|did|has|have|how (?:do|does|did|is|are))\b", re.IGNORECASE)


def _roles(claims: list[NumberClaim], item: dict[str, Any], question: str, overlap: int) -> list[NumberClaim]:
    """Make the relation between the two columns of a question its answer, and one it does not speak of context.

    Where the question names some of several groups, their means answer it; the difference is one between all groups.
    """
    head, *means = claims
    if not overlap:
        return [head.model_copy(update={"role": "context"}), *means]
    if overlap < 2 or not _ASKS_PAIR.match(question):
        return claims
    spoken = {word.stem for word in words(question)}
    named = [g["name"] for g in item.get("groups", ()) if {w.stem for w in words(g["name"])} <= spoken]
    if 2 <= len(named) < len(item.get("groups", ())) and means:
        chosen = [claim.about.entity in named for claim in means]
        update = {"role": "answer", "relevance": 1.0}
        return [head, *(c.model_copy(update=update) if yes else c for c, yes in zip(means, chosen, strict=True))]
    return [head.model_copy(update={"role": "answer"}), *means]


def _overlap(item: dict[str, Any], focus: dict[str, set[str]]) -> int:
    return sum(column in focus.get(item["table"], set()) for column in item["columns"])


def _effect(item: dict[str, Any]) -> float:
    if item["kind"] == "correlation":
        return max(abs(float(item["r"])), abs(float(item["rho"])))
    if item["kind"] == "association":
        return float(item["effect"])
    return abs(float(item["tau"])) if item["kind"] == "trend" else float(item["effect"]) ** 0.5


def _score(item: dict[str, Any], focus: dict[str, set[str]]) -> float:
    support = min(1.0, item["n"] / 30)
    # a correlation of nearly one is mostly the same thing measured twice
    twice = 0.5 if item["kind"] == "correlation" and abs(item["r"]) > 0.995 else 1.0
    return float((0.2 + 0.4 * _overlap(item, focus)) * _effect(item) * support * twice)


def _claims(
    context: TrackContext,
    made: Computation,
    place: int,
    item: dict[str, Any],
    view: TableView,
    score: float,
    overlap: int,
) -> list[NumberClaim]:
    key, attribute = {
        "correlation": ("r", "correlation"),
        "difference": ("effect", "share of variance between groups"),
        "trend": ("tau", "trend"),
        "association": ("effect", "association"),
    }[item["kind"]]
    a, b = item["columns"]
    join = made.parameters.get("left_key")
    text = say_finding(item, units_of(view), str(join) if join else None)
    head = _claim(context, made, ("found", place, key), item, text, score)
    head = head.model_copy(
        update={"about": About(entity=view.title, attribute=f"{attribute} of {a} and {b}", value=item[key])}
    )
    means = (
        _group_means(context, made, place, item, view, score)
        if item["kind"] == "difference" and overlap and adjusted_p(item) < LEVEL
        else []
    )
    return [head, *means]


def _claim(
    context: TrackContext, made: Computation, path: Path, item: dict[str, Any], text: str, score: float
) -> NumberClaim:
    value: Any = made.result
    for part in path:
        value = value[part]
    return NumberClaim(
        id=claim_id(made.id, path),
        statement=text,
        track="ds_star",
        attempt=context.attempt,
        created_at=context.started_at,
        relevance=round(min(score, 1.0), 6),
        value=value,
        computation_id=made.id,
        path=path,
        n=item.get("n"),
        p_value=item.get("p"),
        p_adjusted=item.get("q"),
    )


def _group_means(
    context: TrackContext, made: Computation, place: int, item: dict[str, Any], view: TableView, score: float
) -> list[NumberClaim]:
    """Say the mean of each of a few groups, so that sentences of documents can be held against them."""
    (column, group), units = item["columns"], units_of(view)
    claims = []
    for k, part in enumerate(item["groups"][:6]):
        text = say_group_mean(item, part, units)
        claim = _claim(context, made, ("found", place, "groups", k, "mean"), {"n": part["n"]}, text, score / 2)
        about = About(
            entity=str(part["name"]), attribute=f"mean {column}", scope={group: str(part["name"])}, value=part["mean"]
        )
        claims.append(claim.model_copy(update={"about": about, "role": "context", "unit": units.get(column)}))
    return claims


def describe_tables(
    context: TrackContext,
    views: list[TableView],
    focus: dict[str, set[str]],
    profiles: dict[str, Computation],
    *,
    answering: bool = True,
) -> list[NumberClaim]:
    """Return what anyone should know of the tables: rows, duplicates, most missing, the columns asked about."""
    claims: list[NumberClaim] = []
    for view in views:
        made = profiles.get(view.name)
        table: Any = made.result if made is not None else None
        if made is None or not isinstance(table, dict):
            continue
        units = units_of(view)
        for path, text in _shape(view, table):
            claim = _context_claim(context, made, path, text, view.title)
            asked = _ASKED_OF_TABLES.get(str(path[0]))
            answers = answering and asked is not None and asked.search(context.question) is not None
            claims.append(claim.model_copy(update={"role": "answer", "relevance": 1.0}) if answers else claim)
        for name in sorted(focus[view.name] & set(table["numbers"])):
            text = say_median(name, table["numbers"][name], in_words(view.title), units.get(name))
            claim = _context_claim(context, made, ("numbers", name, "median"), text, view.title)
            claims.append(claim.model_copy(update={"unit": units.get(name)}))
    return claims


_ASKED_OF_TABLES = {
    "rows": re.compile(r"\bhow (?:many rows|many records|many entries|large|big)\b|\bnumber of rows\b", re.IGNORECASE),
    "missing": re.compile(r"\bmissing values?\b|\b(?:most|values are|data is) missing\b|\bincomplete\b", re.IGNORECASE),
    "duplicates": re.compile(r"\bduplicate", re.IGNORECASE),
}


def _shape(view: TableView, table: dict[str, Any]) -> list[tuple[Path, str]]:
    """Say how many rows there are, how many are there twice, and where most values are missing."""
    title = in_words(view.title)
    texts: list[tuple[Path, str]] = [
        (("rows",), f"The table {title} has {table['rows']:,} rows and {table['columns']} columns.")
    ]
    if table["duplicates"]:
        texts.append((("duplicates",), f"The table {title} has {table['duplicates']:,} duplicate rows."))
    if table["missing"]:
        name = max(sorted(table["missing"]), key=lambda key: table["missing"][key])
        count = table["missing"][name]
        said = f"In {title} the column {in_words(name)} has the most missing values: {count:,} of {table['rows']:,}."
        texts.append((("missing", name), said))
    return texts


def _context_claim(context: TrackContext, made: Computation, path: Path, text: str, title: str) -> NumberClaim:
    claim = _claim(context, made, path, {}, text, 0.05)
    attribute = " of ".join(str(part) for part in reversed(path))
    return claim.model_copy(
        update={"role": "context", "about": About(entity=title, attribute=attribute, value=claim.value)}
    )
