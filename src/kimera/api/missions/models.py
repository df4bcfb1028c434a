"""What the mission routes take and give: frozen, no unknown fields, every text bounded."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kimera.missions.contracts import MissionState, TrackName, TrackStatus
from kimera.missions.control import Brief, MissionEvent, MissionRow, Version
from kimera.missions.verify import ClaimCheck, ComputationCheck, SourceCheck

__all__ = [
    "EndView",
    "EventView",
    "MissionPage",
    "MissionView",
    "NewMission",
    "Question",
    "RetryAsked",
    "Ticket",
    "VerificationView",
    "VersionPage",
    "VersionView",
    "Wishes",
]

# no control characters: some stores cannot hold them, no question needs them; at least one character to be read
ANY = r"[^\x00-\x08\x0b-\x1f\x7f]*"
QUESTION = rf"^{ANY}[^\s\x00-\x1f\x7f]{ANY}$"
Question = Annotated[str, StringConstraints(min_length=1, max_length=4_000, pattern=QUESTION)]
FolderName = Annotated[str, StringConstraints(min_length=1, max_length=1_024, pattern=r"^[^\x00-\x1f\x7f]+$")]
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
Money = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]
Tracks = Annotated[tuple[TrackName, ...], Field(min_length=1, max_length=2)]


class View(BaseModel):
    """One shape of this interface."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Wishes(View):
    """What may be asked of a mission, wherever its files come from."""

    question: Question = Field(description="What is to be found out.", examples=["Which factors go with body mass?"])
    deadline: float | None = Field(
        default=None, gt=0, le=604_800, description="Seconds it may take; unset: the server's own."
    )
    budget_usd: Money | None = Field(default=None, description="Most money it may spend; unset: the server's own.")
    tracks: Tracks = Field(default=("deep_research", "ds_star"), description="Which tracks run.")
    session_id: Label = Field(default="default", description="Groups missions that belong together.")
    knowledge_space: Label = Field(default="default", description="Names the body of documents they share.")


class NewMission(Wishes):
    """A mission over a folder of the server."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": "Which factors go with higher body mass?", "folder": "penguins"}]}
    )

    folder: FolderName = Field(
        description="A folder of the server inside those its operator allows (KIMERA_FOLDERS); relative names are "
        "looked up in each of them."
    )


class TrackView(View):
    """Where one track stands."""

    status: TrackStatus
    attempt: int = Field(description="Number of its latest attempt; 0: never dispatched.")


class DegradedView(View):
    """Why the report is less than it could be."""

    cause: str
    text: str


class FailureView(View):
    """Why a mission failed."""

    code: str
    type: str
    text: str


class CostView(View):
    """What was spent so far."""

    usd: Decimal
    input_tokens: int
    output_tokens: int
    calls: int


class MissionView(View):
    """A mission and where it stands."""

    mission_id: str
    question: str
    folder: str
    session_id: str
    knowledge_space: str
    state: MissionState
    tracks: dict[TrackName, TrackView]
    version: int = Field(description="Newest version of the report; 0: none yet.")
    partial: bool = Field(description="The newest report misses something that was asked for.")
    degraded: tuple[DegradedView, ...]
    round: int = Field(description="How often it was retried.")
    cancel_requested: bool
    error: FailureView | None
    cost: CostView
    events: int = Field(description="Number of its events; the id of the last one.")
    created_at: datetime
    started_at: datetime | None
    first_report_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime

    @classmethod
    def of(cls, row: MissionRow, brief: Brief) -> MissionView:
        """Return what a caller sees of a mission."""
        failed = row.error_code is not None
        return cls(
            mission_id=row.mission_id,
            question=brief.question,
            folder=brief.folder,
            session_id=row.session_id,
            knowledge_space=row.knowledge_space,
            state=row.state,  # type: ignore[arg-type]
            tracks={
                name: TrackView(status=status, attempt=row.attempt(name))  # type: ignore[arg-type, misc]
                for name, status in row.track_status.items()
            },
            version=row.version,
            partial=row.partial,
            degraded=tuple(DegradedView(cause=cause, text=text) for cause, text in row.degraded),
            round=row.round,
            cancel_requested=row.cancel_requested,
            error=FailureView(code=row.error_code or "", type=row.error_type or "", text=row.error_text or "")
            if failed
            else None,
            cost=CostView(
                usd=Decimal(f"{row.cost_usd.normalize():f}"),
                input_tokens=row.input_tokens,
                output_tokens=row.output_tokens,
                calls=row.calls,
            ),
            events=row.seq,
            created_at=_moment(row.created_at),
            started_at=_moment_or_none(row.started_at),
            first_report_at=_moment_or_none(row.first_report_at),
            finished_at=_moment_or_none(row.finished_at),
            updated_at=_moment(row.updated_at),
        )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


class MissionPage(View):
    """One page of missions, newest first."""

    items: tuple[MissionView, ...]
    next: str | None = Field(description="Give this as `cursor` to get the next page; null: this was the last one.")


class VersionView(View):
    """One immutable version of a report."""

    version: int
    partial: bool
    reason: str = Field(description="Why it was made: tracks, first_look, partial_due, deadline, stop.")
    created_at: datetime
    artifact: str = Field(description="sha256 of the report as JSON; /api/artifacts/{sha256} gives it.")

    @classmethod
    def of(cls, version: Version) -> VersionView:
        """Return what a caller sees of a version."""
        return cls(
            version=version.version,
            partial=version.partial,
            reason=version.reason,
            created_at=_moment(version.created_at),
            artifact=version.blob,
        )


class VersionPage(View):
    """Every version of a mission's report, oldest first."""

    items: tuple[VersionView, ...]


class RetryAsked(View):
    """Which track to run again."""

    track: TrackName | None = Field(default=None, description="Unset: every track that failed.")


class EventView(View):
    """One event of a mission; `seq` is also the id of the stream's event."""

    seq: int
    at: datetime
    type: str = Field(description="As listed in the catalogue of events, e.g. `track.finished`.")
    track: str | None
    attempt: int | None
    payload: dict[str, Any] = Field(description="Ids, counts and codes; never text of documents or prompts.")

    @classmethod
    def of(cls, event: MissionEvent) -> EventView:
        """Return what a caller sees of an event."""
        return cls(
            seq=event.seq,
            at=event.at,
            type=event.type,
            track=event.track,
            attempt=event.attempt,
            payload=event.payload,
        )


class EndView(View):
    """The last thing a stream says, in an event named `end`: where the mission ended up."""

    state: MissionState | None = None
    version: int | None = Field(default=None, description="Newest version of its report.")


class Ticket(View):
    """Opens one event stream, once, for a caller that cannot send headers (EventSource)."""

    ticket: str
    expires_at: datetime = Field(description="Use it before; it lives at most 60 seconds.")
    url: str = Field(description="Where to use it.", examples=["/api/missions/m1abc/events?ticket=t..."])


class VerificationView(View):
    """Whether a report still holds: every number computed again, every quotation read again."""

    mission_id: str
    version: int
    holds: bool = Field(description="Everything is as the report says.")
    summary: str
    claims: tuple[ClaimCheck, ...]
    sources: tuple[SourceCheck, ...]
    computations: tuple[ComputationCheck, ...]
    problems: tuple[str, ...] = Field(description="Faults of the report itself.")
    seconds: float
