"""Tau: the calibrated probability of a stated event, with the name of its calibration (guardian.md section 7).

Every function is pure: same arguments, same value, in any process and for any order of items. A value lies in
[.02, .98] or is None with level CRITICAL; it never falls back to a default.
"""

from kimera.guardian.tau._claim import CitedSpan, claim, recall3
from kimera.guardian.tau._computation import computation
from kimera.guardian.tau._evidence import EvidenceItem, evidence_set
from kimera.guardian.tau._report import report
from kimera.guardian.tau._value import Calibration, TauValue, level_of

__all__ = [
    "Calibration",
    "CitedSpan",
    "EvidenceItem",
    "TauValue",
    "claim",
    "computation",
    "evidence_set",
    "level_of",
    "recall3",
    "report",
]
