"""The application: routes behind the entrance, and the rule that every route says what it needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

import kimera
from kimera.api import health, missions, reference
from kimera.api.gate import Gate
from kimera.api.middleware import Entrance
from kimera.api.missions.following import NothingMore
from kimera.api.problems import MEDIA_TYPE, Problem, for_framework, for_invalid
from kimera.api.security import scope_of
from kimera.errors import ConfigurationError
from kimera.missions.control import Home
from kimera.settings import Settings

__all__ = ["create_app"]


def create_app(home: Home, settings: Settings | None = None, *, worker: health.Probe | None = None) -> FastAPI:
    """Return the gateway of an open home; ``worker`` says how the process that takes missions is doing.

    Raises `ConfigurationError` for a wrong setting and for a route that does not say which scope it needs.
    """
    probes = health.probes_of(home)
    if worker is not None:
        probes["worker"] = worker
    gate = Gate(home, settings or home.settings, health.Health(probes))
    app = FastAPI(
        title="Kimera",
        version=kimera.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.gate, app.state.home = gate, home
    app.include_router(health.router())
    app.include_router(missions.router())
    app.include_router(reference.router())
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NothingMore, _nothing_more)
    app.add_middleware(Entrance, gate=gate)
    survey(app, gate)
    return app


def survey(app: FastAPI, gate: Gate) -> None:
    """Learn each route's template and whether it is public; raises `ConfigurationError` for one that says nothing."""
    open_paths: set[str] = set()
    addresses = []
    for route in iter_route_contexts(app.routes):
        path, dependant = route.path_format or "/", getattr(route, "dependant", None)
        scope = scope_of(dependant) if dependant is not None else None
        if scope is None:
            raise ConfigurationError(f"The route {path} does not say which scope it needs.", "routes")
        if scope == "public":
            open_paths.add(path)
        gate.templates[route.endpoint] = path
        addresses.append((compile_path(route.path or "/")[0], route.methods or set()))
    app.state.addresses = addresses
    gate.public = frozenset(open_paths)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    gate: Gate = app.state.gate
    watch = asyncio.create_task(gate.watch())
    try:
        yield
    finally:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
        await gate.ring.flush()


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == 405:
        headers = {"allow": ", ".join(sorted(_methods(request)))}
    return _answer(request, for_framework(error.status_code, error.detail, headers))


def _methods(request: Request) -> set[str]:
    """Return what may be asked of this address; the framework names the methods of the first route only."""
    path = request.url.path
    return set().union(*(methods for pattern, methods in request.app.state.addresses if pattern.match(path)))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answer(request, for_invalid(error.errors()))


async def _nothing_more(request: Request, error: Exception) -> Response:
    return Response(status_code=204)


def _answer(request: Request, problem: Problem) -> Response:
    body = problem.body(request.url.path, request.state.request_id)
    answer = Response(body, problem.status, media_type=MEDIA_TYPE.decode())
    answer.raw_headers += problem.headers
    return answer
