"""Fixtures of the telemetry tests: a process that records into memory, and registries of metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kimera import telemetry
from kimera.settings import Settings
from kimera.telemetry.recording.metrics import Registry, switch_metrics


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


@pytest.fixture
def registry() -> Registry:
    """Return an empty strict registry over the whole catalogue."""
    return Registry(strict=True)


@pytest.fixture
def lenient() -> Registry:
    """Return an empty registry that behaves as in production."""
    return Registry(strict=False)


@pytest.fixture
def details() -> Iterator[None]:
    """Turn detailed families and exemplars on for one test."""
    switch_metrics(enabled=True, detailed=True)
    yield
    switch_metrics()


@pytest.fixture
def off() -> Iterator[None]:
    """Turn counting off for one test."""
    switch_metrics(enabled=False)
    yield
    switch_metrics()
