"""Tau of each claim and of the whole report, as the guardian defines them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations

from kimera import telemetry
from kimera.guardian import tau
from kimera.missions.contracts import Agreement, Computation, Conflict, NumberClaim, SubQuestion, Tau, TextClaim

__all__ = ["judge", "judge_report"]

IMPORTANCE = {"answer": 3.0, "finding": 2.0, "context": 1.0}
DIGITS = 6  # the last bits of exp() differ between machines; a report must not


@telemetry.spanned("guardian.check")
def judge(
    claims: Sequence[TextClaim | NumberClaim],
    computations: Mapping[str, Computation],
    conflicts: Sequence[Conflict],
    agreements: Sequence[Agreement] = (),
    *,
    texts: Mapping[str, str],
    known: frozenset[str],
    templates: bool,
) -> list[TextClaim | NumberClaim]:
    """Return the claims with their tau. ``texts`` maps source ids to full texts where they could be read,
    ``known`` holds the ids of all sources, ``templates``: computations come from our own tested templates.

    Where the two tracks contradict each other both sides get the smaller tau, marked TRACK_CONFLICT.
    """
    values = {claim.id: _tau_of(claim, computations, texts, known, templates) for claim in claims}
    tracks = {claim.id: claim.track for claim in claims}
    together = [frozenset(agreement.claims) for agreement in agreements]
    for conflict in conflicts:
        for one, two in combinations([claim for claim in conflict.claims if claim in values], 2):
            if tracks[one] != tracks[two] and not any({one, two} <= group for group in together):
                lowest = _lowest([values[one], values[two]])
                for side in (one, two):
                    values[side] = _lowered(values[side], lowest, "TRACK_CONFLICT")
    return [claim.model_copy(update={"tau": _kept_lower(claim.tau, values[claim.id])}) for claim in claims]


def judge_report(claims: Iterable[TextClaim | NumberClaim], sub_questions: Sequence[SubQuestion]) -> Tau:
    """Return the tau of a report: claims weighted by role, times the mean coverage of the sub-questions."""
    coverage = sum(item.coverage for item in sub_questions) / len(sub_questions) if sub_questions else 1.0
    pairs = [(IMPORTANCE[claim.role], claim.tau.value if claim.tau else None) for claim in claims]
    return _contract(tau.report(pairs, min(max(coverage, 0.0), 1.0)))


def _tau_of(
    claim: TextClaim | NumberClaim,
    computations: Mapping[str, Computation],
    texts: Mapping[str, str],
    known: frozenset[str],
    templates: bool,
) -> Tau:
    if isinstance(claim, TextClaim):
        return _text_tau(claim, texts, known)
    return _number_tau(claim, computations.get(claim.computation_id), templates)


def _text_tau(claim: TextClaim, texts: Mapping[str, str], known: frozenset[str]) -> Tau:
    spans, read, unread = [], dict(texts), False
    for span in claim.spans:
        start, end, source = span.start, span.end, span.source_id
        if source not in texts and _is_intact(span.quote, span.quote_sha256):
            # The text is not at hand: the quotation itself is the evidence, and the value says so.
            key = f"{source}:{start}"
            read[key], start, end, unread = span.quote, 0, len(span.quote), True
            known = known | {key} if source in known else known
            source = key
        spans.append(tau.CitedSpan(source, start, end, span.quote))
    value = tau.claim(claim.statement, spans, read, known)
    return _contract(value, ("SPAN_NOT_REREAD",) if unread else ())


def _is_intact(quote: str, digest: str) -> bool:
    return hashlib.sha256(quote.encode("utf-8", "surrogatepass")).hexdigest() == digest


def _number_tau(claim: NumberClaim, computation: Computation | None, templates: bool) -> Tau:
    gates = {
        "exit": computation is not None and computation.result is not None,
        "sandbox": computation is not None and (templates or computation.sandbox_level != "none"),
        "schema": computation is not None and _stands(claim, computation),
    }
    reproduced = computation.reproduced if computation else None
    stable = reproduced is not False if templates else reproduced is True
    return _contract(tau.computation(gates, stable=stable, template=templates))


def _stands(claim: NumberClaim, computation: Computation) -> bool:
    """Return whether the claimed value is where the claim says it is in the computation's result."""
    found: object = computation.result
    for step in claim.path:
        try:
            found = found[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return False
    if isinstance(found, dict | list):
        return not claim.path  # a claim without a path rests on the result as a whole
    return _same(found, claim.value)


def _same(found: object, claimed: float | int | bool | str) -> bool:
    if isinstance(found, bool) or isinstance(claimed, bool):
        return found is claimed
    if isinstance(found, int | float) and isinstance(claimed, int | float):
        # A claim may be rounded as its question asks; it must still round to what was computed.
        place = 10.0 ** int(Decimal(repr(claimed)).as_tuple().exponent)
        return abs(found - claimed) <= max(0.5 * place * (1 + 1e-9), 1e-9 * abs(found))
    return str(found) == str(claimed)


def _contract(value: tau.TauValue, notes: tuple[str, ...] = ()) -> Tau:
    return Tau(
        value=None if value.tau is None else round(value.tau, DIGITS),
        event=value.event,
        calibration=value.calibration.id if value.calibration else None,
        level=value.level,
        caps=(*value.caps, *notes),
        contradiction_checked=value.contradiction_checked,
    )


def _lowest(values: Sequence[Tau]) -> float | None:
    numbers = [value.value for value in values]
    return None if any(number is None for number in numbers) else min(n for n in numbers if n is not None)


def _lowered(value: Tau, to: float | None, mark: str) -> Tau:
    caps = value.caps if mark in value.caps else (*value.caps, mark)
    return value.model_copy(update={"value": to, "level": tau.level_of(to), "caps": caps})


def _kept_lower(given: Tau | None, computed: Tau) -> Tau:
    """Return the track's own judgement where it is lower: a judge may only lower."""
    if given is None or given.value is None or computed.value is None or given.value >= computed.value:
        return computed
    return given
