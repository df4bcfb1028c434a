"""A mission's story from what the store holds, also when a kill has torn the end away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kimera.telemetry import LogRecord, MissionEvent, SpanRecord
from kimera.telemetry.reading.otlp import otlp
from kimera.telemetry.reading.steps import AttemptFacts
from kimera.telemetry.reading.telling import tell
from kimera.telemetry.reading.trace import Material, Node, Trace, trace

DEAD, ALIVE = "run-w1@host:1:11:A", "run-w1@host:2:22:B"
BEGAN = 1_000_000.0


class Story:
    """Builds the material of a mission step by step."""

    def __init__(self) -> None:
        self.events: list[MissionEvent] = []
        self.spans: list[SpanRecord] = []
        self.logs: list[LogRecord] = []
        self.state = "RUNNING"
        self.finished_at: str | None = None
        self.event(0, "mission.created", session_id="s", knowledge_space="k", brief="b")
        self.event(0.1, "mission.state", old="PENDING", new="RUNNING")

    def event(self, at: float, kind: str, /, *, track: str | None = None, **payload: Any) -> None:
        """Add an event at ``at`` seconds."""
        moment = datetime.fromtimestamp(BEGAN + at, UTC)
        number = len(self.events) + 1
        attempt = 1 if track else None
        known = {"mission_id": "m1", "seq": number, "at": moment, "type": kind, "track": track, "attempt": attempt}
        self.events.append(MissionEvent(**known, request_id="r1", payload=payload))

    def span(
        self,
        name: str,
        start: float,
        end: float | None,
        *,
        track: str | None = None,
        parent: str | None = None,
        **facts: Any,
    ) -> str:
        """Add a span and return its id."""
        process, status = facts.pop("process", DEAD), facts.pop("status", "unset")
        identity = f"{len(self.spans) + 1:016x}"
        ended = None if end is None else BEGAN + end
        self.spans.append(
            SpanRecord(
                identity, "a" * 32, parent, name, process, BEGAN + start, ended, status, facts.pop("error_type", None),
                mission_id="m1", request_id="r1", track=track, attempt=1 if track else None, attributes=facts,
            )
        )  # fmt: skip
        return identity

    def tell(self, *attempts: AttemptFacts, now: float = 10.0, dropped: int = 0) -> Trace:
        """Return the story."""
        lost = [LogRecord(BEGAN, "WARN", "telemetry.dropped", "r", None, {"records": dropped})] if dropped else []
        row: dict[str, Any] = {"mission_id": "m1", "session_id": "s", "state": self.state, "seq": len(self.events)}
        row |= {"finished_at": self.finished_at, "version": 0, "partial": False, "error_code": None}
        return trace(
            Material(
                row, self.events, self.spans, self.logs, attempts, BEGAN + now, lambda name: name == ALIVE, dropped=lost
            )
        )


def killed_in_code() -> Story:
    """Return a mission whose process was killed in the phase "code", after "analyze" was stored."""
    story = Story()
    story.event(0.2, "plan.step", step="ingest", kind="library")
    story.event(0.3, "track.started", track="ds_star", phases=["analyze", "code", "finalize"])
    story.event(0.4, "plan.step", track="ds_star", step="analyze", kind="phase")
    story.event(1.0, "plan.step", track="ds_star", step="code", kind="phase")
    run = story.span("agent.run", 0.3, None, track="ds_star")
    story.span("agent.step", 0.4, 0.9, track="ds_star", parent=run, phase="analyze")
    story.span("agent.step", 1.0, None, track="ds_star", parent=run, phase="code")
    return story


def names(story: Trace) -> tuple[str | None, list[tuple[str, str]]]:
    """Return the last finished step and the steps in progress with their state."""
    last = story.last_finished
    return (last.name if last else None, [(step.name, step.state) for step in story.in_progress])


def test_a_killed_step_is_interrupted_and_the_one_before_it_finished() -> None:
    """Promise: the trace names the last finished step, the step in progress, and the lost worker as the first error."""
    story = killed_in_code().tell(AttemptFacts("ds_star", 1, "running", "analyze"))
    assert ("analyze", [("code", "interrupted")]) == names(story)
    assert story.first_error is not None
    assert ("WORKER_LOST", "missions", DEAD) == (
        story.first_error.code,
        story.first_error.module,
        story.first_error.where,
    )
    assert 2 == story.completeness["interrupted"]


def test_what_a_kill_tore_away_is_told_by_the_rows() -> None:
    """Promise: without the newest spans the events and rows still name both steps."""
    material = killed_in_code()
    material.spans.clear()
    assert ("analyze", [("code", "interrupted")]) == names(
        material.tell(AttemptFacts("ds_star", 1, "running", "analyze"))
    )
    # the phase was stored, but its span's end and the next phase's event were not
    assert ("code", []) == names(material.tell(AttemptFacts("ds_star", 1, "running", "code")))


def test_a_living_process_leaves_steps_open_not_interrupted() -> None:
    """Promise: while the process lives its step is open, and nothing counts as an error."""
    material = killed_in_code()
    material.spans = [
        SpanRecord(**{n: getattr(s, n) for n in s.__slots__} | {"process": ALIVE}) for s in material.spans
    ]
    story = material.tell(AttemptFacts("ds_star", 1, "running", "analyze"))
    assert [("code", "open")] == names(story)[1]
    assert () == story.errors


def test_a_silence_names_what_was_open_and_who_resumed() -> None:
    """Promise: more than five seconds without a record is a gap, with the last sign of life and who went on."""
    material = killed_in_code()
    material.span("agent.step", 21.0, 22.0, track="ds_star", process=ALIVE, phase="code")
    (gap,) = material.tell(AttemptFacts("ds_star", 1, "running", "code"), now=23.0).gaps
    assert (1.0, 21.0, 1.0, ALIVE) == (gap.start, gap.end, gap.last_sign, gap.resumed_by)
    assert ("ds_star:agent.run", "ds_star:code") == gap.open


def test_no_gap_after_the_end() -> None:
    """Promise: silence after a mission has ended is no gap."""
    material = Story()
    material.event(1.0, "mission.state", old="FUSION", new="DONE")
    material.state, material.finished_at = "DONE", "2026"
    assert () == material.tell(now=9_999.0).gaps


def test_the_first_error_comes_first_and_one_failure_is_told_once() -> None:
    """Promise: span, log and event of one failure are one line, a later failure is another, in the order of time."""
    material = Story()
    material.event(0.2, "plan.step", step="ingest", kind="library")
    material.span("sandbox.run", 1.0, 2.0, track="ds_star", status="error", error_code="SANDBOX_WALL", module="sandbox")
    material.event(
        2.1, "track.retry", track="ds_star", phase="code", error_code="TIMEOUT", error_type="T", module="sandbox"
    )
    facts = {"error_code": "TIMEOUT", "error_type": "T", "module": "sandbox"}
    material.logs.append(LogRecord(BEGAN + 2.2, "WARN", "step.failed", "r1", "m1", facts))
    material.event(
        5.0, "track.failed", track="ds_star", error_code="TIMEOUT", error_type="T", module="sandbox", status="failed"
    )
    told = [(fault.at, fault.code, fault.module) for fault in material.tell().errors]
    assert [(2.0, "SANDBOX_WALL", "sandbox"), (2.1, "TIMEOUT", "sandbox"), (5.0, "TIMEOUT", "sandbox")] == told


def test_events_stand_in_the_span_that_was_open() -> None:
    """Promise: an event belongs to the innermost span of its own track at its time."""
    material = killed_in_code()
    material.event(1.5, "code.attempt", track="ds_star", status="ok")
    (run,) = material.tell(AttemptFacts("ds_star", 1, "running", "analyze")).tree
    analyze, code = run.children
    assert ([5], [6, 7], [4]) == (analyze.events, code.events, run.events)


def test_the_words_say_what_a_person_asks() -> None:
    """Promise: the printed story names steps, the error, what was kept and the command that goes on."""
    lines = "\n".join(tell(killed_in_code().tell(AttemptFacts("ds_star", 1, "running", "analyze"))))
    for words in (
        "Last finished step: analyze of ds_star attempt 1",
        "In progress: code of ds_star attempt 1 (interrupted)",
        "WORKER_LOST (missions)",
        "kimera resume m1",
        "no report yet",
    ):
        assert words in lines


def test_json_and_otlp_are_plain_data() -> None:
    """Promise: the JSON has the documented parts; the OTLP request has every span, an interrupted one marked."""
    material = killed_in_code()
    story = material.tell(AttemptFacts("ds_star", 1, "running", "analyze"), dropped=3)
    data = json.loads(json.dumps(story.as_json()))
    assert {"mission", "tree", "events", "logs", "gaps", "errors", "completeness"} <= set(data)
    assert (3, False) == (data["completeness"]["dropped"], data["completeness"]["whole"])
    request = json.loads(json.dumps(otlp(story, material.spans)))
    spans = [span for part in request["resourceSpans"] for scope in part["scopeSpans"] for span in scope["spans"]]
    assert [span.span_id for span in material.spans] == [span["spanId"] for span in spans]
    marked = [
        span["name"]
        for span in spans
        if {"key": "kimera.interrupted", "value": {"boolValue": True}} in span["attributes"]
    ]
    assert ["agent.run", "agent.step"] == marked
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)


def walked(nodes: tuple[Node, ...] | list[Node]) -> Iterator[Node]:
    """Yield every node of a tree."""
    for node in nodes:
        yield node
        yield from walked(node.children)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 50), st.one_of(st.none(), st.floats(0, 50)), st.integers(0, 12)), max_size=12),
    st.lists(st.floats(0, 60), max_size=12),
)
def test_nothing_is_lost_or_told_twice(spans: list[tuple[float, float | None, int]], events: list[float]) -> None:
    """Promise: whatever there is, every span stands in the tree exactly once and every event at most once."""
    material = Story()
    for start, length, parent in spans:
        end = None if length is None else start + length
        known = material.spans[parent].span_id if parent < len(material.spans) else None
        material.span("agent.step", start, end, parent=known, phase="p")
    for at in sorted(events):
        material.event(at, "plan.step", step="x")
    story = material.tell()
    seen = [node.span_id for node in walked(story.tree)]
    assert sorted(span.span_id for span in material.spans) == sorted(seen)
    placed = [seq for node in walked(story.tree) for seq in node.events]
    assert len(placed) == len(set(placed))
    assert all(gap.end - gap.start > 5.0 for gap in story.gaps)


def test_five_thousand_records_are_told_in_a_moment() -> None:
    """Promise: 5,000 records become a printed story in well under the 300 ms that a person would notice (CPU time)."""
    material = Story()
    root = material.span("agent.run", 0.2, 600.0, track="ds_star")
    for number in range(2_000):
        material.span("sandbox.run", 0.2 + number * 0.2, 0.3 + number * 0.2, track="ds_star", parent=root)
    for number in range(2_000):
        material.event(0.25 + number * 0.2, "claim.checked", track="ds_star", claim_id=str(number))
    material.logs = [LogRecord(BEGAN + n, "INFO", "a.b", "r1", "m1", {"n": n}) for n in range(1_000)]
    begun = time.process_time()
    lines = list(tell(material.tell()))
    assert len(lines) > 2_000
    assert time.process_time() - begun < 0.6  # twice the bar: the machine that runs the tests has other things to do
