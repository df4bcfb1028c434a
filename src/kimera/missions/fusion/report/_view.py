"""The outcome arranged for reading: numbered references, sides of conflicts, sources and their figures in words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from kimera.errors import NotFoundError
from kimera.guardian.checks import unicode
from kimera.knowledge.contracts import Library, Source, Span
from kimera.missions.contracts import (
    Agreement,
    Computation,
    Conflict,
    Finding,
    MissionOutcomePackage,
    NotComparable,
    NumberClaim,
    Tau,
    TextClaim,
)
from kimera.missions.fusion.disputes import superseded
from kimera.missions.fusion.topics import inputs_of
from kimera.missions.fusion.wording import number_text, one_line, p_text, sentence
from kimera.storage.blobs import Blobs

__all__ = ["Group", "Line", "Quote", "Reference", "Side", "View", "arrange", "visible"]

BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
CONTEXT_CHARACTERS = 180
RESULT_CHARACTERS = 1_600
CODE_CHARACTERS = 1_200
MOST_NAMES = 3
SUPPORT = {"LOW": "well supported", "MID": "supported", "HIGH": "weakly supported", "CRITICAL": "not supported"}
CAPS = {
    "CITATION_FABRICATED": "cites a source that is not in the folder",
    "QUOTE_NOT_VERBATIM": "the quotation does not stand at its place",
    "NO_CITATION": "no citation",
    "TRACK_CONFLICT": "documents and tables disagree, so the smaller reliability counts",
    "SPAN_NOT_REREAD": "the source text was not at hand when this was judged",
    "UNSTABLE": "not reproduced by a second run",
    "GATE_SCHEMA": "the value is not in the computation's result",
    "GATE_EXIT": "the computation did not finish",
    "GATE_SANDBOX": "ran without isolation",
}
STANDINGS = {
    "replaced": "replaced by a newer value",
    "current": "current; an older value differs",
    "conflict": "in conflict",
    "agreement": "agrees with another source",
    "several": "several sources",
    "apart": "not comparable",
    "archived": "from an archived file",
    "single": "single source",
}
SECTIONS: dict[str, str] = {
    "numeric": "Different numbers",
    "temporal": "Older and newer",
    "factual": "Contradicting statements",
    "scope": "Different scope",
    "method": "Different method",
}


@dataclass(frozen=True)
class Quote:
    """A quotation with what stands around it and where."""

    text: str
    source: str
    where: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Reference:
    """One claim as the report shows it. ``value`` is empty for a text claim, ``quotes`` for a computed one."""

    number: int
    claim_id: str
    kind: str
    statement: str
    value: str
    facts: tuple[str, ...]
    quotes: tuple[Quote, ...]
    computation: str
    code: str
    result: str
    tau: str
    level: str
    support: str
    notes: tuple[str, ...]
    standing: str
    standing_text: str
    where: str


@dataclass(frozen=True)
class Line:
    """A sentence, the numbers of its references, and the charts that belong to it."""

    text: str
    references: tuple[Reference, ...]
    charts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Findings under one heading."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Side:
    """One side of a conflict."""

    reference: Reference
    date: str
    standing: str


@dataclass(frozen=True)
class View:
    """Everything a renderer prints, in order; all text is `visible` but not yet escaped."""

    outcome: MissionOutcomePackage
    question: str
    banner: tuple[tuple[str, str], ...]
    answer: tuple[Line, ...]
    findings: tuple[Group, ...]
    conflicts: tuple[tuple[Conflict, str, tuple[Side, ...]], ...]
    agreements: tuple[tuple[Agreement, tuple[Reference, ...]], ...]
    apart: tuple[tuple[str, tuple[Reference, ...]], ...]
    references: tuple[Reference, ...]
    computations: tuple[tuple[Computation, str, tuple[int, ...]], ...]
    source_claims: Mapping[str, int] = field(default_factory=dict)


def visible(text: str) -> str:
    """Return ``text`` without characters that hide, reorder or steer: what is shown is what is there."""
    return BIDI.sub("", unicode.strip(text)[0])


def arrange(outcome: MissionOutcomePackage, blobs: Blobs | None = None) -> View:
    """Return the outcome in reading order; references are numbered by their first appearance."""
    around = _texts(outcome, blobs)
    references = _references(outcome, around)
    charts: dict[str, list[tuple[str, str]]] = {}
    for chart in outcome.charts:
        charts.setdefault(chart.claim_id, []).append((visible(chart.title), chart.svg))
    answer = _lines(outcome.summary, references, charts)
    groups = [
        Group(visible(label), _lines(list(found), references, charts))
        for label, found in groupby(outcome.findings, key=lambda finding: finding.label)
    ]
    ordered = tuple(sorted(references.values(), key=lambda reference: reference.number))
    return View(
        outcome=outcome,
        question=visible(one_line(outcome.question)),
        banner=_banner(outcome),
        answer=answer,
        findings=tuple(groups),
        conflicts=tuple((c, SECTIONS[c.kind], _sides(c, outcome, references)) for c in outcome.conflicts),
        agreements=tuple((a, _pick(a.claims, references)) for a in outcome.agreements),
        apart=tuple(_apart(item, references) for item in outcome.not_comparable),
        references=ordered,
        computations=_computations(outcome, ordered),
        source_claims=_counts(outcome),
    )


def _apart(item: NotComparable, references: Mapping[str, Reference]) -> tuple[str, tuple[Reference, ...]]:
    found = _pick(item.claims, references)
    said = " / ".join(f"“{reference.statement}”" for reference in found)
    return f"{sentence(item.reason)} {said}", found


def _computations(
    outcome: MissionOutcomePackage, references: Sequence[Reference]
) -> tuple[tuple[Computation, str, tuple[int, ...]], ...]:
    """Return the computations with their results and references, in the order in which the report uses them."""
    rows = [
        (item, result_text(item.result), tuple(ref.number for ref in references if ref.computation == item.id))
        for item in outcome.computations
    ]
    return tuple(sorted(rows, key=lambda row: (row[2] or (len(references) + 1,), row[0].id)))


def result_text(result: object) -> str:
    """Return a computation's result as indented JSON, cut with a remark when it is long."""
    text = json.dumps(result, ensure_ascii=False, indent=1, sort_keys=True)
    if len(text) > RESULT_CHARACTERS:
        text = text[:RESULT_CHARACTERS] + f"\n… ({len(text):,} characters in all; the JSON report has them)"
    return visible(text)


