"""Missions over HTTP: start, list, follow, read, check, export."""

from fastapi import APIRouter

from kimera.api.missions import acting, following, reading, starting

__all__ = ["routers"]


def routers() -> tuple[APIRouter, ...]:
    """Return the routers of everything under /api/missions and /api/artifacts."""
    return starting.router(), acting.router(), following.router(), reading.router()
