"""The value every tau function returns, and the calibrations it names."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

__all__ = ["Calibration", "Level", "TauValue", "judged", "level_of", "load_calibration", "logistic", "unjudged"]

Level = Literal["LOW", "MID", "HIGH", "CRITICAL"]

LOWEST, HIGHEST = 0.02, 0.98


@dataclass(frozen=True)
class Calibration:
    """Where the probability comes from. ``n`` labels; ``transfer``: not measured on the present domain."""

    id: str
    n: int = 0
    ece: float | None = None
    brier: float | None = None
    domain: str = ""
    transfer: bool = True


@dataclass(frozen=True)
class TauValue:
    """The probability of ``event``; ``tau`` None means it could not be judged, which is level CRITICAL."""

    tau: float | None
    event: str
    level: Level
    calibration: Calibration | None
    components: dict[str, float] = field(default_factory=dict)
    contradiction_checked: bool = False
    caps: tuple[str, ...] = ()


def level_of(tau: float | None) -> Level:
    """Return the risk level: LOW from .8, MID from .5, HIGH from .2, CRITICAL below or when there is no value."""
    if tau is None or tau < 0.2:
        return "CRITICAL"
    if tau < 0.5:
        return "HIGH"
    return "MID" if tau < 0.8 else "LOW"


def logistic(x: float) -> float:
    """Return 1 / (1 + e^-x) without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else 1 - 1 / (1 + math.exp(x))


def judged(
    tau: float,
    event: str,
    calibration: Calibration | None,
    components: dict[str, float] | None = None,
    caps: tuple[str, ...] = (),
) -> TauValue:
    """Return the value clamped to [.02, .98]; not finite, or no calibration behind it, gives None."""
    if calibration is None or not math.isfinite(tau):
        return unjudged(event, calibration, caps)
    value = min(max(tau, LOWEST), HIGHEST)
    return TauValue(value, event, level_of(value), calibration, components or {}, caps=caps)


def unjudged(event: str, calibration: Calibration | None, caps: tuple[str, ...] = ()) -> TauValue:
    """Return the value that says: this could not be judged."""
    return TauValue(None, event, "CRITICAL", calibration, caps=caps)


@cache
def load_calibration(name: str) -> tuple[Calibration, dict[str, Any]] | None:
    """Return a shipped calibration and its fitted parameters; None when the file is missing."""
    entry = resources.files("kimera.guardian") / "data" / "calibration" / f"{name}.json"
    if not entry.is_file():
        return None
    data = json.loads(entry.read_text("utf-8"))
    return Calibration(**data["calibration"]), data["parameters"]
