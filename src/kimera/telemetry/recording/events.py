"""Mission events: a closed catalogue of frozen payloads; the structured reasoning trace of a mission.

Payloads hold ids, hashes, counts and codes; there is no field for a prompt, a completion or document text. Strings
have at most 280 characters, a payload at most 4 KiB of JSON. `parse` is strict and is what our own code uses;
`coerce` takes what a track emitted, trims it to the catalogue and says None for what does not belong.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from kimera.telemetry.recording.recorder import active

__all__ = ["CATALOGUE", "PAYLOAD_BYTES", "TEXT_LIMIT", "MissionEvent", "Payload", "coerce", "parse"]

TEXT_LIMIT = 280
PAYLOAD_BYTES = 4096
PROSE = frozenset({"text", "goal", "sub_question"})
"""Fields written for a person; the others are ids, hashes, codes and counts."""

Text = Annotated[str, StringConstraints(max_length=TEXT_LIMIT)]
Names = Annotated[tuple[Text, ...], Field(max_length=40)]
Step = Text | int


class Payload(BaseModel):
    """What one type of event may say."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MissionCreated(Payload):
    """A mission was accepted, in ``seconds``; ``brief`` is the sha256 of its question, folder and options."""

    session_id: Text
    knowledge_space: Text
    brief: Text
    seconds: float | None = None


class MissionStateChanged(Payload):
    """The mission went from one state to another; ``seconds`` is what deciding and recording it took."""

    old: Text
    new: Text
    reason: Text = ""
    round: int = 0
    seconds: float | None = None


class TrackDispatched(Payload):
    """An attempt of a track was handed to a worker."""

    round: int = 0


class TrackStarted(Payload):
    """An attempt began its first phase."""

    phases: Names = ()


class TrackRetry(Payload):
    """A phase failed in a way that may pass and is tried again after ``delay`` seconds; ``module`` is whose error."""

    phase: Text
    number: int
    error_type: Text
    error_code: Text
    module: Text = ""
    delay: float = 0.0


class TrackFinished(Payload):
    """An attempt delivered a package; ``package`` is its blob."""

    package: Text
    claims: int = 0
    partial: bool = False


class TrackFailed(Payload):
    """An attempt ended without a whole package."""

    status: Literal["failed", "cancelled", "skipped"] = "failed"
    error_type: Text = ""
    error_code: Text = ""
    module: Text = ""
    text: Text = ""
    attempts: int = 1
    last_step: Text = ""


class PlanStep(Payload):
    """A step was planned or reached; ``kind`` names its sort, ``goal`` says it for a person."""

    step: Step = ""
    kind: Text = ""
    inputs: Names = ()
    goal: Text = ""


class HypothesisProposed(Payload):
    """A hypothesis was put forward for the other track."""

    id: Text = ""
    kind: Text = ""
    goal: Text = ""


class CodeAttempt(Payload):
    """Code was run for a step."""

    step: Step = ""
    number: int = 1
    computation_id: Text = ""
    code_hash: Text = ""
    status: Text = ""
    error_code: Text = ""
    seconds: float = 0.0


class VerifierVerdict(Payload):
    """A verifier judged a step."""

    step: Step = ""
    sufficient: bool = False
    reason_code: Text = ""
    missing: Names = ()
    checks_failed: Names = ()
    result_hash: Text = ""


class RouteDecision(Payload):
    """What is done next, and why."""

    from_step: Step = ""
    action: Literal["add_step", "backtrack_to", "finish"]
    to_step: Step = ""
    reason_code: Text = ""


class Handed(Payload):
    """A track left something in the other track's mailbox."""

    kind: Text = ""
    count: int = 1
    ids: Names = ()


class EvidenceFound(Payload):
    """Evidence was found for a sub-question."""

    sub_question: Text = ""
    source_id: Text = ""
    claim_id: Text = ""
    count: int = 1


class ClaimChecked(Payload):
    """A claim was checked against its source or computation."""

    claim_id: Text = ""
    ok: bool = True
    reason_code: Text = ""
    tau: float | None = None


