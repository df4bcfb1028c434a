"""Reading a whole question: choose the table, read steps, filters and slots, refuse what was not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kimera.missions.analysis.plan import Output, Plan, Refusal
from kimera.missions.analysis.question.checks import refuse_unclear
from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.implied import implied_slots, one_per_group
from kimera.missions.analysis.question.kinds import kind_of
from kimera.missions.analysis.question.labels import read_label
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.measures import read_measure
from kimera.missions.analysis.question.slots import Asked, Slot, read_format
from kimera.missions.analysis.question.steps import read_steps
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import sentences

__all__ = ["read_question"]


def read_question(text: str, tables: Sequence[TableView]) -> Plan | None:
    """Return the plan for a question with answer slots or a plain direct question; None when it asks nothing direct."""
    asked = read_format(text)
    table = choose_table(asked, tables)
    if table is None:
        return None
    context = Context(asked=asked, sentences=sentences(asked.body), table=table)
    read_steps(context)
    slots = asked.slots or tuple(implied_slots(context))
    each = one_per_group(context) if not asked.slots else context.groups[0] if asked.lead and context.groups else None
    outputs: list[Output] = []
    refused: list[Refusal] = []
    for slot in slots:
        output = read_output(slot, context, each)
        (refused if isinstance(output, Refusal) else outputs).append(output)  # type: ignore[arg-type]
    outputs = _with_companions(outputs)
    outputs, unclear = refuse_unclear(outputs, context)
    refused += unclear
    notes = ("Rows kept: " + " and ".join(c.text() for c in context.filters),) if context.filters else ()
    return Plan(table=table.name, steps=context.steps, outputs=tuple(outputs), refused=tuple(refused), notes=notes)


def _with_companions(outputs: list[Output]) -> list[Output]:
    """Beside ``which group is highest`` a plain value of the same column is that group's value, not everyone's."""
    edges = [m for o in outputs for m in o.measures if m.kind == "extreme_group" and m.columns]
    made = []
    for output in outputs:
        plain = output.measures[0] if len(output.measures) == 1 and not output.each else None
        edge = next(
            (e for e in edges if plain is not None and e.columns == plain.columns and e.where == plain.where), None
        )
        if edge is not None and plain is not None and plain.kind in {"mean", "max", "min", "sum", "median"}:
            value = edge.model_copy(update={"kind": "extreme_value"})
            made.append(output.model_copy(update={"measures": (value,)}))
        else:
            made.append(output)
    return made


def choose_table(asked: Asked, tables: Sequence[TableView]) -> TableView | None:
    """Return the table that takes up most of the question: its columns and its values; the larger of equals."""
    ranked = sorted(tables, key=lambda table: (-_taken_up(asked.body, table), -table.rows))
    return ranked[0] if ranked else None


def _taken_up(body: str, table: TableView) -> float:
    best: dict[str, float] = {}
    for mention in find_columns(body, table):
        best[mention.column] = max(mention.score, best.get(mention.column, 0.0))
    conditions = {f.condition.text() for sentence in sentences(body) for f in find_conditions(sentence, table)}
    return sum(best.values()) + len(conditions)


def read_output(slot: Slot, context: Context, each: str | None) -> Output | Refusal:
    """Read one slot; a slot that is not fully understood is refused with its reason."""
    try:
        if slot.options and not _free(slot):
            rules = read_label(slot, context)
            return Output(slot=slot.name, rules=rules, each=each)
        measures = tuple(read_measure(slot, context, part, each) for part in range(len(_parts(slot))))
    except Unanswerable as reason:
        return Refusal(slot=slot.name or None, reason=str(reason))
    decimals = tuple(d if d is not None else context.asked.decimals for d in slot.decimals)
    whole = {m.kind for m in measures} & {"extreme_group", "strongest", "strongest_pair", "most_missing", "duplicates"}
    each = None if whole else each
    return Output(slot=slot.name or None, measures=measures, decimals=decimals, percent=_percent(slot), each=each)


def _free(slot: Slot) -> bool:
    """Say whether quoted words of a description are examples rather than the choice."""
    return kind_of(slot) in {"has_missing", "extreme", "strongest"}


def _parts(slot: Slot) -> tuple[str, ...]:
    """Return the parts that are answers of their own; ``a1, a2, ...`` is one list."""
    stems = {re.sub(r"[\d_]+$", "", p) for p in slot.parts}
    listed = any(not p.strip(" .") for p in slot.parts) or (len(stems) == 1 and len(slot.parts) > 1)
    return slot.parts[:1] if listed else slot.parts


def _percent(slot: Slot) -> bool:
    return bool(
        re.search(r"\bpercent|\bpct\b|%|0 (?:and|to) 100", " ".join(slot.tokens) + " " + slot.about, re.IGNORECASE)
    )
