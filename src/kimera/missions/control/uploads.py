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
from kimera.guardian.checks import uploads
from kimera.missions.control.home import Home
from kimera.storage.blobs import disk_errors

__all__ = ["Upload", "Writer", "new_upload", "remove_old_uploads"]

ABANDONED_SECONDS = 3_600.0
LOOK_SECONDS = 3_600.0
TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Upload:
    """One folder being filled. Raises `TooLarge` beyond the limits of the settings, `StorageFull` on a full disk."""

    def __init__(self, home: Home, place: Path) -> None:
        self.place = place
        self.names: list[str] = []
        self._taken: set[str] = set()
        self._kept = False
        self._most, self._largest = home.settings.upload_files, home.settings.max_file_bytes

    @contextmanager
    def file(self, name: str) -> Iterator[Writer]:
        """Open one more file for writing; ``name`` is what the sender calls it."""
        if len(self.names) >= self._most:
            raise TooLarge(f"An upload may hold {self._most} files; send fewer, or a zip of them.", limit=self._most)
        self.names.append(self._name(name))
        path = self.place / self.names[-1]
        with disk_errors():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as stream:
                yield Writer(stream, self._largest)

    def judge(self) -> None:
        """Check the file written last; raises `ValidationError` for one of no kind we read, or not what it says."""
        name = self.names[-1]
        reason = uploads.check(name, self.place / name)
        if reason is not None:
            raise ValidationError(f"{name}: {reason}", "files")

    def _name(self, said: str) -> str:
        """Return a name of our making that no other file of this upload has, also where case does not count."""
        safe, number = uploads.safe_name(said), 1
        stem, dot, suffix = safe.partition(".")
        while safe.casefold() in self._taken:
            number += 1
            safe = f"{stem} ({number}){dot}{suffix}"
        self._taken.add(safe.casefold())
        return safe

    def keep(self, mission_id: str) -> None:
        """Note the mission that was made of the files."""
        with disk_errors():
            self.place.with_name(f"{self.place.name}.mission").write_text(mission_id, encoding="ascii")
        self._kept = True

    def settle(self) -> None:
        """Remove the files unless a mission was made of them: the upload was refused, or came a second time."""
        if not self._kept:
            shutil.rmtree(self.place, ignore_errors=True)


class Writer:
    """One file of an upload."""

    def __init__(self, stream: IO[bytes], most: int) -> None:
        self._stream, self._left, self._most = stream, most, most

    def write(self, data: bytes) -> None:
        """Append bytes; raises `TooLarge`."""
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"A file may have {self._most} bytes; split it or leave it out.", limit=self._most)
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
    """Remove uploads whose time has come and return how many; the mission's reports stay. Looks once an hour only."""
    mark = home.path / "uploads" / ".looked"
    now = home.clock.now().timestamp()
    with suppress(FileNotFoundError):
        if now - mark.stat().st_mtime < LOOK_SECONDS:
            return 0
    with disk_errors():
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch()
        os.utime(mark, (now, now))
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
