"""Choosing the table a question is about, and noticing what the chosen one leaves unused."""

from __future__ import annotations

from collections.abc import Sequence

from kimera.missions.analysis.plan import Output, Plan, Refusal
from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.linking import MEASURE_WORDS, find_columns
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import sentences, split_name, stem, words

__all__ = ["choose_table", "refuse_unused"]

MANY_ROWS = 20  # a table with fewer rows is mostly a summary of another
SUMMARY_WORDS = frozenset({"mean", "average", "avg", "median", "total", "sum", "std", "sd"})


def choose_table(body: str, tables: Sequence[TableView], *, named: bool) -> TableView | None:
    """Return the table that takes up most of the words of the question; None when nothing speaks for one of several.

    Of tables that take up as much, the one the question names, then single records rather than summaries, then the
    larger. ``named`` questions (with answer slots) always get a table.
    """
    if not tables:
        return None
    # "trees" says what the rows are, so that a column Trees of a summary is not what is asked for
    rows = {stem(part) for table in tables if not _is_summary(table) for part in split_name(table.name)}
    taken = {table.name: _taken_up(body, table) - rows for table in tables}
    said = {table.name: _is_named(body, table, taken[table.name]) for table in tables}
    best = min(
        tables,
        key=lambda t: (-len(taken[t.name]), not said[t.name], _is_summary(t), t.rows < MANY_ROWS, -t.rows, t.name),
    )
    silent = not named and len(tables) > 1 and not taken[best.name] and not said[best.name]
    return None if silent else best


def _taken_up(body: str, table: TableView) -> frozenset[str]:
    """Return the stems of the question that name a column or a value of the table; statistics name neither."""
    found: set[str] = set()
    for mention in find_columns(body, table):
        if mention.score >= 0.6 and not mention.entity:
            found |= {word.stem for word in words(body[mention.start : mention.end].replace("_", " "))}
    for value in _values(body, table):
        found |= {word.stem for word in words(value)}
    return frozenset(found) - MEASURE_WORDS


def _values(body: str, table: TableView) -> dict[str, str]:
    """Return the values of text columns that the question names, with their columns."""
    found = {}
    for sentence in sentences(body):
        for condition in (f.condition for f in find_conditions(sentence, table)):
            value = condition.value
            if condition.op in {"=", "!="} and isinstance(value, str) and _says(sentence, value):
                found[value] = condition.column
    return found


def _says(sentence: str, value: str) -> bool:
    """Say whether the very word stands in the sentence: yes and no are read from other words."""
    stems = {word.stem for word in words(value)}
    return len(value) > 2 and bool(stems) and stems <= {word.stem for word in words(sentence)}


def _is_named(body: str, table: TableView, columns: frozenset[str] = frozenset()) -> bool:
    """Say whether the text names the table by words that name none of its columns."""
    spoken = {word.stem for word in words(body.replace("_", " "))} - columns
    return any(
        bool(parts) and {stem(part) for part in parts} <= spoken
        for parts in (split_name(table.name), [w.text for w in words(table.title)])
    )


def _is_summary(table: TableView) -> bool:
    return any(set(split_name(column.name)) & SUMMARY_WORDS for column in table.columns)


def refuse_unused(plan: Plan, body: str, tables: Sequence[TableView]) -> Plan:
    """Return the plan, or one that refuses when a value or column that the question names plays no part in it."""
    chosen = next((table for table in tables if table.name == plan.table), None)
    if chosen is None or not plan.outputs:
        return plan
    reason = (
        _unused_value(plan, body, chosen, tables)
        or _unused_column(plan, body, chosen)
        or _unknown_kind(plan, body, chosen)
    )
    if reason is None:
        return plan
    return plan.model_copy(update={"outputs": (), "refused": (*plan.refused, Refusal(slot=None, reason=reason))})


def _unused_value(plan: Plan, body: str, chosen: TableView, tables: Sequence[TableView]) -> str | None:
    used = {str(value).lower() for value in _used_values(plan)}
    own = _values(body, chosen)
    columns = {m.column for m in find_columns(body, chosen)}
    for table in (chosen, *tables):
        for value, column in _values(body, table).items():
            about_column = table is chosen and column in columns  # "which species" beside "species" as a column
            if value.lower() in used or about_column or _is_named(value, chosen):
                continue
            if table is chosen:
                return f"“{value}” is a value of {column}, but how it bears on the answer was not understood"
            if value not in own:
                return f"“{value}” is a value of {column} in {table.title}, which {chosen.title} does not hold"
    return None


def _used_values(plan: Plan) -> list[object]:
    measures = [m for output in plan.outputs for m in output.measures]
    measures += [c.measure for output in plan.outputs for rule in output.rules for c in rule.when]
    kept = [c.value for m in measures for c in m.where] + [c.value for s in plan.steps for c in s.where]
    return [*kept, *(value for m in measures for value in m.options.values())]


def _unused_column(plan: Plan, body: str, chosen: TableView) -> str | None:
    """A plain count of rows must have used every column that the question names."""
    if not all(_counts_all(output) for output in plan.outputs) or plan.steps:
        return None
    names = {stem(part) for part in split_name(chosen.name)}
    for mention in find_columns(body, chosen):
        own = {word.stem for word in words(body[mention.start : mention.end])} <= names
        if mention.score >= 0.9 and not mention.entity and not own:
            return f"which rows “{body[mention.start : mention.end]}” means was not understood"
    return None


def _unknown_kind(plan: Plan, body: str, chosen: TableView) -> str | None:
    """A word before the name of the rows must be known: ``green penguins`` are not all penguins."""
    rows = {stem(part) for part in split_name(chosen.name)}
    known = {stem(str(value)) for used in _used_values(plan) for value in str(used).split()}
    tokens = words(body)
    for first, word, noun in zip(tokens, tokens[1:], tokens[2:], strict=False):
        linked = find_columns(word.text, chosen) or word.stem in known or word.stem in rows
        if noun.stem in rows and first.text.lower() in _BEFORE and word.text.lower() not in _PLAIN and not linked:
            return f"which rows “{word.text} {noun.text}” means was not understood"
    return None


_BEFORE = frozenset({"of", "many", "for", "among", "in", "do", "are", "the"})
_PLAIN = frozenset(
    {
        "the",
        "all",
        "these",
        "those",
        "every",
        "each",
        "any",
        "our",
        "different",
        "individual",
        "single",
        "this",
        "table",
    }
    | {"most", "fewest", "least", "more", "fewer", "many", "highest", "lowest", "largest", "smallest"}
    | {"average", "mean", "total", "other", "recorded", "measured", "listed", "known", "unique", "distinct", "a", "an"}
)


def _counts_all(output: Output) -> bool:
    plain = output.each is None and not output.rules
    return plain and all(m.kind in {"rows", "count"} and not m.where and not m.columns for m in output.measures)
