"""Fixtures of the telemetry tests: a process that records into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kimera import telemetry
from kimera.settings import Settings


@pytest.fixture
def store() -> telemetry.MemoryStore:
    """Return an empty store."""
    return telemetry.MemoryStore()


@pytest.fixture
def recording(store: telemetry.MemoryStore, tmp_path: Path) -> Iterator[telemetry.MemoryStore]:
    """Record into ``store`` for the length of a test, spans too, nothing printed."""
    telemetry.shutdown()  # what other tests left waiting is not ours
    telemetry.configure(Settings(home=tmp_path), store=store, process="test", lines=False)
    yield store
    telemetry.shutdown()
