"""A caller that speaks ASGI by hand: bodies in pieces, answers message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]


class Call:
    """One request; ``feed`` gives it pieces of its body, ``sent`` is what came back."""

    def __init__(
        self, app: App, method: str, path: str, headers: dict[str, str] | None = None, query: bytes = b""
    ) -> None:
        fields = {"host": "127.0.0.1:8000"} | (headers or {})
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query,
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        self.sent: list[Message] = []
        self.news = asyncio.Event()
        self._pieces: asyncio.Queue[Message] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(app))

    async def _run(self, app: App) -> None:
        await app(self.scope, self._pieces.get, self._send)

    async def _send(self, message: Message) -> None:
        self.sent.append(dict(message))
        self.news.set()

    def feed(self, body: bytes, more: bool = True) -> None:
        """Let a piece of the body arrive."""
        self._pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        """Let the caller go away."""
        self._pieces.put_nowait({"type": "http.disconnect"})

    async def until(self, count: int) -> None:
        """Wait until so many messages came back."""
        while len(self.sent) < count:
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 5)

    @property
    def status(self) -> int:
        """Return the answer's status, 0 when there is none yet."""
        return int(self.sent[0]["status"]) if self.sent else 0

    @property
    def body(self) -> bytes:
        """Return what came of the body so far."""
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def fields(self) -> dict[str, str]:
        """Return the answer's header fields."""
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}
