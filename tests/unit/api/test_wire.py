"""The connection: heads with the fixed fields, slow heads, unread answers, and what is no HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from tests.unit.api.conftest import make_app
from uvicorn.server import ServerState

from kimera.api import wire
from kimera.api.serve import server_config
from kimera.api.wire import Line, Wire
from kimera.missions import control


class Tape(asyncio.Transport):
    """A transport that keeps what is written, one entry per write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 8000)}.get(name, default)

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connect(app: FastAPI, home: control.Home) -> tuple[Wire, Tape]:
    """Return a connection to the application and its other end."""
    config: uvicorn.Config = server_config(app, home.settings)
    config.lifespan = "off"
    config.load()
    made = Wire(config, ServerState(), {}, _loop=asyncio.get_running_loop())
    tape = Tape()
    made.connection_made(tape)
    return made, tape


async def answered(made: Wire) -> None:
    """Wait until the answer has been given."""
    for _ in range(10_000):
        await asyncio.sleep(0)
        if made.cycle is not None and made.cycle.response_complete:
            break
    await asyncio.sleep(0)


async def test_head_and_body_leave_in_one_write_with_every_field(home: control.Home) -> None:
    """Promise: over the wire each answer carries what the entrance promises, once, in one piece."""
    made, tape = connect(make_app(home), home)
    for path in (b"/api/probe/read/x", b"/api/nothing"):
        tape.written.clear()
        made.data_received(b"GET %s HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine\r\n\r\n" % path)
        await answered(made)
        head, _, body = b"".join(tape.written).partition(b"\r\n\r\n")
        fields = head.decode().lower().split("\r\n")[1:]
        names = [field.partition(":")[0] for field in fields]
        assert sorted(set(names)) == sorted(names)
        assert {"x-request-id", "x-kaldra-status", "content-security-policy", "x-content-type-options"} <= set(names)
        assert {"cross-origin-resource-policy", "referrer-policy", "cache-control", "content-length"} <= set(names)
        assert "x-request-id: mine" in fields
        assert json.loads(body)
    made.connection_lost(None)


async def test_the_usual_answer_is_one_write(home: control.Home) -> None:
    """Promise: head and body of a JSON answer are not two packets."""
    made, tape = connect(make_app(home), home)
    made.data_received(b"GET /api/probe/read/x HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await answered(made)
    assert 1 == len([piece for piece in tape.written if piece])
    made.connection_lost(None)


async def test_a_head_whose_body_comes_later_does_not_wait() -> None:
    """Promise: a held head leaves with the next turn of the loop, and a close lets it out first."""
    for close in (False, True):
        tape = Tape()
        line = Line(tape, asyncio.get_running_loop())
        line.extra = b"x-more: 1\r\n"
        line.write(b"HTTP/1.1 200 \r\na: b\r\n\r\n")
        assert [] == tape.written
        if close:
            line.close()
        else:
            await asyncio.sleep(0)
        assert [b"HTTP/1.1 200 \r\na: b\r\nx-more: 1\r\n\r\n"] == tape.written
        line.write(b"body")
        assert b"body" == tape.written[-1]


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nhost: lo"])
async def test_a_slow_head_is_cut(home: control.Home, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Promise: a connection that sends nothing, or half a head, is cut; one byte a second does not keep it."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.05)
    made, tape = connect(make_app(home), home)
    if sent:
        made.data_received(sent)
    for _ in range(3):
        await asyncio.sleep(0.01)
        if sent:
            made.data_received(b"c")
    assert not tape.aborted
    await asyncio.sleep(0.05)
    assert tape.aborted
    made.connection_lost(None)


async def test_a_slow_second_head_is_cut_too(home: control.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a kept connection gets no more time for its next head than a new one."""
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.05)
    made, tape = connect(make_app(home), home)
    made.data_received(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await answered(made)
    await asyncio.sleep(0.08)
    assert not tape.aborted
    made.data_received(b"GET /he")
    await asyncio.sleep(0.08)
    assert tape.aborted
    made.connection_lost(None)


async def test_an_unread_answer_is_cut(home: control.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a caller who does not read loses the connection; one who reads on in time keeps it."""
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.03)
    made, tape = connect(make_app(home), home)
    made.pause_writing()
    made.resume_writing()
    await asyncio.sleep(0.05)
    assert not tape.aborted
    made.pause_writing()
    await asyncio.sleep(0.05)
    assert tape.aborted
    made.connection_lost(None)


async def test_what_is_no_http_gets_a_problem(home: control.Home) -> None:
    """Promise: garbage is answered with a problem and the connection is closed."""
    made, tape = connect(make_app(home), home)
    made.data_received(b"\x00\x01 nonsense\r\n\r\n")
    head, _, body = b"".join(tape.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    assert "BAD_REQUEST" == json.loads(body)["code"]
    assert tape.closed
    made.connection_lost(None)
