"""Reading a whole question: choose the table, read steps, filters and slots, refuse what was not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kimera.missions.analysis.plan import Output, Plan, Refusal
from kimera.missions.analysis.question.checks import refuse_unclear
from kimera.missions.analysis.question.context import Context, Unanswerable
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
    slots = asked.slots
    outputs: list[Output] = []
    refused: list[Refusal] = []
    for slot in slots:
        output = read_output(slot, context)
        (refused if isinstance(output, Refusal) else outputs).append(output)  # type: ignore[arg-type]
    outputs, unclear = refuse_unclear(outputs, context)
    refused += unclear
    notes = ("Rows kept: " + " and ".join(c.text() for c in context.filters),) if context.filters else ()
    return Plan(table=table.name, steps=context.steps, outputs=tuple(outputs), refused=tuple(refused), notes=notes)


def choose_table(asked: Asked, tables: Sequence[TableView]) -> TableView | None:
    """Return the table whose columns the question names best; the first of equals."""
    scored = [(sum(m.score for m in find_columns(asked.body, table)), table) for table in tables]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def read_output(slot: Slot, context: Context) -> Output | Refusal:
    """Read one slot; a slot that is not fully understood is refused with its reason."""
    try:
        each = context.groups[0] if context.asked.lead and context.groups else None
        if slot.options and not _free(slot):
            rules = read_label(slot, context)
            return Output(slot=slot.name, rules=rules, each=each)
        measures = tuple(read_measure(slot, context, part, each) for part in range(len(_parts(slot))))
    except Unanswerable as reason:
        return Refusal(slot=slot.name, reason=str(reason))
    decimals = tuple(d if d is not None else context.asked.decimals for d in slot.decimals)
    return Output(slot=slot.name, measures=measures, decimals=decimals, percent=_percent(slot), each=each)


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
