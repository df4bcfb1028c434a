"""Running every computation again, in a fresh worker, on tables read again from the files."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kimera.errors import KimeraError, MissionCancelled
from kimera.knowledge import read_table_again
from kimera.knowledge.contracts import Library, Source
from kimera.missions.contracts import Computation, ComputationInput, MissionOutcomePackage, NumberClaim, computation_id
from kimera.missions.verify._compare import (
    RELATIVE,
    Written,
    agrees,
    around,
    at_path,
    first_difference,
    numbers_in,
    values_in,
)
from kimera.missions.verify._results import ClaimCheck, ClaimStatus, ComputationCheck
from kimera.storage.blobs import Blobs

if TYPE_CHECKING:
    from kimera.missions.verify._files import Shelf
    from kimera.sandbox import Level, Session

__all__ = ["Rerun", "Tables", "check_number", "rerun"]

BOUNDS = (0.1, 0.05, 0.01, 0.005, 0.001, 0.0001)
"""What a p-value is said to be smaller than: a bound, not a value."""

SQL_CODE = "result = db.execute(parameters['sql']).fetchall()"


@dataclass(frozen=True)
class Rerun:
    """How one computation came out this time. ``changed`` names the input files whose bytes are other ones now."""

    status: ClaimStatus
    computation: Computation
    result: Any = None
    reason: str = ""
    changed: tuple[str, ...] = ()
    level: Level = "none"
    seconds: float = 0.0
    difference: tuple[tuple[str | int, ...], Any, Any] | None = None
    rows_used: int = 0

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """Return every number of the new result, and how many rows went in."""
        return (*values_in(self.result), *self.rows)

    @property
    def rows(self) -> tuple[float, float]:
        """Return how many rows were read and used."""
        return float(self.computation.rows_read), float(self.rows_used)

    @cached_property
    def asked(self) -> frozenset[float]:
        """Return the numbers of the question put to the data, without signs: in parameters and in texts of the code."""
        texts: list[str] = []
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            nodes = ast.walk(ast.parse(self.computation.code))
            texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        return frozenset(map(abs, values_in([*texts, self.computation.parameters])))

    def as_check(self) -> ComputationCheck:
        """Return the line for the verification."""
        status: Literal["same", "different", "failed", "not_run"] = "failed"
        if self.status in {"ok", "changed_source"}:
            status = "same" if self.difference is None else "different"
        elif self.status == "missing_source":
            status = "not_run"
        return ComputationCheck(
            id=self.computation.id, title=self.computation.title, level=self.level, seconds=self.seconds,
            reason=self.reason, status=status,
        )  # fmt: skip


class Tables:
    """The tables of the computations, each read again once from the files as they are now."""

    def __init__(self, outcome: MissionOutcomePackage, library: Library, shelf: Shelf, fresh: Blobs) -> None:
        self.sources = {source.id: source for source in outcome.sources}
        self._library = library
        self._shelf = shelf
        self._fresh = fresh
        self._read: dict[str, Path | KimeraError] = {}

    def source(self, wanted: ComputationInput) -> Source | None:
        """Return the file behind an input, if the report lists it."""
        return self.sources.get(wanted.source_id)

    @property
    def advice(self) -> str:
        """Return what to do about a file that is not there."""
        return self._shelf.advice

    def status(self, wanted: ComputationInput) -> str:
        """Return where the file of an input stands: same, moved, changed, missing, unlisted."""
        source = self.source(wanted)
        return self._shelf.place(source).status if source else "unlisted"

    def parquet(self, wanted: ComputationInput) -> Path | KimeraError:
        """Return the freshly read table of an input, or why it cannot be read."""
        if wanted.table not in self._read:
            self._read[wanted.table] = self._read_again(wanted)
        return self._read[wanted.table]

    def _read_again(self, wanted: ComputationInput) -> Path | KimeraError:
        path = self._shelf.place(self.sources[wanted.source_id]).path
        assert path is not None
        try:
            table = self._library.table(wanted.table)
        except KeyError:
            return KimeraError(f"The list of what was read holds no table {wanted.table}.")
        if table.source_id != wanted.source_id:
            return KimeraError(f"Table {wanted.table} was read from another file than the computation names.")
        try:
            return self._fresh.path(read_table_again(path, table, self._fresh).data)
        except KimeraError as failure:
            return failure


def rerun(
    computations: tuple[Computation, ...],
    tables: Tables,
    session: Session,
    trusted: Callable[[Computation], bool],
    should_stop: Callable[[], bool],
) -> Iterator[Rerun]:
    """Run each computation again, those with the same inputs one after the other; raises MissionCancelled on stop."""
    for computation in sorted(computations, key=lambda c: ([i.table for i in c.inputs], c.id)):
        if should_stop():
            raise MissionCancelled("The verification was stopped; run it again to check the rest.")
        yield _blocked(computation, tables) or _run(computation, tables, session, trusted(computation))


def _blocked(computation: Computation, tables: Tables) -> Rerun | None:
    """Return why a computation is not run at all, or None."""
    if not _id_fits(computation):
        return Rerun("failed", computation, reason="Its code, inputs or parameters were edited: its id does not fit.")
    for wanted in computation.inputs:
        where = tables.status(wanted)
        if where == "unlisted":
            return Rerun("failed", computation, reason=f"The report does not list the file behind {wanted.name}.")
        if where == "missing":
            name = tables.sources[wanted.source_id].name
            return Rerun("missing_source", computation, reason=f"{name}: {tables.advice}")
    return None


def _id_fits(computation: Computation) -> bool:
    sources = tuple(wanted.source_id for wanted in computation.inputs)
    forms = {sources, tuple(dict.fromkeys(sources)), tuple(sorted(set(sources)))}
    return computation.id in {computation_id(computation.code, form, computation.parameters) for form in forms}


def _run(computation: Computation, tables: Tables, session: Session, trusted: bool) -> Rerun:
    inputs: dict[str, Path] = {}
    changed = tuple(
        tables.sources[wanted.source_id].name for wanted in computation.inputs if tables.status(wanted) == "changed"
    )
    for wanted in computation.inputs:
        found = tables.parquet(wanted)
        if isinstance(found, KimeraError):
            return Rerun("failed", computation, reason=found.message, changed=changed)
        inputs[wanted.name] = found
    sql = computation.language == "sql"
    code = SQL_CODE if sql else computation.code
    parameters = {"sql": computation.code} if sql else computation.parameters
    try:
        answer = session.run(code, inputs, parameters, trusted=trusted or sql)
    except KimeraError as failure:
        return Rerun("failed", computation, reason=failure.message, changed=changed)
    if answer.limit_hit == "stop":
        raise MissionCancelled("The verification was stopped; run it again to check the rest.")
    if not answer.ok:
        return Rerun("failed", computation, reason=answer.error or "", changed=changed, level=answer.level)
    unordered = computation.parameters.get("unordered") is True
    difference = first_difference(computation.result, answer.result, unordered=unordered)
    if difference is None and not changed and answer.rows_used != computation.rows_used:
        difference = ("rows_used",), computation.rows_used, answer.rows_used
    return Rerun(
        "changed_source" if changed else "ok", computation, result=answer.result, changed=changed, level=answer.level,
        seconds=answer.seconds, difference=difference, rows_used=answer.rows_used,
    )  # fmt: skip


Verdict = tuple[ClaimStatus, Any, Any, str]


def check_number(claim: NumberClaim, again: Rerun | None, tables: Tables) -> ClaimCheck:
    """Return whether a claim's value is what its computation gives on the files as they are now."""
    status, old, new, reason = _verdict(claim, again)
    inputs = again.computation.inputs if again else ()
    named = [source.name for wanted in inputs if (source := tables.source(wanted))]
    return ClaimCheck(
        id=claim.id, kind="number", statement=claim.statement, status=status, old=old, new=new, reason=reason,
        sources=tuple(dict.fromkeys(named)),
    )  # fmt: skip


