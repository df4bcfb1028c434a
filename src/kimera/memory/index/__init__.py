"""The in-memory index of learned patterns: interning, postings, views, candidates."""

from kimera.memory.index.overlap import Overlap
from kimera.memory.index.store import Index
from kimera.memory.index.view import View

__all__ = ["Index", "Overlap", "View"]
