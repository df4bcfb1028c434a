"""How long the phases of tracks take: read off the spans that stand around them, whether or not spans are recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kimera.telemetry.recording.catalog import PHASES
from kimera.telemetry.recording.context import current
from kimera.telemetry.recording.metrics import metric

__all__ = ["PHASED", "observe_phase"]

PHASED = {
    "mission.accept": ("orchestrator", "accept"),
    "dispatch.enqueue": ("orchestrator", "dispatch"),
    "mission.transition": ("orchestrator", "transition"),
    "mission.close": ("orchestrator", "transition"),
    "fusion.align": ("fusion", "align"),
    "fusion.assemble": ("fusion", "assemble"),
    "guardian.check": ("fusion", "guard"),
}
"""Spans that are a phase by their name; ``agent.step`` says its phase and is of the track at work."""

SECONDS = metric("kimera_mission_phase_duration_seconds")


def observe_phase(name: str, attributes: Mapping[str, Any], seconds: float) -> None:
    """Observe a span that has ended; one that is no phase of the catalogue is passed over."""
    found = PHASED.get(name)
    if found is None:
        if name != "agent.step":
            return
        found = current().track or "", str(attributes.get("phase"))
        if found[1] not in PHASES.get(found[0], ()):
            return
    SECONDS.bind(track=found[0], phase=found[1]).observe(seconds)
