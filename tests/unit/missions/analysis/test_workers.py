"""Sandbox sessions that are started ahead of the first job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kimera.missions.analysis import _workers, prepare
from kimera.missions.contracts import TrackName
from kimera.missions.control.playbook import IngestRequest, find_playbook
from kimera.storage import Blobs

BOTH: tuple[TrackName, ...] = ("deep_research", "ds_star")


@pytest.fixture(autouse=True)
def nobody_idle() -> Iterator[None]:
    """Begin and end without a session."""
    _workers._close()
    yield
    _workers._close()


def lent() -> int | None:
    """Return the process of the session that the next job gets."""
    with _workers.worker(lambda: False) as session:
        return session.worker_pid


def test_a_prepared_session_is_the_one_that_is_lent() -> None:
    """Promise: the process is started once, ahead of the first job, however often it is asked for."""
    prepare()
    first = lent()
    prepare()
    assert (first, 1) == (lent(), len(_workers._idle))
    assert first is not None


def test_a_sandbox_that_cannot_start_is_told_to_the_first_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: starting ahead never fails."""
    monkeypatch.setattr("sys.executable", "")
    prepare()
    assert [] == _workers._idle


@pytest.mark.parametrize(
    ("name", "tracks", "expected"),
    [("a.csv", BOTH, 1), ("a.csv", ("deep_research",), 0), ("a.md", BOTH, 0)],
    ids=["tables", "tables nobody computes on", "documents"],
)
def test_reading_tables_starts_the_sandbox(
    tmp_path: Path, blobs: Blobs, name: str, tracks: tuple[TrackName, ...], expected: int
) -> None:
    """Promise: a sandbox is started while the folder is read if tables will be computed on, and only then."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text("a,b\n1,2\n3,4\n")
    request = IngestRequest(tmp_path / "data", blobs, "k", lambda what, done, of: None, lambda: False, tracks)
    library = find_playbook("default").ingest(request)
    assert (1, expected) == (len(library.sources), len(_workers._idle))