def _verdict(claim: NumberClaim, again: Rerun | None) -> Verdict:
    if again is None:
        return "failed", claim.value, None, "The report does not hold the computation behind this claim."
    if again.status not in {"ok", "changed_source"}:
        return again.status, claim.value, None, again.reason
    try:
        found = at_path(again.result, claim.path)
    except KeyError:
        return "different_value", claim.value, None, "The computation gives no such value any more."
    if not agrees(claim.value, found):
        return "different_value", claim.value, found, _why(again)
    if again.difference is not None and not again.changed:
        path, old, new = again.difference
        where = ".".join(map(str, path)) or "the result"
        return "different_value", old, new, f"The stored result differs from a new run at {where}."
    return _check_companions(claim, again) or _check_sentence(claim, again) or _holds(again)


def _why(again: Rerun) -> str:
    if again.changed:
        return f"The file changed: {', '.join(again.changed)}."
    return "The computation gives another value on the same files: the report was edited, or the code is not stable."


def _holds(again: Rerun) -> Verdict:
    if again.changed:
        return "changed_source", None, None, f"The file changed ({', '.join(again.changed)}); the value is the same."
    return "ok", None, None, ""


def _check_companions(claim: NumberClaim, again: Rerun) -> Verdict | None:
    """Look for n, p and the interval among the values of the computation.

    The correction of a p-value runs over the tests of all computations; here it must only not lower the p-value.
    """
    found = [*again.numbers, *values_in(claim.value)]
    stated = {"n": claim.n, "p-value": claim.p_value}
    stated |= {f"interval {side}": end for side, end in zip(("from", "to"), claim.interval or (), strict=False)}
    for name, value in stated.items():
        if value is not None and not any(agrees(value, other) for other in found):
            return "different_value", value, None, f"Its {name} is not among the results of the computation."
    if claim.p_adjusted is not None and not (claim.p_value or 0.0) * (1 - RELATIVE) <= claim.p_adjusted <= 1:
        return (
            "different_value",
            claim.p_adjusted,
            None,
            "Its adjusted p-value is smaller than its p-value, or above 1.",
        )
    return None


