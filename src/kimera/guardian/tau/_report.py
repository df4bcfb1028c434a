"""One figure for a whole report: would a claim drawn at random from it be supported?"""

from __future__ import annotations

import math
from collections.abc import Iterable

from kimera.guardian.tau._value import Calibration, TauValue, judged, unjudged

__all__ = ["report"]

EVENT = "a claim drawn at random from the report is supported"
RULE = Calibration("report-mean@1", domain="claims of one report, weighted by importance")


def report(claims: Iterable[tuple[float, float | None]], coverage: float = 1.0) -> TauValue:
    """Return sum(importance x tau) / sum(importance) x coverage, a claim without a tau counting as 0.

    Components: p10 (sorted[floor(.1 (n - 1))]), worst, and the unsupported share (tau < .5). No claim, or no weight,
    gives None. Raises ValueError for a negative importance or a coverage outside 0..1.
    """
    pairs = [(importance, 0.0 if tau is None else tau) for importance, tau in claims]
    if not 0 <= coverage <= 1 or any(importance < 0 for importance, _ in pairs):
        raise ValueError("Importance must not be negative and coverage lies between 0 and 1.")
    weight = math.fsum(importance for importance, _ in pairs)
    if not weight > 0:
        return unjudged(EVENT, RULE)
    values = sorted(tau for _, tau in pairs)
    components = {
        "p10": values[math.floor(0.1 * (len(values) - 1))],
        "worst": values[0],
        "unsupported": sum(value < 0.5 for value in values) / len(values),
        "coverage": coverage,
    }
    mean = math.fsum(importance * tau for importance, tau in pairs) / weight
    return judged(mean * coverage, EVENT, RULE, components)
