"""What the memory routes take. Symbols, emotives and options are checked by the room, which has errors for them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

__all__ = [
    "Asked",
    "Edited",
    "Erased",
    "Expired",
    "Extended",
    "Followed",
    "Forgotten",
    "Ingest",
    "LearnAsked",
    "NewSession",
    "Observation",
    "OutcomeGiven",
    "Sequence",
    "Undone",
]

Schema = dict[str, Any]

SYMBOL: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
VECTOR: Schema = {"type": "array", "items": {"type": "number"}, "minItems": 1}
NULL: Schema = {"type": "null"}
AMOUNT: Schema = {"type": "number", "minimum": 0}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
EVENT: Schema = {"type": "array", "items": {"anyOf": [SYMBOL, VECTOR]}}
NUMBERS: Schema = {"type": "object", "additionalProperties": {"type": "number"}}
OUTCOME: Schema = {
    "type": "object",
    "properties": {"utility": {"anyOf": [SHARE, NULL]}, "cost": {"anyOf": [AMOUNT, NULL]}},
    "additionalProperties": False,
    "minProperties": 1,
}

Strings = Annotated[Any, WithJsonSchema({"type": "array", "items": SYMBOL, "maxItems": 10_000})]
Vectors = Annotated[Any, WithJsonSchema({"type": "array", "items": VECTOR})]
Emotives = Annotated[Any, WithJsonSchema({"anyOf": [NUMBERS, NULL]})]
Metadata = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "object", "additionalProperties": True}, NULL]})]
Events = Annotated[Any, WithJsonSchema({"type": "array", "items": EVENT})]
Name = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "string", "maxLength": 1_024}, NULL]})]
Held = Annotated[Any, WithJsonSchema({"anyOf": [SYMBOL, NULL]})]
Flag = Annotated[Any, WithJsonSchema({"type": "boolean"})]
Options = Annotated[Any, WithJsonSchema({"type": "object", "additionalProperties": True})]
Seconds = Annotated[Any, WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, NULL]})]
Outcome = Annotated[Any, WithJsonSchema({"anyOf": [OUTCOME, NULL]})]
Utility = Annotated[Any, WithJsonSchema({"anyOf": [SHARE, NULL]})]
Cost = Annotated[Any, WithJsonSchema({"anyOf": [AMOUNT, NULL]})]


class Taken(BaseModel):
    """One shape of this interface; unknown fields and other types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Observation(Taken):
    """What was observed together."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"strings": ["test"], "vectors": [], "emotives": {}}]})

    strings: Strings = Field(default=(), description="Symbols.")
    vectors: Vectors = Field(default=(), description="Vectors; each becomes one symbol.")
    emotives: Emotives = Field(default=None, description="Numbers by name.")
    metadata: Metadata = Field(default=None, description="Any JSON values by key, at most 64 KiB.")
    unique_id: Name = Field(default=None, description="Your name for this observation; the same again changes nothing.")
    source: Name = Field(default=None, description="Where it comes from.")
    predict: Flag = Field(default=False, description="Answer with predictions as well.")
    guard: Flag = Field(default=False, description="Answer with the guard's verdict as well.")


class Sequence(Taken):
    """Many observations, all or none of them."""

    observations: Annotated[list[Observation], Field(json_schema_extra={"maxItems": 10_000})]
    learn_after_each: bool = False
    learn_at_end: bool = False
    clear_stm_between: bool = False


class NewSession(Taken):
    """A session to be made, or the one that is there."""

    memory: Name = Field(default=None, description="The memory it is on; made when absent.")
    node_id: Name = Field(default=None, description="The same under KATO's name.")
    session_id: Name = Field(default=None, description="Your name for it; unset: a new one.")
    config: Options = Field(default_factory=dict, description="Options of this session.")
    metadata: Metadata = None
    ttl_seconds: Seconds = None


class Extended(Taken):
    """How long a session shall live from now."""

    ttl_seconds: Seconds = None


class LearnAsked(Taken):
    """What comes with learning the short-term memory."""

    outcome: Outcome = None
    source: Name = None
    ttl_seconds: Seconds = None


class Asked(BaseModel):
    """Events to compare; every other field is an option of recall."""

    model_config = ConfigDict(
        extra="allow", frozen=True, strict=True, json_schema_extra={"examples": [{"events": [["b"], ["c"]]}]}
    )
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    events: Events
    at_least_seq: Annotated[int, Field(ge=0, le=10**15)] | None = None


class Followed(Asked):
    """Events to continue; every other field is an option of the next-event distribution."""


class Edited(Taken):
    """A pattern's new content."""

    events: Events


class Erased(Taken):
    """Which episodes: those that match every selector given; at least one is needed."""

    pattern: Name = None
    source: Name = None
    session: Name = None
    symbol: Held = None
    before: Annotated[str | float | None, Field(description="ISO 8601 instant or seconds since 1970.")] = None
    episodes: Annotated[list[int], Field(max_length=10_000)] | None = None


class Forgotten(Erased):
    """Which episodes to forget; with ``dry_run`` they are only counted."""

    dry_run: bool = False


class Undone(Taken):
    """The log record to void."""

    seq: Annotated[int, Field(ge=0, le=10**15)]


class Expired(Taken):
    """Until when episodes count as expired; unset: now."""

    now: Annotated[float, Field(ge=0, le=4e9)] | None = None


class OutcomeGiven(Taken):
    """How the newest episode of a pattern turned out."""

    pattern: str = Field(max_length=1_024)
    utility: Utility = None
    cost: Cost = None


class Ingest(Taken):
    """Recorded traces."""

    records: Annotated[list[JsonValue], Field(max_length=10_000)]
    format: str = Field(max_length=32, description="otlp, openai, anthropic, mcp or kimera.", examples=["otlp"])
    source: Name = None
    learn: bool = True
    attributes: Annotated[list[str], Field(max_length=200)] | None = None
    outcome: Outcome = None
