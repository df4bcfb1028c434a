"""Small real missions for the control-plane benchmarks and tests: no model, no engine room, a few milliseconds each.

``small`` reads a folder of text files: its research track quotes first lines, its analysis track counts lines.
``empty`` has one phase per track that does nothing, so that only the control plane is measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from kimera.knowledge.contracts import Document, Library, Source, Span
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    Computation,
    Finding,
    Handoff,
    MissionOutcomePackage,
    NumberClaim,
    Package,
    ResearchEvidencePackage,
    TextClaim,
    TrackName,
    computation_id,
)
from kimera.missions.control.playbook import FuseRequest, IngestRequest, Playbook, register_playbook
from kimera.missions.track import Phase, State, TrackContext

Hook = Callable[[str, str, str, int], None]
"""Told (moment, mission, step, attempt); moment is begin or end."""

RESEARCH_PHASES = ("explore", "plan", "batch", "synthesize")
ANALYSIS_PHASES = ("analyze", "code", "verify", "finalize")


def _silent(moment: str, mission_id: str, step: str, attempt: int) -> None:
    return None


def ingest(request: IngestRequest) -> Library:
    """Read every text file of the folder as one document."""
    sources, documents = [], []
    files = sorted(path for path in request.folder.iterdir() if path.is_file())
    for number, path in enumerate(files):
        data = path.read_bytes()
        text = data.decode("utf-8")
        source = Source(id=hashlib.sha256(data).hexdigest(), name=path.name, kind="document", size=len(data))
        sources.append(source)
        documents.append(Document(source_id=source.id, title=path.name, text=request.blobs.put(data), length=len(text)))
        request.progress("reading", number + 1, len(files))
    return Library(
        knowledge_space=request.knowledge_space,
        folder=str(request.folder),
        sources=tuple(sources),
        tables=(),
        documents=tuple(documents),
    )


def quote(context: TrackContext, document: Document) -> TextClaim:
    """Return the first line of a document as a claim."""
    line = context.blobs.get(document.text).decode().split("\n", 1)[0]
    digest = hashlib.sha256(line.encode()).hexdigest()
    span = Span(source_id=document.source_id, start=0, end=len(line), quote=line, quote_sha256=digest)
    return TextClaim(
        id=f"t_{digest[:12]}", track="deep_research", created_at=context.started_at, statement=line, spans=(span,)
    )


def count(context: TrackContext, document: Document) -> tuple[NumberClaim, Computation]:
    """Return the number of lines of a document as a claim and its computation."""
    lines = context.blobs.get(document.text).decode().count("\n")
    code = "result = text.count('\\n')"
    identity = computation_id(code, (document.source_id,), {})
    claim = NumberClaim(
        id=f"n_{identity[2:14]}",
        track="ds_star",
        created_at=context.started_at,
        statement=f"{document.title} has {lines} lines",
        value=lines,
        computation_id=identity,
    )
    return claim, Computation(id=identity, code=code, inputs=(), result=lines)


class SmallTrack:
    """A track over text files: every phase folds what it saw into its state, the last one packs."""

    def __init__(
        self,
        name: TrackName,
        phases: tuple[str, ...],
        hook: Hook = _silent,
        handoff: bool = False,
        shows_after: str | None = None,
    ) -> None:
        self.shows_after = shows_after
        self.name = name
        self.hook = hook
        self.handoff = handoff
        self.last = phases[-1]
        self.phases = tuple(Phase(phase, self._phase(phase)) for phase in phases)

    def _phase(self, phase: str) -> Callable[[TrackContext, State], State]:
        def run(context: TrackContext, state: State) -> State:
            step = f"{self.name}:{phase}"
            self.hook("begin", context.mission_id, step, context.attempt)
            context.emit("plan.step", {"step": phase, "kind": "phase", "goal": f"{len(context.library.sources)} files"})
            after: State = {**state, "seen": [*state.get("seen", []), phase]}
            after["inbox"] = [*state.get("inbox", []), *(handoff.text for handoff in context.inbox)]
            if phase == self.last:
                after["package"] = self._package(context).model_dump(mode="json")
            self.hook("end", context.mission_id, step, context.attempt)
            return after

        return run

    def _package(self, context: TrackContext) -> Package:
        if self.name == "deep_research":
            claims = tuple(quote(context, document) for document in context.library.documents)
            return ResearchEvidencePackage(attempt=context.attempt, question=context.question, claims=claims)
        pairs = [count(context, document) for document in context.library.documents]
        return AnalyticalReportPackage(
            attempt=context.attempt,
            question=context.question,
            claims=tuple(claim for claim, _ in pairs),
            computations=tuple(computation for _, computation in pairs),
        )

    def partial(self, context: TrackContext, state: State) -> Package | None:
        """Return the package as soon as two phases are done."""
        return self._package(context) if len(state.get("seen", [])) >= 2 else None

    def outbox(self, state: State) -> tuple[Handoff, ...]:
        """Offer one source to the other track, once."""
        if not self.handoff:
            return ()
        return (Handoff(kind="sources_offered", sender=self.name, text=f"from {self.name}"),)


def fuse(request: FuseRequest) -> MissionOutcomePackage:
    """Put the claims of both packages one after the other."""
    claims: list[Any] = []
    computations: tuple[Computation, ...] = ()
    if request.research is not None:
        claims += request.research.claims
    if request.analysis is not None:
        claims += request.analysis.claims
        computations = request.analysis.computations
    return MissionOutcomePackage(
        mission_id=request.mission_id,
        session_id=request.session_id,
        knowledge_space=request.knowledge_space,
        question=request.question,
        folder=request.folder,
        version=1 if request.previous is None else request.previous.version + 1,
        created_at=request.created_at,
        partial=request.partial,
        degraded=request.degraded,
        track_status=request.track_status,
        findings=tuple(Finding(text=claim.statement, claims=(claim.id,)) for claim in claims),
        claims=tuple(claims),
        sources=request.library.sources,
        library=request.library_blob,
        computations=computations,
    )


def playbook(
    name: str = "small",
    hook: Hook = _silent,
    research: tuple[str, ...] = RESEARCH_PHASES,
    analysis: tuple[str, ...] = ANALYSIS_PHASES,
    handoff: bool = False,
    shows_after: str | None = None,
) -> Playbook:
    """Make, register and return a small playbook; research shows a first look after the phase ``shows_after``."""
    tracks = {
        "deep_research": SmallTrack("deep_research", research, hook, handoff, shows_after),
        "ds_star": SmallTrack("ds_star", analysis, hook, handoff),
    }
    made = Playbook(name, lambda track: tracks[track], ingest, fuse)
    register_playbook(made)
    return made


def empty_playbook() -> Playbook:
    """Make, register and return the playbook whose tracks have one phase that packs nothing."""
    return playbook("empty", research=("synthesize",), analysis=("finalize",))