def _result_near(claim: NumberClaim, computation: Computation) -> str:
    """Return the part of the result around the claimed value, whole when it is short."""
    whole = result_text(computation.result)
    found: object = computation.result
    for step in claim.path[:-1]:
        try:
            found = found[step]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return whole
    return whole if len(whole) <= CODE_CHARACTERS // 2 else result_text(found)


def _banner(outcome: MissionOutcomePackage) -> tuple[tuple[str, str], ...]:
    """Return (mark, sentence) per thing that a reader must know before reading on."""
    lines = []
    if outcome.partial:
        lines.append(("Partial", "This version was made before everything was done; a later version may add to it."))
    names = {"no_model": "Offline", "track_failed": "Incomplete"}
    lines += [(names.get(item.cause, "Degraded"), visible(one_line(item.text))) for item in outcome.degraded]
    return tuple(lines)


def _references(outcome: MissionOutcomePackage, around: Mapping[str, str]) -> dict[str, Reference]:
    order: dict[str, None] = {}
    for finding in (*outcome.summary, *outcome.findings):
        order.update(dict.fromkeys(finding.claims))
    for conflict in outcome.conflicts:
        order.update(dict.fromkeys(conflict.claims))
    order.update(dict.fromkeys(claim.id for claim in outcome.claims))
    claims = {claim.id: claim for claim in outcome.claims}
    standing = _standings(outcome)
    computations = {item.id: item for item in outcome.computations}
    sources = {source.id: source for source in outcome.sources}
    present = [name for name in order if name in claims]
    return {
        name: _reference(number, claims[name], standing[name], sources, computations, around)
        for number, name in enumerate(present, start=1)
    }


