"""Service levels and past metrics of one database, put together for whoever has a home."""

from __future__ import annotations

from kimera.storage.database import Database
from kimera.storage.outcomes import Outcomes
from kimera.storage.rollups import Rollups
from kimera.telemetry.reading.series import History
from kimera.telemetry.reading.slo import ServiceLevels

__all__ = ["past_metrics", "service_levels"]


def past_metrics(database: Database) -> History:
    """Return the metrics that the processes of a home have rolled up."""
    return History(Rollups(database), database.clock)


def service_levels(database: Database) -> ServiceLevels:
    """Return the service levels of a home."""
    return ServiceLevels(Outcomes(database), past_metrics(database), database.clock)
