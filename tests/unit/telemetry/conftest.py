"""Fixtures of the telemetry suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kimera.telemetry.recording.metrics import Registry, switch_metrics


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
