"""The HTTP/1.1 connection: slow heads and readers are cut off, and what is no HTTP gets a problem too."""

from __future__ import annotations

import asyncio
import secrets

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from kimera.api.gate import API_HEADERS
from kimera.api.problems import MEDIA_TYPE, Problem

__all__ = ["Wire"]

HEAD_SECONDS = 10.0
"""How long the head of a request may take to arrive, from its first byte or from the connection on."""

STALL_SECONDS = 60.0
"""How long a caller may leave an answer unread."""


class Wire(H11Protocol):
    """Uvicorn's connection with two timers and our own words."""

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the caller a while to send a request."""
        super().connection_made(transport)
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
