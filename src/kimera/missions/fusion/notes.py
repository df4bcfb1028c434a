"""Everything a report says about itself: what is missing, assumed, limited, and how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kimera.knowledge.contracts import Degraded, Library
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    Computation,
    FusionInputPackage,
    Gap,
    NumberClaim,
    TextClaim,
    TrackName,
    TrackStatus,
)
from kimera.missions.fusion.facts import MissionFacts
from kimera.missions.fusion.wording import one_line

__all__ = ["assumptions_of", "degraded_of", "gaps_of", "limitations_of", "method_of"]

TRACKS: dict[TrackName, str] = {"deep_research": "research track", "ds_star": "analysis track"}
COVERED = 0.5  # a sub-question below this share of its terms found is listed as not answered
NO_MODEL = Degraded(
    cause="no_model",
    text="No model configured: sentences are quoted or written from templates, and tables are analysed by templates.",
)
AnyClaim = TextClaim | NumberClaim


def degraded_of(
    facts: MissionFacts, fused: FusionInputPackage, library: Library, given: Iterable[Degraded]
) -> tuple[Degraded, ...]:
    """Return why the answer is less than it could be, each cause and text once, offline mode first."""
    items = [NO_MODEL] if facts.options.model is None else []
    for package in (fused.research, fused.analysis):
        items += package.degraded if package else ()
    items += [*library.degraded, *given]
    items += [
        Degraded(cause="track_failed", text=f"The {TRACKS[track]} failed; its part of the answer is missing.")
        for track, status in sorted(fused.track_status.items())
        if status == "failed"
    ]
    unique: dict[tuple[str, str], Degraded] = {}
    for item in items:
        unique.setdefault((item.cause, "" if item.cause == NO_MODEL.cause else item.text), item)
    return tuple(unique.values())


def gaps_of(fused: FusionInputPackage, library: Library) -> tuple[Gap, ...]:
    """Return what was asked and not answered, and which files or rows could not be used."""
    gaps: list[Gap] = []
    for package in (fused.research, fused.analysis):
        gaps += package.gaps if package else ()
    gaps += [
        Gap(kind="uncovered", text=f"Not answered by the documents: {one_line(item.text)}")
        for item in (fused.research.sub_questions if fused.research else ())
        if item.coverage < COVERED and not any(one_line(item.text) in gap.text for gap in gaps)
    ]
    noted = {gap.source_id for gap in gaps if gap.kind == "unread_source"}
    gaps += [
        Gap(kind="unread_source", text=f"{source.name}: {source.reason or 'could not be read'}", source_id=source.id)
        for source in library.sources
        if source.status == "unread" and source.id not in noted
    ]
    dropped = {gap.source_id for gap in gaps if gap.kind == "dropped_rows"}
    gaps += [
        Gap(
            kind="dropped_rows",
            text=f"{library.source(table.source_id).name}: {table.recipe.rows_dropped:,} of "
            f"{table.recipe.rows_read:,} rows could not be read and were left out.",
            source_id=table.source_id,
        )
        for table in library.tables
        if table.recipe.rows_dropped and table.source_id not in dropped
    ]
    gaps += [gap for track, status in sorted(fused.track_status.items()) if (gap := _track_gap(track, status))]
    unique: dict[tuple[str, str], Gap] = {}
    for gap in gaps:
        unique.setdefault((gap.kind, gap.text), gap)
    return tuple(unique.values())


def assumptions_of(
    fused: FusionInputPackage, library: Library, claims: Sequence[AnyClaim], old: frozenset[str]
) -> tuple[str, ...]:
    """Return what had to be taken as true; only what this report relies on."""
    said = []
    partial = [c for c in _computations(fused) if 0 < c.rows_used < c.rows_read]
    if partial:
        said.append(
            f"Rows without a value in the columns used were left out ({len(partial)} of "
            f"{len(_computations(fused))} computations); those rows are taken to be like the others."
        )
    if any(isinstance(claim, NumberClaim) and (claim.unit or claim.about.unit) for claim in claims):
        said.append("Units are those written in column names, headers and sentences.")
    if old:
        said.append("Where two vintages differ, the file with the later date (or the one not archived) is current.")
    if any(source.also_named for source in library.sources):
        said.append("Files with the same bytes count as one source.")
    return tuple(said)


def limitations_of(fused: FusionInputPackage, claims: Sequence[AnyClaim]) -> tuple[str, ...]:
    """Return what the reader must not conclude."""
    said = [one_line(text) for text in (fused.analysis.limitations if fused.analysis else ())]
    if fused.analysis and fused.analysis.tests_run:
        said.append("Differences and correlations in observed data are associations; they do not show causes.")
    if any(isinstance(claim, TextClaim) for claim in claims):
        said.append(
            "The support of a quoted sentence is judged by wording overlap with its source; whether another source "
            "contradicts it was only checked where the conflicts table says so."
        )
    said.append("This report was not reviewed by a safeguard in this version.")
    return tuple(dict.fromkeys(said))


def method_of(
    facts: MissionFacts, fused: FusionInputPackage, library: Library, claims: Sequence[AnyClaim], library_blob: str
) -> tuple[str, ...]:
    """Return how the report was made: what was read, tested and isolated, by which versions."""
    read = sum(source.status != "unread" for source in library.sources)
    lines = [
        f"{_count(len(library.sources), 'file')} found, {read} read: {_count(len(library.documents), 'document')} in "
        f"{_count(len(library.passages), 'passage')}, {_count(len(library.tables), 'table')}.",
        f"{_count(sum(isinstance(c, TextClaim) for c in claims), 'claim')} quoted from documents, "
        f"{_count(sum(isinstance(c, NumberClaim) for c in claims), 'claim')} computed by "
        f"{_count(len(_computations(fused)), 'computation')}.",
    ]
    lines += _reliability(claims, fused)
    if fused.analysis:
        lines += _tests(fused.analysis)
    lines += _isolation(_computations(fused))
    lines.append(f"Model: {facts.options.model}." if facts.options.model else "Model: none (offline mode).")
    for package in (fused.research, fused.analysis):
        lines += [one_line(note) for note in (package.notes if package else ())]
    lines += [f"Verification: {one_line(note)}" for note in (fused.analysis.verification if fused.analysis else ())]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(facts.versions.items()))
    if versions:
        lines.append(f"Versions: {versions}.")
    lines.append(f"The library of all files read is {library_blob[:16]} (full name in the JSON report).")
    return tuple(dict.fromkeys(lines))


def _reliability(claims: Sequence[AnyClaim], fused: FusionInputPackage) -> list[str]:
    """Return how the report's reliability comes about, where it is more than the mean of its claims."""
    questions = fused.research.sub_questions if fused.research else ()
    if not claims or not questions:
        return []
    coverage = sum(item.coverage for item in questions) / len(questions)
    return [
        f"Reliability of the report: the mean over its claims, weighted by their role, times {coverage:.2f}, the share "
        f"of {_count(len(questions), 'sub-question')} that the documents cover."
    ]


