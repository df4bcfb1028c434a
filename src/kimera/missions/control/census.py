"""How many missions and attempts there are of each sort now; asked of the tables when metrics are read."""

from __future__ import annotations

from collections.abc import Iterator

from kimera import telemetry
from kimera.missions.control.budget import ledger
from kimera.missions.control.home import Home

__all__ = ["CENSUS_SECONDS", "census"]

CENSUS_SECONDS = 10.0
"""How long one look at the tables is shared."""

NO_CAP = 1e9
"""Dollars from which on a day counts as not capped."""


def census(home: Home) -> Iterator[telemetry.Reading]:
    """Yield how many missions and attempts wait, run and failed for good, and the share of the day's cap in use."""
    missions, attempts = home.missions.census(), home.attempts.census()
    for state in ("pending", "running", "fusion"):
        yield telemetry.Reading("kimera_missions_running", missions.get(state.upper(), 0), {"state": state})
    depths = {
        ("missions", "ready"): missions.get("PENDING", 0),
        ("missions", "running"): missions.get("RUNNING", 0) + missions.get("FUSION", 0),
        ("tracks", "ready"): attempts.get("pending", 0),
        ("tracks", "running"): attempts.get("running", 0),
        ("tracks", "dead"): attempts["dead"],
    }
    for (queue, state), depth in depths.items():
        yield telemetry.Reading("kimera_queue_depth", depth, {"queue": queue, "state": state})
    today = ledger(home).spent_today()
    if 0 < today.cap < NO_CAP:
        yield telemetry.Reading("kimera_spend_cap_used_ratio", float(today.share), {"scope": "day"})
