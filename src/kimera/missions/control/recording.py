"""Telemetry of a process that works in a home: what a door opens before, and closes after, everything it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kimera import telemetry
from kimera.guardian.redaction import redactor
from kimera.missions.control.census import CENSUS_SECONDS, census
from kimera.missions.control.home import Home
from kimera.settings import Settings
from kimera.storage.rollups import Rollups
from kimera.storage.trail import open_trail

__all__ = ["recording"]

STAYING = frozenset({"worker", "serve"})
"""Doors that stay open long enough to be scraped."""


@contextmanager
def recording(home: Home, process: str, *, lines: bool = True) -> Iterator[None]:
    """Record into the home's trail for the length of the block, under a request id of its own.

    ``process`` is the door's name (run, worker, serve); a door that stays open also serves its metrics to Prometheus.
    ``lines`` also prints JSON lines on stderr.
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
    try:
        with (
            telemetry.bind(request_id=telemetry.accept_request_id(None)),
            telemetry.run_metrics(
                settings, store=Rollups(home.database), process=name, listen=_listens(process, settings)
            ),
            telemetry.collecting(lambda: census(home), every=CENSUS_SECONDS),
        ):
            yield
    finally:
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
