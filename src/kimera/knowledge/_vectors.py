"""The dense half of a segment: float32 rows for every passage, computed once and kept beside the blobs.

A passage has one row for each window of its text, and is as near to a question as its nearest window: one vector for
200 words blurs what each sentence says, and the encoder reads only its first 256 tokens.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.knowledge._fts import Row
from kimera.knowledge.sentences import split
from kimera.llm.embeddings import DIMENSIONS, Encoder, Vectors

__all__ = ["Dense", "compute_vectors", "open_vectors", "vectors_path", "windows_of"]

WINDOW_WORDS = 110
WINDOWS_VERSION = 1  # part of the cache's name: bump it whenever other texts would be encoded
_CHUNK = 64  # passages encoded between two looks at should_stop


@dataclass(frozen=True)
class Dense:
    """All windows, ``matrix`` ``[windows, DIMENSIONS]``, and the first window of each passage, ``starts``."""

    matrix: Vectors
    starts: NDArray[np.int64]

    def search(self, question: Vectors, k: int) -> tuple[list[float], list[int]]:
        """Return each passage's cosine with a unit vector, and the rows of the ``k`` nearest, ties by row."""
        # Row by row instead of one product: as fast, the same on any number of cores, and without BLAS threads, which
        # wait 15 ms for each other on a busy machine.
        windows = np.vecdot(self.matrix, question)
        nearest = np.maximum.reduceat(windows, self.starts).astype(np.float64)
        # Rounded, so that the order of passages does not hang on the last bit of a float.
        cosines = np.round(nearest, 6)
        return cosines.tolist(), np.argsort(-cosines, kind="stable")[:k].tolist()


def windows_of(row: Row) -> list[str]:
    """Return the texts encoded for a passage: runs of whole sentences of like size, each after title and heading."""
    head = "".join(f"{part}. " for part in dict.fromkeys((row.title, row.heading)) if part)
    words = len(row.body.split())
    count = math.ceil(words / WINDOW_WORDS)
    if count <= 1:
        return [head + row.body]
    pieces: list[list[str]] = [[]]
    held = 0
    for start, end in split(row.body):
        sentence = row.body[start:end]
        size = len(sentence.split())
        # A sentence goes where its middle falls.
        if pieces[-1] and held + size / 2 > len(pieces) * words / count:
            pieces.append([])
        pieces[-1].append(sentence)
        held += size
    return [head + " ".join(piece) for piece in pieces]


def vectors_path(root: Path, segment: str, encoder_id: str) -> Path:
    """Return the folder that holds a segment's vectors; it is a cache and may be deleted at any time."""
    return root / "vectors" / f"{segment}-{re.sub(r'[^A-Za-z0-9._-]', '_', encoder_id)}-w{WINDOWS_VERSION}"


def open_vectors(folder: Path, passages: int) -> Dense | None:
    """Map finished vectors read-only; None if they are absent, damaged or not for this many passages."""
    try:
        matrix: Any = np.load(folder / "matrix.npy", mmap_mode="r", allow_pickle=False)
        starts: Any = np.load(folder / "starts.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = matrix.ndim == 2 and matrix.shape[1] == DIMENSIONS and matrix.dtype == np.float32
    fits = starts.shape == (passages,) and starts.dtype == np.int64 and int(starts[-1]) < len(matrix)
    return Dense(matrix, starts) if whole and fits else None


def compute_vectors(
    folder: Path,
    encoder: Encoder,
    rows: Sequence[Row],
    should_stop: Callable[[], bool],
    progress: Callable[[int, int], None],
) -> bool:
    """Encode all passages chunk by chunk and move the finished vectors to ``folder``; False if told to stop first."""
    windows = [windows_of(row) for row in rows]
    starts = np.cumsum([0, *(len(texts) for texts in windows)], dtype=np.int64)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".part-") as name:
        part = Path(name) / "vectors"
        part.mkdir()
        np.save(part / "starts.npy", starts[:-1])
        shape = (int(starts[-1]), DIMENSIONS)
        matrix = np.lib.format.open_memmap(part / "matrix.npy", mode="w+", dtype=np.float32, shape=shape)
        for first in range(0, len(rows), _CHUNK):
            if should_stop():
                return False
            last = min(first + _CHUNK, len(rows))
            matrix[starts[first] : starts[last]] = encoder.encode([t for texts in windows[first:last] for t in texts])
            progress(last, len(rows))
        matrix.flush()
        del matrix
        _publish(part, folder)
    return True


def _publish(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        # Something is there: another process's vectors, equal to ours, or a damaged cache. Ours are whole.
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
