"""The analysis track: analyze -> plan -> code -> verify -> route -> finalize, each a function of folder and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, JsonValue

from kimera.knowledge.contracts import Degraded, Table
from kimera.missions.analysis.answers import claims_of, run_plan
from kimera.missions.analysis.execution import compute, recompute
from kimera.missions.analysis.figures import draw_findings
from kimera.missions.analysis.plan import Plan, Refusal
from kimera.missions.analysis.question.reading import read_question
from kimera.missions.analysis.question.tables import TableView, view_of
from kimera.missions.analysis.survey.columns import SURVEY_CODE
from kimera.missions.analysis.survey.explore import explore
from kimera.missions.contracts import AnalyticalReportPackage, Computation, Gap, Handoff, NumberClaim, TrackName
from kimera.missions.track import Phase, State, TrackContext

__all__ = ["TRACK", "AnalysisTrack"]

MOST_VALUES = 250
MOST_TABLES = 24


def _json(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    return [model.model_dump(mode="json") for model in models]


def _tables(context: TrackContext) -> list[Table]:
    """Return the tables that can be computed on: those with rows; the largest folders are cut, which is said."""
    return [table for table in context.library.tables if table.rows > 0][:MOST_TABLES]


def analyze(context: TrackContext, state: State) -> State:
    """Look once at every column: distinct values, numbers and dates kept as text."""
    tables = _tables(context)
    if not tables:
        return {**state, "views": [], "failures": []}
    listed: dict[str, JsonValue] = {t.name: [[c.name, c.type] for c in t.columns] for t in tables}
    asked: dict[str, JsonValue] = {"tables": listed, "most": MOST_VALUES}
    made, failure = compute(context, "What the columns hold", SURVEY_CODE, list(listed), asked)
    seen = made.result if made is not None and isinstance(made.result, dict) else {}
    views = [view_of(table, seen.get(table.name, {})) for table in tables]  # type: ignore[arg-type]
    failures = [f"The columns could not be looked at: {failure}"] if failure else []
    return {**state, "views": _json(views), "failures": failures}


def make_plan(context: TrackContext, state: State) -> State:
    """Read the question and what the other track asks for as plans over one table each."""
    views = [TableView.model_validate(view) for view in state["views"]]
    plans = []
    for number, text in enumerate(_questions(context)):
        plan = read_question(text, views)
        if plan is not None and (plan.outputs or plan.refused):
            plans.append({"plan": plan.model_dump(mode="json"), "asked": number == 0})
            steps = [s.text() for s in plan.steps] + [m.text() for o in plan.outputs for m in o.measures]
            context.emit(
                "plan.step",
                {"step": number + 1, "kind": "direct", "inputs": [plan.table], "goal": "; ".join(steps)[:280]},
            )
    return {**state, "plans": plans}


def _questions(context: TrackContext) -> list[str]:
    """Return the question and the first request of the other track that is not the question itself."""
    asked = [context.question]
    for handoff in context.inbox:
        text = handoff.payload.get("question", handoff.text)
        if handoff.kind == "evidence_request" and isinstance(text, str) and text not in asked and len(asked) < 2:
            asked.append(text)
    return asked


def write_and_run(context: TrackContext, state: State) -> State:
    """Run the plans, then look for what else the tables say about the question."""
    views = {view["name"]: TableView.model_validate(view) for view in state["views"]}
    runs: list[dict[str, Any]] = []
    refused: list[Refusal] = []
    for entry in state["plans"]:
        plan = Plan.model_validate(entry["plan"])
        refused += plan.refused if entry["asked"] else ()
        made, failed = run_plan(
            context, plan, views[plan.table], _title(context.question if entry["asked"] else "Asked by research")
        )
        runs += [
            {"plan": p.model_dump(mode="json"), "made": m.model_dump(mode="json"), "asked": entry["asked"]}
            for p, m in made
        ]
        refused += failed if entry["asked"] else []
    state = {**state, "runs": runs, "refused": _json(refused)}
    if context.should_stop() or not views or _fully_answered(state):
        return {**state, "explored": None}
    return {
        **state,
        "explored": explore(context, list(views.values()), answering=not any(run["asked"] for run in runs)),
    }


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:87] + "..."


def _fully_answered(state: State) -> bool:
    """Say whether a question with named answers got them all; such a question wants no survey."""
    return (
        bool(state["runs"])
        and not state["refused"]
        and any(o["slot"] for run in state["runs"] for o in run["plan"]["outputs"])
    )


def verify(context: TrackContext, state: State) -> State:
    """Run every answer again in a fresh child; look for rows lost and values that could not be read."""
    runs, notes = [], []
    for run in state["runs"]:
        made = Computation.model_validate(run["made"])
        same = None if context.should_stop() else recompute(context, made)
        runs.append({**run, "made": made.model_copy(update={"reproduced": same}).model_dump(mode="json")})
        said = {
            True: "gave the same result again",
            False: "gave a different result when run again",
            None: "was not run again",
        }[same]
        notes.append(f"{made.title}: {said}; {made.rows_read:,} rows read, {made.rows_used:,} left after the steps.")
    return {**state, "runs": runs, "verification": notes}


def route(context: TrackContext, state: State) -> State:
    """Turn results into claims; what could not be answered becomes a gap that says what would help."""
    claims: list[NumberClaim] = []
    refused = [Refusal.model_validate(r) for r in state["refused"]]
    for run in state["runs"]:
        made = Computation.model_validate(run["made"])
        if made.reproduced is False:
            refused += [Refusal(slot=o["slot"], reason="two runs of its code disagree") for o in run["plan"]["outputs"]]
            continue
        found, more = claims_of(
            context, [(Plan.model_validate(run["plan"]), made)], "answer" if run["asked"] else "finding"
        )
        claims += found
        refused += more
    explored = state["explored"] or {"claims": [], "computations": [], "tests_run": 0, "notes": [], "gaps": []}
    claims += [NumberClaim.model_validate(c) for c in explored["claims"]]
    for claim in claims[:40]:
        context.emit("claim.checked", {"claim_id": claim.id, "ok": True, "spans": 0})
    return {
        **state,
        "claims": _json(claims),
        "gaps": _json([*_gaps(refused), *(Gap.model_validate(g) for g in explored["gaps"])]),
    }


def _gaps(refused: Sequence[Refusal]) -> list[Gap]:
    """Name each slot that stays open with the reason; slots with one reason share a gap."""
    reasons: dict[str, list[str]] = {}
    for refusal in refused:
        reasons.setdefault(refusal.reason, []).append(refusal.slot or "the question")
    help_text = "Name the column, the rows and the statistic plainly, or run with a model."
    return [
        Gap(kind="unanswered", text=f"Not answered ({', '.join(dict.fromkeys(slots))}): {reason}. {help_text}")
        for reason, slots in reasons.items()
    ]


def finalize(context: TrackContext, state: State) -> State:
    """Put the package together."""
    return {**state, "package": _package(context, state).model_dump(mode="json")}


def _package(context: TrackContext, state: State) -> AnalyticalReportPackage:
    explored = state.get("explored") or {"computations": [], "tests_run": 0, "notes": []}
    computations = [Computation.model_validate(run["made"]) for run in state.get("runs", [])]
    computations += [Computation.model_validate(c) for c in explored["computations"]]
    claims = tuple(NumberClaim.model_validate(c) for c in state.get("claims", []))
    gaps = [Gap.model_validate(g) for g in state.get("gaps", [])]
    if not context.library.tables:
        gaps.append(Gap(kind="unanswered", text="The folder holds no table to compute on."))
    used = {claim.computation_id for claim in claims}
    notes = [*_understood(state), *explored["notes"], *state.get("failures", [])]
    return AnalyticalReportPackage(
        attempt=context.attempt,
        question=context.question,
        tables=tuple(view["name"] for view in state.get("views", [])),
        claims=claims,
        computations=tuple(c for c in dict((c.id, c) for c in computations).values() if c.id in used),
        charts=draw_findings(claims, computations, context.library, context.blobs),
        tests_run=explored["tests_run"],
        verification=tuple(state.get("verification", [])),
        limitations=_limitations(context),
        gaps=tuple(gaps),
        degraded=(Degraded(cause="no_model", text="No model configured: the question was read by fixed templates."),),
        notes=tuple(notes),
    )


def _limitations(context: TrackContext) -> tuple[str, ...]:
    left = len([t for t in context.library.tables if t.rows > 0]) - MOST_TABLES
    limits = [f"{left} further table(s) were not looked at; put them into a folder of their own."] if left > 0 else []
    dropped = [t for t in _tables(context) if t.recipe.rows_dropped]
    limits += [f"{t.title}: {t.recipe.rows_dropped} row(s) of the file could not be read." for t in dropped]
    return tuple(limits)


def _understood(state: State) -> list[str]:
    """Return how the question was read, step by step."""
    lines = []
    for entry in state.get("plans", []):
        plan = Plan.model_validate(entry["plan"])
        if not plan.outputs:
            continue
        steps = [f"{k}. {step.text()}" for k, step in enumerate(plan.steps, 1)]
        asked = [
            f"{o.slot or 'answer'}: "
            + (", ".join(m.text() for m in o.measures) or "one of " + ", ".join(r.label for r in o.rules))
            for o in plan.outputs
        ]
        lines.append(f"Read as, on table {plan.table}: " + "; ".join([*steps, *asked, *plan.notes]))
    return lines


class AnalysisTrack:
    """Computes on the tables of a folder by templates, without a model."""

    name: TrackName = "ds_star"
    shows_after: str | None = None
    phases: tuple[Phase, ...] = (
        Phase("analyze", analyze),
        Phase("plan", make_plan),
        Phase("code", write_and_run),
        Phase("verify", verify),
        Phase("route", route),
        Phase("finalize", finalize),
    )

    def partial(self, context: TrackContext, state: State) -> AnalyticalReportPackage | None:
        """Return the package of an unfinished state, or None before anything was computed."""
        if "package" in state:
            return AnalyticalReportPackage.model_validate(state["package"])
        if "claims" not in state and state.get("runs"):
            state = route(context, state)
        return _package(context, state) if state.get("claims") else None

    def outbox(self, state: State) -> tuple[Handoff, ...]:
        """Return the requests to the research track; templates ask for nothing."""
        return ()


TRACK = AnalysisTrack()
