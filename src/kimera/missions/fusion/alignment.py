"""Which claims say the same, which cannot all hold, and which only look alike. Nothing is averaged or dropped."""

from __future__ import annotations

from collections.abc import Sequence

from kimera import telemetry
from kimera.knowledge.contracts import Library
from kimera.missions.contracts import (
    Agreement,
    AnalyticalReportPackage,
    Conflict,
    FusionInputPackage,
    NotComparable,
    NumberClaim,
    ResearchEvidencePackage,
    TextClaim,
    TrackName,
    TrackStatus,
)
from kimera.missions.fusion.disputes import (
    equal_values,
    find_conflicts,
    merge_conflicts,
    part_conflicts,
    table_conflicts,
    table_pairs,
)
from kimera.missions.fusion.matching import DIFFERENT, SAME, Match, find_matches
from kimera.missions.fusion.topics import Topic, known_scopes, read_statement, topic_of
from kimera.missions.fusion.wording import number_text

__all__ = ["align"]


@telemetry.spanned("fusion.align")
def align(
    research: ResearchEvidencePackage | None,
    analysis: AnalyticalReportPackage | None,
    library: Library,
    track_status: dict[TrackName, TrackStatus],
) -> FusionInputPackage:
    """Line up the claims of both packages; the research track's own conflicts are kept and extended."""
    texts = sorted((c for c in _claims(research, analysis) if isinstance(c, TextClaim)), key=lambda c: c.id)
    numbers = sorted((c for c in _claims(research, analysis) if isinstance(c, NumberClaim)), key=lambda c: c.id)
    computations = {c.id: c for c in analysis.computations} if analysis else {}
    topics = {c.id: topic_of(c, computations.get(c.computation_id), library) for c in numbers}
    statements = {c.id: read_statement(c, library) for c in texts}
    matches = find_matches(texts, numbers, statements, topics, known_scopes(library, numbers))
    agreements = _agreements(matches, topics) + _corroborated(numbers, topics, library)
    given, apart = part_conflicts(_given(research, {*topics, *statements}), matches, statements, topics)
    found = [*find_conflicts(matches, statements, topics), *table_conflicts(numbers, topics, library)]
    conflicts = merge_conflicts(given, found, agreements)
    return FusionInputPackage(
        research=research,
        analysis=analysis,
        track_status=track_status,
        agreements=tuple(agreements),
        conflicts=tuple(conflicts),
        not_comparable=(*apart, *_not_comparable(matches, agreements, conflicts)),
    )


def _given(research: ResearchEvidencePackage | None, known: set[str]) -> list[Conflict]:
    """Return the research track's conflicts as far as their sides are claims of this mission."""
    found = []
    for conflict in research.conflicts if research else ():
        sides = tuple(claim for claim in conflict.claims if claim in known)
        if len(sides) > 1:
            current = conflict.current if conflict.current in sides else None
            found.append(conflict.model_copy(update={"claims": sides, "current": current}))
    return found


def _claims(
    research: ResearchEvidencePackage | None, analysis: AnalyticalReportPackage | None
) -> list[TextClaim | NumberClaim]:
    return [*(research.claims if research else ()), *(analysis.claims if analysis else ())]


def _agreements(matches: Sequence[Match], topics: dict[str, Topic]) -> list[Agreement]:
    found = []
    for number_id in sorted({match.number.id for match in matches if match.verdict == SAME}):
        group = [m for m in matches if m.number.id == number_id and m.verdict == SAME]
        stated = ", ".join(sorted({f"“{m.stated.text}”" for m in group if m.stated}))
        computed = number_text(group[0].number.value, topics[number_id].unit)
        found.append(
            Agreement(
                claims=(number_id, *(match.text.id for match in group)),
                text=f"The documents state {stated}; {computed} was computed, equal within the stated precision.",
            )
        )
    return found


def _not_comparable(
    matches: Sequence[Match], agreements: Sequence[Agreement], conflicts: Sequence[Conflict]
) -> list[NotComparable]:
    paired = {claim for group in agreements for claim in group.claims}
    paired |= {claim for conflict in conflicts for claim in conflict.claims}
    found: dict[tuple[str, str], list[str]] = {}
    for match in matches:
        if match.verdict not in {SAME, DIFFERENT} and match.text.id not in paired:
            found.setdefault((match.text.id, match.verdict), []).append(match.number.id)
    # One counterpart is enough to say why a sentence stands alone; every group of a table would be noise.
    return [
        NotComparable(claims=(text, *numbers[:1]), reason=reason) for (text, reason), numbers in sorted(found.items())
    ]


def _corroborated(numbers: Sequence[NumberClaim], topics: dict[str, Topic], library: Library) -> list[Agreement]:
    return [
        Agreement(claims=(a.id, b.id), text="Two vintages of the same table give the same value.")
        for a, b in table_pairs(numbers, topics, library)
        if equal_values(a, b)
    ]
