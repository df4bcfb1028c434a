"""From a plan to answer claims: run the code, keep each value with the computation it stands in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from kimera.knowledge.units import split_unit
from kimera.missions.analysis.execution import compute
from kimera.missions.analysis.naming import in_words
from kimera.missions.analysis.plan import Condition, Measure, Output, Plan, Refusal
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.statements import say_correlation, say_extreme, say_output, scope_of, unit_of
from kimera.missions.analysis.templates.code import key_of, narrowed, write_code
from kimera.missions.contracts import About, Computation, NumberClaim
from kimera.missions.track import TrackContext

__all__ = ["answer", "claims_of", "run_plan"]

Path = tuple[str | int, ...]


def run_plan(
    context: TrackContext, plan: Plan, view: TableView, title: str
) -> tuple[list[tuple[Plan, Computation]], list[Refusal]]:
    """Run a plan as one computation; if it fails, run each answer alone so that one failure costs one answer."""
    if not plan.outputs:
        return [], []
    made, failure = _run(context, plan, view, title)
    if made is not None:
        return [(plan, made)], []
    if len(plan.outputs) == 1:
        return [], [Refusal(slot=plan.outputs[0].slot, reason=f"the computation failed: {_short(failure)}")]
    runs: list[tuple[Plan, Computation]] = []
    refused: list[Refusal] = []
    for output in plan.outputs:
        single, more = run_plan(context, plan.model_copy(update={"outputs": (output,)}), view, title)
        runs += single
        refused += more
    return runs, refused


def _run(context: TrackContext, plan: Plan, view: TableView, title: str) -> tuple[Computation | None, str | None]:
    try:
        code = write_code(plan, view)
    except KeyError as missing:
        return None, f"there is no template for {missing}"
    return compute(context, title, code, [plan.table], {})


def _short(failure: str | None) -> str:
    return (failure or "unknown error").strip().splitlines()[-1][:160]


def answer(
    context: TrackContext, plan: Plan, made: Computation, role: str = "answer"
) -> tuple[list[NumberClaim], list[Refusal]]:
    """Return a claim per value of a computation; a value that is missing or not finite is a refusal."""
    claims: list[NumberClaim] = []
    refused: list[Refusal] = []
    result = made.result if isinstance(made.result, dict) else {}
    for number, output in enumerate(plan.outputs, 1):
        key = key_of(output, number)
        values = _section(result, "answers").get(key)
        found = list(enumerate(values)) if isinstance(values, list) else [(None, values)]
        for place, value in found:
            if value is None or not isinstance(value, str | int | float | bool):
                refused.append(Refusal(slot=output.slot, reason="the data give no finite value for it"))
                continue
            path: Path = ("answers", key) if place is None else ("answers", key, place)
            claims.append(_claim(context, plan, output, made, value, path, role))
    if any(output.slot for output in plan.outputs):
        return claims, refused
    return _top(_with_value(plan, _with_p(plan, claims, context), context), plan), refused


def _with_value(plan: Plan, claims: list[NumberClaim], context: TrackContext) -> list[NumberClaim]:
    """Say which group is highest together with its value; the value alone is context."""
    by_measure = {claim.about.attribute: claim for claim in claims}
    units, table = _units(context, plan.table), in_words(context.library.table(plan.table).title)
    changed: dict[str, NumberClaim] = {}
    for measure in (m for output in plan.outputs for m in output.measures if m.kind == "extreme_group"):
        group = by_measure.get(measure.text())
        value = by_measure.get(measure.model_copy(update={"kind": "extreme_value"}).text())
        if group is not None and value is not None:
            said = say_extreme(measure, str(group.value), value.value, units, table)
            changed[group.id] = group.model_copy(update={"statement": said})
            changed[value.id] = value.model_copy(update={"role": "context"})
    return [changed.get(claim.id, claim) for claim in claims]


def _with_p(plan: Plan, claims: list[NumberClaim], context: TrackContext) -> list[NumberClaim]:
    """Make a correlation and its p-value one sentence, where nobody asked for each by name."""
    by_measure = {claim.about.attribute: claim for claim in claims}
    units, table = _units(context, plan.table), in_words(context.library.table(plan.table).title)
    made: list[NumberClaim] = []
    for output in plan.outputs:
        measure = output.measures[0] if output.measures else None
        if measure is None or measure.kind != "r" or output.each:
            continue
        r = by_measure.get(measure.text())
        p = by_measure.get(measure.model_copy(update={"kind": "r_p"}).text())
        if r is not None and p is not None:
            said = say_correlation(measure, float(r.value), float(p.value), r.n, units, table)
            made.append(r.model_copy(update={"statement": said, "p_value": float(p.value)}))
            claims = [claim for claim in claims if claim.id not in {r.id, p.id}]
    return [*made, *claims]


def _top(claims: list[NumberClaim], plan: Plan) -> list[NumberClaim]:
    """Keep the highest or lowest groups when the question asks for so many of them, best first."""
    first = next((m for o in plan.outputs for m in o.measures), None)
    most = first.options.get("top") if first is not None else None
    if first is None or not isinstance(most, int):
        return claims
    ranked = sorted(claims, key=lambda claim: float(claim.value), reverse=not first.options.get("low"))[:most]
    return [claim.model_copy(update={"relevance": round(1 - 0.01 * place, 6)}) for place, claim in enumerate(ranked)]


def _units(context: TrackContext, table: str) -> dict[str, str]:
    columns = context.library.table(table).columns
    found = {column.name: column.unit or split_unit(column.name)[1] for column in columns}
    return {name: unit for name, unit in found.items() if unit}


def _section(result: Mapping[str, object], name: str) -> dict[str, object]:
    section = result.get(name)
    return section if isinstance(section, dict) else {}


def _claim(
    context: TrackContext,
    plan: Plan,
    output: Output,
    made: Computation,
    value: str | float | bool,
    path: Path,
    role: str,
) -> NumberClaim:
    result = made.result if isinstance(made.result, dict) else {}
    key = str(path[1])
    count, why = _section(result, "n").get(key), _section(result, "why").get(key)
    n = count if isinstance(count, int) else None
    reasons = {str(k): float(v) for k, v in why.items() if isinstance(v, int | float)} if isinstance(why, dict) else {}
    table = context.library.table(plan.table)
    units = _units(context, plan.table)
    group = _group_of(result, key, path)
    if group is not None and output.each is not None:
        output = narrowed(output, Condition(column=output.each, op="=", value=group))
    about = (
        output.measures[0]
        if output.measures
        else next((c.measure for r in output.rules for c in r.when), Measure(kind="value"))
    )
    p = next((v for k, v in reasons.items() if k.endswith("_p")), None)
    if about.kind.endswith("_p") and isinstance(value, int | float) and not output.rules:
        p = float(value)
    return NumberClaim(
        id=claim_id(made.id, path),
        statement=say_output(output, value, n, reasons, in_words(table.title), units),
        about=About(entity=table.title, attribute=about.text(), scope=scope_of(about), value=value),
        track="ds_star",
        attempt=context.attempt,
        created_at=context.started_at,
        relevance=1.0,
        role="answer" if role == "answer" else "finding",
        value=value,
        computation_id=made.id,
        path=path,
        unit=None if output.rules else unit_of(about, units),
        slot=output.slot,
        n=n,
        p_value=p,
    )


def _group_of(result: Mapping[str, object], key: str, path: Path) -> str | float | None:
    groups = _section(result, "groups").get(key)
    place = path[-1]
    group = groups[place] if isinstance(groups, list) and isinstance(place, int) else None
    return group if isinstance(group, str | int | float) else None


def claim_id(computation: str, path: Path) -> str:
    """Return the id of a claim: it follows from the computation and the place of the value."""
    return "n_" + hashlib.sha256(f"{computation}/{'/'.join(map(str, path))}".encode()).hexdigest()[:16]


def claims_of(
    context: TrackContext, runs: Sequence[tuple[Plan, Computation]], role: str = "answer"
) -> tuple[list[NumberClaim], list[Refusal]]:
    """Return the claims and refusals of several computations."""
    claims: list[NumberClaim] = []
    refused: list[Refusal] = []
    for plan, made in runs:
        more, open_slots = answer(context, plan, made, role)
        claims += more
        refused += open_slots
    return claims, refused
