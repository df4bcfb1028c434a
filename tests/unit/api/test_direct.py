"""Routes in one hop: every answer is the framework's, and nothing of a request runs twice or on the event loop."""

from __future__ import annotations

import itertools
import threading
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Body, Cookie, Depends, FastAPI, Header, HTTPException, Path, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from tests.unit.api.conftest import Caller, make_app

from kimera.api import requires
from kimera.api.direct import Direct, fits
from kimera.api.switchboard import mount
from kimera.errors import NotFoundError
from kimera.missions import control

CALLED: list[tuple[str, int]] = []


class Wish(BaseModel, extra="forbid", frozen=True):
    """A body."""

    text: str = Field(max_length=5)
    number: int = 1


class Shown(BaseModel):
    """An answer."""

    given: dict[str, Any]
    one: int = Field(default=1, alias="uno")


def note(name: str) -> None:
    """Remember who was called, and where."""
    CALLED.append((name, threading.get_ident()))


def first(request: Request, tone: str = "plain") -> str:
    """Return a text, or fail when told so."""
    note("first")
    if tone == "fail":
        raise NotFoundError(f"No {request.url.path[-1:]}.", error_code="SESSION_NOT_FOUND")
    return tone


def second(inner: Annotated[str, Depends(first)], depth: Annotated[int, Query(le=3)] = 0) -> str:
    """Return a text that rests on another."""
    note("second")
    return inner * depth


Tone = Annotated[str, Depends(second)]
Limit = Annotated[int, Query(ge=1, le=9)]


def routes(prefix: str) -> APIRouter:
    """Return plain routes of many forms."""
    found = APIRouter(prefix=prefix, dependencies=[requires("read")])

    @found.get("/get/{name}")
    def get(
        name: Annotated[str, Path(max_length=3)],
        tone: Tone,
        limit: Limit = 5,
        q: str | None = None,
        kind: Literal["a", "b"] | None = None,
        many: Annotated[list[str], Query()] = [],  # noqa: B006 - the framework copies it
        other: Annotated[str, Query(alias="else")] = "x",
        flag: bool = False,
        share: Annotated[float, Query(validate_default=True)] = 0.5,
    ) -> dict[str, Any]:
        note("get")
        return {"name": name, "tone": tone, "limit": limit, "q": q, "kind": kind, "many": many} | {
            "other": other,
            "flag": flag,
            "share": share,
        }

    @found.get("/headers")
    def headers(x_size: Annotated[int, Header()], if_match: Annotated[list[str] | None, Header()] = None) -> Any:
        return [x_size, if_match]

    @found.post("/post", status_code=201)
    def post(wish: Wish, tone: Tone, limit: Limit = 5) -> Shown:
        note("post")
        return Shown(given={"wish": wish.model_dump(), "tone": tone, "limit": limit}, uno=2)

    @found.post("/optional")
    def optional(wish: Annotated[Wish, Body()] = Wish(text="none")) -> Wish:  # noqa: B008 - frozen
        return wish

    @found.post("/anything")
    def anything(value: Annotated[Any, Body()]) -> Response:
        return Response(str(value), 202, {"x-more": "1"}, "text/plain")

    @found.get("/wrong", response_model=Shown)
    def wrong() -> Any:
        return {"given": 1}

    @found.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, "short", {"x-more": "1"})

    @found.get("/nothing")
    def nothing() -> None:
        return None

    return found


@pytest.fixture
def app(home: control.Home) -> FastAPI:
    """Return a gateway with the routes twice: as ours, and as the framework's own."""
    made = make_app(home)
    mount(made, routes("/ours"))
    outer = APIRouter()
    outer.include_router(routes("/them"))
    made.include_router(outer)
    made.state.gate.board.survey()
    return made


GETS = [
    "/get/abc",
    "/get/abcd",
    "/get/a?depth=2&tone=x&q=&limit=7",
    "/get/a?depth=4&limit=0&many=1&many=2",
    "/get/a?depth=x&tone=fail",
    "/get/a?tone=fail&limit=99",
    "/get/a?kind=a&else=e&other=o&flag=yes&share=1e3",
    "/get/a?kind=c&flag=maybe&share=nan&limit=1&limit=2",
    "/get/%C3%A4?q=%F0%9F%98%80&many=",
    f"/get/a?q={'x' * 400}",
    "/headers",
    "/wrong",
    "/teapot",
    "/nothing",
]
BODIES: list[bytes | None] = [
    None,
    b"",
    b"null",
    b"{}",
    b"[1]",
    b'"text"',
    b'{"text":"abc","number":7}',
    b'{"text":"abcdef","number":"7","more":1}',
    b'{"text":"abc","number":1e400}',
    b"{",
]
KINDS = ["application/json", "application/json; charset=utf-8", "application/x+json", "application/octet-stream", None]
POSTS = ["/post?depth=1&tone=t", "/post?limit=0&depth=9", "/post?tone=fail", "/optional", "/anything"]


