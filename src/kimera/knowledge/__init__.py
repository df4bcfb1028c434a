"""From files to sources, tables, passages, and an index over them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kimera.knowledge.library import (
        build_library,
        read_document_text,
        read_table_again,
        read_text_again,
        source_path,
    )
    from kimera.knowledge.limits import Limits

__all__ = ["Limits", "build_library", "read_document_text", "read_table_again", "read_text_again", "source_path"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "kimera.knowledge.limits" if name == "Limits" else "kimera.knowledge.library"
    return getattr(importlib.import_module(room), name)
