"""Homes with missions that have ended, of two tenants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmarks.small_missions import playbook

from kimera.missions import control
from kimera.storage.keys import Keys


@dataclass(frozen=True)
class Two:
    """A finished mission of the tenant ``one``; a key of each of two tenants, with every scope."""

    home: control.Home
    mission_id: str
    mine: str
    theirs: str


@pytest.fixture
def two(home: control.Home, keys: Keys, tmp_path: Path) -> Two:
    """Return two tenants, one of which has a finished mission."""
    playbook()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("Alpha is first.\nand more\n")
    mission_id = control.submit(home, "What is first?", tmp_path / "folder", playbook="small", tenant="one")
    control.run(home, mission_id)
    return Two(home, mission_id, keys.create("a", "one", "admin").secret, keys.create("b", "two", "admin").secret)
