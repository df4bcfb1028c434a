"""Telemetry of a process that works in a home: what a door opens before, and closes after, everything it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimera import telemetry
from kimera.errors import StorageError
from kimera.guardian.redaction import redactor
from kimera.missions.control.census import CENSUS_SECONDS, census
from kimera.missions.control.home import Home
from kimera.settings import Settings
from kimera.storage.rollups import Rollups
from kimera.storage.trail import open_trail

if TYPE_CHECKING:
    from kimera.telemetry.running import RunningMetrics

__all__ = ["TrailHealth", "check_trail", "recording"]

LATELY = 50

STAYING = frozenset({"worker", "serve"})
"""Doors that stay open long enough to be scraped."""


@dataclass(frozen=True)
class TrailHealth:
    """How telemetry does in a home: why it cannot be written now, and what its processes say they lost lately."""

    error: StorageError | None = None
    lost: int = 0
    lost_at: str = ""
    cause: str = ""


def check_trail(home: Home) -> TrailHealth:
    """Write one line to the trail and look for lines that tell of losses."""
    trail = open_trail(home.database)
    at = home.clock.now().timestamp()
    request = telemetry.current().request_id
    try:
        trail.write([telemetry.LogRecord(at, "INFO", "telemetry.checked", request, None, {"event": "checked"})], [])
        told = [line.body for line in trail.logs(None, LATELY) if line.event == "telemetry.dropped"]
    except StorageError as error:
        return TrailHealth(error)
    finally:
        trail.close()
    if not told:
        return TrailHealth()
    return TrailHealth(None, sum(int(one["records"]) for one in told), told[-1]["ts"], told[-1]["cause"])


@contextmanager
def recording(home: Home, process: str, *, lines: bool = True) -> Iterator[RunningMetrics]:
    """Record into the home's trail for the length of the block, under a request id of its own.

    ``process`` is the door's name (run, worker, serve); a door that stays open also serves its metrics to Prometheus.
    ``lines`` also prints JSON lines on stderr. Yields what was started, whose ``port`` is that of ``/metrics``.
    """
    settings = home.settings
    name = f"{process}-{settings.worker}"
    telemetry.configure(
        settings,
        store=open_trail(home.database),
        redactor=redactor(settings),
        process=name,
        lines=lines,
    )
    from kimera.storage.levels import attach_levels

    detach = attach_levels(home.database)
    try:
        with (
            telemetry.bind(request_id=telemetry.accept_request_id(None)),
            telemetry.run_metrics(
                settings, store=Rollups(home.database), process=name, listen=_listens(process, settings)
            ) as running,
            telemetry.collecting(lambda: census(home), every=CENSUS_SECONDS),
        ):
            yield running
    finally:
        detach()
        telemetry.shutdown()


def _listens(process: str, settings: Settings) -> bool:
    if process == "serve" and settings.port == settings.metrics_port:
        telemetry.get_logger("telemetry").warning(
            "telemetry.metrics_not_served",
            port=settings.port,
            reason="the gateway was given this port",
            next="set KIMERA_METRICS_PORT to another port",
        )
        return False
    return process in STAYING
