"""Telemetry of a process that works in a home: what a door opens before, and closes after, everything it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kimera import telemetry
from kimera.guardian.redaction import redactor
from kimera.missions.control.census import CENSUS_SECONDS, census
from kimera.missions.control.home import Home
from kimera.storage.rollups import Rollups
from kimera.storage.trail import open_trail

__all__ = ["recording"]


@contextmanager
def recording(home: Home, process: str, *, lines: bool = True, listen: bool = False) -> Iterator[None]:
    """Record into the home's trail for the length of the block, under a request id of its own.

    ``process`` is the door's name (run, worker, serve); ``lines`` also prints JSON lines on stderr; ``listen`` serves
    the metrics to Prometheus, for a door that stays open.
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
            telemetry.run_metrics(settings, store=Rollups(home.database), process=name, listen=listen),
            telemetry.collecting(lambda: census(home), every=CENSUS_SECONDS),
        ):
            yield
    finally:
        telemetry.shutdown()
