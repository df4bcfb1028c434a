"""Service levels of a database: attached for a while, shown as gauges, gone afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from kimera import telemetry
from kimera.errors import ConfigurationError
from kimera.storage.database import open_database
from kimera.storage.levels import attach_levels
from kimera.storage.missions import Brief, Entry, Missions
from kimera.telemetry.recording.metrics import REGISTRY


def test_levels_are_there_while_attached(tmp_path: Path) -> None:
    """Promise: slo, summary and the gauges answer from the attached database, and from nothing after it."""
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    missions = Missions(database)
    created = {"session_id": "s", "knowledge_space": "k", "brief": "0"}
    missions.create(Brief("m1", "0", "Q?", "/f", "{}", "p"), Entry("created", "mission.created", created))
    missions.append("m1", [Entry("end", "mission.state", {"old": "PENDING", "new": "FAILED"})])
    detach = attach_levels(database)
    try:
        assert (0, 1) == (telemetry.slo("1d")[0].good, telemetry.slo("1d")[0].valid)
        assert telemetry.summary().avg_tau_score is None
        REGISTRY.collect()
        assert 0.0 == telemetry.metric("kimera_slo_ratio").bind(slo="mission_success").value
    finally:
        detach()
        database.close()
    with pytest.raises(ConfigurationError):
        telemetry.slo()
    with pytest.raises(ConfigurationError):
        telemetry.summary()
