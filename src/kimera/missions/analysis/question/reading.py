"""Reading a whole question: choose the table, read steps, filters and slots, refuse what was not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kimera.missions.analysis.plan import Measure, Output, Plan, Refusal
from kimera.missions.analysis.question.checks import refuse_unclear
from kimera.missions.analysis.question.choice import choose_table, refuse_unused
from kimera.missions.analysis.question.context import Context, Unanswerable
from kimera.missions.analysis.question.dimensions import read_top, spell_out
from kimera.missions.analysis.question.implied import implied_slots, one_per_group
from kimera.missions.analysis.question.kinds import kind_of
from kimera.missions.analysis.question.labels import read_label
from kimera.missions.analysis.question.measures import read_measure
from kimera.missions.analysis.question.slots import Asked, Slot, read_format
from kimera.missions.analysis.question.steps import read_steps
from kimera.missions.analysis.question.subsets import slot_conditions
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.question.words import sentences, split_name

__all__ = ["read_question"]


def read_question(text: str, tables: Sequence[TableView]) -> Plan | None:
    """Return the plan for a question with answer slots or a plain direct question; None when it asks nothing direct."""
    asked = read_format(text)
    if not asked.slots:
        return _read_plain(text, tables)
    return _read(asked, choose_table(asked.body, tables, named=True))


def _read_plain(text: str, tables: Sequence[TableView]) -> Plan | None:
    """Read a question as people ask it; what it names must be used, or it is refused."""
    spelled = spell_out(text, tables)
    top = read_top(spelled)
    asked = read_format(top[0] if top else spelled)
    plan = _read(asked, choose_table(asked.body, tables, named=False))
    if plan is None:
        return None
    plan = _keep_top(plan, top[1], top[2]) if top else _with_values(_summed(plan, asked.body))
    return refuse_unused(plan, asked.body, tables)


def _summed(plan: Plan, body: str) -> Plan:
    """Read ``which region sells the most units`` as the highest total: the most of many rows is no single row."""
    if not re.search(r"\b(?:most|fewest)\b", body, re.IGNORECASE):
        return plan

    def total(measure: Measure) -> Measure:
        edge = measure.kind == "extreme_group" and measure.columns and measure.options.get("statistic") == "value"
        return measure.model_copy(update={"options": {**measure.options, "statistic": "sum"}}) if edge else measure

    outputs = (o.model_copy(update={"measures": tuple(map(total, o.measures))}) for o in plan.outputs)
    return plan.model_copy(update={"outputs": tuple(outputs)})


def _with_values(plan: Plan) -> Plan:
    """Ask, beside which group is highest, for its value."""
    outputs = list(plan.outputs)
    for output in plan.outputs:
        edge = output.measures[0] if len(output.measures) == 1 else None
        if edge is not None and edge.kind == "extreme_group" and edge.columns:
            value = edge.model_copy(update={"kind": "extreme_value"})
            outputs.append(output.model_copy(update={"measures": (value,)}))
    return plan.model_copy(update={"outputs": tuple(outputs)})


def _keep_top(plan: Plan, most: int, low: bool) -> Plan:
    """Mark a plan for values per group so that only so many of them are answers."""
    outputs = []
    for output in plan.outputs:
        if output.each is None:
            reason = "which groups are to be ranked was not understood"
            return plan.model_copy(update={"outputs": (), "refused": (Refusal(slot=None, reason=reason),)})
        marked = [m.model_copy(update={"options": {**m.options, "top": most, "low": low}}) for m in output.measures]
        outputs.append(output.model_copy(update={"measures": tuple(marked)}))
    return plan.model_copy(update={"outputs": tuple(outputs)})


def _read(asked: Asked, table: TableView | None) -> Plan | None:
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


def read_output(slot: Slot, context: Context, each: str | None) -> Output | Refusal:
    """Read one slot; a slot that is not fully understood is refused with its reason."""
    if slot.keys:
        return _keyed(slot, context)
    try:
        if slot.options and not _free(slot) and not _is_p(slot):
            rules = read_label(slot, context)
            return Output(slot=slot.name, rules=rules, each=each)
        measures = tuple(read_measure(slot, context, part, each) for part in range(len(_parts(slot))))
    except Unanswerable as reason:
        return Refusal(slot=slot.name or None, reason=str(reason))
    if wants_words(slot) and all(m.kind in _NUMBERS for m in measures):
        return Refusal(slot=slot.name or None, reason="a name is asked for and only a number was understood")
    if any(m.kind == "extreme_group" and _holds_words(m, context) for m in measures) and _wants_number(slot):
        return Refusal(slot=slot.name or None, reason="a number is asked for and only a name was understood")
    decimals = tuple(d if d is not None else context.asked.decimals for d in slot.decimals)
    whole = {m.kind for m in measures} & {"extreme_group", "strongest", "strongest_pair", "most_missing", "duplicates"}
    each = None if whole else each
    return Output(slot=slot.name or None, measures=measures, decimals=decimals, percent=_percent(slot), each=each)


_NUMBERS = frozenset(
    re.findall(
        r"\w+",
        "mean median std variance sum min max range skewness kurtosis iqr quantile rows share missing missing_share "
        "missing_rows unique duplicates outlier_count outlier_share r r_p within_sd groups_p groups_statistic",
    )
)


def wants_words(slot: Slot) -> bool:
    """Say whether the description of an answer speaks of a word or a name and of no number."""
    words = re.search(
        r"\bstrings?\b|\bnames? of\b|\b(?:column|field|feature|variable)[_ ]names?\b|\ba (?:word|label)\b",
        slot.about,
        re.IGNORECASE,
    )
    numbers = re.search(
        r"\bnumber|\bnumeric|\bintegers?\b|\bfloat|\bdecimal|\bround|\bcount\b|\bvalues? of\b",
        slot.about,
        re.IGNORECASE,
    )
    return words is not None and numbers is None


def _keyed(slot: Slot, context: Context) -> Output | Refusal:
    """Read an answer that maps names to values: each name is a column, or a group of rows."""
    bare = replace(slot, keys=(), parts=(slot.name,), about="")
    measures = []
    try:
        for key in slot.keys:
            if context.table.column(key) is None:
                named = replace(bare, tokens=(*slot.tokens, *split_name(key)))
                if not slot_conditions(named, context):
                    raise Unanswerable(f"what {key} means in {slot.name} was not understood")
                measures.append(read_measure(named, context))
                continue
            kind = kind_of(bare)
            if kind not in {"missing", "mean", "median", "std", "sum", "min", "max"}:
                raise Unanswerable(f"no known measure in the name of {slot.name}")
            measures.append(
                Measure(kind=kind, columns=(key,), where=context.filters, stage=len(context.steps), options={"ddof": 1})
            )
    except Unanswerable as reason:
        return Refusal(slot=slot.name, reason=str(reason))
    decimals = slot.decimals[0] if slot.decimals and slot.decimals[0] is not None else context.asked.decimals
    return Output(slot=slot.name, measures=tuple(measures), decimals=(decimals,) * len(measures), keys=slot.keys)


def _holds_words(measure: Measure, context: Context) -> bool:
    column = context.table.column(measure.by or "")
    return column is not None and column.role in {"text", "date"}


def _wants_number(slot: Slot) -> bool:
    """Say whether the description asks for a number and for no name."""
    return bool(
        re.search(r"\binteger|\bfloat\b|\bdecimal", slot.about, re.IGNORECASE)
        and not re.search(r"\bstring|\bname\b|\bword\b|\btext\b", slot.about, re.IGNORECASE)
    )


def _is_p(slot: Slot) -> bool:
    return re.search(r"\bp(?: ?values?)?$", " ".join(slot.tokens)) is not None


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
