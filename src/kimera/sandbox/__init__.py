"""Runs Python in a worker process under limits and says how isolated it was."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.sandbox.contracts import LEVELS, Isolation, Job, JobResult, Level, Limits
    from kimera.sandbox.probing import probe
    from kimera.sandbox.session import Session, run

__all__ = ["LEVELS", "Isolation", "Job", "JobResult", "Level", "Limits", "Session", "probe", "run"]

_PLACES = {"probe": "probing", "Session": "session", "run": "session"}


def __getattr__(name: str) -> Any:
    # The worker imports this package too; it must not pay for settings (pydantic, 0.3 s).
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"kimera.sandbox.{_PLACES.get(name, 'contracts')}"), name)
