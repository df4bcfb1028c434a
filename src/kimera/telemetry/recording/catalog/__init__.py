"""Every family of metrics there is, as plain data: what the code counts, what dashboards and alerts may name."""

from __future__ import annotations

from collections.abc import Mapping

from kimera.telemetry.recording.catalog import _engines, _identities, _missions, _platform
from kimera.telemetry.recording.catalog._missions import PHASES
from kimera.telemetry.recording.catalog._shape import BUCKETS, OTHER, Across, Family, Kind, Label

__all__ = ["BUCKETS", "METRICS", "OTHER", "PHASES", "Across", "Family", "Kind", "Label"]

METRICS: Mapping[str, Family] = {
    family.name: family
    for family in (*_missions.FAMILIES, *_identities.FAMILIES, *_engines.FAMILIES, *_platform.FAMILIES)
}
"""All families by name, in the order of the reference page."""
