"""What happened, as facts: mission events and their catalogue."""

from kimera.telemetry.events import CATALOGUE, MissionEvent, coerce, parse

__all__ = ["CATALOGUE", "MissionEvent", "coerce", "parse"]
