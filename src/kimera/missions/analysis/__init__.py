"""The analysis track: computes on the tables and keeps the code behind every number. ``TRACK`` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.missions.analysis.track import TRACK

__all__ = ["TRACK"]


def __getattr__(name: str) -> Any:
    if name == "TRACK":
        from kimera.missions.analysis.track import TRACK

        return TRACK
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
