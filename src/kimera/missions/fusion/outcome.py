"""Two packages become one outcome. Pure: the same packages and facts give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kimera import telemetry
from kimera.errors import NotFoundError
from kimera.knowledge.contracts import Degraded, Library
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    Chart,
    Computation,
    Cost,
    FusionInputPackage,
    MissionOutcomePackage,
    NumberClaim,
    ReportChange,
    ResearchEvidencePackage,
    TextClaim,
    TrackName,
    TrackStatus,
    fingerprint,
)
from kimera.missions.fusion.alignment import align
from kimera.missions.fusion.disputes import superseded
from kimera.missions.fusion.facts import MissionFacts
from kimera.missions.fusion.notes import assumptions_of, degraded_of, gaps_of, limitations_of, method_of
from kimera.missions.fusion.summary import checked, choose_findings, choose_summary
from kimera.missions.fusion.trust import judge, judge_report
from kimera.storage.blobs import Blobs

__all__ = ["fuse"]


def fuse(
    facts: MissionFacts,
    research: ResearchEvidencePackage | None,
    analysis: AnalyticalReportPackage | None,
    *,
    track_status: Mapping[TrackName, TrackStatus],
    library: Library,
    library_blob: str,
    previous: MissionOutcomePackage | None = None,
    partial: bool = False,
    degraded: Sequence[Degraded] = (),
    blobs: Blobs | None = None,
) -> MissionOutcomePackage:
    """Return the report as data, one version above ``previous``.

    With ``blobs`` each quotation is read again at its place and judged with its paragraph; without, the quotation is
    its own evidence and its tau is marked SPAN_NOT_REREAD.
    """
    status = dict(sorted(track_status.items()))
    fused = align(research, analysis, library, status)
    computations = _computations(analysis)
    claims = _judged(facts, fused, computations, library, blobs)
    with telemetry.span("fusion.assemble", claims=len(claims)):
        old = superseded(fused.conflicts, fused.agreements)
        questions = research.sub_questions if research else ()
        summary = choose_summary(
            facts.question, claims, fused.agreements, fused.conflicts, old, _archived(claims, library)
        )
        known = {claim.id for claim in claims}
        outcome = MissionOutcomePackage(
            **_named(facts),
            version=previous.version + 1 if previous else 1,
            partial=partial,
            degraded=degraded_of(facts, fused, library, degraded),
            track_status=status,
            summary=checked(summary, known),
            findings=checked(choose_findings(claims, summary, questions, old), known),
            claims=tuple(claims),
            agreements=fused.agreements,
            conflicts=fused.conflicts,
            not_comparable=fused.not_comparable,
            gaps=gaps_of(fused, library),
            assumptions=assumptions_of(fused, library, claims, old),
            limitations=limitations_of(fused, claims),
            method=method_of(facts, fused, library, claims, library_blob),
            sources=tuple(sorted(library.sources, key=lambda source: (source.name, source.id))),
            library=library_blob,
            computations=computations,
            charts=_charts(fused, known),
            tau=judge_report(claims, questions),
            cost=_cost(research, analysis),
        )
    return outcome if previous is None else outcome.model_copy(update={"change": _change(previous, outcome)})


def _judged(
    facts: MissionFacts,
    fused: FusionInputPackage,
    computations: Sequence[Computation],
    library: Library,
    blobs: Blobs | None,
) -> list[TextClaim | NumberClaim]:
    packages = (fused.analysis, fused.research)
    raw = list({claim.id: claim for package in packages if package for claim in package.claims}.values())
    return judge(
        sorted(raw, key=lambda claim: (claim.track, claim.id)),
        {computation.id: computation for computation in computations},
        fused.conflicts,
        fused.agreements,
        texts=_texts(library, blobs, _cited(raw)),
        known=frozenset(source.id for source in library.sources),
        templates=facts.options.model is None,
    )


def _named(facts: MissionFacts) -> dict[str, Any]:
    """Return the fields of the outcome that are the mission's own."""
    return {name: value for name, value in facts if name in MissionOutcomePackage.model_fields}


def _computations(analysis: AnalyticalReportPackage | None) -> tuple[Computation, ...]:
    return tuple(sorted(analysis.computations, key=lambda item: item.id)) if analysis else ()


def _charts(fused: FusionInputPackage, known: Iterable[str]) -> tuple[Chart, ...]:
    charts = fused.analysis.charts if fused.analysis else ()
    return tuple(sorted((c for c in charts if c.claim_id in set(known)), key=lambda chart: chart.claim_id))


def _archived(claims: Iterable[TextClaim | NumberClaim], library: Library) -> frozenset[str]:
    """Return the quoted claims that only archived files state."""
    archived = {source.id for source in library.sources if source.archived}
    quoted = (claim for claim in claims if isinstance(claim, TextClaim))
    return frozenset(claim.id for claim in quoted if {span.source_id for span in claim.spans} <= archived)


def _cited(claims: Iterable[TextClaim | NumberClaim]) -> frozenset[str]:
    return frozenset(span.source_id for claim in claims if isinstance(claim, TextClaim) for span in claim.spans)


def _texts(library: Library, blobs: Blobs | None, cited: frozenset[str]) -> dict[str, str]:
    """Return the texts of the cited documents; one whose blob is gone is left out and its spans are not re-read."""
    if blobs is None:
        return {}
    texts = {}
    for document in library.documents:
        if document.source_id in cited:
            try:
                texts[document.source_id] = blobs.get(document.text).decode("utf-8", "surrogatepass")
            except NotFoundError:
                continue
    return texts


def _cost(*packages: ResearchEvidencePackage | AnalyticalReportPackage | None) -> Cost:
    costs = [package.cost for package in packages if package]
    return Cost(
        usd=sum((cost.usd for cost in costs), start=Cost().usd),
        input_tokens=sum(cost.input_tokens for cost in costs),
        output_tokens=sum(cost.output_tokens for cost in costs),
        calls=sum(cost.calls for cost in costs),
    )


def _change(before: MissionOutcomePackage, after: MissionOutcomePackage) -> ReportChange:
    old = {claim.id: claim for claim in before.claims}
    new = {claim.id: claim for claim in after.claims}
    old_conflicts = {conflict.id for conflict in before.conflicts}
    new_conflicts = {conflict.id for conflict in after.conflicts}
    changed = [name for name in old.keys() & new.keys() if fingerprint(old[name]) != fingerprint(new[name])]
    return ReportChange(
        added=tuple(sorted(new.keys() - old.keys())),
        withdrawn=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(changed)),
        conflicts_opened=tuple(sorted(new_conflicts - old_conflicts)),
        conflicts_resolved=tuple(sorted(old_conflicts - new_conflicts)),
    )
