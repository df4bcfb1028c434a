"""Which claims say the same, which cannot all hold, and which only look alike. Nothing is averaged or dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from kimera.knowledge.contracts import Library
from kimera.missions.contracts import (
    Agreement,
    AnalyticalReportPackage,
    Computation,
    Conflict,
    ConflictKind,
    FusionInputPackage,
    NotComparable,
    NumberClaim,
    ResearchEvidencePackage,
    TextClaim,
    TrackName,
    TrackStatus,
)
from kimera.missions.fusion.quantities import Quantity, agree, canonical
from kimera.missions.fusion.topics import (
    PLAIN,
    Scopes,
    Statement,
    Topic,
    known_scopes,
    read_statement,
    topic_of,
)
from kimera.missions.fusion.wording import number_text

__all__ = ["align", "superseded"]

SMALL = 20  # counts below this agree by accident too often to mean anything beside other numbers


@dataclass(frozen=True)
class _Match:
    """A document's number set against a computed one; ``verdict`` is same, different or the reason why neither."""

    text: TextClaim
    number: NumberClaim
    verdict: str
    stated: Quantity | None = None


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
    matches = _matches(texts, numbers, statements, topics, known_scopes(library, numbers))
    agreements = _agreements(matches) + _corroborated(numbers, topics, computations, library)
    found = _conflicts(matches, statements, topics)
    conflicts = _merged(
        research.conflicts if research else (), [*found, *_vintages(numbers, topics, library)], agreements
    )
    return FusionInputPackage(
        research=research,
        analysis=analysis,
        track_status=track_status,
        agreements=tuple(agreements),
        conflicts=tuple(conflicts),
        not_comparable=tuple(_not_comparable(matches, agreements, conflicts)),
    )


def superseded(conflicts: Iterable[Conflict], agreements: Iterable[Agreement]) -> frozenset[str]:
    """Return the claims that a newer one replaces: in a conflict with a current value and not agreeing with it."""
    groups = [set(agreement.claims) for agreement in agreements]
    old: set[str] = set()
    for conflict in conflicts:
        if conflict.current is not None:
            allies = {conflict.current}.union(*(group for group in groups if conflict.current in group))
            old |= set(conflict.claims) - allies
    return frozenset(old)


def _claims(
    research: ResearchEvidencePackage | None, analysis: AnalyticalReportPackage | None
) -> list[TextClaim | NumberClaim]:
    return [*(research.claims if research else ()), *(analysis.claims if analysis else ())]


def _matches(
    texts: Sequence[TextClaim],
    numbers: Sequence[NumberClaim],
    statements: dict[str, Statement],
    topics: dict[str, Topic],
    scopes: Scopes,
) -> list[_Match]:
    by_words: dict[frozenset[str], list[NumberClaim]] = {}
    for number in numbers:
        if topics[number.id].words and not isinstance(number.value, bool | str):
            by_words.setdefault(topics[number.id].words, []).append(number)
    found = []
    for text in texts:
        statement = statements[text.id]
        for words, group in by_words.items() if statement.quantities else ():
            if words <= statement.words:
                pairs = (_compare(text, number, statement, topics[number.id], scopes) for number in group)
                found += [match for match in pairs if match is not None]
    return found


def _compare(text: TextClaim, number: NumberClaim, statement: Statement, topic: Topic, scopes: Scopes) -> _Match | None:
    value = float(number.value)
    stated = [q for q in statement.quantities if _fits(q, value, statement, topic)]
    if not stated:
        return None
    same = next((q for q in stated if agree(q, value, topic.unit)), None)
    reason = _apart(statement, topic, scopes)
    if reason is not None:
        return _Match(text, number, reason, stated[0]) if _named(statement, topic, stated[0]) else None
    crowded = len(stated) > 1
    if same is not None and not (crowded and not same.unit and abs(value) < SMALL):
        return _Match(text, number, "same", same)
    if crowded or same is not None or stated[0].bound or not _named(statement, topic, stated[0]):
        return None
    if agree(stated[0], value, topic.unit) is None:
        return _Match(text, number, "The units cannot be converted into each other.", stated[0])
    return _Match(text, number, "different", stated[0])


def _fits(quantity: Quantity, value: float, statement: Statement, topic: Topic) -> bool:
    """Return whether a stated number may be the computed one: unit of the same kind, statistic not another one."""
    _, dimension = canonical(value, topic.unit)
    units = quantity.unit == dimension or not quantity.unit or not dimension
    near = _nearest(statement, quantity)
    return units and (near == topic.statistic or (not near and topic.statistic in PLAIN))


