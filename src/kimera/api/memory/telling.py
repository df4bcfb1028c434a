"""The log and what can be made of it: pages, a live stream, the state's identity, export and import."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.background import BackgroundTask

from kimera.api.memory.parts import Chosen, Named, answer, made
from kimera.api.memory.views import LogPage, LogRecordView, StateHash
from kimera.api.security import requires
from kimera.errors import ValidationError
from kimera.memory import Memory
from kimera.memory.keeping.reading import LogView
from kimera.memory.keeping.transfer import Imported, check_file

__all__ = ["router"]

LAST = 10**15
POLL_SECONDS = 0.5
BLOCK = 500
QUIET_POLLS = 30  # a comment after so many looks without news keeps proxies from hanging up
FILE = {"schema": {"type": "string", "format": "binary"}}
BINARY = {"application/octet-stream": FILE, "application/x-ndjson": FILE}

After = Annotated[int, Query(ge=0, le=LAST, description="Number of the last record you have; 0: from the beginning.")]

Records = Annotated[int, Query(ge=1, le=1_000, description="Records per page.")]


def router(prefix: str) -> APIRouter:
    """Return the routes of the log."""
    routes = APIRouter(prefix=prefix, tags=["memory log"])
    kind = "memory" if prefix else "kato"
    _add_reading(routes, kind)
    _add_moving(routes, kind)
    return routes


async def _position(
    after: After = 0,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=LAST, description="Sent by browsers when they come back; wins over `after`.")
    ] = None,
) -> int:
    return after if last_event_id is None else last_event_id


def _add_reading(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/log",
        operation_id=f"{kind}_get_log",
        summary="Read the log",
        response_model=LogPage,
        dependencies=[requires("read")],
    )
    def get_log(memory: Chosen, after: After = 0, limit: Records = 100) -> Response:
        """Show the records above `after` in order."""
        records = memory.log(after, limit)
        last = records[-1].seq if len(records) == limit else None
        return answer({"records": [record.to_dict() for record in records], "after": last})

    @routes.get(
        "/events",
        operation_id=f"{kind}_follow_log",
        summary="Follow the log",
        response_class=EventSourceResponse,
        dependencies=[requires("read")],
    )
    async def follow_log(memory: Chosen, seen: Annotated[int, Depends(_position)]) -> AsyncIterable[LogRecordView]:
        """Stream records as they are committed; the id of each is its number. Goes on until you hang up."""
        yield _sent(ServerSentEvent(comment="kimera", retry=2_000))
        quiet = 0
        while True:
            records = await asyncio.to_thread(_news, memory, seen)
            for record in records:
                seen = record.seq
                shown = LogRecordView.model_validate(record.to_dict())
                yield _sent(ServerSentEvent(raw_data=shown.model_dump_json(), id=str(seen)))
            quiet = 0 if records else quiet + 1
            if quiet == QUIET_POLLS:
                quiet = 0
                yield _sent(ServerSentEvent(comment="still here"))
            if len(records) < BLOCK:
                await asyncio.sleep(POLL_SECONDS)

    @routes.get(
        "/state-hash", operation_id=f"{kind}_state_hash", summary="Name the state", dependencies=[requires("read")]
    )
    def state_hash(memory: Chosen) -> StateHash:
        """Name what is learned now: equal states have equal names, however they came to be."""
        seq = memory.seq
        return StateHash(state_hash=memory.state_hash(), seq=seq)


def _news(memory: Memory, seen: int) -> tuple[LogView, ...]:
    return memory.log(seen, BLOCK) if memory.seq > seen else ()


def _sent(frame: ServerSentEvent) -> LogRecordView:
    """Return a frame under the type that the interface's description shows: that of the data it carries."""
    return cast("LogRecordView", frame)


def _add_moving(routes: APIRouter, kind: str) -> None:
    @routes.get(
        "/export",
        operation_id=f"{kind}_export",
        summary="Export a memory",
        response_class=FileResponse,
        responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
        dependencies=[requires("read")],
    )
    def export(memory: Chosen) -> FileResponse:
        """Get the whole log as JSON Lines: a header with the state's identity, then the records."""
        place = _temporary()
        memory.export(place)
        return FileResponse(
            place, media_type="application/x-ndjson", filename="memory.jsonl", background=BackgroundTask(place.unlink)
        )

    @routes.post(
        "/import",
        operation_id=f"{kind}_import",
        summary="Import a memory",
        response_model=Imported,
        openapi_extra={"requestBody": {"required": True, "content": BINARY}},
        dependencies=[requires("write")],
    )
    async def import_(request: Request, name: Named) -> Response:
        """Append the records of an export, all or none; twice changes nothing."""
        place = await asyncio.to_thread(_temporary)
        try:
            with place.open("wb") as file:
                async for part in request.stream():
                    await asyncio.to_thread(file.write, part)
            if not place.stat().st_size:
                raise ValidationError("The body is empty; send an export.", error_code="IMPORT_CORRUPT")
            done = await asyncio.to_thread(lambda: made(request, name, lambda: check_file(place)).import_(place))
        finally:
            place.unlink()
        return answer({**done.to_dict(), "path": ""})


def _temporary() -> Path:
    with tempfile.NamedTemporaryFile(prefix="kimera-memory-", suffix=".jsonl", delete=False) as file:
        return Path(file.name)
