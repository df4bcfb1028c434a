"""Fixtures shared by all suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from kimera.storage import Blobs
from kimera.telemetry.recording.metrics import REGISTRY

REGISTRY.strict = True  # a metric or label value that is not declared fails the test that counts it


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """Return an empty blob store."""
    return Blobs(tmp_path / "blobs")
