"""Answering an open question: choose what to test, run it table by table, keep the findings that matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from kimera.missions.analysis.execution import compute
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.question.words import split_name
from kimera.missions.analysis.survey.findings import describe_tables, p_values, rank
from kimera.missions.analysis.survey.profile import PROFILE_CODE
from kimera.missions.analysis.survey.relations import ADJUST_CODE, RELATIONS_CODE
from kimera.missions.contracts import Computation, Gap
from kimera.missions.track import TrackContext

__all__ = ["Survey", "chosen", "explore", "focus_of"]

MOST_NUMBERS, MOST_GROUPS, MOST_PAIRS, MOST_DIFFERENCES = 24, 8, 90, 60
_NAMES_ROWS = frozenset({"id", "index", "code", "key", "unnamed", "uuid", "column00", "row"})


def explore(context: TrackContext, views: list[TableView]) -> dict[str, Any]:
    """Return claims, computations, the number of tests and notes about the tables, as JSON data.

    Each table has computations of its own, so that a changed file touches only what rests on it; the adjustment of all
    p-values together is one more computation, over the p-values alone.
    """
    focus = {view.name: focus_of(context.question, view) for view in views}
    survey = Survey()
    for view in views:
        if context.should_stop():
            break
        kinds: dict[str, JsonValue] = {c.name: _kind(c, view) for c in view.columns[:80]}
        asked: dict[str, JsonValue] = {"table": view.name, "kinds": kinds}
        survey.run(context, survey.profiles, f"Shape of {view.title}", PROFILE_CODE, view, asked)
        if context.should_stop():
            break
        asked = {"table": view.name, **chosen(view, focus[view.name])}
        survey.run(context, survey.relations, f"What goes with what in {view.title}", RELATIONS_CODE, view, asked)
    survey.adjust(context)
    return survey.result(context, views, focus)


@dataclass
class Survey:
    """What was computed about the tables, by table name."""

    profiles: dict[str, Computation] = field(default_factory=dict)
    relations: dict[str, Computation] = field(default_factory=dict)
    adjustment: Computation | None = None
    failures: list[str] = field(default_factory=list)

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

    def adjust(self, context: TrackContext) -> None:
        """Adjust the p-values of all tables together."""
        values: list[JsonValue] = [p for made in self.relations.values() for p in p_values(made)]
        if values:
            title = "Benjamini-Hochberg adjustment of all p-values"
            self.adjustment, failure = compute(context, title, ADJUST_CODE, [], {"p": values})
            self.failures += [failure] if failure else []

    def result(self, context: TrackContext, views: list[TableView], focus: dict[str, set[str]]) -> dict[str, Any]:
        """Return what the package needs."""
        claims = rank(context, views, focus, self.relations, self.adjustment)
        claims += describe_tables(context, views, focus, self.profiles)
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
            "notes": [note] if tests else [],
            "gaps": [Gap(kind="other", text=text).model_dump(mode="json") for text in lost],
        }


def focus_of(question: str, view: TableView) -> set[str]:
    """Return the columns of a table that the question speaks of."""
    return {m.column for m in find_columns(question, view) if not m.entity}


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


def _counts_rows(column: ColumnView, view: TableView) -> bool:
    """Say whether a column runs through whole numbers without a gap, one per row."""
    whole = column.stored == "integer" and column.unique == view.rows > 20
    return whole and (column.maximum or 0) - (column.minimum or 0) == view.rows - 1


def chosen(view: TableView, focus: set[str]) -> dict[str, JsonValue]:
    """Choose columns, pairs, differences and trends to test; what the question speaks of comes first."""
    kinds = {c.name: _kind(c, view) for c in view.columns}
    useful = [c for c in view.columns if c.unique > 1 and (c.name in focus or not _is_name(c, view))]
    numbers = _first([c.name for c in useful if kinds[c.name] == "number"], focus, MOST_NUMBERS)
    groups = _first([c.name for c in useful if kinds[c.name] == "group" and 2 <= c.unique <= 12], focus, MOST_GROUPS)
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
