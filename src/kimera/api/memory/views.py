"""What the memory routes give where the room has no record of its own for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

__all__ = [
    "Affinities",
    "ConfigView",
    "Count",
    "Done",
    "Existing",
    "LearnedView",
    "LogPage",
    "LogRecordView",
    "Measures",
    "SessionView",
    "StateHash",
    "StmView",
    "SymbolPage",
    "SymbolShown",
]


class View(BaseModel):
    """One shape of this interface."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SessionView(View):
    """A session."""

    session_id: str
    memory: str
    node_id: str = Field(description="The memory's name, as KATO calls it.")
    time: int = Field(description="Observations counted, empty ones too.")
    created_at: float = Field(description="Seconds since 1970.")
    expires_at: float = Field(description="Seconds since 1970.")
    metadata: dict[str, JsonValue]
    config: dict[str, dict[str, JsonValue]]


class Existing(View):
    """Whether a session is there."""

    exists: bool
    expired: bool


class Count(View):
    """How many."""

    count: int


class Done(View):
    """It is done; ``seq`` is the log record that says so, None where nothing was written."""

    status: str = "okay"
    seq: int | None = None


class ConfigView(View):
    """Options with their values and where these come from."""

    config: dict[str, dict[str, JsonValue]]


class StmView(View):
    """A short-term memory, oldest event first."""

    stm: list[list[str]]
    length: int


class LearnedView(View):
    """A learned pattern, under its id, its name and the name KATO's users know."""

    id: str
    name: str
    seq: int
    new: bool
    frequency: int
    length: int
    status: str
    pattern_name: str = Field(examples=["PTRN|08765292ef1217264602ed4b06d2cddbe94fba09"])


class SymbolShown(View):
    """One symbol: how many patterns hold it, how often it was learned."""

    symbol: str
    patterns: int
    occurrences: int


class SymbolPage(View):
    """Symbols by code point."""

    symbols: list[SymbolShown]


class Affinities(View):
    """Affinity per emotive, for one symbol or for each that has one."""

    affinity: dict[str, JsonValue]


class LogRecordView(View):
    """One record of the log; its body is null where it was erased."""

    seq: int
    kind: str
    at: str
    source: str
    session: str | None
    unique_id: str | None
    pattern: str | None
    body: dict[str, JsonValue] | None
    hash: str


class LogPage(View):
    """Records of the log in order; ``after`` is where the next page begins, None at the end."""

    records: list[LogRecordView]
    after: int | None


class StateHash(View):
    """The identity of what is known, and the log record up to which."""

    state_hash: str = Field(examples=["s1:3247001b5a776a6b9eb646a9c2bb919d7a946c3c69a4ec3e361e2b0b21b767aa"])
    seq: int


class Measures(View):
    """Figures by name."""

    measures: dict[str, Any]
