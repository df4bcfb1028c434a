"""The short form of the memory's kill benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import memory_kill
from tests.databases import BOTH, database_url
from tests.unit.memory.stores import short_term

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("kind", BOTH)
def test_what_was_learned_survives_a_kill(kind: str, tmp_path: Path) -> None:
    """Promise: acknowledged is stored, stored was attempted, no number is missing, and everything verifies."""
    with database_url(kind, tmp_path) as url:
        found = memory_kill.run("learn", 3, 3_000, tmp_path, None if kind == "sqlite" else url, "process")
    assert memory_kill.passed(found), found
    assert any(each["stored"] for each in found)


@pytest.mark.parametrize("store", ["sql", pytest.param("redis", marks=pytest.mark.redis)])
def test_what_was_observed_survives_a_kill(store: str, tmp_path: Path) -> None:
    """Promise: patterns learned by length and the short-term memory together are the events as observed, once each."""
    with short_term(store) as stm:
        found = memory_kill.run("observe", 3, 3_000, tmp_path, None, stm)
    assert memory_kill.passed(found), found
    assert any(each["stored"] for each in found)
