"""A gateway with slow routes beside its own, as a process: ``python slow_gateway.py [--no-worker]``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from kimera.api import requires
from kimera.api.serve import serve
from kimera.missions import control
from kimera.settings import load_settings


def slow_routes() -> APIRouter:
    """Return a route that takes a second, one that never ends, and a stream that says something all the time."""
    routes = APIRouter(dependencies=[requires("read")])

    @routes.get("/api/slow")
    async def slow() -> dict[str, str]:
        await asyncio.sleep(1.0)
        return {"slow": "done"}

    @routes.get("/api/stuck")
    async def stuck() -> dict[str, str]:
        await asyncio.sleep(600.0)
        return {}

    @routes.get("/api/stream")
    async def stream() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            number = 0
            while True:
                number += 1
                yield f"id: {number}\ndata: {number}\n\n".encode()
                await asyncio.sleep(0.1)

        return StreamingResponse(events(), media_type="text/event-stream")

    return routes


def main() -> int:
    """Serve the home of the environment until told to end."""
    settings = load_settings().model_copy(update={"port": 0})
    with control.open_home(settings) as home, control.recording(home, "serve"):
        return serve(
            home,
            lambda words: print(words, flush=True),
            with_worker="--no-worker" not in sys.argv,
            more=[slow_routes()],
        )


if __name__ == "__main__":
    sys.exit(main())
