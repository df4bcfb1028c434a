"""The short form of the kill benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import kill
from tests.databases import BOTH, database_url

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", BOTH)
def test_missions_survive_kills_at_boundaries_and_at_random(kind: str, tmp_path: Path) -> None:
    """Promise: after every kill the mission completes with the same packages and no recorded step is repeated."""
    with database_url(kind, tmp_path) as url:
        place = tmp_path / "bench"
        place.mkdir()
        result = kill.run(6, None if kind == "sqlite" else url, place)
    assert kill.passed(result), result
