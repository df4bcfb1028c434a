"""Deep research: the documents' side of a mission. ``TRACK`` runs it; ``read_about`` reads what a sentence is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.missions.research.about import read_about
    from kimera.missions.research.disagreement import Disagreement, Side, Statement, find_disagreements
    from kimera.missions.research.track import TRACK

__all__ = ["TRACK", "Disagreement", "Side", "Statement", "find_disagreements", "read_about"]


def __getattr__(name: str) -> Any:
    if name == "TRACK":
        from kimera.missions.research.track import TRACK

        return TRACK
    if name == "read_about":
        from kimera.missions.research.about import read_about

        return read_about
    if name in __all__:
        from kimera.missions.research import disagreement

        return getattr(disagreement, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
