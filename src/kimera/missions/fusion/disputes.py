"""Claims that cannot all hold: from both tracks, joined where they are one dispute, parted where they are two."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import combinations

from kimera.knowledge.contracts import Library
from kimera.missions.contracts import Agreement, Conflict, ConflictKind, NotComparable, NumberClaim
from kimera.missions.fusion.matching import DIFFERENT, SAME, Match
from kimera.missions.fusion.quantities import canonical
from kimera.missions.fusion.topics import Statement, Topic
from kimera.missions.fusion.wording import number_text

__all__ = [
    "equal_values",
    "find_conflicts",
    "merge_conflicts",
    "part_conflicts",
    "superseded",
    "table_conflicts",
    "table_pairs",
]


def superseded(conflicts: Iterable[Conflict], agreements: Iterable[Agreement]) -> frozenset[str]:
    """Return the claims that a newer one replaces: in a conflict with a current value and not agreeing with it."""
    groups = [set(agreement.claims) for agreement in agreements]
    old: set[str] = set()
    for conflict in conflicts:
        if conflict.current is not None:
            allies = {conflict.current}.union(*(group for group in groups if conflict.current in group))
            old |= set(conflict.claims) - allies
    return frozenset(old)


def find_conflicts(
    matches: Sequence[Match], statements: dict[str, Statement], topics: dict[str, Topic]
) -> list[Conflict]:
    """Return one conflict per sentence and verdict on age; a sentence that agrees with a value has found its own."""
    settled = {match.text.id for match in matches if match.verdict == SAME}
    groups: dict[tuple[str, str], list[Match]] = {}
    for match in matches:
        if match.verdict == DIFFERENT and match.text.id not in settled:
            newer = _newer(statements[match.text.id], topics[match.number.id])
            groups.setdefault((match.text.id, newer), []).append(match)
    return [_conflict(group, newer, topics) for (_, newer), group in sorted(groups.items(), key=lambda item: item[0])]


REASONS = {
    "text": "The document is newer than the table, so its figure is taken as current.",
    "number": "The document is older or archived, so the value computed from the newer table is taken as current.",
    "": "Nothing tells which of the two is newer; both stand.",
}


def _conflict(group: Sequence[Match], newer: str, topics: dict[str, Topic]) -> Conflict:
    text = group[0].text
    numbers = sorted((match.number for match in group), key=lambda claim: (-claim.relevance, claim.id))
    stated = group[0].stated.text if group[0].stated else ""
    computed = " and ".join(dict.fromkeys(number_text(c.value, topics[c.id].unit) for c in numbers))
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


def part_conflicts(
    given: Sequence[Conflict], matches: Sequence[Match], statements: dict[str, Statement], topics: dict[str, Topic]
) -> tuple[list[Conflict], list[NotComparable]]:
    """Return the conflicts of the documents, parted where the tables show that their sides are different things.

    Sides that meet computed values of different groups or periods do not contradict each other; those that meet the
    same still do, as a conflict of their own. Sides that meet no computed value stay together.
    """
    homes = _homes(matches, topics)
    stated = {match.text.id: match.stated.text for match in matches if match.stated is not None}
    kept: list[Conflict] = []
    apart: list[NotComparable] = []
    for conflict in given:
        groups: dict[str, list[str]] = {}
        for claim in conflict.claims:
            groups.setdefault(homes.get(claim, ""), []).append(claim)
        if len(groups.keys() - {""}) < 2:
            kept.append(conflict)
            continue
        kept += [_part(conflict, group, statements, stated) for group in groups.values() if len(group) > 1]
        first = tuple(group[0] for group in groups.values())
        apart.append(NotComparable(claims=first, reason="They speak of different groups or periods."))
    return _without_parts(kept), apart


def _homes(matches: Sequence[Match], topics: dict[str, Topic]) -> dict[str, str]:
    """Return for each sentence the group and period of the values it meets; one that it agrees with counts first."""
    homes: dict[str, tuple[bool, str]] = {}
    for match in matches:
        if match.verdict in {SAME, DIFFERENT}:
            topic = topics[match.number.id]
            place = repr([sorted(part) for part in (topic.words, topic.scope, topic.figures, topic.period)])
            found = (match.verdict == DIFFERENT, place)
            homes[match.text.id] = min(found, homes.get(match.text.id, found))
    return {claim: place for claim, (_, place) in homes.items()}


def _part(
    conflict: Conflict, claims: Sequence[str], statements: dict[str, Statement], stated: dict[str, str]
) -> Conflict:
    ages = {claim: _age(statements[claim]) for claim in claims if claim in statements}
    newest = [claim for claim in claims if claim in ages and ages[claim] == max(ages.values())]
    current = newest[0] if len(newest) == 1 else None
    values = list(dict.fromkeys(stated.get(claim, "") for claim in claims))
    return Conflict(
        id=_conflict_id(claims),
        kind="temporal" if current else conflict.kind,
        claims=tuple(claims),
        text=" against ".join(f"“{value}”" for value in values) + "." if all(values) else conflict.text,
        current=current,
        reason="The newest source is taken as current." if current else REASONS[""],
    )


def _age(statement: Statement) -> tuple[bool, date]:
    return (not statement.archived, statement.dated or date.min)


def _without_parts(conflicts: Sequence[Conflict]) -> list[Conflict]:
    """Return the conflicts without those whose sides another one holds already."""
    kept: list[Conflict] = []
    for conflict in sorted(conflicts, key=lambda item: (-len(item.claims), item.id)):
        if not any(set(conflict.claims) <= set(other.claims) for other in kept):
            kept.append(conflict)
    return kept


def merge_conflicts(
    given: Sequence[Conflict], found: Sequence[Conflict], agreements: Sequence[Agreement]
) -> list[Conflict]:
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


def table_pairs(
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


def equal_values(left: NumberClaim, right: NumberClaim) -> bool:
    """Return whether two computed values are the same in one unit, to 1e-9 relative."""
    if isinstance(left.value, str | bool) or isinstance(right.value, str | bool):
        return left.value == right.value
    one, two = canonical(float(left.value), left.unit), canonical(float(right.value), right.unit)
    return one[1] == two[1] and abs(one[0] - two[0]) <= 1e-9 * max(abs(one[0]), abs(two[0]))


def table_conflicts(numbers: Sequence[NumberClaim], topics: dict[str, Topic], library: Library) -> list[Conflict]:
    """Return the conflicts between values computed from two vintages of one table."""
    found = []
    for left, right in table_pairs(numbers, topics, library):
        one, two = topics[left.id], topics[right.id]
        newer = _newer_table(one, two)
        if newer is None or equal_values(left, right):
            continue
        current, old = (left, right) if newer == "left" else (right, left)
        values = [number_text(claim.value, topics[claim.id].unit) for claim in (old, current)]
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
