"""The application: routes behind the entrance, and the rule that every route says what it needs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

import kimera
from kimera.api import figures, health, memory, missions, reference
from kimera.api.gate import Gate
from kimera.api.middleware import Entrance
from kimera.api.missions.following import NothingMore
from kimera.api.problems import MEDIA_TYPE, Problem, for_framework, for_invalid
from kimera.api.switchboard import Switchboard, mount
from kimera.errors import KimeraError
from kimera.missions.control import Home
from kimera.settings import Settings

__all__ = ["create_app"]

# The framework would make up to five spans a request (0.4 ms) and keep paths and messages; `traffic` says what we want.
OWN_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}


def create_app(
    home: Home,
    settings: Settings | None = None,
    *,
    worker: health.Probe | None = None,
    kato: bool = False,
    more: Iterable[APIRouter] = (),
) -> FastAPI:
    """Return the gateway of an open home; ``worker`` says how the process that takes missions is doing.

    With ``kato`` the memory's routes stand at the root as well, where KATO's clients look for them. ``more`` are
    routers beside the gateway's own, with their full prefix; each route names its scope with `requires`.

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
        telemetry=OWN_TELEMETRY,
    )
    app.state.gate, app.state.home = gate, home
    app.state.memories, app.state.memories_lock = None, threading.Lock()
    gate.board = Switchboard(app)
    pages = (reference.router(), reference.home_router())
    own = (health.router(), *missions.routers(), *memory.routers(kato=kato), figures.router(), *pages)
    mount(app, *own, *more)
    app.add_exception_handler(HTTPException, _framework_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(NothingMore, _nothing_more)
    app.add_middleware(Entrance, gate=gate)
    gate.board.survey()
    return app


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
        with contextlib.suppress(KimeraError):  # a database that is away must not keep the process
            await gate.ring.flush()
            await asyncio.to_thread(gate.denials.write)


async def _framework_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == 405:
        # the framework names the methods of the first route of the address only
        headers = {"allow": ", ".join(sorted(request.app.state.gate.board.methods(request.url.path)))}
    return _answer(request, for_framework(error.status_code, error.detail, headers))


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
