"""The description of the interface, for programs (OpenAPI) and for people (a page)."""

from kimera.api.reference.openapi import describe
from kimera.api.reference.routes import home_router, router

__all__ = ["describe", "home_router", "router"]
