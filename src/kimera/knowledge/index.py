"""The index of a knowledge space: an immutable segment file, built once, searched by words and by meaning."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kimera.errors import StorageError
from kimera.knowledge._fts import Row, TermIndex, write_segment
from kimera.knowledge.contracts import Degraded, Library, Passage
from kimera.knowledge.retrieval import Segment
from kimera.llm.embeddings import Encoder, load_encoder
from kimera.storage.blobs import Blobs

__all__ = ["build_segment", "open_encoder", "open_segment"]


def build_segment(
    passages: Iterable[tuple[Passage, str]], blobs: Blobs, *, titles: Mapping[str, str] | None = None
) -> str:
    """Write the segment of ``passages`` (each with its text) and return its sha256.

    ``titles`` maps a source id to its document's title, which is searched with the text. The order of ``passages``
    does not matter: the same passages give the same bytes. Raises `StorageFull` and `StorageError`.
    """
    named = titles or {}
    rows = sorted(Row(p.number, p.source_id, named.get(p.source_id, ""), p.heading, text) for p, text in passages)
    blobs.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=blobs.root, prefix=".segment-") as folder:
        target = Path(folder) / "segment.sqlite"
        write_segment(target, rows)
        return blobs.put_file(target)


def open_segment(
    blobs: Blobs,
    library: Library,
    encoder: Encoder | None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Segment:
    """Open the library's segment; a library without passages gives an empty one that answers every search with [].

    Without an encoder every search is by words. ``should_stop`` interrupts the computing of vectors. Close the
    segment, or use it as a context manager. Raises `NotFoundError` if the blob is gone, `StorageError` if damaged.
    """
    if library.segment is None:
        return Segment(None, "", blobs.root, encoder, should_stop)
    path = blobs.path(library.segment)
    if not blobs.has(library.segment):
        blobs.get(library.segment)  # raises the error that says what to do
    try:
        terms = TermIndex(path)
    except sqlite3.DatabaseError as damaged:
        raise StorageError(
            f"The index {library.segment[:12]} is damaged; delete {path} and run the mission again.", recoverable=False
        ) from damaged
    return Segment(terms, library.segment, blobs.root, encoder, should_stop)


def open_encoder(path: Path | None, cache_dir: Path) -> tuple[Encoder | None, Degraded | None]:
    """Return the encoder, or None and the degraded cause to put into the package; arguments as `load_encoder`."""
    encoder, missing = load_encoder(path, cache_dir)
    return encoder, Degraded(cause=missing.cause, text=missing.text) if missing else None
