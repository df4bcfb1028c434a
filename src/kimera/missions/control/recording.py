"""Telemetry of a process that works in a home: what a door opens before, and closes after, everything it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kimera import telemetry
from kimera.guardian.redaction import redactor
from kimera.missions.control.home import Home
from kimera.storage.trail import open_trail

__all__ = ["recording"]


@contextmanager
def recording(home: Home, process: str, *, lines: bool = True) -> Iterator[None]:
    """Record into the home's trail for the length of the block, under a request id of its own.

    ``process`` is the door's name (run, worker, serve); ``lines`` also prints JSON lines on stderr.
    """
    settings = home.settings
    telemetry.configure(
        settings,
        store=open_trail(home.database),
        redactor=redactor(settings),
        process=f"{process}-{settings.worker}",
        lines=lines,
    )
    try:
        with telemetry.bind(request_id=telemetry.accept_request_id(None)):
            yield
    finally:
        telemetry.shutdown()