async def same(client: Any, method: str, path: str, **more: Any) -> Any:
    """Ask both; return the answer when they agree in everything."""
    answers, calls = [], []
    for prefix in ("/ours", "/them"):
        CALLED.clear()
        answers.append(await client.request(method, prefix + path, **more))
        calls.append([name for name, _ in CALLED])
    ours, theirs = answers
    assert theirs.status_code == ours.status_code
    assert calls[1] == calls[0]
    varying = {"x-request-id", "content-length"}
    assert {k: v for k, v in theirs.headers.items() if k not in varying} == {
        k: v for k, v in ours.headers.items() if k not in varying
    }
    if ours.headers.get("content-type") == "application/problem+json":
        told = [{k: v for k, v in one.json().items() if k not in {"request_id", "instance"}} for one in answers]
        assert told[1] == told[0]
    else:
        assert theirs.content == ours.content
    return ours


async def test_parameters_are_taken_as_the_framework_takes_them(app: FastAPI, caller: Caller) -> None:
    """Promise: path, query and dependencies give the same answer, error, order of errors and calls either way."""
    statuses = {(await same(caller(app), "GET", path)).status_code for path in GETS}
    assert statuses == {200, 404, 418, 422, 500}


@pytest.mark.parametrize("path", POSTS)
async def test_bodies_are_taken_as_the_framework_takes_them(app: FastAPI, caller: Caller, path: str) -> None:
    """Promise: bodies of every kind, absent and wrong ones too, give the same answer and calls either way."""
    client = caller(app)
    for body, kind in itertools.product(BODIES, KINDS):
        await same(client, "POST", path, content=body, headers={} if kind is None else {"content-type": kind})


async def test_fields_of_a_kind_named_twice_are_the_frameworks(app: FastAPI, caller: Caller) -> None:
    """Promise: header fields given twice, the content type among them, mean what they mean to the framework."""
    kinds = [("content-type", "text/plain"), ("content-type", "application/json")]
    assert (await same(caller(app), "POST", "/optional", content=b"{}", headers=kinds)).status_code == 422
    sizes = [("x-size", "7"), ("if-match", "a"), ("if-match", "b")]
    assert (await same(caller(app), "GET", "/headers", headers=sizes)).json() == [7, ["a", "b"]]


async def test_all_of_a_request_runs_in_one_thread(app: FastAPI, caller: Caller) -> None:
    """Promise: dependencies and route run in the same thread, which is not that of the event loop."""
    CALLED.clear()
    answer = await caller(app).post("/ours/post?depth=1", json={"text": "a"})
    assert answer.status_code == 201
    assert [name for name, _ in CALLED] == ["first", "second", "post"]
    assert len({thread for _, thread in CALLED} | {threading.get_ident()}) == 2


def special() -> APIRouter:
    """Return routes that ask for more than plain functions and parameters."""
    found = APIRouter()

    async def waits() -> int:
        return 1

    def yields() -> Any:
        yield 1

    def same_twice(tone: Annotated[str, Depends(first)]) -> str:
        return tone

    found.add_api_route("/async", waits)
    found.add_api_route("/yields", lambda value=Depends(yields): value)  # noqa: B008
    found.add_api_route("/waits", lambda value=Depends(waits): value)  # noqa: B008
    found.add_api_route("/twice", lambda a=Depends(first), b=Depends(same_twice): [a, b])  # noqa: B008

    @found.get("/cookie")
    def cookie(crumb: Annotated[str, Cookie()]) -> str:
        return crumb

    @found.get("/response")
    def response(response: Response) -> int:
        return response.status_code

    @found.post("/embedded")
    def embedded(wish: Annotated[Wish, Body(embed=True)]) -> Wish:
        return wish

    @found.get("/empty", status_code=204)
    def empty() -> None:
        return None

    return found


@pytest.mark.parametrize("route", special().routes, ids=lambda route: route.path)
def test_what_is_not_plain_stays_with_the_framework(route: APIRoute) -> None:
    """Promise: a route that the one hop could not serve alike is left to the framework."""
    assert not fits(route)


def test_the_gateways_plain_routes_take_the_one_hop(home: control.Home) -> None:
    """Promise: of the memory's routes all but the stream of changes and the import cost one hop."""
    app = make_app(home)
    slow = {
        route.path
        for route in app.routes
        if isinstance(route, APIRoute)
        and "memory" in str(route.path)
        and not isinstance(getattr(route.app, "app", None), Direct)
    }
    assert {"/api/memory/events", "/api/memory/import"} == slow
