"""The dense half of a segment: one float32 row per passage, computed once and kept beside the blobs."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kimera.llm.embeddings import DIMENSIONS, Encoder, Vectors

__all__ = ["compute_vectors", "open_vectors", "vectors_path"]

CHUNK = 256  # passages encoded between two looks at should_stop


def vectors_path(root: Path, segment: str, encoder_id: str) -> Path:
    """Return where the vectors of a segment live; they are a cache and may be deleted at any time."""
    return root / "vectors" / f"{segment}-{re.sub(r'[^A-Za-z0-9._-]', '_', encoder_id)}.npy"


def open_vectors(path: Path, count: int) -> Vectors | None:
    """Map a finished matrix ``[count, DIMENSIONS]`` read-only; None if it is absent or not what was asked for."""
    try:
        matrix: Vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return matrix if matrix.shape == (count, DIMENSIONS) and matrix.dtype == np.float32 else None


def compute_vectors(
    path: Path,
    encoder: Encoder,
    texts: Sequence[str],
    should_stop: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> bool:
    """Encode ``texts`` chunk by chunk and move the finished matrix to ``path``; False if told to stop first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=".npy")
    os.close(handle)
    part = Path(name)
    try:
        matrix = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=(len(texts), DIMENSIONS))
        for start in range(0, len(texts), CHUNK):
            if should_stop():
                return False
            chunk = texts[start : start + CHUNK]
            matrix[start : start + len(chunk)] = encoder.encode(chunk)
            progress(min(start + CHUNK, len(texts)), len(texts))
        matrix.flush()
        del matrix
        part.replace(path)
        return True
    finally:
        part.unlink(missing_ok=True)
