"""A mission's story as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from kimera.telemetry.reading.trace import Gap, Node, Trace
from kimera.telemetry.recording.events import MissionEvent

__all__ = ["tell"]

NAME_WIDTH = 58
QUIET = frozenset({"progress", "phase"})
SHOWN = ("phase", "state", "queue", "reason", "operation")
MARKS = {"done": "", "error": "  ERROR", "open": "  open", "interrupted": "  interrupted"}


def tell(story: Trace) -> Iterator[str]:
    """Yield the lines of a story: where it stands, the tree, what was silent, what failed, what is left."""
    yield from _head(story)
    yield ""
    by_seq = {event.seq: event for event in story.events}
    for node in story.tree:
        yield from _branch(node, 0, by_seq, story.begun)
    yield from _silences(story)
    yield from _failures(story)
    yield from _steps(story)
    yield from _last_words(story)


def _head(story: Trace) -> Iterator[str]:
    row = story.mission
    state = f"{row['state']}{' (partial)' if row.get('partial') else ''}"
    cause = f": {row['error_code']}" if row.get("error_code") else ""
    yield f"{row['mission_id']}  {state}{cause}"
    request = next((event.request_id for event in story.events if event.request_id), "unknown")
    yield f"  asked      {_moment(story.begun)} by request {request}, session {row['session_id']}"
    for name in ("deep_research", "ds_star"):
        if row.get(f"{name}_attempt"):
            yield f"  {name:<10} {row[name]}, attempt {row[f'{name}_attempt']}"
    spent = story.spent
    held = f", ${spent['reserved_usd']} still set aside" if spent.get("reserved_usd", "0") != "0" else ""
    yield f"  spent      ${spent.get('usd', '0')} in {spent.get('calls', 0)} model calls{held}"
    retries = sum(event.type == "track.retry" for event in story.events)
    yield f"  retries    {retries}"
    whole = story.completeness
    lost = f", {whole['dropped']} lost" if whole["dropped"] else ""
    yield f"  records    {whole['events']} events, {whole['spans']} spans, {whole['logs']} log lines{lost}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _branch(node: Node, depth: int, by_seq: dict[int, MissionEvent], begun: float) -> Iterator[str]:
    label = "  " * depth + node.name
    facts = [str(node.attributes[key]) for key in SHOWN if key in node.attributes]
    if node.name == "agent.run":
        facts.append(f"{node.track} attempt {node.attempt}")
    if node.state == "error":
        facts.append(f"{node.error_type} [{node.attributes.get('error_code', '')}]")
    name = " ".join([label, *facts])
    taken = "" if node.seconds is None else f"{node.seconds:9.3f} s"
    yield f"{node.at:+10.3f} s  {name:<{NAME_WIDTH}} {taken}{MARKS[node.state]}".rstrip()
    inner: list[tuple[float, Any]] = [(child.at, child) for child in node.children]
    inner += [(by_seq[seq].at.timestamp() - begun, by_seq[seq]) for seq in node.events]
    inner.sort(key=lambda pair: pair[0])
    for (kind, words), group in groupby(inner, key=lambda pair: _alike(pair[1])):
        same = list(group)
        if kind is Node:
            for _, child in same:
                yield from _branch(child, depth + 1, by_seq, begun)
        elif words:
            more = f"  (x{len(same)}, until {same[-1][0]:+.3f} s)" if len(same) > 1 else ""
            yield f"{same[0][0]:+10.3f} s  {'  ' * (depth + 1)}· {words}{more}"


def _alike(item: Node | MissionEvent) -> tuple[type, str]:
    """Return what neighbours must share to be told in one line."""
    if isinstance(item, Node):
        return Node, ""
    return MissionEvent, "" if item.payload.get("kind") in QUIET else _event(item)


def _event(event: MissionEvent) -> str:
    said = event.payload
    words = [str(said[key]) for key in SAID.get(event.type, ()) if said.get(key) not in {None, ""}]
    return " ".join([event.type, *words])[:120]


SAID = {
    "mission.state": ("old", "new", "reason"),
    "track.retry": ("phase", "number", "error_code"),
    "track.finished": ("claims",),
    "track.failed": ("status", "error_code", "last_step"),
    "plan.step": ("step", "kind"),
    "code.attempt": ("status", "error_code"),
    "verifier.verdict": ("step", "sufficient", "reason_code"),
    "route.decision": ("action", "to_step", "reason_code"),
    "evidence.found": ("count",),
    "conflict.found": ("kind",),
    "report.version": ("version", "reason"),
    "budget.settle": ("usd",),
    "budget.action": ("scope", "action"),
    "degraded": ("cause",),
    "safeguard.decision": ("decision",),
    "human.decision": ("action", "track"),
    "mission.finished": ("state", "error_code"),
}


def _silences(story: Trace) -> Iterator[str]:
    if not story.gaps:
        return
    yield from ("", "Gaps (no record for more than 5 s)")
    for gap in story.gaps:
        yield f"{gap.start:+10.3f} s  {gap.end - gap.start:.1f} s of silence while open: {_names(gap)}"
        if gap.last_sign is not None:
            resumed = f"; resumed by {gap.resumed_by}" if gap.resumed_by else ""
            yield f"{'':14}last sign at {gap.last_sign:+.3f} s{resumed}"


def _names(gap: Gap) -> str:
    shown = ", ".join(gap.open[:4])
    return shown if len(gap.open) <= 4 else f"{shown} and {len(gap.open) - 4} more"


def _failures(story: Trace) -> Iterator[str]:
    if not story.errors:
        return
    yield from ("", "From the first error to the final state")
    for fault in story.errors:
        text = f": {fault.text}" if fault.text else ""
        yield f"{fault.at:+10.3f} s  {fault.code} ({fault.module}) at {fault.where}{text}"
    yield f"{'':14}then {story.mission['state']}"


def _steps(story: Trace) -> Iterator[str]:
    yield ""
    last = story.last_finished
    if last is not None:
        at = "just before the last record" if last.ended is None else f"at {last.ended:+.3f} s"
        yield f"Last finished step: {_step(last.track, last.attempt, last.name)} {at}"
    for step in story.in_progress:
        again = f", begun {step.begun_times} times" if step.begun_times > 1 else ""
        yield f"In progress: {_step(step.track, step.attempt, step.name)} ({step.state}{again})"


def _step(track: str | None, attempt: int | None, name: str) -> str:
    return name if track is None else f"{name} of {track} attempt {attempt}"


def _last_words(story: Trace) -> Iterator[str]:
    row = story.mission
    name = row["mission_id"]
    if row.get("version"):
        kept = next((e.payload["claims"] for e in reversed(story.events) if e.type == "report.version"), 0)
        yield f"Kept: report version {row['version']} with {kept} claims (kimera export {name})"
    else:
        yield "Kept: no report yet."
    if row["state"] in {"PENDING", "RUNNING", "FUSION"}:
        yield f"Go on with: kimera resume {name}"
    elif row["state"] == "FAILED" or "failed" in {row.get("deep_research"), row.get("ds_star")}:
        yield f"Try again with: kimera retry {name}"
