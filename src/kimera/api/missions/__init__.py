"""Missions over HTTP: start, list, follow, read, check, export."""

from kimera.api.missions.routes import router

__all__ = ["router"]
