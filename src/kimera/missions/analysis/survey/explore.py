"""Answering an open question: choose what to test, run it table by table, keep the findings that matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from kimera.missions.analysis.execution import compute
from kimera.missions.analysis.naming import in_words, listed
from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.dimensions import spell_out
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.question.words import split_name
from kimera.missions.analysis.survey.findings import describe_tables, p_values, rank
from kimera.missions.analysis.survey.joins import JOIN_CODE, NAME, Join, find_joins
from kimera.missions.analysis.survey.profile import PROFILE_CODE
from kimera.missions.analysis.survey.relations import ADJUST_CODE, RELATIONS_CODE
from kimera.missions.contracts import Computation, Gap
from kimera.missions.track import TrackContext

__all__ = ["Survey", "chosen", "explore", "focus_of", "left_out"]

FEWEST_ROWS = 20
WORDS_OF_A_NAME = 4  # longer cells are remarks
MOST_NUMBERS, MOST_GROUPS, MOST_PAIRS, MOST_DIFFERENCES = 24, 8, 90, 60
_NAMES_ROWS = frozenset({"id", "index", "code", "key", "unnamed", "uuid", "column00", "row"})


def explore(context: TrackContext, views: list[TableView], *, answering: bool = True) -> dict[str, Any]:
    """Return claims, computations, the number of tests and notes about the tables, as JSON data.

    Each table has computations of its own, so that a changed file touches only what rests on it; the adjustment of all
    p-values together is one more computation, over the p-values alone. Small tables beside large ones, and tables that
    sum up another one, are described but not tested. With ``answering`` a finding may be the answer to the question.
    """
    question = spell_out(context.question, views)
    focus = {view.name: focus_of(question, view) for view in views}
    tested = [view for view in views if not left_out(view, views)]
    survey = Survey(answering=answering)
    survey.leave_out([view for view in views if view not in tested])
    for view in views:
        if context.should_stop():
            break
        kinds: dict[str, JsonValue] = {c.name: _kind(c, view) for c in view.columns[:80]}
        asked: dict[str, JsonValue] = {"table": view.name, "kinds": kinds}
        survey.run(context, survey.profiles, f"Shape of {view.title}", PROFILE_CODE, view, asked)
        if context.should_stop():
            break
        if view in tested:
            asked = {"table": view.name, **chosen(view, focus[view.name])}
            if asked["kinds"]:  # a table of names and ids alone has nothing to relate
                title = f"What goes with what in {view.title}"
                survey.run(context, survey.relations, title, RELATIONS_CODE, view, asked)
    joined = survey.join(context, tested, focus)
    focus |= {join.view.name: join.focus(focus) for join in joined}
    survey.adjust(context)
    named = {view.name: named_in(question, view) for view in views}
    named |= {join.view.name: join.focus(named) for join in joined}
    return survey.result(context, [*views, *(join.view for join in joined)], focus, named)


@dataclass
class Survey:
    """What was computed about the tables, by table name; ``answering`` as in `explore`."""

    answering: bool = True
    profiles: dict[str, Computation] = field(default_factory=dict)
    relations: dict[str, Computation] = field(default_factory=dict)
    adjustment: Computation | None = None
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(
        self,
        context: TrackContext,
        into: dict[str, Computation],
        title: str,
        code: str,
        view: TableView,
        asked: dict[str, JsonValue],
    ) -> None:
        """Compute one table's part and keep it, or why it failed."""
        made, failure = compute(context, title, code, [view.name], asked)
        if made is not None:
            into[view.name] = made
        elif failure:
            self.failures.append(failure)

    def leave_out(self, views: list[TableView]) -> None:
        """Note which tables are not tested."""
        if views:
            names = listed([in_words(view.title) for view in views])
            self.notes.append(f"Not tested, because they are small or sum up another table: {names}.")

    def join(self, context: TrackContext, views: list[TableView], focus: dict[str, set[str]]) -> list[Join]:
        """Test what the question speaks of against the columns of other tables, over keys; return the joins made."""
        joins, refused = find_joins(context.library, views, focus)
        self.notes += refused
        made = []
        for join in joins:
            asked = across(join, join.focus(focus))
            if context.should_stop() or asked is None:
                continue
            title = f"What goes with what across {join.left.title} and {join.right.title}"
            computation, failure = compute(context, title, JOIN_CODE, [join.left.name, join.right.name], asked)
            if computation is not None and isinstance(computation.result, dict):
                rows = computation.result["rows"]
                self.relations[join.view.name] = computation
                self.notes += [join.said(rows)] if isinstance(rows, dict) else []
                made.append(join)
            self.failures += [failure] if failure else []
        return made

    def adjust(self, context: TrackContext) -> None:
        """Adjust the p-values of all tables together."""
        values: list[JsonValue] = [p for made in self.relations.values() for p in p_values(made)]
        if values:
            title = "Benjamini-Hochberg adjustment of all p-values"
            self.adjustment, failure = compute(context, title, ADJUST_CODE, [], {"p": values})
            self.failures += [failure] if failure else []

    def result(
        self,
        context: TrackContext,
        views: list[TableView],
        focus: dict[str, set[str]],
        named: dict[str, set[str]],
    ) -> dict[str, Any]:
        """Return what the package needs."""
        claims = rank(context, views, focus, self.relations, self.adjustment, answering=self.answering, named=named)
        views = [view for view in views if view.name in self.profiles]
        spoken = {view.name: focus[view.name] if view.name in self.relations else set() for view in views}
        claims += describe_tables(context, views, spoken, self.profiles, answering=self.answering)
        made = [*self.profiles.values(), *self.relations.values()] + ([self.adjustment] if self.adjustment else [])
        tests = sum(len(p_values(one)) for one in self.relations.values())
        note = (
            f"{tests} hypothesis tests were run over the tables; p-values are adjusted together (Benjamini-Hochberg)."
        )
        lost = [f"Part of the survey failed: {text.strip().splitlines()[-1][:160]}." for text in self.failures]
        return {
            "claims": [c.model_dump(mode="json") for c in claims],
            "computations": [c.model_dump(mode="json") for c in made],
            "tests_run": tests,
            "notes": [*([note] if tests else []), *self.notes],
            "gaps": [Gap(kind="other", text=text).model_dump(mode="json") for text in lost],
        }


