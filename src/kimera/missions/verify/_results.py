"""What verification says: one line per claim, one per file, and what does not fit."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, NamedTuple

from pydantic import JsonValue

from kimera.knowledge.contracts import Frozen

__all__ = ["ClaimCheck", "ClaimStatus", "ComputationCheck", "Row", "SourceCheck", "Verification", "render_table"]

ClaimStatus = Literal["ok", "changed_source", "missing_source", "different_value", "different_text", "failed"]
SourceStatus = Literal["same", "moved", "changed", "missing"]

WORDS: dict[ClaimStatus, str] = {
    "different_value": "have a different value now",
    "different_text": "have a quotation that is not there any more",
    "failed": "could not be checked",
    "missing_source": "rest on a file that is not there",
    "changed_source": "rest on a changed file and still hold",
}
"""The ways not to be ok, worst first."""


class ClaimCheck(Frozen):
    """One claim: whether it holds. ``old`` and ``new`` are what the report says and what was found."""

    id: str
    kind: Literal["text", "number"]
    statement: str
    status: ClaimStatus
    old: JsonValue = None
    new: JsonValue = None
    reason: str = ""
    sources: tuple[str, ...] = ()


class SourceCheck(Frozen):
    """One file of the report: whether its bytes are the same. ``found`` is its name now, ``sha256`` its bytes now."""

    source_id: str
    name: str
    status: SourceStatus
    found: str | None = None
    sha256: str | None = None


class ComputationCheck(Frozen):
    """One computation: how the new run ended and at which isolation level."""

    id: str
    title: str
    status: Literal["same", "different", "failed", "not_run"]
    level: Literal["none", "reduced", "full"] = "none"
    seconds: float = 0.0
    reason: str = ""


class Verification(Frozen):
    """Whether a report still holds. ``problems`` are faults of the report itself (edited, or not fitting together)."""

    mission_id: str
    version: int
    question: str
    claims: tuple[ClaimCheck, ...] = ()
    sources: tuple[SourceCheck, ...] = ()
    computations: tuple[ComputationCheck, ...] = ()
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def affected(self) -> tuple[ClaimCheck, ...]:
        """Return the claims that are not simply ok."""
        return tuple(check for check in self.claims if check.status != "ok")

    @property
    def holds(self) -> bool:
        """Return whether every claim, every file and every sentence is as the report says."""
        moved = {"same", "moved"}
        return not self.affected and not self.problems and all(source.status in moved for source in self.sources)

    @property
    def exit_code(self) -> int:
        """Return 0 if everything holds, else 1."""
        return 0 if self.holds else 1

    @property
    def summary(self) -> str:
        """Return one or more sentences for a person: what holds, what does not, and which claims."""
        checked = f"{len(self.claims)} claims and {len(self.computations)} computations checked"
        if self.holds:
            return f"{checked}: everything holds."
        counts = Counter(check.status for check in self.affected)
        parts = [f"{counts[status]} {text}" for status, text in WORDS.items() if counts[status]]
        off = [source for source in self.sources if source.status in {"changed", "missing"}]
        parts += [f"{source.name} is {source.status}" for source in off[:10]]
        parts += [f"{len(off) - 10} more files are changed or missing"] if len(off) > 10 else []
        parts += [f"the report itself has {len(self.problems)} faults"] if self.problems else []
        names = ", ".join(check.id for check in self.affected if check.status != "changed_source")
        return f"{checked}: {'; '.join(parts)}.{' No longer true: ' + names + '.' if names else ''}"

    def as_json(self) -> dict[str, Any]:
        """Return JSON-safe data with the verdict beside the details."""
        verdict = {"holds": self.holds, "exit_code": self.exit_code, "summary": self.summary}
        return {**verdict, **self.model_dump(mode="json")}


class Row(NamedTuple):
    """One line a person sees; all texts."""

    status: str
    claim: str
    change: str
    why: str
    id: str = ""


TITLES = Row("status", "claim", "was -> is", "why", "id")
SHOWN = 160
"""Characters of a sentence in the table."""


def render_table(verification: Verification) -> list[Row]:
    """Return the lines to draw, titles first: what does not hold, then faults and changed files, then what is ok."""
    worst_first = sorted(verification.affected, key=lambda check: tuple(WORDS).index(check.status))
    bad = [_claim_row(check) for check in worst_first]
    good = [_claim_row(check) for check in verification.claims if check.status == "ok"]
    files = [
        Row(f"file {s.status}", s.name, _change(s.source_id[:12], (s.sha256 or "")[:12] or None), s.found or "")
        for s in verification.sources
        if s.status != "same"
    ]
    faults = [Row("fault", problem, "", "The report does not fit together.") for problem in verification.problems]
    return [TITLES, *bad, *faults, *files, *good]


def _claim_row(check: ClaimCheck) -> Row:
    change = _change(check.old, check.new) if check.status.startswith("different") else ""
    return Row(
        check.status.replace("_", " "),
        _cut(check.statement),
        change,
        check.reason or ", ".join(check.sources),
        check.id,
    )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _change(old: JsonValue, new: JsonValue) -> str:
    if old is None:
        return ""
    return f"{_text(old)} -> {_text(new) or '?'}"


def _text(value: JsonValue) -> str:
    if value is None:
        return ""
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"
