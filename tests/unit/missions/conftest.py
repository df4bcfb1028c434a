"""Homes and folders for the mission suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks.small_missions import playbook

from kimera.missions import control
from kimera.settings import Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two text files."""
    place = tmp_path / "folder"
    place.mkdir()
    (place / "a.txt").write_text("Alpha is first.\nand more\n")
    (place / "b.txt").write_text("Beta is second.\n")
    return place


@pytest.fixture
def home(tmp_path: Path) -> Iterator[control.Home]:
    """Yield an open SQLite home."""
    playbook()
    with control.open_home(Settings(home=tmp_path / "home", database_url=None)) as opened:
        yield opened