def focus_of(question: str, view: TableView) -> set[str]:
    """Return the columns of a table that the question speaks of, by their names or by one of their values."""
    valued = {found.condition.column for found in find_conditions(question, view) if found.condition.op == "="}
    return named_in(question, view) | valued


def named_in(question: str, view: TableView) -> set[str]:
    """Return the columns of a table that the question names; over time, those that tell it."""
    times = {c.name for c in view.columns if _tells_time(c)} if _OVER_TIME.search(question) else set()
    return times | {m.column for m in find_columns(question, view) if not m.entity}


_OVER_TIME = re.compile(
    r"\bover (?:time|the years|the seasons)\b|\btrends?\b|\b(?:by|per|each|every) year\b", re.IGNORECASE
)


def _tells_time(column: ColumnView) -> bool:
    return column.role == "date" or column.name.lower() in {"year", "yr", "season"}


_SUMS_UP = re.compile(r"(?:^|[\s_])(?:mean|average|avg|median)[\s_]", re.IGNORECASE)


def left_out(view: TableView, views: Sequence[TableView]) -> bool:
    """Say whether a table is not worth testing: far too few rows beside a larger one, or sums of another's rows."""
    larger = [other for other in views if other.rows >= max(FEWEST_ROWS, 2 * view.rows)]
    if larger and view.rows < FEWEST_ROWS:
        return True
    plain = {in_words(column.name) for other in larger for column in other.columns}
    return any(in_words(_SUMS_UP.sub("", c.name, count=1)) in plain for c in view.columns if _SUMS_UP.match(c.name))


