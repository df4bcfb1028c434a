"""The report as Markdown that any viewer shows the same: no HTML, no link, no image, numbered references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from kimera.knowledge.contracts import Source
from kimera.missions.contracts import MissionOutcomePackage, ReportChange
from kimera.missions.fusion.report._view import Line, Reference, View, arrange, visible
from kimera.missions.fusion.wording import one_line, sentence
from kimera.storage.blobs import Blobs

__all__ = ["render_markdown"]

NO_GAPS = "Nothing that was asked was left open, and every file was read."
# An underscore inside a word, a lone "<" and a lone "&" mean nothing to Markdown; a backslash would only be in the way.
SPECIAL = re.compile(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?\\])|&(?=#?\w+;))")
OPENING = re.compile(r"^((?:\d+(?=[.)](?:\s|$)))?)(?=[#+=.)>-])(?!\.\d|-\d)")
ADDRESS = re.compile(r"(?<=:)//|(?<=\bwww)\.|@")


def escape(text: str) -> str:
    """Return one line of text that Markdown shows as it is written: no markup, no link, no automatic address."""
    line = SPECIAL.sub(r"\\\1", visible(one_line(text)))
    line = ADDRESS.sub(lambda match: "\\" + "\\".join(match.group()), line)
    return OPENING.sub(r"\1\\", line)


def render_markdown(outcome: MissionOutcomePackage, blobs: Blobs | None = None) -> str:
    """Return the whole report as Markdown."""
    view = arrange(outcome, blobs)
    return "\n".join(_sections(view)).rstrip() + "\n"


def _sections(view: View) -> Iterator[str]:
    outcome = view.outcome
    yield f"# {escape(view.question)}\n"
    yield from _status(view)
    yield "## Answer\n"
    yield from _answer(view.answer)
    yield "## Findings\n"
    yield from _findings(view)
    yield "## Conflicts\n"
    yield from _conflicts(view)
    yield "## What is not known\n"
    yield from _bullets(
        (gap.text for gap in outcome.gaps), "Nothing that was asked was left open, and every file was read."
    )
    yield "## Assumptions and limits\n"
    yield from _bullets((*outcome.assumptions, *outcome.limitations), "None recorded.")
    yield "## Method\n"
    yield from _bullets(outcome.method, "None recorded.")
    yield "## Sources\n"
    yield from _sources(view)
    yield "## Computations\n"
    yield from _computations(view)
    yield "## References\n"
    yield from (_reference(reference) for reference in view.references)


def _status(view: View) -> Iterator[str]:
    outcome = view.outcome
    made = f"{outcome.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"Version {outcome.version} of {made}, mission {escape(outcome.mission_id)}.\n"
    for mark, text in view.banner:
        yield f"> **{mark}.** {escape(text)}\n"
    if outcome.tau is not None and outcome.tau.value is not None:
        yield f"Reliability {outcome.tau.value:.2f}: the probability that {escape(outcome.tau.event)}.\n"
    if outcome.change is not None:
        yield f"Changes since version {outcome.version - 1}: {change_text(outcome.change)}.\n"


def change_text(change: ReportChange) -> str:
    """Return what changed between two versions in words."""
    parts = [
        f"{len(names)} {noun}{'' if len(names) == 1 or not noun else 's'} {what}".replace("  ", " ")
        for names, noun, what in (
            (change.added, "claim", "added"),
            (change.withdrawn, "", "withdrawn"),
            (change.changed, "", "changed"),
            (change.conflicts_opened, "conflict", "opened"),
            (change.conflicts_resolved, "conflict", "resolved"),
        )
        if names
    ]
    return ", ".join(parts) or "nothing"


def _answer(lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        yield "No answer: no claim could be supported by the files. See “What is not known”.\n"
    for line in lines:
        yield f"{escape(line.text)} {_marks(line.references)}\n"


def _findings(view: View) -> Iterator[str]:
    if not view.findings:
        yield "Everything found is in the answer.\n" if view.answer else "Nothing was found.\n"
    for group in view.findings:
        if group.label:
            yield f"### {escape(group.label)}\n"
        for line in group.lines:
            reference = line.references[0]
            extra = f" ({escape('; '.join(reference.facts))})" if reference.facts else ""
            old = " *replaced by a newer value*" if reference.standing == "replaced" else ""
            yield f"- {escape(line.text)}{extra}{old} {_marks(line.references)}"
        yield ""


def _conflicts(view: View) -> Iterator[str]:
    if not view.conflicts:
        yield "No two claims were found to contradict each other.\n"
    for conflict, kind, sides in view.conflicts:
        yield f"**{kind}.** {escape(sentence(conflict.text))} {escape(conflict.reason or '')}\n"
        yield "| Said | Source | Date | Reliability | Standing |"
        yield "|---|---|---|---|---|"
        for side in sides:
            ref = side.reference
            said, where = escape(ref.statement), escape(ref.where)
            yield f"| {said} [{ref.number}] | {where} | {side.date} | {ref.tau} | {side.standing} |"
        yield ""
    if view.agreements:
        yield "**Agreements.**\n"
        yield from (f"- {escape(item.text)} {_marks(references)}" for item, references in view.agreements)
        yield ""
    if view.apart:
        yield "**Not comparable.**\n"
        yield from (f"- {escape(reason)} {_marks(references)}" for reason, references in view.apart)
        yield ""


def _sources(view: View) -> Iterator[str]:
    yield "| File | Kind | Read by | Date | Claims | Remarks |"
    yield "|---|---|---|---|---|---|"
    for source in view.outcome.sources:
        claims = view.source_claims.get(source.id, 0)
        cells = (source.name, source.kind, source.reader or "–", date_text(source), str(claims), remarks(source))
        yield f"| {' | '.join(escape(cell) for cell in cells)} |"
    yield ""


def date_text(source: Source) -> str:
    """Return a source's date, with a mark when it is archived."""
    said = source.dated.isoformat() if source.dated else "undated"
    return said + (", archived" if source.archived else "")


