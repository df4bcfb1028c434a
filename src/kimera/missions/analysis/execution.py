"""Running code in the sandbox and keeping it as computations; running it again to see the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from kimera.missions.analysis._workers import worker
from kimera.missions.contracts import Computation, ComputationInput, computation_id
from kimera.missions.track import TrackContext

if TYPE_CHECKING:
    from kimera.sandbox import JobResult

__all__ = ["compute", "recompute", "same_result"]

TIMEOUT = 60.0


def compute(
    context: TrackContext, title: str, code: str, tables: Sequence[str], parameters: dict[str, JsonValue]
) -> tuple[Computation | None, str | None]:
    """Run code over tables of the library; return the computation, or None and why it failed."""
    answer = _run(context, code, tables, parameters)
    if answer.status != "ok":
        return None, answer.error or answer.status
    inputs = tuple(_input(context, name) for name in tables)
    made = Computation(
        id=computation_id(code, tuple(i.source_id for i in inputs), dict(parameters)),
        title=title,
        code=code,
        inputs=inputs,
        parameters=parameters,
        result=answer.result,
        rows_read=answer.rows_read,
        rows_used=answer.rows_used,
        sandbox_level=answer.level,
        seconds=round(answer.seconds, 3),
    )
    context.emit(
        "code.attempt", {"step": title[:200], "computation_id": made.id, "status": "ok", "seconds": made.seconds}
    )
    return made, None


def recompute(context: TrackContext, made: Computation) -> bool:
    """Run a computation again in a fresh child and say whether the result is the same."""
    again = _run(context, made.code, [i.name for i in made.inputs], made.parameters)
    return again.status == "ok" and same_result(made.result, again.result)


def _run(context: TrackContext, code: str, tables: Sequence[str], parameters: dict[str, JsonValue]) -> JobResult:
    inputs = {name: context.blobs.path(context.library.table(name).data) for name in tables}
    with worker(context.should_stop) as session:
        return session.run(code, inputs, parameters, TIMEOUT, trusted=True)


def _input(context: TrackContext, name: str) -> ComputationInput:
    return ComputationInput(name=name, source_id=context.library.table(name).source_id, table=name)


def same_result(a: Any, b: Any) -> bool:
    """Compare two JSON values: exact, but floats to 1e-9 relative."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_result(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same_result(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) or isinstance(b, float):
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        return numbers and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
