"""The one door every request comes through: pure ASGI, so that it costs little and sees every byte.

In order: request id, size of the head, Host and Origin, rate of the address, room, key, rate of the key, size and form
of the body; then the application; then the headers of the answer. A failure anywhere becomes problem+json here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from kimera import telemetry
from kimera.api.gate import REQUEST_ID, Gate
from kimera.api.limits import read_json
from kimera.api.problems import MEDIA_TYPE, Problem, for_error
from kimera.api.security import LOCAL, NOBODY, Principal
from kimera.api.traffic import UNMATCHED
from kimera.api.wire import LINE
from kimera.errors import KimeraError, RefusedError, TooLarge, Unauthenticated, UnsupportedMedia
from kimera.guardian import Denial

__all__ = ["Entrance", "Exchange"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_FIELDS = 100
MAX_PARAMETERS = 200
THREAD_BYTES = 64 << 10  # a body larger than this is checked off the event loop
DISCARD_BYTES = 8 << 20
DISCARD_SECONDS = 1.0
BYE_SECONDS = 1.0
RETRY_HINT = b"event: bye\ndata: {}\nretry: 2000\n\n"
JSON = b"application/json"
UPLOADS = (b"multipart/form-data", b"application/octet-stream", b"application/x-ndjson")
LARGE_AT_ONCE = 8  # bodies above the usual size that are held at the same time
STREAM = re.compile(r"/api/missions/(m[0-9a-z]{17})/events")
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
BODYLESS = frozenset({"GET", "HEAD", "OPTIONS"})
EXPOSED = b"x-request-id, x-kaldra-status, etag, retry-after, idempotency-replayed, location"
ALLOWED = b"authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id"
OK = (b"x-kaldra-status", b"ok")
DEGRADED = (b"x-kaldra-status", b"degraded")

log = telemetry.get_logger("api")


class Entrance:
    """The middleware: one `Exchange` per request."""

    def __init__(self, app: App, gate: Gate) -> None:
        self.app, self.gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await Exchange(self.gate, scope, receive, send).run(self.app)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


class Exchange:
    """One request and its answer. ``due`` is when the body must have arrived, on the gate's clock."""

    principal: Principal = NOBODY
    cors: bytes | None = None
    refusal: Problem | None = None
    status = 0
    due = 0.0
    body_read = streaming = _ended = _late = False
    _kind = b""
    _code = ""
    _left = _most = 0
    _large = False
    _replay: Message | None = None
    _task: asyncio.Task[Any] | None = None
    _span: telemetry.Span | None = None

    def __init__(self, gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
        self.gate, self.scope, self._receive, self._send = gate, scope, receive, send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"] if scope["method"] in METHODS else "OTHER"
        asked = self.headers.get(b"x-request-id")
        kept = asked is not None and REQUEST_ID.fullmatch(asked)
        self.request_id = asked.decode("ascii") if asked is not None and kept else secrets.token_hex(13)
        self.state: dict[str, Any] = scope.setdefault("state", {})
        self.state["request_id"] = self.request_id
        self.state["body"] = self.state["kind"] = b""
        self._began = time.perf_counter()

    async def run(self, app: App) -> None:
        """Admit the request, let the application answer, and turn what fails into a problem."""
        self._task = asyncio.current_task()
        self._span = self.gate.traffic.begin(self.request_id, self.headers.get(b"traceparent"))
        try:
            if await self._admit():
                await (self.gate.board.direct(self.scope) or app)(self.scope, self.receive, self.send)
        except KimeraError as error:
            self.refusal = self.refusal or for_error(error, "query" if self.method in BODYLESS else "body")
        except asyncio.CancelledError:
            self._cancelled()
        except Exception as error:  # noqa: BLE001 - the request boundary: whatever failed, the caller gets a problem
            if not self._ended:
                self._failed(error)
        finally:
            self._leave()
        if self.refusal is not None and not self.status:
            await self._refuse(self.refusal)
        if not self.streaming:
            self._record()
        if self._span is not None:
            self._span.set(method=self.method, route=self._route(), status=self.status)
            self._span.__exit__(None, None, None)

    def _cancelled(self) -> None:
        """Go on when the cancellation was ours; raises it again when it was not."""
        if not self._ended and not self._late:
            raise asyncio.CancelledError
        if self._task is not None:
            self._task.uncancel()
        if self._late:
            late = KimeraError("The body did not arrive in time.", error_code="TOO_SLOW", http_status=408)
            self.refusal = for_error(late)

    def _failed(self, error: Exception) -> None:
        log.error("api.failed", error=error, method=self.method, route=self._route())
        self.refusal = Problem(500, "Something failed that should not have; it is in the log under the request id.")

    def _leave(self) -> None:
        gate = self.gate
        gate.readers.discard(self)
        gate.large -= self._large
        if self.streaming:
            gate.streams.discard(self)
            gate.traffic.stream(-1)
        else:
            gate.traffic.ended()

    def _route(self) -> str:
        route = self.scope.get("route")
        if route is None:
            found = self.gate.board.find(self.method, self.scope["path"])
            return UNMATCHED if found is None else found[0].path
        path: str = route.path
        return path

    def _record(self) -> None:
        seconds, route = time.perf_counter() - self._began, self._route()
        traced = self._span is not None
        if self.status in {401, 403}:
            self._deny(route)
        self.gate.traffic.answered(
            self.method, route, self.status or 499, seconds, self.principal.key_id, traced=traced
        )

    def _deny(self, route: str) -> None:
        client = self.scope.get("client")
        actor = f"{self.principal.key_id}@{client[0] if client else 'local'}"
        self.gate.denials.add(Denial(actor, f"{self.method} {route}", self._code), self.request_id)

    # -- admission ----------------------------------------------------------------------------------------------------

    async def _admit(self) -> bool:
        """Let the request in, or raise; False when it is answered already (a preflight)."""
        gate, headers, method = self.gate, self.headers, self.method
        open_path = self.scope["path"] in gate.board.public
        if len(self.scope["headers"]) > MAX_FIELDS or self.scope["query_string"].count(b"&") >= MAX_PARAMETERS:
            raise self._too_many()
        if not open_path or gate.visitors.loopback:
            self.cors = gate.visitors.check(method, headers)
        if self.cors is not None and method == "OPTIONS" and b"access-control-request-method" in headers:
            await self._preflight()
            return False
        gate.rates.address(self.scope.get("client"))
        if not open_path:
            await self._authenticate()
            if gate.traffic.in_flight > gate.settings.max_requests:
                raise RefusedError("The gateway is answering as many requests as it may.", retry_after=1.0)
        self.state["principal"] = self.principal
        if method not in BODYLESS:
            await self._take_body()
        return True

    def _too_many(self) -> KimeraError:
        if len(self.scope["headers"]) > MAX_FIELDS:
            words = f"The request has more than {MAX_FIELDS} header fields."
            return KimeraError(words, error_code="HEADERS_TOO_LARGE", http_status=431)
        words = f"The address has more than {MAX_PARAMETERS} parameters."
        return KimeraError(words, error_code="BAD_REQUEST", http_status=400)

    async def _authenticate(self) -> None:
        gate = self.gate
        authorization = self.headers.get(b"authorization")
        if authorization is not None:
            self.principal = gate.ring.known(authorization) or await gate.ring.principal(authorization)
            gate.rates.key(self.principal.key_id)
        elif (ticket := self._ticket()) is not None:
            self.principal = await gate.ring.guest(*ticket)
            gate.rates.key(self.principal.key_id)
        elif gate.visitors.keyless_ok(self.headers):
            self.principal = LOCAL
        else:
            raise Unauthenticated("This address needs a key.", error_code="KEY_MISSING")

    def _ticket(self) -> tuple[str, str] | None:
        """Return mission and ticket when this asks for an event stream with a ticket instead of a key."""
        query: bytes = self.scope["query_string"]
        if b"ticket=" not in query or self.method != "GET":
            return None
        stream = STREAM.fullmatch(self.scope["path"])
        found = parse_qs(query.decode("latin-1")).get("ticket", [])
        return (stream[1], found[0]) if stream and len(found) == 1 else None

    async def _preflight(self) -> None:
        fields = [
            (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
            (b"access-control-allow-headers", ALLOWED),
            (b"access-control-max-age", b"600"),
            (b"content-length", b"0"),
        ]
        await self.send({"type": "http.response.start", "status": 204, "headers": fields})
        await self.send({"type": "http.response.body", "body": b""})

    # -- the body -----------------------------------------------------------------------------------------------------

    async def _take_body(self) -> None:
        """Bound the body; JSON is read and checked here, an upload is counted while the application reads it."""
        length = self.headers.get(b"content-length")
        if length == b"0" or (length is None and b"transfer-encoding" not in self.headers):
            return
        settings = self.gate.settings
        kind = self._kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        is_json = kind == JSON or (kind.startswith(b"application/") and kind.endswith(b"+json"))
        if not is_json and kind not in UPLOADS:
            raise UnsupportedMedia(f"A body of type {kind.decode('latin-1')[:80] or 'unknown'} is not read here.")
        self._most = settings.max_body_bytes if is_json else settings.max_upload_bytes
        if length is None or not length.isdigit() or not is_json or int(length) > self._most:
            self._take_large(is_json)
        self._left = self._most
        if length is not None and (not length.isdigit() or int(length) > self._most):
            raise self._too_large()
        # two fields of the name: which of them counts is the framework's to say
        self.state["kind"] = kind if len(self.headers) == len(self.scope["headers"]) else b"?"
        self.due = self.gate.clock.monotonic() + settings.body_timeout
        self.gate.readers.add(self)
        if is_json:
            body = await self._read_all()
            if len(body) > THREAD_BYTES:
                self.state["json"] = await asyncio.to_thread(read_json, body)
            else:
                self.state["json"] = read_json(body)
            self.state["body"] = body
            self._replay = {"type": "http.request", "body": body, "more_body": False}

    def _take_large(self, is_json: bool) -> None:
        """Let the memory take more than is usual; raises `RefusedError` when many such bodies are held already."""
        gate = self.gate
        if not gate.board.is_memory(self.method, self.scope["path"]):
            return
        self._most = gate.settings.memory_body_bytes
        if is_json:
            if gate.large >= LARGE_AT_ONCE:
                raise RefusedError("The gateway holds as many large bodies as it may.", retry_after=1.0)
            self._large = True
            gate.large += 1

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._most} bytes.", limit=self._most)

    async def _read_all(self) -> bytes:
        parts: list[bytes] = []
        more = True
        while more:
            message = await self._read_some()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _read_some(self) -> Message:
        """Receive one piece of the body, counted; raises `TooLarge`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise KimeraError("The caller went away.", error_code="DISCONNECTED", http_status=400)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self._too_large()
        if not message.get("more_body", False):
            self.body_read = True
            self.gate.readers.discard(self)
        return message

    async def receive(self) -> Message:
        """Give the application the body, counted; after it, whether the caller went away."""
        if self._replay is not None:
            message, self._replay = self._replay, None
            return message
        if self.body_read or not self.due:
            return await self._receive()
        try:
            message = await self._read_some()
        except KimeraError as error:
            # the application may turn this into an answer of its own; ours stands
            self.refusal = for_error(error)
            raise
        if self._kind in UPLOADS:  # an upload has as long as it keeps coming
            self.due = self.gate.clock.monotonic() + self.gate.settings.body_timeout
        return message

    def cut(self) -> None:
        """Give up on a body that is overdue; called on the event loop."""
        self.gate.readers.discard(self)
        if self._task is not None:
            self._late = True
            self._task.cancel()

    # -- the answer ---------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Pass on a piece of the answer, its head with the headers that every answer carries."""
        if self._ended or (self.refusal is not None and not self.status):
            return
        if message["type"] == "http.response.start":
            self._dress(message)
        await self._send(message)

    def _dress(self, message: Message) -> None:
        gate = self.gate
        self.status = message["status"]
        fields = list(message.get("headers", ()))
        names = dict(fields)
        status = DEGRADED if gate.health.degraded or gate.draining or "degraded" in self.state else OK
        kind = names.get(b"content-type", b"")
        if LINE in self.state and kind == JSON and len(names) <= 2 and self.cors is None:
            # the usual answer sets nothing but type and length, so what all carry goes out as one block of bytes
            self.state[LINE].extra = b"%sx-request-id: %s\r\n%s: %s\r\n" % (
                gate.api_block,
                self.request_id.encode("ascii"),
                *status,
            )
            return
        common = gate.page_headers if kind.startswith(b"text/html") else gate.api_headers
        fields += [pair for pair in common if pair[0] not in names]
        fields += ((b"x-request-id", self.request_id.encode("ascii")), status)
        if self.cors is not None:
            fields += [
                (b"access-control-allow-origin", self.cors),
                (b"access-control-expose-headers", EXPOSED),
                (b"vary", b"Origin"),
            ]
        message["headers"] = fields
        if kind.startswith(b"text/event-stream"):
            self._begin_stream()

    async def _refuse(self, problem: Problem) -> None:
        """Send a problem; what is still coming of the body is thrown away for a moment, then the line is cut."""
        self.refusal = None
        self._code = problem.code
        body = problem.body(self.scope["path"], self.request_id)
        fields = [(b"content-type", MEDIA_TYPE), (b"content-length", str(len(body)).encode()), *problem.headers]
        if self._expects_body() and not await self._discard():
            fields.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": fields})
        await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    def _expects_body(self) -> bool:
        headers = self.headers
        return not self.body_read and (headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers)

    async def _discard(self) -> bool:
        """Read on for at most a second, so that a caller still sending gets to see the answer; True at the end."""
        left = DISCARD_BYTES
        with contextlib.suppress(TimeoutError):
            async with self.gate.clock.timeout(DISCARD_SECONDS):
                while left > 0:
                    message = await self._receive()
                    if not message.get("more_body", False):
                        return bool(message["type"] == "http.request")
                    left -= len(message.get("body", b""))
        return False

    # -- event streams ------------------------------------------------------------------------------------------------

    def _begin_stream(self) -> None:
        if len(self.gate.streams) >= self.gate.settings.max_streams:
            self.status = 0
            raise RefusedError(
                "As many event streams are open as may be.", error_code="TOO_MANY_STREAMS", retry_after=5.0
            )
        self._record()
        self.streaming = True
        self.gate.traffic.ended()
        self.gate.traffic.stream(1)
        self.gate.streams.add(self)

    def end_stream(self) -> None:
        """End the event stream now with a hint when to come back; called on the event loop."""
        if self._task is not None and not self._ended:
            self._ended = True
            self.gate.keep(asyncio.create_task(self._say_bye(self._task)))

    async def _say_bye(self, task: asyncio.Task[Any]) -> None:
        with contextlib.suppress(TimeoutError):  # a reader that does not read does not get to hold the process
            async with asyncio.timeout(BYE_SECONDS):
                await self._send({"type": "http.response.body", "body": RETRY_HINT, "more_body": False})
        task.cancel()
