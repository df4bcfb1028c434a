"""Metrics of a running process: counted, served and rolled up from the start of a door to its end."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import kimera
from kimera.clock import Clock
from kimera.settings import Settings
from kimera.telemetry.reading.series import History, attach
from kimera.telemetry.recording.logs import get_logger
from kimera.telemetry.recording.metrics import REGISTRY, Reading, Registry, switch_metrics
from kimera.telemetry.recording.setup import dropped
from kimera.telemetry.retention.rollup_store import RollupStore
from kimera.telemetry.retention.rollup_writer import RollupWriter

__all__ = ["RunningMetrics", "run_metrics"]

_log = get_logger("telemetry")


class RunningMetrics:
    """What `run_metrics` started. ``port`` is None when nothing is served; closing writes the last row."""

    def __init__(self, registry: Registry) -> None:
        self.port: int | None = None
        self._registry = registry
        self._ends = [registry.register_collector(_own)]
        self._faults = _teller()
        registry.faults.append(self._faults)

    def serve(self, host: str, port: int) -> None:
        """Serve ``/metrics`` until closed."""
        from kimera.telemetry.reading.exposition import serve_metrics

        listener = serve_metrics(host, port, self._registry)
        self.port = listener.port
        self._ends.append(listener.close)

    def keep(self, store: RollupStore, process: str, clock: Clock | None) -> None:
        """Roll up into ``store`` until closed."""
        # rows of a process that ended and of its successor in the same bucket must not take each other's place
        writer = RollupWriter(store, f"{process}-{uuid.uuid4().hex[:12]}", registry=self._registry, clock=clock)
        attach(History(store, clock))
        writer.start()
        self._ends += [writer.close, lambda: attach(None)]

    def close(self) -> None:
        """Stop serving and rolling up; may be called again."""
        self.port = None
        while self._ends:
            self._ends.pop()()
        if self._faults in self._registry.faults:
            self._registry.faults.remove(self._faults)

    def __enter__(self) -> RunningMetrics:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_metrics(
    settings: Settings,
    *,
    store: RollupStore | None = None,
    process: str = "process",
    listen: bool = False,
    registry: Registry = REGISTRY,
    clock: Clock | None = None,
) -> RunningMetrics:
    """Count by these settings: ``listen`` serves ``/metrics``, ``store`` keeps roll-ups; close what is returned.

    With KIMERA_METRICS_ENABLED=0 nothing is counted, served or kept. A taken port is a warning.
    """
    switch_metrics(enabled=settings.metrics_enabled, detailed=settings.metrics_detailed)
    running = RunningMetrics(registry)
    if settings.metrics_enabled:
        registry.metric("kimera_build_info").bind(version=kimera.__version__).set(1)
        if listen:
            running.serve(settings.metrics_host, settings.metrics_port)
        if store is not None:
            running.keep(store, process, clock)
    return running


def _own() -> Iterator[Reading]:
    for sink, lost in dropped().items():
        yield Reading("kimera_telemetry_dropped_total", lost, {"sink": sink})


def _teller() -> Callable[[Exception], None]:
    told: set[str] = set()

    def tell(error: Exception) -> None:
        # once per kind: a scrape every few seconds would drown everything else
        kind = type(error).__name__
        if kind not in told:
            told.add(kind)
            _log.warning("telemetry.collector_failed", error=error)

    return tell
