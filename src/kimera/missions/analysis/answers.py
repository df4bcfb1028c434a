"""From a plan to answer claims: run the code, keep each value with the computation it stands in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from kimera.missions.analysis.execution import compute
from kimera.missions.analysis.plan import Condition, Measure, Output, Plan, Refusal
from kimera.missions.analysis.question.tables import TableView
from kimera.missions.analysis.statements import say_output, scope_of
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
    return claims, refused


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
        statement=say_output(output, value, n, reasons, table.title),
        about=About(entity=table.title, attribute=about.text(), scope=scope_of(about), value=value),
        track="ds_star",
        attempt=context.attempt,
        created_at=context.started_at,
        relevance=1.0,
        role="answer" if role == "answer" else "finding",
        value=value,
        computation_id=made.id,
        path=path,
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
