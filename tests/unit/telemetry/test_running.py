"""Metrics of a running process, from its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from kimera import telemetry
from kimera.errors import ConfigurationError
from kimera.settings import Settings
from kimera.telemetry.recording.metrics import Registry, switch_metrics
from kimera.telemetry.retention.rollup_store import MemoryRollups
from kimera.telemetry.running import run_metrics


def test_a_running_process_serves_and_keeps(tmp_path: Path, registry: Registry) -> None:
    """Promise: with a store and a listener the process is scraped, its history is asked, and both end with it."""
    store = MemoryRollups()
    with run_metrics(
        Settings(home=tmp_path, metrics_port=0), store=store, process="w1", listen=True, registry=registry
    ) as running:
        assert running.port
        registry.metric("kimera_chat_turns_total").bind(outcome="ok").inc(3)
    assert running.port is None
    (row,) = store.rows("raw", 0, 2**40)
    assert row.process.startswith("w1-")
    with pytest.raises(ConfigurationError, match="KIMERA_METRICS_ENABLED"):
        telemetry.series("kimera_chat_turns_total", None, row.bucket_start, row.bucket_start + 15, 15)


def test_history_is_asked_of_the_running_process(tmp_path: Path, registry: Registry) -> None:
    """Promise: while a process keeps roll-ups, `telemetry.series` answers from them."""
    store = MemoryRollups()
    with run_metrics(Settings(home=tmp_path), store=store, registry=registry):
        trend = telemetry.series("kimera_chat_turns_total", None, 0, 86_400, 86_400)
    assert ("kimera_chat_turns_total", 86_400, ()) == (trend.metric, trend.step, trend.series)


def test_switched_off_nothing_is_served_counted_or_kept(tmp_path: Path, registry: Registry) -> None:
    """Promise: KIMERA_METRICS_ENABLED=0 leaves no listener, no rows and inert children; nothing else changes."""
    store = MemoryRollups()
    settings = Settings(home=tmp_path, metrics_enabled=False, metrics_detailed=True, metrics_port=0)
    try:
        with run_metrics(settings, store=store, listen=True, registry=registry) as running:
            registry.metric("kimera_chat_turns_total").bind(outcome="ok").inc()
            assert (None, False) == (running.port, telemetry.detailed())
        assert [] == store.rows("raw", 0, 2**40)
        assert 0 == registry.value("kimera_chat_turns_total", outcome="ok")
    finally:
        switch_metrics()


def test_a_failing_collector_is_told_once(tmp_path: Path, registry: Registry, recording: telemetry.MemoryStore) -> None:
    """Promise: a collector that keeps failing is one warning per kind of error, not one per scrape."""

    def broken() -> list[telemetry.Reading]:
        raise OSError("locked")

    with run_metrics(Settings(home=tmp_path), registry=registry):
        registry.register_collector(broken)
        for _ in range(3):
            registry.collect()
    telemetry.flush()
    assert ["telemetry.collector_failed"] == [
        log.event for log in recording.logs(None) if log.event != "telemetry.rollup_failed"
    ]


def test_what_telemetry_loses_is_a_metric(tmp_path: Path, registry: Registry) -> None:
    """Promise: every sink's losses are shown from the start, at zero, so that an alert on their growth can fire."""
    with run_metrics(Settings(home=tmp_path), registry=registry):
        registry.collect()
        names = {child.values for child in registry.metric("kimera_telemetry_dropped_total").present()}
    assert {("store",), ("otlp",), ("log",)} == names
