"""Routes by dictionary: the same answers as the framework's search, and no way around a scope."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI, Request
from tests.unit.api.conftest import Caller, make_app

from kimera.api import requires
from kimera.api.switchboard import mount
from kimera.errors import ConfigurationError
from kimera.missions import control
from kimera.storage.keys import Keys


def routes() -> APIRouter:
    """Return plain paths, parameters of several kinds, and a path parameter with slashes."""
    found = APIRouter(prefix="/api/things", dependencies=[requires("read")])

    @found.get("/{name}")
    async def one(name: str) -> dict[str, str]:
        return {"one": name}

    @found.get("/{name}/parts/{number:int}")
    async def part(name: str, number: int) -> dict[str, str | int]:
        return {"of": name, "part": number}

    @found.get("/{name}/files/{path:path}")
    async def file(name: str, path: str) -> dict[str, str]:
        return {"of": name, "path": path}

    @found.delete("/{name}", dependencies=[requires("admin")])
    async def drop(name: str) -> dict[str, str]:
        return {"dropped": name}

    return found


@pytest.fixture
def app(home: control.Home) -> FastAPI:
    """Return a gateway with those routes."""
    made = make_app(home)
    mount(made, routes())
    made.state.gate.board.survey()
    return made


CASES = [
    ("GET", "/api/things/a", 200, {"one": "a"}),
    ("GET", "/api/things/a/parts/7", 200, {"of": "a", "part": 7}),
    ("GET", "/api/things/a/files/x/y/z.txt", 200, {"of": "a", "path": "x/y/z.txt"}),
    ("DELETE", "/api/things/a", 200, {"dropped": "a"}),
    ("GET", "/api/things/a/parts/x", 404, None),
    ("GET", "/api/things/a/", 404, None),
    ("GET", "/api/things", 404, None),
    ("PUT", "/api/things/a", 405, None),
]


@pytest.mark.parametrize(("method", "path", "status", "body"), CASES)
async def test_each_address_reaches_its_route(
    app: FastAPI, caller: Caller, method: str, path: str, status: int, body: object
) -> None:
    """Promise: parameters, converters, missing addresses and wrong methods are answered as the framework would."""
    answer = await caller(app).request(method, path)
    assert status == answer.status_code
    assert body is None or body == answer.json()


async def test_a_router_included_in_the_frameworks_way_is_guarded_too(
    home: control.Home, keys: Keys, caller: Caller
) -> None:
    """Promise: a nested router that the table does not know still asks for its scope."""
    app = make_app(home, host="0.0.0.0")
    outer = APIRouter(prefix="/outer")
    outer.include_router(routes())
    app.include_router(outer)
    app.state.gate.board.survey()
    assert app.state.gate.board.find("GET", "/outer/api/things/a") is None
    client = caller(app, keys.create("k", "t", "read").secret)
    assert (200, 403) == (
        (await client.get("/outer/api/things/a")).status_code,
        (await client.delete("/outer/api/things/a")).status_code,
    )


async def test_the_scope_is_compared_before_the_body_is_parsed(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: who may not write learns nothing about what a body should look like."""
    client = caller(make_app(home, host="0.0.0.0"), keys.create("k", "t", "read").secret)
    assert 403 == (await client.post("/api/probe/write", json={"wrong": 1})).status_code


async def test_surveying_again_changes_nothing(app: FastAPI, caller: Caller) -> None:
    """Promise: the table may be made again at any time; scopes are not lost on the way."""
    board = app.state.gate.board
    before = dict(board.scopes)
    board.survey()
    board.survey()
    assert before == board.scopes
    assert "admin" == board.scopes["DELETE", "/api/things/{name}"]
    assert 200 == (await caller(app).get("/api/things/a")).status_code


async def test_a_route_sees_what_the_framework_would_give_it(home: control.Home, caller: Caller) -> None:
    """Promise: route, path parameters and address building work inside a route reached through the table."""
    app = make_app(home)
    found = APIRouter(dependencies=[requires("read")])

    @found.get("/api/see/{name}", name="see")
    async def see(name: str, request: Request) -> dict[str, str]:
        return {"path": request.scope["route"].path, "link": str(request.url_for("see", name="other"))}

    mount(app, found)
    app.state.gate.board.survey()
    answer = (await caller(app).get("/api/see/a")).json()
    assert {"path": "/api/see/{name}", "link": "http://127.0.0.1:8000/api/see/other"} == answer


def test_only_plain_routes_are_mounted(home: control.Home) -> None:
    """Promise: a router that holds another one is refused by `mount`, with the reason."""
    outer = APIRouter()
    outer.include_router(routes())
    with pytest.raises(ConfigurationError, match="plain routes"):
        mount(make_app(home), outer)