def _check_sentence(claim: NumberClaim, again: Rerun) -> Verdict | None:
    """Find every number of the sentence in the result, rounded as written, or in what was asked of the computation."""
    stated = [claim.value, claim.n, claim.p_value, claim.p_adjusted, *(claim.interval or ())]
    exact = [abs(number) for number in (*around(again.result, claim.path), *values_in(stated), *again.rows)]
    asked = again.asked | set(map(abs, values_in(claim.about.model_dump())))
    written = numbers_in(claim.statement)
    if _is_missing(claim, written):
        return "different_value", claim.value, None, "The sentence does not say the value of its claim."
    for number in written:
        bound = f"< {number.text}" in claim.statement and number.value in BOUNDS
        if not bound and abs(number.value) not in asked and not any(_shows(number, value) for value in exact):
            return (
                "different_value",
                number.text,
                None,
                f"The number {number.text} in the sentence is not in the result.",
            )
    return None


def _is_missing(claim: NumberClaim, written: list[Written]) -> bool:
    """Return whether the value stands nowhere in a sentence that has numbers."""
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        return False
    return bool(written) and not any(_shows(number, abs(claim.value)) for number in written)


def _shows(written: Written, number: float) -> bool:
    """Return whether a written number is ``number`` rounded as written; before a % sign also its hundredfold."""
    slack = written.half * (1 + 1e-6) + 1e-12
    shown = abs(written.value)
    return abs(shown - number) <= slack or (written.percent and abs(shown - 100 * number) <= slack)
