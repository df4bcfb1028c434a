"""From survey results to claims: which findings, in which order, in which words."""

from __future__ import annotations

from typing import Any

from kimera.missions.analysis.answers import claim_id
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.statements import say_number
from kimera.missions.contracts import About, Computation, NumberClaim
from kimera.missions.track import TrackContext

__all__ = ["describe_tables", "p_values", "rank"]

MOST_FINDINGS, MOST_OPEN, MOST_BESIDE, LEVEL = 12, 3, 2, 0.05
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
) -> list[NumberClaim]:
    """Return findings by question overlap x effect x support; nothing whose adjusted p is 0.05 or more counts as found.

    Up to three relations that the question speaks of and that did not show are said too.
    """
    any_focus = any(focus.values())
    listed = _adjusted(relations, adjustment)
    scored = sorted(((-_score(found[2], focus), k) for k, found in enumerate(listed)))
    titles = {view.name: view.title for view in views}
    claims: list[NumberClaim] = []
    open_ends = beside = 0
    for minus_score, k in scored:
        made, place, item = listed[k]
        overlap = _overlap(item, focus)
        if any_focus and overlap == 0:
            beside += 1
            if beside > MOST_BESIDE:
                continue
        if _q(item) < LEVEL and len(claims) - open_ends < MOST_FINDINGS:
            claims += _claims(context, made, place, item, titles, -minus_score, overlap)
        elif overlap >= 1 and open_ends < MOST_OPEN and _q(item) >= LEVEL:
            open_ends += 1
            claims += _claims(context, made, place, item, titles, -minus_score / 4, overlap)
    return claims


