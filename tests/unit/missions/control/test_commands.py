"""The control plane on SQLite, with small real tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kimera.errors import NotFoundError, ValidationError
from kimera.missions import control
from kimera.missions.contracts import MissionOptions
from kimera.storage.fold import fold


def test_a_mission_runs_to_done_with_both_tracks(home: control.Home, folder: Path) -> None:
    """Promise: submit and run end in DONE, with the claims of both tracks in the newest version."""
    mission_id = control.submit(home, "What is first?", folder, playbook="small")
    seen: list[str] = []
    row = control.run(home, mission_id, on_event=lambda event: seen.append(event.type))
    assert ("DONE", "done", "done") == (row.state, row.deep_research, row.ds_star)
    assert 4 == len(control.outcome(home, mission_id).claims)
    assert "mission.finished" == seen[-1]


def test_the_row_is_the_fold_of_the_events(home: control.Home, folder: Path) -> None:
    """Promise: folding a mission's events gives exactly its stored row."""
    mission_id = control.submit(home, "What is first?", folder, playbook="small")
    row = control.run(home, mission_id)
    assert row == fold(control.events(home, mission_id))


def test_one_track_is_enough_when_only_one_is_asked_for(home: control.Home, folder: Path) -> None:
    """Promise: a mission with one track ends DONE and not partial; the other track is skipped."""
    options = MissionOptions(tracks=("ds_star",))
    mission_id = control.submit(home, "How many lines?", folder, options, playbook="small")
    row = control.run(home, mission_id)
    assert ("DONE", "skipped", "done", False) == (row.state, row.deep_research, row.ds_star, row.partial)


def test_submitting_twice_with_one_key_is_one_mission(home: control.Home, folder: Path) -> None:
    """Promise: a request key used before returns the first mission and stores nothing."""
    first = control.submit(home, "What?", folder, request_key="k1", playbook="small")
    again = control.submit(home, "What?", folder, request_key="k1", playbook="small")
    assert [first] == [row.mission_id for row in control.missions(home)]
    assert first == again


@pytest.mark.parametrize(
    ("question", "place", "options", "field"),
    [
        ("  ", ".", MissionOptions(), "VALIDATION_QUESTION"),
        ("x" * 4_001, ".", MissionOptions(), "VALIDATION_QUESTION"),
        ("What?", "missing", MissionOptions(), "VALIDATION_FOLDER"),
        ("What?", ".", MissionOptions(tracks=()), "VALIDATION_TRACKS"),
        ("What?", ".", MissionOptions(deadline=0), "VALIDATION_DEADLINE"),
    ],
)
def test_what_cannot_run_is_refused_with_its_field(
    home: control.Home, folder: Path, question: str, place: str, options: MissionOptions, field: str
) -> None:
    """Promise: submit refuses bad input before storing anything, naming the field."""
    with pytest.raises(ValidationError) as refused:
        control.submit(home, question, folder / place, options, playbook="small")
    assert field == refused.value.code
    assert [] == control.missions(home)


def test_an_unknown_mission_is_not_found(home: control.Home) -> None:
    """Promise: asking for a mission that does not exist raises NotFoundError."""
    with pytest.raises(NotFoundError):
        control.get(home, "m000")


def test_ids_sort_by_the_time_of_submission(home: control.Home, folder: Path) -> None:
    """Promise: later missions have greater ids, up to the millisecond."""
    ids = [control.submit(home, f"Question {number}?", folder, playbook="small") for number in range(3)]
    assert [one[:10] for one in ids] == sorted(one[:10] for one in ids)
    assert 3 == len(set(ids))