def _standings(outcome: MissionOutcomePackage) -> dict[str, str]:
    found = dict.fromkeys((claim.id for claim in outcome.claims), "single")
    several = [c.id for c in outcome.claims if isinstance(c, TextClaim) and len({s.source_id for s in c.spans}) > 1]
    aged = {source.id for source in outcome.sources if source.archived}
    archived = [c.id for c in outcome.claims if isinstance(c, TextClaim) and {s.source_id for s in c.spans} <= aged]
    # Later marks win: what is most urgent to know about a claim comes last.
    marks: Sequence[tuple[str, Iterable[str]]] = (
        ("apart", (claim for item in outcome.not_comparable for claim in item.claims[:1])),
        ("several", several),
        ("archived", archived),
        ("agreement", (claim for item in outcome.agreements for claim in item.claims)),
        ("conflict", (claim for item in outcome.conflicts for claim in item.claims)),
        ("current", _current(outcome)),
        ("replaced", superseded(outcome.conflicts, outcome.agreements)),
    )
    for mark, names in marks:
        found.update(dict.fromkeys(names, mark))
    return found


def _current(outcome: MissionOutcomePackage) -> Iterator[str]:
    """Yield the claims that a conflict calls current, and those in the same conflict that agree with them."""
    for conflict in outcome.conflicts:
        groups = (set(item.claims) for item in outcome.agreements)
        allies = {conflict.current}.union(*(group for group in groups if conflict.current in group))
        yield from (claim for claim in conflict.claims if claim in allies)


def _reference(
    number: int,
    claim: TextClaim | NumberClaim,
    standing: str,
    sources: Mapping[str, Source],
    computations: Mapping[str, Computation],
    around: Mapping[str, str],
) -> Reference:
    computation = computations.get(claim.computation_id) if isinstance(claim, NumberClaim) else None
    quotes = tuple(_quote(span, sources, around) for span in claim.spans) if isinstance(claim, TextClaim) else ()
    made_from = inputs_of(claim, computation) if isinstance(claim, NumberClaim) and computation else ()
    where = "; ".join(dict.fromkeys(f"{q.source}{', ' + q.where if q.where else ''}" for q in quotes)) or _names(
        [_name(source_id, sources) for source_id in dict.fromkeys(item.source_id for item in made_from)]
    )
    tau, level, support = _tau_words(claim.tau)
    return Reference(
        number=number,
        claim_id=claim.id,
        kind=claim.kind,
        statement=visible(one_line(claim.statement)),
        value=visible(number_text(claim.value, claim.unit)) if isinstance(claim, NumberClaim) else "",
        facts=_facts(claim, computation),
        quotes=quotes,
        computation=computation.id if computation else "",
        code=visible(computation.code) if computation and len(computation.code) <= CODE_CHARACTERS else "",
        result=_result_near(claim, computation) if computation and isinstance(claim, NumberClaim) else "",
        tau=tau,
        level=level,
        support=support,
        notes=tuple(CAPS[cap] for cap in (claim.tau.caps if claim.tau else ()) if cap in CAPS),
        standing=standing,
        standing_text=STANDINGS[standing],
        where=where,
    )


def _facts(claim: TextClaim | NumberClaim, computation: Computation | None) -> tuple[str, ...]:
    if not isinstance(claim, NumberClaim):
        return ()
    said = []
    if claim.interval is not None:
        said.append(f"interval {number_text(claim.interval[0])} to {number_text(claim.interval[1])}")
    if claim.n is not None and f"n = {claim.n:,}" not in claim.statement:
        said.append(f"n = {claim.n:,}")
    tested = re.search(r"\bp [<=] ", claim.statement)  # the sentence says it already
    if claim.p_value is not None and not tested:
        said.append(f"p {p_text(claim.p_value)}")
    if claim.p_adjusted is not None and not tested:
        said.append(f"adjusted p {p_text(claim.p_adjusted)}")
    surveyed = claim.path[:1] == ("found",)  # one computation for many pairs of columns: its rows are not this claim's
    if computation is not None and computation.rows_used < computation.rows_read and not surveyed:
        said.append(f"{computation.rows_used:,} of {computation.rows_read:,} rows used")
    return tuple(said)


def _tau_words(tau: Tau | None) -> tuple[str, str, str]:
    if tau is None or tau.value is None:
        return "–", "CRITICAL", "not judged"
    how = "by wording overlap" if (tau.calibration or "").startswith("recall3") else ""
    if (tau.calibration or "").startswith("computation"):
        return (
            f"{tau.value:.2f}",
            tau.level,
            {"LOW": "computed", "MID": "computed, not repeated"}.get(tau.level, "computed, in doubt"),
        )
    return f"{tau.value:.2f}", tau.level, f"{SUPPORT[tau.level]} {how}".strip()