def _tests(analysis: AnalyticalReportPackage) -> list[str]:
    if not analysis.tests_run:
        return ["No hypothesis test was run."]
    return [
        f"{_count(analysis.tests_run, 'hypothesis test')} run; adjusted p-values control the false discovery rate "
        "over all of them (Benjamini-Hochberg)."
    ]


def _isolation(computations: Sequence[Computation]) -> list[str]:
    levels = sorted({computation.sandbox_level for computation in computations})
    if not levels:
        return []
    names = {"none": "none (no isolation)", "reduced": "reduced", "full": "full"}
    return [f"Code ran in worker processes; isolation: {', '.join(names[level] for level in levels)}."]


def _track_gap(track: TrackName, status: TrackStatus) -> Gap | None:
    if status == "failed":
        return Gap(kind="other", text=f"The {TRACKS[track]} failed; run `kimera retry` to try it again.")
    if status == "cancelled":
        return Gap(
            kind="other", text=f"The {TRACKS[track]} was stopped before it was done; `kimera resume` continues it."
        )
    if status in {"pending", "running"}:
        return Gap(kind="other", text=f"The {TRACKS[track]} has not delivered yet; a later version will include it.")
    return None


def _computations(fused: FusionInputPackage) -> tuple[Computation, ...]:
    return fused.analysis.computations if fused.analysis else ()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