def _q(item: dict[str, Any]) -> float:
    """Return the adjusted p-value of the test that is reported; no test gives 1."""
    value = item.get("q")
    return float(value) if isinstance(value, int | float) else 1.0


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
    titles: dict[str, str],
    score: float,
    overlap: int,
) -> list[NumberClaim]:
    title = titles[item["table"]]
    say, key, attribute = {
        "correlation": (_correlation, "r", "correlation"),
        "difference": (_difference, "effect", "share of variance between groups"),
        "trend": (_trend, "tau", "trend"),
        "association": (_association, "effect", "association"),
    }[item["kind"]]
    a, b = item["columns"]
    head = _claim(context, made, ("found", place, key), item, say(item, title), score)
    head = head.model_copy(
        update={"about": About(entity=title, attribute=f"{attribute} of {a} and {b}", value=item[key])}
    )
    means = (
        _group_means(context, made, place, item, title, score)
        if item["kind"] == "difference" and overlap and _q(item) < LEVEL
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


def _p(item: dict[str, Any]) -> str:
    p, q = item.get("p"), item.get("q")
    if p is None or q is None:
        return "no p-value"
    return f"p {_small(p)}, adjusted p {_small(q)}"


def _small(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}"


def _correlation(item: dict[str, Any], title: str) -> str:
    a, b = item["columns"]
    way = "rises" if item["r"] > 0 else "falls"
    clear = f"{a} {way} with {b}" if _q(item) < LEVEL else f"No clear link between {a} and {b}"
    text = (
        f"{clear} in {title}: Pearson r = {item['r']:.2f}, Spearman rho = {item['rho']:.2f}, n = "
        f"{item['n']:,}, {_p(item)}."
    )
    if "turns_within" in item:
        text += f" Beware: within most groups of {item['turns_within']} the sign is the opposite."
    return text


def _difference(item: dict[str, Any], title: str) -> str:
    a, b = item["columns"]
    groups = sorted(item["groups"], key=lambda g: -g["mean"])
    high, low = groups[0], groups[-1]
    clear = f"{a} differs by {b}" if _q(item) < LEVEL else f"{a} does not clearly differ by {b}"
    return (
        f"{clear} in {title}: mean {say_number(round(high['mean'], 3))} for {high['name']} (n = {high['n']:,}) against "
        f"{say_number(round(low['mean'], 3))} for {low['name']} (n = {low['n']:,}); {item['test']}, {_p(item)}, "
        f"{100 * item['effect']:.0f} % of the variance lies between groups."
    )


def _association(item: dict[str, Any], title: str) -> str:
    a, b = item["columns"]
    most, least = item["most"], item["least"]
    clear = f"{a} goes with {b}" if _q(item) < LEVEL else f"{a} does not clearly go with {b}"
    return (
        f"{clear} in {title}: {a} = {item['value']} for {100 * most['share']:.1f} % where {b} = {most['name']} (n = "
        f"{most['n']:,}) against {100 * least['share']:.1f} % where {b} = {least['name']} (n = {least['n']:,}); "
        f"chi-square, {_p(item)}, Cramér's V = {item['effect']:.2f}."
    )


def _trend(item: dict[str, Any], title: str) -> str:
    a, b = item["columns"]
    way = "rises" if item["tau"] > 0 else "falls"
    clear = f"{a} {way} over {b}" if _q(item) < LEVEL else f"{a} shows no clear trend over {b}"
    return (
        f"{clear} in {title}: Mann-Kendall tau = {item['tau']:.2f} over {item['n']:,} times, "
        f"{_p(item)}; Theil-Sen slope {item['slope']:.4g} per step of {b}."
    )


def _group_means(
    context: TrackContext, made: Computation, place: int, item: dict[str, Any], title: str, score: float
) -> list[NumberClaim]:
    """Say the mean of each of a few groups, so that sentences of documents can be held against them."""
    column, group = item["columns"]
    claims = []
    for k, part in enumerate(item["groups"][:6]):
        text = (
            f"The mean of {column} where {group} = {part['name']} in {title} is {say_number(round(part['mean'], 3))} "
            f"(n = {part['n']:,})."
        )
        claim = _claim(context, made, ("found", place, "groups", k, "mean"), {"n": part["n"]}, text, score / 2)
        about = About(
            entity=str(part["name"]), attribute=f"mean {column}", scope={group: str(part["name"])}, value=part["mean"]
        )
        claims.append(claim.model_copy(update={"about": about, "role": "context"}))
    return claims


def describe_tables(
    context: TrackContext, views: list[TableView], focus: dict[str, set[str]], profiles: dict[str, Computation]
) -> list[NumberClaim]:
    """Return what anyone should know of the tables: rows, duplicates, most missing, the columns asked about."""
    claims: list[NumberClaim] = []
    for view in views:
        made = profiles.get(view.name)
        table: Any = made.result if made is not None else None
        if made is None or not isinstance(table, dict):
            continue
        texts: list[tuple[Path, str]] = [
            (("rows",), f"{view.title} has {table['rows']:,} rows and {table['columns']} columns.")
        ]
        if table["duplicates"]:
            texts.append((("duplicates",), f"{view.title} has {table['duplicates']:,} duplicate rows."))
        if table["missing"]:
            name = max(sorted(table["missing"]), key=lambda key: table["missing"][key])
            count = table["missing"][name]
            texts.append(
                (
                    ("missing", name),
                    f"{name} has the most missing values in {view.title}: {count:,} of {table['rows']:,}.",
                )
            )
        for name in sorted(focus[view.name] & set(table["numbers"])):
            seen = table["numbers"][name]
            numbers = [say_number(round(seen[k], 3)) for k in ("median", "q1", "q3", "minimum", "maximum")]
            text = f"The median of {name} in {view.title} is {numbers[0]} (middle half {numbers[1]} to {numbers[2]}, from {numbers[3]} to {numbers[4]}, n = {seen['n']:,}; {seen['outliers_iqr']} outliers by the interquartile rule)."  # noqa: E501
            texts.append((("numbers", name, "median"), text))
        claims += [_context_claim(context, made, path, text, view.title) for path, text in texts]
    return claims


def _context_claim(context: TrackContext, made: Computation, path: Path, text: str, title: str) -> NumberClaim:
    claim = _claim(context, made, path, {}, text, 0.05)
    attribute = " of ".join(str(part) for part in reversed(path))
    return claim.model_copy(
        update={"role": "context", "about": About(entity=title, attribute=attribute, value=claim.value)}
    )
