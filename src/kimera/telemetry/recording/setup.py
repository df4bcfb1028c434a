"""Switching telemetry on and off in a process; the doors do it, once each."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kimera.settings import Settings
from kimera.telemetry.recording.recorder import LEVELS, Recorder, activate, active
from kimera.telemetry.recording.redaction import Redaction, configured_secrets
from kimera.telemetry.retention.store import TelemetryStore

__all__ = ["configure", "dropped", "flush", "redact", "shutdown"]

_bridge: logging.Handler | None = None


def configure(
    settings: Settings,
    *,
    store: TelemetryStore | None = None,
    redactor: Callable[[str], str] | None = None,
    process: str = "process",
    lines: bool = True,
    tracing: bool = True,
) -> Recorder:
    """Begin recording: ``lines`` prints JSON lines on stderr, ``tracing`` makes spans, ``store`` keeps both.

    ``process`` names this process's part (run, worker, serve). What was recorded before is redacted and kept.
    Raises `ConfigurationError` when a collector is named and the exporter is not installed.
    """
    before = active()
    recorder = Recorder(LEVELS[settings.log_level], process)
    recorder.redaction = Redaction(configured_secrets(settings), redactor)
    recorder.configured = True
    recorder.ring = before.ring
    recorder.redact_waiting()
    if tracing:
        from kimera.telemetry.recording.tracing import Tracing

        recorder.tracing = Tracing(recorder, settings.otlp_endpoint)
    if lines:
        _print(recorder)
    if store is not None:
        recorder.attach(store)
    activate(recorder)
    return recorder


def _print(recorder: Recorder) -> None:
    global _bridge
    from kimera.telemetry.recording.lines import Bridge, printer

    recorder.printer = printer()
    if _bridge is None:
        _bridge = Bridge(logging.WARNING)
        logging.getLogger().addHandler(_bridge)


def shutdown() -> None:
    """End recording: what waits is written, within 2 s; what cannot be is counted as dropped."""
    global _bridge
    if _bridge is not None:
        logging.getLogger().removeHandler(_bridge)
        _bridge = None
    activate(Recorder()).close()


def flush() -> bool:
    """Write what waits now, in this thread; False when the store refused or there is none."""
    writer = active().writer
    return writer is not None and writer.flush()


def redact(text: str) -> str:
    """Return ``text`` as it may be kept: without configured secrets and what the redactor takes out."""
    return active().redaction.text(text)


def dropped() -> dict[str, int]:
    """Return how many records this process lost since `configure`, by sink: store, otlp, log."""
    return active().dropped()
