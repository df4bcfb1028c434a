"""What fusion must be told because packages do not carry it: which mission, asked when, run by what."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

from pydantic import AwareDatetime, Field

from kimera.knowledge.contracts import Frozen
from kimera.missions.contracts import MissionOptions

__all__ = ["MissionFacts", "installed_versions"]

NAMED = ("duckdb", "kimera", "numpy", "polars", "scipy")


@cache
def installed_versions() -> tuple[tuple[str, str], ...]:
    """Return (name, version) of Python and of the packages that decide what is computed; absent ones are left out."""
    found = [("python", platform.python_version())]
    for name in NAMED:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    if not any(name == "kimera" for name, _ in found):
        from kimera import __version__

        found.append(("kimera", __version__))
    return tuple(sorted(found))


class MissionFacts(Frozen):
    """The recorded facts of a mission; fusion has no clock and no environment of its own.

    ``versions`` (package -> version) is filled in when the facts are made and should be recorded with them, so that a
    later fusion of the same mission elsewhere writes the same bytes.
    """

    mission_id: str
    session_id: str
    knowledge_space: str
    question: str
    folder: str
    created_at: AwareDatetime
    options: MissionOptions = MissionOptions()
    versions: dict[str, str] = Field(default_factory=lambda: dict(installed_versions()))
    finished_at: AwareDatetime | None = None
    trace_id: str | None = None
