"""All mission routes under one roof, and what they share while the gateway runs."""

from __future__ import annotations

from fastapi import APIRouter

from kimera.api.missions import acting, following, reading, starting

__all__ = ["router"]


def router() -> APIRouter:
    """Return the routes under /api/missions and /api/artifacts."""
    routes = APIRouter(prefix="/api")
    for part in (starting, acting, following, reading):
        routes.include_router(part.router())
    return routes