def _nearest(statement: Statement, quantity: Quantity) -> str:
    cues = sorted((abs(place - quantity.start), name) for place, name in statement.statistics)
    return cues[0][1] if cues else ""


def _named(statement: Statement, topic: Topic, stated: Quantity) -> bool:
    """Return whether the sentence names the statistic; without that a difference proves nothing."""
    return bool(topic.statistic) and _nearest(statement, stated) == topic.statistic


def _apart(statement: Statement, topic: Topic, scopes: Scopes) -> str | None:
    """Return why two statements speak of different things, or None."""
    mentioned = statement.words & scopes.categories - topic.words
    if topic.scope - statement.words or mentioned - topic.scope or topic.figures - statement.figures:
        return "They speak of different groups."
    if topic.entity and statement.entity and not topic.entity & statement.entity and not topic.entity & statement.words:
        return "They speak of different things."
    covered = any(
        low <= int(year) <= high
        for source in topic.sources
        for low, high in [scopes.years.get(source, (1, 0))]
        for year in statement.years
    )
    if (topic.period and topic.period != statement.years) or (not topic.period and covered):
        return "They speak of different periods."
    return None


def _agreements(matches: Sequence[_Match]) -> list[Agreement]:
    found = []
    for number_id in sorted({match.number.id for match in matches if match.verdict == "same"}):
        group = [m for m in matches if m.number.id == number_id and m.verdict == "same"]
        stated = ", ".join(sorted({f"“{m.stated.text}”" for m in group if m.stated}))
        computed = number_text(group[0].number.value, group[0].number.unit or group[0].number.about.unit)
        found.append(
            Agreement(
                claims=(number_id, *(match.text.id for match in group)),
                text=f"The documents state {stated}; {computed} was computed, equal within the stated precision.",
            )
        )
    return found


def _conflicts(matches: Sequence[_Match], statements: dict[str, Statement], topics: dict[str, Topic]) -> list[Conflict]:
    """Return one conflict per sentence and verdict on age; a sentence that agrees with a value has found its own."""
    settled = {match.text.id for match in matches if match.verdict == "same"}
    groups: dict[tuple[str, str], list[_Match]] = {}
    for match in matches:
        if match.verdict == "different" and match.text.id not in settled:
            newer = _newer(statements[match.text.id], topics[match.number.id])
            groups.setdefault((match.text.id, newer), []).append(match)
    return [_conflict(group, newer) for (_, newer), group in sorted(groups.items(), key=lambda item: item[0])]


REASONS = {
    "text": "The document is newer than the table, so its figure is taken as current.",
    "number": "The document is older or archived, so the value computed from the newer table is taken as current.",
    "": "Nothing tells which of the two is newer; both stand.",
}


def _conflict(group: Sequence[_Match], newer: str) -> Conflict:
    text = group[0].text
    numbers = sorted((match.number for match in group), key=lambda claim: (-claim.relevance, claim.id))
    stated = group[0].stated.text if group[0].stated else ""
    computed = " and ".join(dict.fromkeys(number_text(c.value, c.unit or c.about.unit) for c in numbers))
    kind: ConflictKind = "temporal" if newer else "numeric"
    return Conflict(
        id=_conflict_id((text.id, *(claim.id for claim in numbers))),
        kind=kind,
        claims=(text.id, *(claim.id for claim in numbers)),
        text=f"A document states “{stated}” where {computed} was computed.",
        current={"text": text.id, "number": numbers[0].id}.get(newer),
        reason=REASONS[newer],
    )


def _newer(statement: Statement, topic: Topic) -> str:
    """Return which side is newer, "text" or "number"; "" when nothing tells."""
    if statement.archived != topic.archived:
        return "number" if statement.archived else "text"
    if statement.dated and topic.dated and statement.dated != topic.dated:
        return "text" if statement.dated > topic.dated else "number"
    return ""


def _conflict_id(claims: Iterable[str]) -> str:
    return "k_" + hashlib.sha256("\n".join(sorted(claims)).encode()).hexdigest()[:20]


