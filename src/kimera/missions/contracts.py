"""The packages that travel between the tracks, fusion, the report and verification.

Every model is frozen, refuses unknown fields and non-finite numbers, and is JSON-safe. ``Source`` and ``Span`` come
from the librarian and are re-exported here.
"""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, JsonValue

from kimera.knowledge.contracts import Degraded, Frozen, Source, Span
from kimera.storage.blobs import canonical_json

__all__ = [
    "About",
    "Agreement",
    "AnalyticalReportPackage",
    "Chart",
    "Claim",
    "Computation",
    "ComputationInput",
    "Conflict",
    "ConflictKind",
    "Cost",
    "Degraded",
    "Finding",
    "FusionInputPackage",
    "Gap",
    "Handoff",
    "MissionOptions",
    "MissionOutcomePackage",
    "MissionState",
    "NotComparable",
    "NumberClaim",
    "Package",
    "ReportChange",
    "ResearchEvidencePackage",
    "Source",
    "Span",
    "SubQuestion",
    "Tau",
    "TextClaim",
    "TrackName",
    "TrackStatus",
    "computation_id",
    "fingerprint",
]

TrackName = Literal["deep_research", "ds_star"]
TrackStatus = Literal["pending", "running", "done", "failed", "cancelled", "skipped"]
MissionState = Literal["PENDING", "RUNNING", "FUSION", "DONE", "FAILED", "CANCELLED"]
ConflictKind = Literal["factual", "temporal", "scope", "method", "numeric"]

VOLATILE = frozenset({"created_at", "seconds", "finished_at", "trace_id", "cost", "sandbox_level", "attempt"})
"""Fields that may differ between two runs of the same mission without the packages being different."""


def fingerprint(value: Frozen | dict[str, Any] | list[Any]) -> str:
    """Return the sha256 of a package without its `VOLATILE` fields: equal means the same findings."""
    data = value.model_dump(mode="json") if isinstance(value, Frozen) else value
    return hashlib.sha256(canonical_json(_stable(data))).hexdigest()


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_stable(item) for item in value]
    return value


class MissionOptions(Frozen):
    """What a person may ask of a mission. ``deadline`` is seconds; ``model`` None means offline."""

    budget_usd: Decimal = Decimal(0)
    model: str | None = None
    deadline: float = 900.0
    tracks: tuple[TrackName, ...] = ("deep_research", "ds_star")
    price_unknown_ok: bool = False


class Tau(Frozen):
    """Calibrated probability of a stated event; ``value`` None means it could not be judged (level CRITICAL)."""

    value: float | None
    event: str
    calibration: str | None = None
    level: Literal["LOW", "MID", "HIGH", "CRITICAL"]
    caps: tuple[str, ...] = ()
    contradiction_checked: bool = False


class About(Frozen):
    """What a claim speaks about; claims are aligned when these agree. All parts are optional and normalised text."""

    entity: str | None = None
    attribute: str | None = None
    period: str | None = None
    unit: str | None = None
    scope: dict[str, str] = Field(default_factory=dict)
    value: float | str | None = Field(default=None, description="The asserted value, when one could be read off.")


class ComputationInput(Frozen):
    """A table a computation reads: ``name`` is how the code calls it, ``source_id`` the file behind it."""

    name: str
    source_id: str
    table: str


class Computation(Frozen):
    """Code that ran, what it read and what it returned. ``result`` is JSON; ``seconds`` wall time."""

    id: str
    language: Literal["python", "sql"] = "python"
    title: str = ""
    code: str
    inputs: tuple[ComputationInput, ...]
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    result: JsonValue
    rows_read: int = 0
    rows_used: int = 0
    sandbox_level: Literal["none", "reduced", "full"] = "none"
    seconds: float = 0.0
    reproduced: bool | None = None


def computation_id(code: str, source_ids: tuple[str, ...], parameters: dict[str, Any]) -> str:
    """Return the id of a computation: ``c_`` + 20 hex digits of sha256 over code, input source ids and parameters."""
    digest = hashlib.sha256(canonical_json([code, list(source_ids), parameters])).hexdigest()
    return f"c_{digest[:20]}"


class _ClaimFields(Frozen):
    id: str
    statement: str
    about: About = About()
    tau: Tau | None = None
    track: TrackName
    attempt: int = 1
    created_at: AwareDatetime
    relevance: float = 0.0
    dated: date | None = None
    role: Literal["answer", "finding", "context"] = "finding"
    sub_question: str | None = None


class TextClaim(_ClaimFields):
    """A sentence that rests on exact spans. ``stance`` is towards the question or sub-question."""

    kind: Literal["text"] = "text"
    spans: tuple[Span, ...] = Field(min_length=1)
    stance: Literal["supports", "refutes", "mentions"] = "mentions"


class NumberClaim(_ClaimFields):
    """A sentence whose value was computed. ``path`` says where in the computation's result the value stands."""

    kind: Literal["number"] = "number"
    value: float | int | bool | str
    unit: str | None = None
    computation_id: str
    path: tuple[str | int, ...] = ()
    slot: str | None = Field(default=None, description="Name of the requested answer, when the question names one.")
    interval: tuple[float, float] | None = None
    n: int | None = None
    p_value: float | None = None
    p_adjusted: float | None = None


