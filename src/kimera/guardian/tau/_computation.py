"""Trust in a computed value from its gates and from independent re-implementations."""

from __future__ import annotations

from collections.abc import Mapping

from kimera.guardian.tau._value import Calibration, TauValue, judged

__all__ = ["computation"]

EVENT = "an independent implementation returns the same value"
RULE = Calibration("computation-rule@1", domain="re-implementations of one computation")
CAP = 0.80  # until 200 labelled computations exist
TEMPLATE_START = (9, 1)  # own tested templates: nine agreements and one disagreement assumed


def computation(
    gates: Mapping[str, bool], agree: int = 0, disagree: int = 0, stable: bool = True, template: bool = False
) -> TauValue:
    """Return how likely an independent implementation is to return the same value.

    ``gates`` names the conditions of a run (sandboxed, exit 0, schema, verdict channel, no silent coercion); one that
    is false gives .02. Then the rule of succession over re-implementations, halved unless re-runs were ``stable``.
    Raises ValueError for negative counts.
    """
    if agree < 0 or disagree < 0:
        raise ValueError("Counts of re-implementations cannot be negative.")
    failed = tuple(f"GATE_{name.upper()}" for name in sorted(gates) if not gates[name])
    if failed:
        return judged(0.02, EVENT, RULE, caps=failed)
    for_, against = TEMPLATE_START if template else (1, 1)
    share = (for_ + agree) / (for_ + against + agree + disagree) * (1.0 if stable else 0.5)
    caps = (("UNSTABLE",) if not stable else ()) + (("UNLABELLED",) if share > CAP else ())
    return judged(min(share, CAP), EVENT, RULE, {"agree": agree, "disagree": disagree}, caps)
