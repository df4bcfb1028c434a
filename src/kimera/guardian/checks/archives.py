"""Zip archives from strangers: how much may come out of one, and which members are never unpacked.

The librarian unpacks with these rules, the gateway refuses an upload by them before anything is kept.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BOMB", "BROKEN", "DIRECTORY_BYTES", "Bounds", "allowance", "check", "directory_bytes", "refusal"]

CHUNK = 1 << 18
SMALL = 1 << 20  # an archive that unpacks to less than this may have any ratio
DIRECTORY_BYTES = 8 << 20  # a zip directory larger than this is not listed
BOMB = "It unpacks to far more than its size allows (a zip bomb); nothing of it was read."
DAMAGED = "The archive is damaged; make it again or unpack it."
MANY = "The archive has more than {} members; send fewer files, or unpack it and send those that matter."
NESTED = "It holds another archive; unpack that one first."
PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")

BROKEN = (
    zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError, EOFError, struct.error,
)  # fmt: skip
"""What reading a damaged archive raises."""


@dataclass(frozen=True)
class Bounds:
    """How much one archive may hold. ``unpacked`` is bytes of all members together, ``ratio`` unpacked to packed."""

    unpacked: int = 512 << 20
    ratio: int = 100
    members: int = 1_000


def allowance(packed: int, bounds: Bounds) -> int:
    """Return how many bytes an archive of ``packed`` bytes may unpack to."""
    return min(bounds.unpacked, max(SMALL, bounds.ratio * max(1, packed)))


def refusal(info: zipfile.ZipInfo) -> str | None:
    """Return why a member is never unpacked: links, special files, names that climb out, passwords."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "It is a link inside an archive; links are never followed."
    if kind not in {0, stat.S_IFREG}:
        return "It is not a plain file."
    if info.filename.startswith(("/", "\\")) or ".." in info.filename.replace("\\", "/").split("/"):
        return "Its name points outside of the archive; it was not unpacked."
    if info.flag_bits & 1:
        return "It is protected with a password; unpack it into the folder."
    return None


def check(path: Path, bounds: Bounds | None = None, *, office: bool = False) -> str | None:
    """Return why a zip file is refused, None when all of it was unpacked (to nowhere) within the bounds.

    Stated sizes are believed only when they refuse; what comes out is counted. Archives within are refused, save in an
    office document (``office``), whose embedded workbooks nobody unpacks.
    """
    bounds = bounds or Bounds()
    try:
        if directory_bytes(path) > DIRECTORY_BYTES:
            return MANY.format(bounds.members)
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            packed = path.stat().st_size
            return _stated(infos, packed, bounds) or _streamed(archive, infos, allowance(packed, bounds), office)
    except BROKEN:
        return DAMAGED


def directory_bytes(path: Path) -> int:
    """Return the size in bytes of a zip file's directory as its last record states it; huge for zip64."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 65_600))
        tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    return int(struct.unpack_from("<I", tail, at + 12)[0])


def _stated(infos: Sequence[zipfile.ZipInfo], packed: int, bounds: Bounds) -> str | None:
    if len(infos) > bounds.members:
        return MANY.format(bounds.members)
    if sum(info.file_size for info in infos) > allowance(packed, bounds):
        return BOMB
    return next((f"{problem} (a member of the archive)" for info in infos if (problem := refusal(info))), None)


def _streamed(archive: zipfile.ZipFile, infos: Sequence[zipfile.ZipInfo], room: int, office: bool) -> str | None:
    for info in infos:
        with archive.open(info) as member:
            first = True
            while chunk := member.read(CHUNK):
                if first and not office and chunk.startswith(PACKED) and not _is_office(info.filename):
                    return NESTED
                first = False
                room -= len(chunk)
                if room < 0:
                    return BOMB
    return None


def _is_office(name: str) -> bool:
    """Return whether a member may be a zip file itself because documents of that kind are."""
    return name.lower().endswith((".xlsx", ".xlsm", ".docx", ".pptx", ".ods"))
