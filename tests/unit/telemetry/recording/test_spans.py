"""Spans: a tree in the store, the important ones from their first moment on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kimera import telemetry
from kimera.errors import StorageFull
from kimera.telemetry import MemoryStore, SpanRecord


def kept(store: MemoryStore, mission_id: str = "m1") -> dict[str, SpanRecord]:
    """Return the spans of a mission by name."""
    telemetry.flush()
    return {one.name: one for one in store.spans(mission_id)}


def test_without_configure_a_span_is_nothing() -> None:
    """Promise: code with spans runs the same where nobody records."""
    with telemetry.span("agent.run", phase="x") as span:
        span.set(rows=1)
    telemetry.span_over("store.write", 0.2)
    assert "traceparent" not in telemetry.headers()


def test_spans_nest_and_carry_who_they_are_for(recording: MemoryStore) -> None:
    """Promise: a span knows its parent, also across a carried thread, its trace, and the bound ids."""
    ids = {"request_id": "r1", "session_id": "s1", "track": "ds_star", "attempt": 2}
    with telemetry.bind(mission_id="m1", **ids), telemetry.span("agent.run"), ThreadPoolExecutor(1) as pool:  # type: ignore[arg-type]

        def step() -> None:
            with telemetry.span("agent.step", phase="code") as span:
                span.set(rows=3)

        pool.submit(telemetry.carry(step)).result()
    spans = kept(recording)
    run, step_ = spans["agent.run"], spans["agent.step"]
    assert (None, run.span_id, run.trace_id) == (run.parent_id, step_.parent_id, step_.trace_id)
    assert ids == {name: getattr(step_, name) for name in ids}
    assert {"phase": "code", "rows": 3} == step_.attributes
    assert step_.ended_at is not None and step_.started_at <= step_.ended_at <= (run.ended_at or 0)


def test_an_important_span_is_written_when_it_begins(recording: MemoryStore) -> None:
    """Promise: agent.step is in the store while open and takes its end later; sandbox.run comes with its end only."""
    with telemetry.bind(mission_id="m1"), telemetry.span("agent.step"), telemetry.span("sandbox.run"):
        open_now = kept(recording)
        assert {"agent.step": None} == {name: one.ended_at for name, one in open_now.items()}
    assert {"agent.step", "sandbox.run"} == {name for name, one in kept(recording).items() if one.ended_at}


def test_an_error_becomes_the_status_and_passes_on(recording: MemoryStore) -> None:
    """Promise: the error's type, code and room are on the span; the message is not; the caller still gets the error."""
    with telemetry.bind(mission_id="m1"), pytest.raises(StorageFull), telemetry.span("agent.step"):
        raise StorageFull("a-message-nobody-should-keep")
    step = kept(recording)["agent.step"]
    assert ("error", "StorageFull", "STORAGE_FULL") == (step.status, step.error_type, step.attributes["error_code"])
    assert "a-message-nobody-should-keep" not in str(step)


def test_work_that_comes_by_queue_continues_the_trace(recording: MemoryStore) -> None:
    """Promise: a bound traceparent is the parent of spans that have none here; the headers name the running span."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    with telemetry.bind(mission_id="m1", traceparent=parent), telemetry.span("agent.run"):
        assert telemetry.headers()["traceparent"].startswith(f"00-{'a' * 32}-")
        assert parent != telemetry.headers()["traceparent"]
    run = kept(recording)["agent.run"]
    assert ("a" * 32, "b" * 16) == (run.trace_id, run.parent_id)


def test_a_span_can_be_recorded_after_the_fact(recording: MemoryStore) -> None:
    """Promise: a span of a known duration ends now and began that much earlier."""
    with telemetry.bind(mission_id="m1"):
        telemetry.span_over("store.write", 0.25, operation="Missions.append", error=StorageFull())
    slow = kept(recording)["store.write"]
    assert 0.25 == pytest.approx((slow.ended_at or 0) - slow.started_at, abs=1e-6)
    assert ("error", "Missions.append") == (slow.status, slow.attributes["operation"])


def test_foreign_spans_join_the_tree_without_their_values(recording: MemoryStore) -> None:
    """Promise: a library's span lands in the same tree; of its attributes only codes and counts are kept."""
    from opentelemetry import trace

    with telemetry.bind(mission_id="m1"), telemetry.span("agent.run"):
        tracer = trace.get_tracer("somelib")
        with tracer.start_as_current_span("chat", attributes={"gen_ai.prompt": "secret", "http.route": "/x"}):
            pass
    spans = kept(recording)
    assert spans["agent.run"].span_id == spans["chat"].parent_id
    assert {"http.route": "/x"} == spans["chat"].attributes


def test_a_wall_clock_that_steps_back_does_not_turn_a_span_around(recording: MemoryStore) -> None:
    """Promise: a span whose wall clock was put back an hour while it was open still ends after it began."""
    with telemetry.bind(mission_id="m1"), telemetry.span("agent.step") as span:
        span._start += 3_600 * 10**9  # what the clock said at the start, seen from after the step back
        waited = threading.Event().wait(0.01)
    step = kept(recording)["agent.step"]
    assert not waited
    assert step.ended_at is not None and step.ended_at >= step.started_at + 0.01
