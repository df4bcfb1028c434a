"""Fixtures shared by all suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from kimera.storage import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """Return an empty blob store."""
    return Blobs(tmp_path / "blobs")
