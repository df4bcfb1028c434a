"""The HTTP/1.1 connection: slow heads and readers are cut off, and what is no HTTP gets a problem too.

The fields that every answer carries are put into its head here, as bytes: through the HTTP library, which checks each
name and value anew, they would cost 1.4 us apiece. Head and body leave in one write.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from kimera.api.gate import API_HEADERS
from kimera.api.problems import MEDIA_TYPE, Problem

__all__ = ["Wire"]

HEAD_SECONDS = 10.0
"""How long the head of a request may take to arrive, from its first byte or from the connection on."""

STALL_SECONDS = 60.0
"""How long a caller may leave an answer unread."""


LINE = "kimera.line"
"""Where the entrance finds the connection's `Line` in a request's state."""


class Line:
    """A transport that adds ``extra`` to the next head and lets it leave together with the body behind it."""

    __slots__ = ("_loop", "_transport", "extra", "held", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self.is_closing = transport.is_closing  # asked several times a request
        self.extra = b""
        self.held = b""

    def write(self, data: bytes) -> None:
        """Write ``data``; a head waits for the body that comes in the same turn of the loop."""
        if self.extra:
            self.held = data[:-2] + self.extra + b"\r\n"
            self.extra = b""
            self._loop.call_soon(self.flush)
        elif self.held:
            held, self.held = self.held, b""
            self._transport.write(held + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Let a head go that is still waiting."""
        if self.held:
            held, self.held = self.held, b""
            self._transport.write(held)

    def close(self) -> None:
        """Close once everything has left."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Wire(H11Protocol):
    """Uvicorn's connection with two timers and our own words."""

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the caller a while to send a request."""
        super().connection_made(transport)
        line = Line(transport, self.loop)
        self.transport = line  # type: ignore[assignment]
        self.app_state = self.app_state | {LINE: line}
        self._head = self.loop.call_later(HEAD_SECONDS, self._cut)

    def data_received(self, data: bytes) -> None:
        """Take what came; while it is part of a head only, time is running."""
        super().data_received(data)
        waiting = self.cycle is None or self.cycle.response_complete
        if not waiting:
            self._unset("_head")
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(HEAD_SECONDS, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._unset("_head")
        self._unset("_stall")
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the caller does not read."""
        super().pause_writing()
        self._stall = self.loop.call_later(STALL_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """Note that the caller reads again."""
        super().resume_writing()
        self._unset("_stall")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP with a problem, and hang up."""
        body = Problem(400, f"{msg.rstrip('.')}.").body("", request_id := secrets.token_hex(13))
        headers = [
            (b"content-type", MEDIA_TYPE),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            (b"x-request-id", request_id.encode()),
            (b"x-kaldra-status", b"ok"),
            *API_HEADERS,
        ]
        answer = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _cut(self) -> None:
        if not self.transport.is_closing():
            self.transport.abort()

    def _unset(self, name: str) -> None:
        timer = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)
