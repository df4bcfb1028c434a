"""Files that came with a request: where they lie, under which names, and when they go.

``uploads/<tenant>/<id>/`` in the home holds the files of one upload; ``<id>.mission`` beside it names the mission that
was made of it. An upload without a mission goes after an hour, one with a mission `Settings.upload_days` after the
mission's end: until then it can be verified, retried and exported with its sources.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from kimera.errors import NotFoundError, TooLarge, ValidationError
from kimera.missions.control.home import Home
from kimera.storage.blobs import disk_errors
from kimera.validation import sanitize_text

__all__ = ["Upload", "new_upload", "remove_old_uploads", "stored_name"]

ABANDONED_SECONDS = 3_600.0
LONGEST_NAME = 120
RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)$", re.IGNORECASE)
UNUSUAL = re.compile(r"[^\w.()+,=@ -]+")
TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def stored_name(name: str, taken: set[str]) -> str:
    """Return the name under which a file is stored: readable, of our making, and not in ``taken`` (lower case).

    Only the last part of a path counts; control, direction and unusual characters, leading dots and the names of
    devices do not survive. ``taken`` gains the new name.
    """
    last = re.split(r"[/\\:]", sanitize_text(name, 1_000))[-1]
    clean = UNUSUAL.sub("_", last).strip(". ") or "file"
    stem, dot, suffix = clean.rpartition(".")
    if not dot or len(suffix) > 12:
        stem, suffix = clean, ""
    if RESERVED.match(stem.partition(".")[0].strip()):
        stem = f"_{stem}"
    suffix = f".{suffix}" if suffix else ""
    stem = _cut(stem, LONGEST_NAME - len(suffix.encode())).strip(". ") or "file"
    number, made = 1, f"{stem}{suffix}"
    while made.lower() in taken:
        number += 1
        made = f"{stem}-{number}{suffix}"
    taken.add(made.lower())
    return made


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8")[:most].decode("utf-8", "ignore")


class Upload:
    """One folder being filled. Raises `TooLarge` beyond the limits of the settings, `StorageFull` on a full disk."""

    def __init__(self, home: Home, place: Path) -> None:
        self.place = place
        self.names: set[str] = set()
        self._most, self._largest = home.settings.upload_files, home.settings.max_file_bytes

    @contextmanager
    def file(self, name: str) -> Iterator[Writer]:
        """Open one more file for writing; ``name`` is what the sender calls it."""
        if len(self.names) >= self._most:
            raise TooLarge(f"An upload may hold {self._most} files; send fewer, or a zip of them.", limit=self._most)
        path = self.place / stored_name(name, self.names)
        with disk_errors():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                yield Writer(stream, self._largest)

    def keep(self, mission_id: str) -> None:
        """Note the mission that was made of the files."""
        with disk_errors():
            self.place.with_name(f"{self.place.name}.mission").write_text(mission_id, encoding="ascii")

    def discard(self) -> None:
        """Remove the files; for an upload that was refused or came to nothing."""
        shutil.rmtree(self.place, ignore_errors=True)


class Writer:
    """One file of an upload."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left, self._most = stream, most, most
        self.head = b""

    def write(self, data: bytes) -> None:
        """Append bytes; raises `TooLarge`."""
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"A file may have {self._most} bytes; split it or leave it out.", limit=self._most)
        if len(self.head) < 4_096:
            self.head += data[: 4_096 - len(self.head)]
        self._stream.write(data)


def new_upload(home: Home, tenant: str) -> Upload:
    """Return an empty upload of a tenant; raises `ValidationError` for a tenant's name that is no folder's name."""
    if not TENANT.fullmatch(tenant):
        raise ValidationError("This tenant's name cannot be the name of a folder.", "tenant")
    place = home.path / "uploads" / tenant / f"u{secrets.token_hex(12)}"
    with disk_errors():
        place.mkdir(parents=True, mode=0o700)
    return Upload(home, place)


def remove_old_uploads(home: Home) -> int:
    """Remove uploads whose time has come and return how many; the mission's reports stay."""
    removed = 0
    for place in sorted((home.path / "uploads").glob("*/u*")):
        if place.is_dir() and not place.is_symlink() and _over(home, place):
            shutil.rmtree(place, ignore_errors=True)
            place.with_name(f"{place.name}.mission").unlink(missing_ok=True)
            removed += 1
    return removed


def _over(home: Home, place: Path) -> bool:
    now = home.clock.now().astimezone(UTC)
    try:
        row = home.missions.get(place.with_name(f"{place.name}.mission").read_text(encoding="ascii"))
    except (FileNotFoundError, NotFoundError):
        with suppress(FileNotFoundError):
            return now.timestamp() - place.stat().st_mtime > ABANDONED_SECONDS
        return False
    ended = row.finished_at
    return ended is not None and now - datetime.fromisoformat(ended) > timedelta(days=home.settings.upload_days)