def _quote(span: Span, sources: Mapping[str, Source], around: Mapping[str, str]) -> Quote:
    text = around.get(span.source_id, "")
    before = after = ""
    if text[span.start : span.end] == span.quote:
        before, after = _before(text, span.start), _after(text, span.end)
    where = f"page {span.page}" if span.page else (f"cell {visible(span.cell)}" if span.cell else "")
    return Quote(visible(one_line(span.quote)), _name(span.source_id, sources), where, before, after)


def _before(text: str, start: int) -> str:
    piece = text[max(0, start - CONTEXT_CHARACTERS) : start]
    _, paragraph, last = piece.rpartition("\n\n")
    if paragraph:
        piece = last
    elif start > CONTEXT_CHARACTERS:
        piece = "…" + piece.partition(" ")[2]
    return visible(one_line(piece))


def _after(text: str, end: int) -> str:
    piece, paragraph, _ = text[end : end + CONTEXT_CHARACTERS].partition("\n\n")
    if not paragraph and end + CONTEXT_CHARACTERS < len(text):
        piece = piece.rpartition(" ")[0] + "…"
    return visible(one_line(piece))


def _texts(outcome: MissionOutcomePackage, blobs: Blobs | None) -> dict[str, str]:
    """Return the texts of the quoted documents, as far as they are still in the store."""
    if blobs is None or outcome.library is None:
        return {}
    quoted = {span.source_id for claim in outcome.claims if isinstance(claim, TextClaim) for span in claim.spans}
    texts = {}
    try:
        library = Library.model_validate(blobs.get_json(outcome.library))
        for document in library.documents:
            if document.source_id in quoted:
                texts[document.source_id] = blobs.get(document.text).decode("utf-8", "surrogatepass")
    except NotFoundError:
        return texts
    return texts


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} files ({', '.join(names[:2])}, …)"


def _name(source_id: str, sources: Mapping[str, Source]) -> str:
    source = sources.get(source_id)
    return visible(one_line(source.name)) if source else f"unknown source {source_id[:12]}"


def _lines(
    findings: Sequence[Finding], references: Mapping[str, Reference], charts: Mapping[str, list[tuple[str, str]]]
) -> tuple[Line, ...]:
    return tuple(
        Line(
            visible(one_line(finding.text)),
            _pick(finding.claims, references),
            tuple(charts.get(finding.claims[0], ())),
        )
        for finding in findings
    )


def _pick(claims: Iterable[str], references: Mapping[str, Reference]) -> tuple[Reference, ...]:
    return tuple(references[claim] for claim in claims if claim in references)


def _sides(conflict: Conflict, outcome: MissionOutcomePackage, references: Mapping[str, Reference]) -> tuple[Side, ...]:
    groups = [set(item.claims) for item in outcome.agreements]
    allies = set().union(*(group for group in groups if conflict.current in group))
    return tuple(
        Side(references[name], _date(name, outcome), _side_standing(name, conflict, allies))
        for name in conflict.claims
        if name in references
    )


def _side_standing(claim: str, conflict: Conflict, allies: set[str]) -> str:
    if conflict.current is None:
        return "open"
    if claim == conflict.current:
        return "current"
    return "agrees with it" if claim in allies else "replaced"


def _date(claim_id: str, outcome: MissionOutcomePackage) -> str:
    """Return the date of a claim's source in words; an archived one is marked."""
    claim = outcome.claim(claim_id)
    ids = _source_ids(claim, outcome)
    sources = [source for source in outcome.sources if source.id in ids]
    dates = [claim.dated] if claim.dated else [source.dated for source in sources if source.dated]
    said = max(date for date in dates if date is not None).isoformat() if dates else "undated"
    return said + (", archived" if sources and all(source.archived for source in sources) else "")


def _source_ids(claim: TextClaim | NumberClaim, outcome: MissionOutcomePackage) -> set[str]:
    if isinstance(claim, TextClaim):
        return {span.source_id for span in claim.spans}
    return {i.source_id for c in outcome.computations if c.id == claim.computation_id for i in c.inputs}


def _counts(outcome: MissionOutcomePackage) -> dict[str, int]:
    counts: dict[str, int] = {}
    for claim in outcome.claims:
        for source_id in sorted(_source_ids(claim, outcome)):
            counts[source_id] = counts.get(source_id, 0) + 1
    return counts