def _merged(given: Sequence[Conflict], found: Sequence[Conflict], agreements: Sequence[Agreement]) -> list[Conflict]:
    """Join a found conflict to one of research when both oppose the same sentence and the other sides agree.

    The research conflict keeps its id, so a version with both tracks does not announce a conflict as new.
    """
    allies = [set(agreement.claims) for agreement in agreements]
    merged = {conflict.id: conflict for conflict in given}
    for conflict in found:
        text, *computed = conflict.claims
        host = next(
            (
                other
                for other in merged.values()
                if text in other.claims and any(group & set(computed) and group & set(other.claims) for group in allies)
            ),
            None,
        )
        if host is None:
            merged.setdefault(conflict.id, conflict)
        else:
            claims = tuple(dict.fromkeys((*host.claims, *computed)))
            merged[host.id] = host.model_copy(update={"claims": claims})
    return sorted(merged.values(), key=lambda conflict: conflict.id)


def _not_comparable(
    matches: Sequence[_Match], agreements: Sequence[Agreement], conflicts: Sequence[Conflict]
) -> list[NotComparable]:
    paired = {claim for group in agreements for claim in group.claims}
    paired |= {claim for conflict in conflicts for claim in conflict.claims}
    found: dict[tuple[str, str], list[str]] = {}
    for match in matches:
        if match.verdict not in {"same", "different"} and match.text.id not in paired:
            found.setdefault((match.text.id, match.verdict), []).append(match.number.id)
    # One counterpart is enough to say why a sentence stands alone; every group of a table would be noise.
    return [
        NotComparable(claims=(text, *numbers[:1]), reason=reason) for (text, reason), numbers in sorted(found.items())
    ]


def _table_pairs(
    numbers: Sequence[NumberClaim], topics: dict[str, Topic], library: Library
) -> list[tuple[NumberClaim, NumberClaim]]:
    """Return pairs of computed claims on the same topic from two vintages of the same file."""
    series = {source.id: _series(source.name) for source in library.sources}
    groups: dict[object, list[NumberClaim]] = {}
    for number in numbers:
        topic = topics[number.id]
        if topic.words and topic.sources:
            names = tuple(series.get(source, source) for source in topic.sources)
            key = (names, topic.statistic, topic.words, topic.scope, topic.figures, topic.period)
            groups.setdefault(key, []).append(number)
    return [
        (left, right)
        for group in groups.values()
        for left, right in combinations(group, 2)
        if topics[left.id].sources != topics[right.id].sources
    ]


def _series(name: str) -> str:
    """Return the file name without folder, dates and digits: two vintages of one file have the same."""
    last = name.rsplit("/", 1)[-1].lower()
    letters = "".join(character if character.isalpha() else " " for character in last)
    return " ".join(word for word in letters.split() if word not in {"old", "archive", "archived", "v", "new", "final"})


def _equal(left: NumberClaim, right: NumberClaim) -> bool:
    if isinstance(left.value, str | bool) or isinstance(right.value, str | bool):
        return left.value == right.value
    one, two = canonical(float(left.value), left.unit), canonical(float(right.value), right.unit)
    return one[1] == two[1] and abs(one[0] - two[0]) <= 1e-9 * max(abs(one[0]), abs(two[0]))


def _corroborated(
    numbers: Sequence[NumberClaim], topics: dict[str, Topic], computations: dict[str, Computation], library: Library
) -> list[Agreement]:
    pairs = _table_pairs(numbers, topics, library) if len(computations) > 1 else []
    return [
        Agreement(claims=(a.id, b.id), text="Two vintages of the same table give the same value.")
        for a, b in pairs
        if _equal(a, b)
    ]


def _vintages(numbers: Sequence[NumberClaim], topics: dict[str, Topic], library: Library) -> list[Conflict]:
    found = []
    for left, right in _table_pairs(numbers, topics, library):
        one, two = topics[left.id], topics[right.id]
        newer = _newer_table(one, two)
        if newer is None or _equal(left, right):
            continue
        current, old = (left, right) if newer == "left" else (right, left)
        values = [number_text(claim.value, claim.unit or claim.about.unit) for claim in (old, current)]
        found.append(
            Conflict(
                id=_conflict_id((left.id, right.id)),
                kind="temporal",
                claims=(old.id, current.id),
                text=f"An older vintage of the table gives {values[0]}, the current one {values[1]}.",
                current=current.id,
                reason="The newer vintage of the same file is taken as current.",
            )
        )
    return found


def _newer_table(one: Topic, two: Topic) -> str | None:
    if one.archived != two.archived:
        return "right" if one.archived else "left"
    if one.dated and two.dated and one.dated != two.dated:
        return "left" if one.dated > two.dated else "right"
    return None
