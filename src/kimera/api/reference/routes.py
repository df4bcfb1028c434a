"""Where the description is: as OpenAPI, and as a page that needs no script and nothing from elsewhere."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from kimera.api.reference.openapi import describe
from kimera.api.reference.page import render_page
from kimera.api.security import public

__all__ = ["home_router", "router"]

AN_HOUR = "public, max-age=3600"


def router() -> APIRouter:
    """Return the routes of the description; they are open, as they say nothing about anybody's missions."""
    routes = APIRouter(prefix="/api", tags=["reference"], dependencies=[public()])

    @routes.get("/openapi.json", operation_id="get_openapi", summary="This interface as OpenAPI")
    def get_openapi(request: Request) -> dict[str, Any]:
        """Give the document from which clients and the page are made."""
        return json.loads(_document(request))  # type: ignore[no-any-return]

    @routes.get(
        "/docs",
        operation_id="read_docs",
        summary="This interface as a page",
        response_class=Response,
        responses={200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}},
    )
    def read_docs(request: Request) -> Response:
        """Read what can be asked, what it needs and what it gives. One page, no script, light and dark."""
        state = request.app.state
        if getattr(state, "reference_page", None) is None:
            state.reference_page = render_page(json.loads(_document(request)))
        return Response(state.reference_page, media_type="text/html; charset=utf-8", headers={"cache-control": AN_HOUR})

    @routes.get(
        "/docs/style.css",
        operation_id="get_docs_style",
        summary="The page's style sheet",
        response_class=Response,
        responses={200: {"description": "The sheet.", "content": {"text/css": {"schema": {"type": "string"}}}}},
    )
    def get_docs_style() -> Response:
        """Give the style sheet of the page."""
        sheet = (resources.files("kimera.api.reference") / "page.css").read_bytes()
        return Response(sheet, media_type="text/css; charset=utf-8", headers={"cache-control": AN_HOUR})

    return routes


def home_router() -> APIRouter:
    """Return the route of the bare address, which leads to the page."""
    routes = APIRouter(tags=["reference"], dependencies=[public()])

    @routes.get(
        "/",
        operation_id="read_home",
        summary="Where to begin",
        status_code=307,
        response_class=RedirectResponse,
        responses={307: {"description": "To the page of this interface."}},
    )
    def read_home() -> RedirectResponse:
        """Lead a browser from the bare address to the page of this interface."""
        return RedirectResponse("/api/docs", 307)

    return routes


def _document(request: Request) -> bytes:
    """Return the document as bytes, made once: routes do not change while the gateway runs."""
    state = request.app.state
    if getattr(state, "reference", None) is None:
        state.reference = json.dumps(describe(request.app), ensure_ascii=False).encode()
    found: bytes = state.reference
    return found
