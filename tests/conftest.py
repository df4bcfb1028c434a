"""Fixtures shared by all suites."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kimera.storage import Blobs
from kimera.telemetry.recording.metrics import REGISTRY

if worker := os.environ.get("PYTEST_XDIST_WORKER"):  # a Redis database each: tests remove what they left there
    server = os.environ.get("KIMERA_TEST_REDIS_URL", "redis://127.0.0.1:6379/0").rsplit("/", 1)[0]
    os.environ["KIMERA_TEST_REDIS_URL"] = f"{server}/{worker.removeprefix('gw')}"
REGISTRY.strict = True  # a metric or label value that is not declared fails the test that counts it


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """Return an empty blob store."""
    return Blobs(tmp_path / "blobs")
