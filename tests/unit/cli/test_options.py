"""What the command line reads from its options, and how it refuses."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from kimera.cli.output import EXIT_BUSY, EXIT_ERROR, EXIT_STORAGE, EXIT_USAGE, show_error
from kimera.cli.progress import describe
from kimera.cli.run import _money, _seconds, check_target
from kimera.errors import HomeBusy, KimeraError, NewerSchema, NotFoundError, StorageFull, ValidationError
from kimera.telemetry import CATALOGUE, MissionEvent


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1h", 3600.0), ("15", 15.0), ("1.5 m", 90.0)]
)
def test_a_deadline_reads_as_people_write_it(text: str, seconds: float) -> None:
    """Promise: seconds, minutes and hours are understood."""
    assert seconds == _seconds(text)


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0", "10 days", "1e9h"])
def test_a_deadline_that_makes_no_sense_is_refused_with_an_example(text: str) -> None:
    """Promise: a wrong deadline names what to write instead."""
    with pytest.raises(ValidationError, match="10m"):
        _seconds(text)


def test_a_budget_is_exact_money() -> None:
    """Promise: money is decimal, a dollar sign is allowed."""
    assert Decimal("0.50") == _money("$0.50")


@pytest.mark.parametrize("text", ["", "free", "-1", "NaN", "Infinity"])
def test_a_budget_that_is_no_amount_is_refused(text: str) -> None:
    """Promise: only finite amounts of 0 or more pass."""
    with pytest.raises(ValidationError, match=r"0\.50"):
        _money(text)


def test_a_report_target_must_have_a_known_ending(tmp_path: Path) -> None:
    """Promise: a wrong --out is refused before any work is done."""
    check_target(tmp_path / "new" / "report.html")
    with pytest.raises(ValidationError, match=r"\.html"):
        check_target(tmp_path / "report.docx")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValidationError, match="not a folder"):
        check_target(tmp_path / "file" / "report.html")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValidationError("x"), EXIT_USAGE),
        (NotFoundError("x"), EXIT_USAGE),
        (HomeBusy("x"), EXIT_BUSY),
        (StorageFull("x"), EXIT_STORAGE),
        (NewerSchema("x"), EXIT_STORAGE),
        (KimeraError("x"), EXIT_ERROR),
    ],
)
def test_each_kind_of_error_has_its_exit_code(
    error: KimeraError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise: scripts can tell bad input from a busy home from a broken store; the words go to stderr."""
    assert code == show_error(error)
    assert "error: x" in capsys.readouterr().err


def test_every_event_of_the_catalogue_can_be_described() -> None:
    """Promise: no event type breaks the progress display, and those a person must see say something."""
    silent = set()
    for name, model in CATALOGUE.items():
        sample = {
            "old": "A", "new": "B", "phase": "p", "number": 1, "error_type": "E", "error_code": "C", "package": "p",
            "action": "stop" if name.startswith(("human", "budget")) else "finish", "version": 1, "blob": "b",
            "ticket": "t", "usd": "1", "cause": "c", "decision": "d", "state": "DONE", "scope": "day",
            "session_id": "s", "knowledge_space": "k", "brief": "b", "step": "s", "delay": 0.1,
        }  # fmt: skip
        known = {key: value for key, value in sample.items() if key in model.model_fields}
        payload = model.model_validate(known).model_dump(mode="json")
        event = MissionEvent(mission_id="m", seq=1, at="2026-01-01T00:00:00Z", type=name, payload=payload)  # type: ignore[arg-type]
        if not describe(event):
            silent.add(name)
    assert not silent & {"mission.state", "track.failed", "track.finished", "report.version", "degraded"}
