"""Fusion: two packages become one report in which every sentence rests on a claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.missions.fusion.facts import MissionFacts
    from kimera.missions.fusion.outcome import fuse
    from kimera.missions.fusion.report import export_zip, render

__all__ = ["MissionFacts", "export_zip", "fuse", "render"]

_HOMES = {"MissionFacts": "facts", "export_zip": "report", "fuse": "outcome", "render": "report"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(name)