def across(join: Join, focus: set[str]) -> dict[str, JsonValue] | None:
    """Choose what to test over a join: pairs with one column of each table, one of them spoken of; None if none is."""
    asked = chosen(join.view, focus)
    added = {column.name for column in join.added}
    crossing: dict[str, JsonValue] = {
        part: [p for p in asked[part] if len(added & set(p)) == 1 and focus & set(p)]  # type: ignore[union-attr,arg-type]
        for part in ("pairs", "differences", "associations", "trends")
    }
    if not any(crossing.values()):
        return None
    sides: dict[str, JsonValue] = {
        "table": NAME,
        "left": join.left.name,
        "right": join.right.name,
        "left_key": join.left_key,
        "right_key": join.right_key,
        "added": sorted(added),
    }
    return {**asked, **crossing, **sides}


def _kind(column: ColumnView, view: TableView) -> str:
    if column.role == "date":
        return f"date:{column.date_format}" if column.stored == "text" else "date"
    if column.role == "number" and not (2 <= column.unique <= 6 and column.stored == "integer" and view.rows > 30):
        return "number"
    return "group" if column.role in {"text", "flag"} or column.unique <= 12 else "number"


def _is_name(column: ColumnView, view: TableView) -> bool:
    """Say whether a column only names rows: an id, a running number."""
    parts = split_name(column.name) or [column.name.lower()]
    return parts[-1] in _NAMES_ROWS or column.name.lower() in _NAMES_ROWS or _counts_rows(column, view)


def _divides(column: ColumnView) -> bool:
    """Say whether a column divides the rows into a few named groups; remarks in words do not."""
    return 2 <= column.unique <= 12 and all(len(value.split()) <= WORDS_OF_A_NAME for value in column.values)


def _counts_rows(column: ColumnView, view: TableView) -> bool:
    """Say whether a column runs through whole numbers without a gap, one per row."""
    whole = column.stored == "integer" and column.unique == view.rows > 20
    return whole and (column.maximum or 0) - (column.minimum or 0) == view.rows - 1


def chosen(view: TableView, focus: set[str]) -> dict[str, JsonValue]:
    """Choose columns, pairs, differences and trends to test; what the question speaks of comes first."""
    kinds = {c.name: _kind(c, view) for c in view.columns}
    useful = [c for c in view.columns if c.unique > 1 and (c.name in focus or not _is_name(c, view))]
    numbers = _first([c.name for c in useful if kinds[c.name] == "number"], focus, MOST_NUMBERS)
    groups = _first([c.name for c in useful if kinds[c.name] == "group" and _divides(c)], focus, MOST_GROUPS)
    times = [c.name for c in useful if kinds[c.name].startswith("date")][:2] + [
        n for n in numbers if n.lower() in {"year", "yr"}
    ][:1]
    plain = [n for n in numbers if n not in times]
    both = [[a, b] for i, a in enumerate(plain) for b in plain[i + 1 :]]
    apart = [[n, g] for n in plain for g in groups]
    # a yes/no column is what one asks about, so it stands first
    yes = sorted(groups, key=lambda g: (g not in focus, c.unique if (c := view.column(g)) else 0))
    joint = [[a, b] for i, a in enumerate(yes) for b in yes[i + 1 :]]
    moving = [[n, t] for n in plain for t in times]
    used = {name for pair in (*both, *apart, *moving, *joint) for name in pair} | set(groups)
    return {
        "kinds": {name: kind for name, kind in kinds.items() if name in used},
        "pairs": _sorted(both, focus)[:MOST_PAIRS],  # type: ignore[dict-item]
        "differences": _sorted(apart, focus)[:MOST_DIFFERENCES],  # type: ignore[dict-item]
        "associations": _sorted(joint, focus)[:20],  # type: ignore[dict-item]
        "trends": _sorted(moving, focus)[:20],  # type: ignore[dict-item]
        "groups": [g for g in groups if g in used][:4],  # type: ignore[dict-item]
    }


def _first(names: list[str], focus: set[str], most: int) -> list[str]:
    return sorted(names, key=lambda name: name not in focus)[:most]


def _sorted(pairs: list[list[str]], focus: set[str]) -> list[list[str]]:
    return sorted(pairs, key=lambda pair: -sum(name in focus for name in pair))
