"""Service levels and past metrics of one database, put together for whoever has a home."""

from __future__ import annotations

from collections.abc import Callable

from kimera.storage.database import Database
from kimera.storage.outcomes import Outcomes
from kimera.storage.rollups import Rollups
from kimera.telemetry.reading import slo, summary
from kimera.telemetry.reading.series import History
from kimera.telemetry.reading.slo import ServiceLevels
from kimera.telemetry.recording.metrics import register_collector

__all__ = ["attach_levels", "past_metrics", "service_levels"]

SHARED_SECONDS = 60.0
"""How long scrapes share one computation of the service levels; they move slowly and read thirty days."""


def past_metrics(database: Database) -> History:
    """Return the metrics that the processes of a home have rolled up."""
    return History(Rollups(database), database.clock)


def service_levels(database: Database) -> ServiceLevels:
    """Return the service levels of a home."""
    return ServiceLevels(Outcomes(database), past_metrics(database), database.clock)


def attach_levels(database: Database) -> Callable[[], None]:
    """Let `telemetry.slo` and `telemetry.summary` answer from this database and show the levels as gauges.

    Returns the function that ends it.
    """
    levels = service_levels(database)
    slo.attach(levels)
    summary.attach(past_metrics(database))
    end = register_collector(levels.readings, every=SHARED_SECONDS)

    def detach() -> None:
        end()
        slo.attach(None)
        summary.attach(None)

    return detach
