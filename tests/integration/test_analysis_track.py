"""The analysis track from a folder of files to its package, with the real librarian and the real sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kimera.knowledge import build_library
from kimera.missions.analysis import TRACK
from kimera.missions.contracts import AnalyticalReportPackage, Handoff, MissionOptions, NumberClaim
from kimera.missions.track import TrackContext
from kimera.storage.blobs import Blobs

pytestmark = pytest.mark.slow


def run(
    tmp_path: Path, question: str, inbox: tuple[Handoff, ...] = (), more: dict[str, str] | None = None
) -> AnalyticalReportPackage:
    """Run all phases over a small table and ``more`` files, each state through JSON as after a crash."""
    folder = tmp_path / "folder"
    folder.mkdir()
    rows = "\n".join(f"{k},{'left' if k % 3 else 'right'},{10 + 2 * k + k % 5}" for k in range(1, 61))
    (folder / "plants.csv").write_text(f"plant,side,height_cm\n{rows}\n")
    for name, text in (more or {}).items():
        (folder / name).write_text(text)
    blobs = Blobs(tmp_path / "blobs")
    context = TrackContext(
        mission_id="m",
        session_id="s",
        knowledge_space="k",
        attempt=1,
        question=question,
        options=MissionOptions(),
        library=build_library(folder, blobs, knowledge_space="k"),
        blobs=blobs,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        inbox=inbox,
    )
    state: dict[str, Any] = {}
    for phase in TRACK.phases:
        state = json.loads(json.dumps(phase.run(context, state)))
    return AnalyticalReportPackage.model_validate(state["package"])


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """Follow a claim's path into a result."""
    for part in path:
        value = value[part]
    return value


def test_a_named_answer_is_computed_reproduced_and_stands_at_its_path(tmp_path: Path) -> None:
    """Promise: the slot's claim has the value at its path in a computation that gave the same result twice."""
    package = run(tmp_path, 'What is the mean height on the left side?\n@mean[x] where "x" is rounded to two decimals.')
    expected = round(sum(10 + 2 * k + k % 5 for k in range(1, 61) if k % 3) / 40, 2)
    (claim,) = [c for c in package.claims if isinstance(c, NumberClaim) and c.slot == "mean"]
    made = {c.id: c for c in package.computations}[claim.computation_id]
    assert (expected, "answer", True) == (claim.value, claim.role, made.reproduced)
    assert claim.value == at(made.result, claim.path)


def test_what_is_not_understood_becomes_a_gap_that_names_the_slot(tmp_path: Path) -> None:
    """Promise: an answer that cannot be given is a gap with its name and the reason."""
    package = run(tmp_path, "Fit a random forest that predicts height_cm from plant.\n@mse[x]")
    assert any("mse" in gap.text and "random forest" in gap.text for gap in package.gaps)
    assert all(not isinstance(c, NumberClaim) or c.slot is None for c in package.claims)


def test_an_open_question_gets_adjusted_findings_about_what_it_speaks_of(tmp_path: Path) -> None:
    """Promise: the first finding speaks of the column asked about and carries p and adjusted p."""
    package = run(tmp_path, "What goes with a greater height?")
    findings = [c for c in package.claims if isinstance(c, NumberClaim) and c.role == "finding"]
    assert findings[0].statement.startswith("Height ")
    assert findings[0].p_value is not None
    assert findings[0].p_adjusted is not None
    assert findings[0].p_adjusted >= findings[0].p_value
    assert package.tests_run > 0


def test_a_table_with_nothing_to_relate_is_no_failure(tmp_path: Path) -> None:
    """Promise: beside a real table, one of names and of equal values is described and leaves no gap."""
    same = "".join("a,1\n" for _ in range(40))
    package = run(tmp_path, "What goes with a greater height?", more={"same.csv": f"kind,one\n{same}"})
    assert [] == [gap.text for gap in package.gaps if "failed" in gap.text]
    assert any("40 rows" in claim.statement for claim in package.claims)


def test_a_request_of_the_other_track_is_answered_as_a_finding(tmp_path: Path) -> None:
    """Promise: a number that research asks for is computed when it names a column of a table."""
    request = Handoff(kind="evidence_request", sender="deep_research", text="What is the median height_cm?")
    package = run(tmp_path, "What do the notes say?", (request,))
    heights = sorted(10 + 2 * k + k % 5 for k in range(1, 61))
    assert any((heights[29] + heights[30]) / 2 == c.value for c in package.claims if isinstance(c, NumberClaim))
