"""Which rows one answer speaks of: compared values, groups, ranges in the name of a slot."""

from __future__ import annotations

import re

from kimera.missions.analysis.plan import Condition
from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.context import Context
from kimera.missions.analysis.question.linking import alike, find_columns
from kimera.missions.analysis.question.slots import Slot
from kimera.missions.analysis.question.words import number_of, split_name, stem

__all__ = ["slot_conditions"]


def slot_conditions(slot: Slot, context: Context) -> list[Condition]:
    """Return the conditions in the name of a slot: a compared value, a group's value, a range of the question."""
    name = " ".join(slot.tokens)
    found = _compared(name, context)
    parts = {s.target for s in context.steps if s.kind == "part"}
    for column in context.table.columns:
        if any(c.column == column.name for c in found) or (
            column.role == "number" and column.name not in {*context.groups, *context.compared, *parts}
        ):
            continue
        if column.role == "number":
            found += _numbered_value(name, column.name, column.values)
        elif column.role in {"text", "flag"} and 1 < len(column.values) <= 60:
            found += _named_value(name, column.name, column.values, column.name in {*context.groups, *context.compared})
    if not found:
        found = _absent(slot, context)
    if not found and len(context.compared) == 1:
        own = [f.condition for f in find_conditions(slot.about, context.table)]
        found = [c for c in own if c.column in context.compared][:1]
    known = {c.column for c in context.filters}
    return [c for c in found if c.column not in known or c not in context.filters]


def _absent(slot: Slot, context: Context) -> list[Condition]:
    """Read ``mean_age_cabin_null`` and ``..._not_null``: the rows where another column is (not) empty."""
    name = " ".join(slot.tokens)
    empty = re.search(
        r"\b(not ?|non ?)?(?:null|missing|nan)\b(?! (?:count|values?|number|percent|ratio|share|total))", name
    )
    statistic = re.search(r"\b(?:mean|average|avg|median|std|sum)\b", name)
    if empty is None or statistic is None or not context.says(r"\b(?:null|missing|nan)\b"):
        return []
    columns = [m.column for m in find_columns(name[: empty.start()], context.table)]
    if not columns:
        return []
    return [Condition(column=columns[-1], op="present" if empty[1] else "missing")]


def _compared(name: str, context: Context) -> list[Condition]:
    """Match ``survived``, ``not survived``, ``below 3`` with the alternatives the question sets against each other."""
    stems = [stem(w) for w in name.split()]
    found: list[Condition] = []
    for column, alternatives in context.compared.items():
        view = context.column(column)
        for group in alternatives:
            bounds = [c for c in group if c.op in {"<", "<=", ">", ">="}]
            if bounds and _bounded(name, bounds):
                found += group
            if len(group) == 1 and group[0].op == "=" and _numbered(name, group[0], context):
                found += group
        places = [k for k, w in enumerate(name.split()) if any(alike(w, part) for part in split_name(column))]
        if view.binary and places and not found:
            place = places[0]
            negative = any(w in {"not", "non", "didn", "no"} for w in stems[max(0, place - 2) : place])
            found += [
                c for group in alternatives for c in group if (str(c.value) in {"0", "False", "no", "No"}) == negative
            ][:1]
    return found


def _numbered(name: str, condition: Condition, context: Context) -> bool:
    """Match ``avg_2012`` with the year 2012, and ``men`` with ``men (sex = 1)``."""
    if not isinstance(condition.value, int | float):
        return False
    value = f"{condition.value:g}"
    if condition.part and re.search(rf"(?<!\d){value}(?!\d)", name):
        return True
    coded = re.findall(
        rf"(\w+)\s*\(\s*[\"'“]?{re.escape(condition.column)}[\"'”]?\s*(?:=|==|is|of|equals?)?\s*{re.escape(value)}\s*\)",
        context.text,
        re.IGNORECASE,
    )
    return any(stem(w) in {stem(c) for c in coded} for w in name.split())


def _bounded(name: str, bounds: list[Condition]) -> bool:
    numbers = {float(n) for w in name.split() if (n := number_of(w)) is not None}
    same = numbers == {float(c.value) for c in bounds if isinstance(c.value, int | float)}
    low = re.search(r"\b(?:below|under|less|lower|up to)\b", name) is not None
    high = re.search(r"\b(?:above|over|more|greater|higher|at least)\b", name) is not None
    if len(bounds) == 2:
        return same and not low and not high
    return same and (low if bounds[0].op in {"<", "<="} else high)


_MONTHS = (
    "january february march april may june july august september october november december "
    "jan feb mar apr may jun jul aug sep oct nov dec"
)


def _numbered_value(name: str, column: str, values: tuple[str, ...]) -> list[Condition]:
    known = {float(v): v for v in values if number_of(v) is not None}
    months = {w: float(k % 12 + 1) for k, w in enumerate(_MONTHS.split())} if column == "month" else {}
    hits = [n for w in name.split() if (n := months.get(w, number_of(w))) is not None and n in known]
    return (
        [Condition(column=column, op="=", value=int(hits[0]) if hits[0].is_integer() else hits[0])]
        if len(hits) == 1
        else []
    )


def _named_value(name: str, column: str, values: tuple[str, ...], grouped: bool) -> list[Condition]:
    padded = f" {name.lower()} "
    fits = []
    for value in values:
        spoken = re.sub(r"[^a-z0-9]+", " ", value.lower()).strip()
        if (len(spoken) > 2 or grouped) and spoken and f" {spoken} " in padded:
            fits.append(value)
    longest = max(fits, key=len, default=None)
    return [Condition(column=column, op="=", value=longest)] if longest is not None else []
