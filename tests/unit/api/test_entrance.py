"""Bodies in pieces, callers who stall, streams that end, and how much at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from tests.unit.api.asgi import Call
from tests.unit.api.conftest import make_app

from kimera import telemetry
from kimera.api import requires
from kimera.api.switchboard import mount
from kimera.clock import FakeClock
from kimera.missions import control
from kimera.storage.audit import AuditRows
from kimera.storage.keys import Keys

JSON = {"content-type": "application/json"}
CHUNKED = JSON | {"transfer-encoding": "chunked"}
UPLOAD = {"content-type": "application/octet-stream", "transfer-encoding": "chunked"}


def waiting_routes(gate: asyncio.Event) -> APIRouter:
    """Return a route that waits, one that streams, one that reads an upload."""
    routes = APIRouter(dependencies=[requires("read")])

    @routes.get("/api/wait")
    async def wait() -> dict[str, str]:
        await gate.wait()
        return {"waited": "yes"}

    @routes.get("/api/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield b"id: 1\ndata: one\n\n"
            await gate.wait()
            yield b"id: 2\ndata: two\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @routes.post("/api/upload")
    async def upload(request: Request) -> dict[str, int]:
        return {"bytes": sum([len(piece) async for piece in request.stream()])}

    return routes


@pytest.fixture
def opened() -> asyncio.Event:
    """Return what the waiting routes wait for."""
    return asyncio.Event()


async def test_a_chunked_body_without_length_is_counted(home: control.Home) -> None:
    """Promise: the cap is on bytes received, whatever was declared; the answer is a 413 and the line is cut."""
    call = Call(make_app(home, max_body_bytes=1000), "POST", "/api/probe/write", CHUNKED)
    for _ in range(3):
        call.feed(b" " * 400)
    await call.until(2)
    assert (413, "TOO_LARGE") == (call.status, json.loads(call.body)["code"])


async def test_an_upload_is_counted_while_the_route_reads(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: an upload over its cap ends in our 413, not in an answer of the route that was reading."""
    app = make_app(home, max_upload_bytes=1000)
    mount(app, waiting_routes(opened))
    app.state.gate.board.survey()
    small, large = (Call(app, "POST", "/api/upload", UPLOAD) for _ in range(2))
    small.feed(b"x" * 900, more=False)
    for _ in range(3):
        large.feed(b"x" * 400)
    await small.until(2)
    await large.until(2)
    assert (200, {"bytes": 900}) == (small.status, json.loads(small.body))
    assert (413, "TOO_LARGE") == (large.status, json.loads(large.body)["code"])


async def test_a_caller_who_lies_about_the_length_is_refused_before_reading(home: control.Home) -> None:
    """Promise: a declared length over the cap is refused at once, and one that is no number too."""
    for length in ("1048577", "99999999999999999999", "-1", "1e3"):
        call = Call(make_app(home), "POST", "/api/probe/write", JSON | {"content-length": length})
        call.hang_up()
        await call.until(2)
        assert 413 == call.status, length


@pytest.mark.parametrize("path", ["/api/probe/write", "/api/upload"])
async def test_a_slow_sender_is_given_up_on(home: control.Home, opened: asyncio.Event, path: str) -> None:
    """Promise: a body that stops coming ends in 408 after KIMERA_BODY_TIMEOUT, whoever was reading it."""
    clock = FakeClock()
    app = make_app(home, body_timeout=30.0)
    mount(app, waiting_routes(opened))
    gate = app.state.gate
    gate.board.survey()
    gate.clock = clock
    call = Call(app, "POST", path, CHUNKED if path.endswith("write") else UPLOAD)
    call.feed(b" ")
    await asyncio.sleep(0.01)
    gate.cut_late()
    assert 0 == call.status
    await clock.advance(30.1)
    gate.cut_late()
    call.hang_up()
    await call.until(2)
    assert (408, "TOO_SLOW") == (call.status, json.loads(call.body)["code"])
    assert "close" == call.fields["connection"]
    await call.task
    assert 0 == gate.traffic.in_flight


