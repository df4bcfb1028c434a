"""Where the files of a report are now, and whether they still hold the same bytes."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from kimera.knowledge import source_path
from kimera.knowledge.contracts import Source

__all__ = ["Place", "Shelf"]

CHUNK = 1 << 20
MAX_FILES = 20_000
MAX_MEMBER = 512 * 1024**2

PlaceStatus = Literal["same", "moved", "changed", "missing"]


@dataclass(frozen=True)
class Place:
    """Where a source was found. ``path`` is the file on disk; for a member of an archive, the archive."""

    status: PlaceStatus
    path: Path | None = None
    sha256: str | None = None
    name: str = ""


class Shelf:
    """The folders to look in. Links are never followed and nothing outside the folders is opened."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [folder.resolve() for folder in folders if folder.is_dir()]
        self._hashes: dict[Path, str] = {}
        self._by_size: dict[int, list[Path]] | None = None
        self._places: dict[str, Place] = {}

    @property
    def advice(self) -> str:
        """Return what to do about a file that is not there."""
        if not self._folders:
            return "There is no folder to look in; give it with --folder."
        return "It is not in the folder under any name; restore it, or give the right one with --folder."

    def place(self, source: Source) -> Place:
        """Return where a source is: under its name, under another name by its hash, changed, or missing."""
        if source.id not in self._places:
            self._places[source.id] = self._find(source)
        return self._places[source.id]

    def _find(self, source: Source) -> Place:
        changed: Place | None = None
        for name in (source.name, *source.also_named):
            for folder in self._folders:
                path = _inside(folder, source_path(folder, name))
                if path is None:
                    continue
                digest = self._hash_of(path, _inner(folder, path, name))
                if digest == source.id:
                    return Place("same", path, digest, name)
                # A name that holds other bytes counts only if no further name of this source holds the right ones.
                changed = changed or (Place("changed", path, digest, name) if digest else None)
        return changed or self._moved(source)

    def _moved(self, source: Source) -> Place:
        for path in self._sizes().get(source.size, []):
            if self._hash(path) == source.id:
                folder = next(f for f in self._folders if path.is_relative_to(f))
                return Place("moved", path, source.id, path.relative_to(folder).as_posix())
        return Place("missing")

    def _sizes(self) -> dict[int, list[Path]]:
        if self._by_size is None:
            self._by_size = {}
            listed = 0
            for folder in self._folders:
                for root, folders, files in os.walk(folder, followlinks=False):
                    folders[:] = sorted(name for name in folders if not name.startswith("."))
                    for name in sorted(files):
                        path = Path(root, name)
                        listed += 1
                        if listed <= MAX_FILES and path.is_file() and not path.is_symlink():
                            self._by_size.setdefault(path.stat().st_size, []).append(path)
        return self._by_size

    def _hash_of(self, path: Path, inner: str) -> str | None:
        if not inner:
            return self._hash(path)
        return _member_hash(path, inner)

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            with path.open("rb") as stream:
                self._hashes[path] = _digest(stream)
        return self._hashes[path]


def _inside(folder: Path, path: Path) -> Path | None:
    """Return ``path`` if it is a plain file below ``folder`` reached without any link; names may be hostile."""
    if ".." in path.parts or not path.is_relative_to(folder):
        return None
    if path.resolve() != path or not path.is_file():
        return None
    return path


def _inner(folder: Path, path: Path, name: str) -> str:
    """Return the name inside the archive at ``path``; empty when the file itself is meant."""
    depth = len(path.relative_to(folder).parts)
    return "/".join(PurePosixPath(name).parts[depth:])


def _digest(stream: IO[bytes], most: int | None = None) -> str:
    digest = hashlib.sha256()
    read = 0
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        read += len(chunk)
        if most is not None and read > most:
            break
    return digest.hexdigest()


def _member_hash(archive: Path, inner: str) -> str | None:
    """Return the hash of a member; None when there is no such member (an archive in an archive is not opened)."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(inner) as stream:
            return _digest(stream, MAX_MEMBER)
    except (KeyError, zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return None
