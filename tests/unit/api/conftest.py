"""Gateways for tests: a home, an application with a few probing routes, and a caller over ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from kimera.api import create_app, requires
from kimera.api.switchboard import mount
from kimera.missions import control
from kimera.settings import Settings
from kimera.storage.keys import Keys


class Note(BaseModel, extra="forbid"):
    """A small body."""

    text: str
    number: int = 0


def probing_routes() -> APIRouter:
    """Return one route per scope, and one that fails."""
    routes = APIRouter(prefix="/api/probe")

    @routes.get("/read/{name}", dependencies=[requires("read")])
    async def read(name: str) -> dict[str, str]:
        return {"name": name}

    @routes.post("/write", dependencies=[requires("write")])
    async def write(note: Note) -> Note:
        return note

    @routes.delete("/admin", dependencies=[requires("admin")])
    async def admin() -> dict[str, str]:
        return {}

    @routes.get("/broken", dependencies=[requires("read")])
    async def broken() -> dict[str, str]:
        raise RuntimeError("canary-detail")

    return routes


def make_app(home: control.Home, **changes: Any) -> FastAPI:
    """Return a gateway with the probing routes and changed settings."""
    app = create_app(home, home.settings.model_copy(update=changes))
    mount(app, probing_routes())
    app.state.gate.board.survey()
    return app


@pytest.fixture
def home(tmp_path: Path) -> Iterator[control.Home]:
    """Yield an open SQLite home."""
    with control.open_home(Settings(home=tmp_path / "home", database_url=None, host="127.0.0.1")) as opened:
        yield opened


@pytest.fixture
def keys(home: control.Home) -> Keys:
    """Return the home's keys."""
    return Keys(home.database)


Caller = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """Yield a function that gives a client of an application; ``key`` is sent as a bearer token."""
    opened: list[httpx.AsyncClient] = []

    def client(app: FastAPI, key: str | None = None, host: str = "127.0.0.1:8000") -> httpx.AsyncClient:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(app)
        opened.append(httpx.AsyncClient(transport=transport, base_url=f"http://{host}", headers=headers))
        return opened[-1]

    yield client
    for one in opened:
        await one.aclose()
