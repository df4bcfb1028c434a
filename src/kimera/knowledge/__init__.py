"""From files to sources, tables, passages, and an index over them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.knowledge.index import build_segment, open_encoder, open_segment
    from kimera.knowledge.library import (
        build_library,
        read_document_text,
        read_table_again,
        read_text_again,
        source_path,
    )
    from kimera.knowledge.limits import Limits
    from kimera.knowledge.retrieval import Hit, Segment

_ROOMS = {
    "Hit": "retrieval",
    "Limits": "limits",
    "Segment": "retrieval",
    "build_library": "library",
    "build_segment": "index",
    "open_encoder": "index",
    "open_segment": "index",
    "read_document_text": "library",
    "read_table_again": "library",
    "read_text_again": "library",
    "source_path": "library",
}

__all__ = [
    "Hit",
    "Limits",
    "Segment",
    "build_library",
    "build_segment",
    "open_encoder",
    "open_segment",
    "read_document_text",
    "read_table_again",
    "read_text_again",
    "source_path",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"kimera.knowledge.{_ROOMS[name]}"), name)
