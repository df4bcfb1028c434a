"""The research track: Explore, Plan, Batch, Audit, Synthesize; each a pure function of the folder and the state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kimera.knowledge.contracts import Degraded
from kimera.missions.contracts import Conflict, Gap, Handoff, ResearchEvidencePackage, SubQuestion, TextClaim, TrackName
from kimera.missions.research import audit, evidence, offers, plan
from kimera.missions.research.question import read_question
from kimera.missions.research.reading import Reading
from kimera.missions.research.worth import addresses_a_model
from kimera.missions.track import Phase, State, TrackContext

__all__ = ["TRACK", "ResearchTrack"]

EXPLORED = 12  # passages that teach the vocabulary
WEIGHED = 20_000_000  # characters looked through for text that instructs a model
REQUEST = "r1"  # the sub-question that the analysis track asked for
EVENTS = 40  # of one type per phase; the package holds them all


def explore(context: TrackContext, state: State) -> State:
    """Retrieve for the question as it stands and note its terms, names, dates and the topics around it."""
    asked = read_question(context.question)
    learnt: dict[str, Any] = {
        "asks": asked.asks,
        "terms": list(asked.stems),
        "names": [m.text for m in asked.names],
        "dates": [m.value for m in asked.dates],
        "topics": [],
    }
    if context.library.passages:
        # by words only: the sentence encoder takes longer to load than a person should wait for a first report
        with Reading(context, by_words_only=True) as reading:
            passages = reading.find(context.question, EXPLORED)
            headings = list(dict.fromkeys(p.heading for p in passages if p.heading))
            texts = [reading.text(p.source_id)[p.start : p.end] for p in passages]
            learnt["topics"] = plan.facets(context.question, headings, texts)[: plan.MOST]
            whole = plan.sub_questions(context.question, [])
            learnt["first_look"] = {
                "sub_questions": _json(whole),
                "found": evidence.collect(reading, whole, context.question),
            }
    context.emit("plan.step", {"step": 0, "kind": "explore", "inputs": [], "goal": context.question[:280]})
    return {**state, "explored": learnt}


def make_plan(context: TrackContext, state: State) -> State:
    """Cut the question into at most six sub-questions that do not overlap."""
    subs = plan.sub_questions(context.question, state["explored"]["topics"])
    for step, sub in enumerate(subs, 1):
        context.emit("plan.step", {"step": step, "kind": "sub_question", "inputs": [sub.id], "goal": sub.text[:280]})
    return {**state, "sub_questions": [sub.model_dump(mode="json") for sub in subs]}


def batch(context: TrackContext, state: State) -> State:
    """Read for every sub-question and keep the sentences worth quoting."""
    if not context.library.passages:
        return {**state, "found": [], "with_meaning": False}
    subs = _with_requests(context, [SubQuestion.model_validate(sub) for sub in state["sub_questions"]])
    with Reading(context) as reading:
        found = evidence.collect(reading, subs, context.question)
        with_meaning = reading.encoder is not None
        stopped = reading.stopped
        _tell_evidence(context, found)
    return {
        **state,
        "explored": {name: value for name, value in state["explored"].items() if name != "first_look"},
        "sub_questions": _json(subs),
        "found": found,
        "with_meaning": with_meaning,
        "stopped": stopped,
    }


def _with_requests(context: TrackContext, subs: list[SubQuestion]) -> list[SubQuestion]:
    """Add what the analysis track asks for, one request at most, under the id `REQUEST`."""
    asked = [h for h in context.inbox if h.kind == "evidence_request" and h.sender != "deep_research"]
    return [*subs, *(SubQuestion(id=REQUEST, text=handoff.text, coverage=0.0) for handoff in asked[:1])]


def _tell_evidence(context: TrackContext, found: Sequence[evidence.Record]) -> None:
    """Emit one event per sub-question and source, with the id of the best claim there."""
    groups: dict[tuple[str, str], list[evidence.Record]] = {}
    for record in found:
        if record["kept"]:
            groups.setdefault((record["sub"], record["source_id"]), []).append(record)
    for (sub, source_id), records in sorted(groups.items())[:EVENTS]:
        best = max(records, key=lambda r: (r["score"], -r["start"]))
        facts = {"sub_question": sub, "source_id": source_id, "claim_id": audit.claim_id(best), "count": len(records)}
        context.emit("evidence.found", facts)


def make_audit(context: TrackContext, state: State) -> State:
    """Check quotes, join duplicates, look for disagreement, measure coverage, open gaps."""
    state = _audited(context, state, by_words_only=False)
    _tell(context, state)
    return state


def _audited(context: TrackContext, state: State, *, by_words_only: bool) -> State:
    subs = [SubQuestion.model_validate(sub) for sub in state["sub_questions"]]
    with Reading(context, by_words_only=by_words_only) as reading:
        found = audit.checked(reading, state["found"])
        disagreements = audit.disagreements_of(reading, context.question, found)
        groups = audit.merged(reading, found)
        claims = audit.claims_of(context, reading, found, groups)
        claim_of = {i: claim.id for claim, group in zip(claims, groups, strict=True) for i in group}
        conflicts = audit.conflicts_of(disagreements, claim_of, reading, found)
        own = len(plan.parts(context.question))
        subs = audit.covered(subs, claims)
        gaps = audit.gaps_of(reading, subs, own)
        subs = [sub for n, sub in enumerate(subs) if n < own or sub.claims or sub.id == REQUEST]
        missed = [sub for sub in subs if sub.id == REQUEST and not sub.claims]
        gaps += [Gap(kind="unanswered", text=f"Analysis asked: {sub.text}") for sub in missed]
        if state.get("stopped"):
            gaps.append(Gap(kind="deadline", text="The mission was stopped before every sub-question was read for."))
        handoffs = offers.handoffs_of(reading, context.question, claims)
        notes = _source_notes(reading, claims)
    return {
        **state,
        "found": [],  # the claims hold what is needed of them; states stay small
        "weighed": len(found),
        "sub_questions": _json(subs),
        "claims": _json(claims),
        "conflicts": _json(conflicts),
        "gaps": _json(gaps),
        "handoffs": _json(handoffs),
        "source_notes": notes,
    }


def _json(models: Sequence[Any]) -> list[dict[str, Any]]:
    return [model.model_dump(mode="json") for model in models]


def _tell(context: TrackContext, state: State) -> None:
    for claim in state["claims"][:EVENTS]:
        context.emit("claim.checked", {"claim_id": claim["id"], "ok": True})
    for conflict in state["conflicts"][:EVENTS]:
        facts = {"conflict_id": conflict["id"], "kind": conflict["kind"], "claims": conflict["claims"][:8]}
        context.emit("conflict.found", facts)
    for handoff in state["handoffs"]:
        name = "handoff.offered" if handoff["kind"] == "sources_offered" else "handoff.requested"
        context.emit(name, {"kind": handoff["kind"], "count": 1})


def _source_notes(reading: Reading, claims: Sequence[TextClaim]) -> dict[str, str]:
    """Return a confidence note for each source that is quoted, and for each that speaks to a model."""
    quoted = {span.source_id for claim in claims for span in claim.spans}
    notes: dict[str, str] = {}
    weighed = 0
    for document in reading.library.documents:
        source = reading.source(document.source_id)
        said: list[str] = []
        if source.id in quoted:
            dated = document.dated or source.dated
            said.append(f"dated {dated.isoformat()}" if dated else "undated")
            said += ["archived"] * source.archived + ["read in part"] * (source.status == "partly")
        weighed += document.length
        if weighed <= WEIGHED and addresses_a_model(reading.text(source.id)):
            said.append("holds text that instructs a language model; it was treated as data")
        if said:
            notes[source.id] = "; ".join(said)
    return notes


def synthesize(context: TrackContext, state: State) -> State:
    """Put the package together."""
    return {**state, "package": _package(context, state).model_dump(mode="json")}


def _package(context: TrackContext, state: State) -> ResearchEvidencePackage:
    claims = tuple(TextClaim.model_validate(claim) for claim in state.get("claims", []))
    gaps = [Gap.model_validate(gap) for gap in state.get("gaps", [])]
    if not context.library.documents:
        gaps = [Gap(kind="unanswered", text="The folder holds no readable document."), *gaps]
    read = len(context.library.documents)
    return ResearchEvidencePackage(
        attempt=context.attempt,
        question=context.question,
        scope=f"{read} document(s), {len(context.library.passages)} passage(s) of the folder",
        sub_questions=tuple(SubQuestion.model_validate(sub) for sub in state.get("sub_questions", [])),
        claims=claims,
        conflicts=tuple(Conflict.model_validate(conflict) for conflict in state.get("conflicts", [])),
        source_notes=state.get("source_notes", {}),
        hypotheses=tuple(offers.hypotheses_of(context.library.tables, claims)),
        gaps=tuple(gaps),
        handoffs=tuple(Handoff.model_validate(handoff) for handoff in state.get("handoffs", [])),
        degraded=_degraded(context, state),
        notes=(f"{state.get('weighed', 0)} sentence(s) weighed, {len(claims)} kept.",),
    )


def _degraded(context: TrackContext, state: State) -> tuple[Degraded, ...]:
    if not context.library.passages or state.get("with_meaning", True):
        return ()
    return (Degraded(cause="encoder", text="No sentence encoder: passages were found by their words only."),)


class ResearchTrack:
    """Deep research over the documents of a folder, without a model."""

    name: TrackName = "deep_research"
    phases: tuple[Phase, ...] = (
        Phase("explore", explore),
        Phase("plan", make_plan),
        Phase("batch", batch),
        Phase("audit", make_audit),
        Phase("synthesize", synthesize),
    )
    shows_after: str | None = "explore"

    def partial(self, context: TrackContext, state: State) -> ResearchEvidencePackage | None:
        """Return the package of an unfinished state, or None before anything was found."""
        if "package" in state:
            return ResearchEvidencePackage.model_validate(state["package"])
        if "claims" not in state and state.get("found"):
            state = _audited(context, state, by_words_only=True)
        elif "claims" not in state and "explored" in state:
            first = state["explored"].get("first_look", {})
            first = {**first, "with_meaning": False}
            state = _audited(context, {**state, **first}, by_words_only=True) if first.get("found") else state
        return _package(context, state) if state.get("claims") else None

    def outbox(self, state: State) -> tuple[Handoff, ...]:
        """Return the requests and offers to the analysis track."""
        return tuple(Handoff.model_validate(handoff) for handoff in state.get("handoffs", []))


TRACK = ResearchTrack()