Claim = Annotated[TextClaim | NumberClaim, Field(discriminator="kind")]


class SubQuestion(Frozen):
    """One facet of the question and how well the sources cover it (0..1)."""

    id: str
    text: str
    coverage: float
    claims: tuple[str, ...] = ()


class Gap(Frozen):
    """Something that was asked and not answered, or a file that could not be used."""

    kind: Literal["uncovered", "unread_source", "unanswered", "dropped_rows", "deadline", "other"]
    text: str
    source_id: str | None = None


class Handoff(Frozen):
    """A message from one track to the other; at most one round each way."""

    kind: Literal["sources_offered", "evidence_request"]
    sender: TrackName
    text: str
    payload: dict[str, JsonValue] = Field(default_factory=dict)


class Cost(Frozen):
    """What was spent. Offline missions spend nothing."""

    usd: Decimal = Decimal(0)
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0


class Chart(Frozen):
    """A chart as Vega-Lite data plus an SVG drawing for readers without a renderer."""

    claim_id: str
    title: str
    vega_lite: dict[str, JsonValue]
    svg: str = ""


class Agreement(Frozen):
    """Claims from different sources that say the same."""

    claims: tuple[str, ...]
    text: str


class Conflict(Frozen):
    """Claims that cannot all hold. ``current`` is the claim chosen as the current value, if one supersedes."""

    id: str
    kind: ConflictKind
    claims: tuple[str, ...] = Field(min_length=2)
    text: str
    current: str | None = None
    reason: str | None = None


class NotComparable(Frozen):
    """Claims that look alike but speak of different things; ``reason`` says which."""

    claims: tuple[str, ...]
    reason: str


class ResearchEvidencePackage(Frozen):
    """What the research track delivers."""

    schema_version: Literal[1] = 1
    track: Literal["deep_research"] = "deep_research"
    attempt: int = 1
    question: str
    scope: str = ""
    sub_questions: tuple[SubQuestion, ...] = ()
    claims: tuple[Claim, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    source_notes: dict[str, str] = Field(default_factory=dict)
    hypotheses: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    handoffs: tuple[Handoff, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    notes: tuple[str, ...] = ()
    cost: Cost = Cost()


class AnalyticalReportPackage(Frozen):
    """What the analysis track delivers. ``tests_run`` counts every hypothesis test behind the adjusted p-values."""

    schema_version: Literal[1] = 1
    track: Literal["ds_star"] = "ds_star"
    attempt: int = 1
    question: str
    tables: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    computations: tuple[Computation, ...] = ()
    charts: tuple[Chart, ...] = ()
    tests_run: int = 0
    verification: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    handoffs: tuple[Handoff, ...] = ()
    degraded: tuple[Degraded, ...] = ()
    notes: tuple[str, ...] = ()
    cost: Cost = Cost()


Package = Annotated[ResearchEvidencePackage | AnalyticalReportPackage, Field(discriminator="track")]


class FusionInputPackage(Frozen):
    """What fusion works on: the packages present, where the tracks stand, and how their claims line up."""

    schema_version: Literal[1] = 1
    research: ResearchEvidencePackage | None = None
    analysis: AnalyticalReportPackage | None = None
    track_status: dict[TrackName, TrackStatus] = Field(default_factory=dict)
    agreements: tuple[Agreement, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    not_comparable: tuple[NotComparable, ...] = ()


class Finding(Frozen):
    """One or more sentences of the report and the claims they rest on; without a claim there is no sentence."""

    text: str
    claims: tuple[str, ...] = Field(min_length=1)
    label: str = ""


class ReportChange(Frozen):
    """What changed against the version before."""

    added: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    conflicts_opened: tuple[str, ...] = ()
    conflicts_resolved: tuple[str, ...] = ()


class MissionOutcomePackage(Frozen):
    """The report as data; every rendering is made from this and nothing else."""

    schema_version: Literal[1] = 1
    mission_id: str
    session_id: str
    knowledge_space: str
    question: str
    folder: str
    version: int
    created_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    partial: bool = False
    degraded: tuple[Degraded, ...] = ()
    track_status: dict[TrackName, TrackStatus] = Field(default_factory=dict)
    summary: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()
    claims: tuple[Claim, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    not_comparable: tuple[NotComparable, ...] = ()
    gaps: tuple[Gap, ...] = ()
    assumptions: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    method: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    library: str | None = Field(default=None, description="Blob name of the library the mission read.")
    computations: tuple[Computation, ...] = ()
    charts: tuple[Chart, ...] = ()
    safeguard: dict[str, JsonValue] | None = None
    tau: Tau | None = None
    cost: Cost = Cost()
    trace_id: str | None = None
    change: ReportChange | None = None

    def claim(self, claim_id: str) -> TextClaim | NumberClaim:
        """Return the claim with this id; KeyError if there is none."""
        for claim in self.claims:
            if claim.id == claim_id:
                return claim
        raise KeyError(claim_id)