async def test_an_upload_that_keeps_coming_has_time(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: an upload is cut when it stalls, not when it is long."""
    clock = FakeClock()
    app = make_app(home, body_timeout=30.0)
    mount(app, waiting_routes(opened))
    gate = app.state.gate
    gate.board.survey()
    gate.clock = clock
    call = Call(app, "POST", "/api/upload", UPLOAD)
    for _ in range(5):
        call.feed(b"x")
        await asyncio.sleep(0.005)
        await clock.advance(20.0)
        gate.cut_late()
    call.feed(b"", more=False)
    await call.until(2)
    assert {"bytes": 5} == json.loads(call.body)


async def test_more_at_once_than_allowed_are_told_to_come_again(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: beyond KIMERA_MAX_REQUESTS the answer is 503 with Retry-After; health still answers."""
    app = make_app(home, max_requests=2)
    mount(app, waiting_routes(opened))
    app.state.gate.board.survey()
    first = [Call(app, "GET", "/api/wait") for _ in range(2)]
    await asyncio.sleep(0.01)
    third, health = Call(app, "GET", "/api/wait"), Call(app, "GET", "/health/live")
    await third.until(2)
    await health.until(2)
    assert (503, "1", 200) == (third.status, third.fields["retry-after"], health.status)
    opened.set()
    for call in first:
        await call.task
    assert [200, 200] == [call.status for call in first]
    assert 0 == app.state.gate.traffic.in_flight


async def test_streams_end_with_a_hint_when_the_process_ends(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: on drain each event stream gets when to come back and ends whole; other requests go on."""
    app = make_app(home)
    mount(app, waiting_routes(opened))
    gate = app.state.gate
    gate.board.survey()
    stream, other = Call(app, "GET", "/api/stream"), Call(app, "GET", "/api/wait")
    await stream.until(2)
    gate.drain()
    await asyncio.wait_for(stream.task, 5)
    assert stream.body.endswith(b"retry: 2000\n\n")
    assert b"data: one" in stream.body
    assert stream.sent[-1]["more_body"] is False
    assert 0 == len(gate.streams)
    opened.set()
    await other.task
    assert (200, "degraded") == (other.status, other.fields["x-kaldra-status"])


async def test_a_stream_ends_when_its_key_is_revoked(home: control.Home, keys: Keys, opened: asyncio.Event) -> None:
    """Promise: revoking a key ends its open streams within a look of the watch, and only its own."""
    app = make_app(home, host="0.0.0.0")
    mount(app, waiting_routes(opened))
    gate = app.state.gate
    gate.board.survey()
    mine, other = (keys.create(name, "t", "read") for name in ("mine", "other"))
    calls = [Call(app, "GET", "/api/stream", {"authorization": f"Bearer {key.secret}"}) for key in (mine, other)]
    for call in calls:
        await call.until(2)
    keys.revoke(mine.stored.key_id)
    await gate.check_streams()
    await asyncio.wait_for(calls[0].task, 5)
    assert calls[0].body.endswith(b"retry: 2000\n\n")
    assert not calls[1].task.done()
    opened.set()
    await calls[1].task


async def test_streams_are_bounded(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: beyond KIMERA_MAX_STREAMS a stream is refused with 503; streams do not use up the requests' room."""
    app = make_app(home, max_streams=1, max_requests=1)
    mount(app, waiting_routes(opened))
    app.state.gate.board.survey()
    first = Call(app, "GET", "/api/stream")
    await first.until(2)
    second, plain = Call(app, "GET", "/api/stream"), None
    await second.until(2)
    assert (503, "TOO_MANY_STREAMS") == (second.status, json.loads(second.body)["code"])
    await second.task
    plain = Call(app, "GET", "/api/probe/read/x")
    await plain.until(2)
    assert 200 == plain.status
    opened.set()
    await first.task


async def test_refusals_are_in_the_audit_chain(home: control.Home) -> None:
    """Promise: denied requests are recorded by kind, with caller, route, reason, count and a request id."""
    app = make_app(home, host="0.0.0.0")
    for n in range(3):
        call = Call(app, "GET", "/api/probe/read/x", {"x-request-id": f"r{n}"})
        await call.task
    assert 1 == app.state.gate.denials.write()
    [row] = AuditRows(home.database).newest()
    assert ("nobody@127.0.0.1", "deny", "KEY_MISSING", "GET /api/probe/read/{name} x3", "r0") == (
        row["actor"],
        row["decision"],
        row["rule"],
        row["subject"],
        row["request_id"],
    )


async def test_metrics_know_templates_and_never_paths(home: control.Home) -> None:
    """Promise: a hundred different ids make one series; unknown addresses make one more."""
    app = make_app(home)
    for n in range(100):
        await Call(app, "GET", f"/api/probe/read/name{n}").task
        await Call(app, "GET", f"/nowhere/{n}").task
    routes = {route for route, _ in app.state.gate.traffic._bound}
    assert {"/api/probe/read/{name}", "unmatched"} == routes


async def test_a_request_joins_the_callers_trace(home: control.Home) -> None:
    """Promise: what a route does runs under the caller's request id and inside the caller's trace."""
    app = make_app(home)
    seen: list[telemetry.Context] = []
    routes = APIRouter(dependencies=[requires("read")])

    @routes.get("/api/context")
    def context() -> dict[str, str]:
        seen.append(telemetry.current())
        return {}

    mount(app, routes)
    app.state.gate.board.survey()
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    await Call(app, "GET", "/api/context", {"x-request-id": "mine", "traceparent": parent}).task
    await Call(app, "GET", "/api/context", {"x-request-id": "other", "traceparent": "nonsense"}).task
    assert [("mine", parent), ("other", None)] == [(one.request_id, one.traceparent) for one in seen]


async def test_a_traced_stream_is_one_whole_span(home: control.Home, opened: asyncio.Event) -> None:
    """Promise: a stream inside a caller's trace leaves one span with route and status, ended when the stream ends."""
    app = make_app(home)
    mount(app, waiting_routes(opened))
    app.state.gate.board.survey()
    store = telemetry.MemoryStore()
    telemetry.configure(home.settings, store=store, lines=False)
    try:
        call = Call(app, "GET", "/api/stream", {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
        await call.until(2)
        opened.set()
        await call.task
        telemetry.flush()
        [found] = [one for one in store._spans.values() if one.name == "http.request"]
    finally:
        telemetry.shutdown()
    assert ("ab" * 16, "cd" * 8) == (found.trace_id, found.parent_id)
    assert ("/api/stream", 200) == (found.attributes["route"], found.attributes["status"])
    assert found.ended_at is not None
