"""The analysis track: computes on the tables and keeps the code behind every number. ``TRACK`` runs it,
``prepare`` starts its sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.missions.analysis._workers import prepare
    from kimera.missions.analysis.track import TRACK

__all__ = ["TRACK", "prepare"]


def __getattr__(name: str) -> Any:
    if name == "TRACK":
        from kimera.missions.analysis.track import TRACK

        return TRACK
    if name == "prepare":
        from kimera.missions.analysis._workers import prepare

        return prepare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