def remarks(source: Source) -> str:
    """Return what a reader should know about how a file was read."""
    parts = {"read": [], "partly": ["partly read"], "unread": ["not read"]}[source.status]
    parts = [*parts, *([source.reason] if source.reason else []), *source.warnings]
    parts += [f"same bytes as {name}" for name in source.also_named]
    return one_line("; ".join(parts)) or "–"


def _computations(view: View) -> Iterator[str]:
    if not view.computations:
        yield "Nothing was computed.\n"
    for item, result, numbers in view.computations:
        used = " ".join(f"[{number}]" for number in numbers)
        yield f"### {escape(item.title or item.id)}\n"
        inputs = ", ".join(f"{table.name} ({_source_name(view, table.source_id)})" for table in item.inputs)
        rows = f"{item.rows_used:,} of {item.rows_read:,} rows"
        yield f"{escape(item.id)}, {rows}, reads {escape(inputs) or 'nothing'}. {used}\n"
        yield _fenced(visible(item.code), item.language)
        yield _fenced(result, "json")


def _source_name(view: View, source_id: str) -> str:
    return next((source.name for source in view.outcome.sources if source.id == source_id), source_id[:12])


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _reference(reference: Reference) -> str:
    if reference.kind == "number":
        said = f"{reference.value}, computed from {reference.where} ({reference.computation})"
    else:
        said = "; ".join(f"“{q.text}” {', '.join(filter(None, (q.source, q.where)))}" for q in reference.quotes)
    judged = f"Reliability {reference.tau}, {reference.support}; {reference.standing_text}."
    notes = "".join(f" {escape(note.capitalize())}." for note in reference.notes)
    return f"{reference.number}. {escape(said)}. {judged}{notes}"


def _marks(references: Iterable[Reference]) -> str:
    return " ".join(f"[{reference.number}]" for reference in references)


def _bullets(items: Iterable[str], nothing: str) -> Iterator[str]:
    lines = [f"- {escape(item)}" for item in items]
    yield from lines or [nothing]
    yield ""
