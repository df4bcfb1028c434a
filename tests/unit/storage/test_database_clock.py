"""The clock that all workers of a database share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.databases import BOTH, database_url

from kimera.storage.database import open_database


@pytest.mark.parametrize("kind", BOTH)
def test_the_database_knows_the_time_to_the_millisecond(kind: str, tmp_path: Path) -> None:
    """Promise: `now` is the wall clock in seconds since 1970, on every version of both databases we support."""
    with database_url(kind, tmp_path) as url:
        database = open_database(url)
        before = datetime.now(UTC).timestamp()
        found = database.now()
        database.close()
    assert before - 0.01 <= found <= datetime.now(UTC).timestamp() + 0.01