class ConflictFound(Payload):
    """Claims were found that cannot all hold."""

    conflict_id: Text = ""
    kind: Text = ""
    claims: Names = ()


class ReportVersion(Payload):
    """A version of the report was stored; ``blob`` is the outcome package."""

    version: int
    blob: Text
    partial: bool = False
    reason: Text = ""
    claims: int = 0


class BudgetReserve(Payload):
    """Money was set aside before a call."""

    ticket: Text
    usd: Decimal


class BudgetSettle(Payload):
    """A call was paid."""

    ticket: Text
    usd: Decimal
    input_tokens: int = 0
    output_tokens: int = 0


class BudgetAction(Payload):
    """The budget made the mission cheaper or stopped it."""

    scope: Literal["mission", "day"]
    action: Literal["downgrade", "stop"]
    reason_code: Text = ""


class DegradedBy(Payload):
    """The answer is less than it could be."""

    cause: Text
    text: Text = ""


class SafeguardDecision(Payload):
    """What the safeguard decided about the report."""

    decision: Text
    level: Text = ""
    rules: Names = ()


class HumanDecision(Payload):
    """A person intervened."""

    action: Literal["cancel", "stop", "retry", "resume"]
    track: Text = ""


class MissionFinished(Payload):
    """The mission ended."""

    state: Text
    version: int = 0
    partial: bool = False
    error_code: Text = ""
    error_type: Text = ""
    module: Text = ""
    text: Text = ""


CATALOGUE: dict[str, type[Payload]] = {
    "mission.created": MissionCreated,
    "mission.state": MissionStateChanged,
    "track.dispatched": TrackDispatched,
    "track.started": TrackStarted,
    "track.retry": TrackRetry,
    "track.finished": TrackFinished,
    "track.failed": TrackFailed,
    "plan.step": PlanStep,
    "hypothesis.proposed": HypothesisProposed,
    "code.attempt": CodeAttempt,
    "verifier.verdict": VerifierVerdict,
    "route.decision": RouteDecision,
    "handoff.offered": Handed,
    "handoff.requested": Handed,
    "evidence.found": EvidenceFound,
    "claim.checked": ClaimChecked,
    "conflict.found": ConflictFound,
    "report.version": ReportVersion,
    "budget.reserve": BudgetReserve,
    "budget.settle": BudgetSettle,
    "budget.action": BudgetAction,
    "degraded": DegradedBy,
    "safeguard.decision": SafeguardDecision,
    "human.decision": HumanDecision,
    "mission.finished": MissionFinished,
}


class MissionEvent(BaseModel):
    """One stored event. ``seq`` counts from 1 without gaps within a mission; ``at`` is UTC.

    ``request_id`` is that of the request in whose name it happened.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mission_id: str
    seq: int
    at: datetime
    type: str
    track: str | None = None
    attempt: int | None = None
    request_id: str | None = None
    payload: dict[str, Any] = Field(default_factory=dict)


def parse(event_type: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the payload as JSON-safe data without secrets, as it may be stored.

    Raises KeyError for a type, ValidationError for a field that is not listed.
    """
    checked = CATALOGUE[event_type].model_validate(payload).model_dump(mode="json")
    return active().redaction.payload(checked, PROSE)


def coerce(event_type: str, payload: dict[str, Any]) -> dict[str, Any] | None:
    """Return the part of ``payload`` the catalogue knows, strings trimmed; None when nothing valid is left."""
    model = CATALOGUE.get(event_type)
    if model is None:
        return None
    known = {name: _trim(value) for name, value in payload.items() if name in model.model_fields}
    try:
        checked = model.model_validate(known)
    except ValidationError:
        return None
    return checked.model_dump(mode="json") if len(checked.model_dump_json()) <= PAYLOAD_BYTES else None


def _trim(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[: TEXT_LIMIT - 1] + "…"
    if isinstance(value, list | tuple):
        return tuple(_trim(item) for item in value[:40])
    return value
