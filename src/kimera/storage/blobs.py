"""Content-addressed files: the same bytes always have the same name."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from kimera.errors import NotFoundError, StorageError, StorageFull
from kimera.storage.timing import timed

__all__ = ["Blobs", "canonical_json", "disk_errors", "sha256_hex"]


def sha256_hex(data: bytes) -> str:
    """Return the lower-case hex sha256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def canonical_json(value: Any) -> bytes:
    """Return the one JSON form of ``value``: sorted keys, no spaces, UTF-8; NaN and infinities are refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode(
        "utf-8", "surrogatepass"
    )


class Blobs:
    """Blobs in a local folder, named by sha256, written atomically, never changed.

    Raises `StorageFull` when the disk is full, `NotFoundError` for an unknown name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Return where the blob lives; the file may not exist."""
        return self.root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Return whether the blob is stored."""
        return self.path(sha256).is_file()

    def put(self, data: bytes) -> str:
        """Store ``data`` and return its sha256."""
        with timed("blob_put"):
            name = sha256_hex(data)
            if not self.has(name):
                self._write(name, data)
        return name

    def put_file(self, source: Path) -> str:
        """Move a finished file into the store and return its sha256; ``source`` is gone afterwards."""
        with timed("blob_put"):
            return self._move(source)

    def _move(self, source: Path) -> str:
        digest = hashlib.sha256()
        with source.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        name = digest.hexdigest()
        target = self.path(name)
        with disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        return name

    def get(self, sha256: str) -> bytes:
        """Return the bytes of a blob."""
        with timed("blob_get"):
            try:
                return self.path(sha256).read_bytes()
            except FileNotFoundError as missing:
                raise NotFoundError(
                    f"Blob {sha256[:12]} is not in {self.root}; restore the home folder or run the mission again."
                ) from missing

    def put_json(self, value: Any) -> str:
        """Store the canonical JSON of ``value``."""
        return self.put(canonical_json(value))

    def get_json(self, sha256: str) -> Any:
        """Return the value stored by `put_json`."""
        return json.loads(self.get(sha256))

    def _write(self, name: str, data: bytes) -> None:
        target = self.path(name)
        with disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise


class disk_errors:  # noqa: N801 - reads as a block
    """Turn what the disk says into `StorageFull` or `StorageError` inside a ``with`` block."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(
                    "The disk that holds the home folder is full; free some space and resume the mission."
                ) from error
            raise StorageError(f"Could not write to the home folder: {error.strerror or error}.") from error
