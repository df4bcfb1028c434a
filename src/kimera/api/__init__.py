"""The gateway: missions and memory over HTTP, with keys, limits and problems a caller can act on."""

from kimera.api.app import create_app
from kimera.api.repeats import answer_once
from kimera.api.security import Principal, public, requires

__all__ = ["Principal", "answer_once", "create_app", "public", "requires"]
