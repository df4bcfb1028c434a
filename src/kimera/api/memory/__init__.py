"""The sequence memory over HTTP: observe, learn, ask, correct, follow."""

from fastapi import APIRouter

from kimera.api.memory import asking, keeping, measuring, observing, telling

__all__ = ["routers"]


def routers(*, kato: bool = False) -> tuple[APIRouter, ...]:
    """Return the routers under /api/memory and `POST /observe`; with ``kato`` the whole table at the root as well."""
    prefixes = ("/api/memory", "") if kato else ("/api/memory",)
    found = [part.router(prefix) for prefix in prefixes for part in (observing, asking, keeping, telling, measuring)]
    return (*found, *(observing.observe_router(prefix) for prefix in ("/api/memory", "")))
