"""The files of a folder, in one fixed order, without opening anything that is not a plain file."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from kimera.errors import ValidationError
from kimera.knowledge.limits import Limits

__all__ = ["Found", "Walk", "check_folder", "hash_file", "original_name", "raw_path", "shown_name", "walk"]

CHUNK = 1 << 20
_NOT_DATA = re.compile(r"^(?:\.|~\$)|^(?:__MACOSX|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SPECIAL = {
    stat.S_IFIFO: "It is a named pipe, not a file; nothing was opened.",
    stat.S_IFSOCK: "It is a socket, not a file; nothing was opened.",
    stat.S_IFCHR: "It is a device, not a file; nothing was opened.",
    stat.S_IFBLK: "It is a device, not a file; nothing was opened.",
}
LINK = "It is a link; links are never followed. Copy the file into the folder to have it read."


@dataclass(frozen=True)
class Found:
    """One entry of the folder. ``name`` is safe to print; ``problem`` set means: list it, do not open it."""

    name: str
    path: Path
    size: int = 0
    problem: str | None = None


@dataclass
class Walk:
    """What a folder holds, before anything is read."""

    found: list[Found] = field(default_factory=list)
    hidden: int = 0
    beyond: int = 0


def check_folder(folder: Path) -> Path:
    """Return the absolute path of a folder that can be listed; `ValidationError` says what to do otherwise."""
    path = Path(os.path.abspath(folder.expanduser()))  # noqa: PTH100 - resolve() would hide the name a person gave
    try:
        if not path.exists():
            raise ValidationError(f"There is no folder {path}; check the path and run again.", field="folder")
        if not path.is_dir():
            raise ValidationError(
                f"{path} is a file, not a folder; give the folder that holds it: {path.parent}.", field="folder"
            )
        with os.scandir(path) as entries:
            empty = next(entries, None) is None
    except OSError as refused:
        raise ValidationError(
            f"The folder {path} cannot be read ({refused.strerror}); change its permissions or copy it.", field="folder"
        ) from refused
    if empty:
        raise ValidationError(f"The folder {path} is empty; put tables or documents into it.", field="folder")
    return path


def shown_name(raw: str) -> str:
    """Return ``raw`` with control, direction and unpaired characters as escapes: a name cannot lie on screen."""
    return "".join(_shown(c) for c in raw) if not raw.isascii() or not raw.isprintable() or "\\" in raw else raw


def _shown(character: str) -> str:
    if character != "\\" and unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return character
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def original_name(shown: str) -> str:
    """Return the name on disk of a `shown_name`."""
    return _ESCAPE.sub(lambda m: chr(int(m.group(1) or m.group(2) or m.group(3), 16)), shown)


def raw_path(folder: Path, name: str) -> Path:
    """Return the path of the file that the library calls ``name`` (not of a member of an archive)."""
    return folder / original_name(name)


def walk(folder: Path, limits: Limits) -> Walk:
    """Return every entry below ``folder``, sorted by name; links are listed and never followed."""
    result = Walk()
    pending: list[tuple[str, int]] = [("", 0)]
    room = limits.files + limits.listed
    while pending:
        prefix, depth = pending.pop()
        try:
            with os.scandir(folder / prefix) as entries:
                batch = sorted(entries, key=lambda entry: entry.name)
        except OSError as refused:
            result.found.append(Found(shown_name(prefix.rstrip("/")), folder / prefix, problem=_refusal(refused)))
            continue
        below: list[tuple[str, int]] = []
        for entry in batch:
            if _NOT_DATA.search(entry.name):
                result.hidden += 1
            elif len(result.found) >= room:
                result.beyond += 1
            elif entry.is_dir(follow_symlinks=False) and depth < limits.depth:
                below.append((f"{prefix}{entry.name}/", depth + 1))
            else:
                result.found.append(_look(prefix + entry.name, entry))
        pending.extend(reversed(below))
    result.found.sort(key=lambda item: item.name)
    return result


def _look(raw: str, entry: os.DirEntry[str]) -> Found:
    name, path = shown_name(raw), Path(entry.path)
    if entry.is_symlink():
        return Found(name, path, problem=LINK)
    if entry.is_dir(follow_symlinks=False):
        return Found(name, path, problem="The folders are nested too deeply here; move the files further up.")
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError as refused:
        return Found(name, path, problem=_refusal(refused))
    return Found(name, path, state.st_size, _SPECIAL.get(stat.S_IFMT(state.st_mode)))


def _refusal(refused: OSError) -> str:
    return f"It cannot be opened ({refused.strerror or 'refused'}); change its permissions and run again."


def hash_file(path: Path, limit: int) -> tuple[str, int, str | None]:
    """Return ``(sha256, bytes, problem)`` of a plain file; never follows a link, never waits on a pipe."""
    digest, size = hashlib.sha256(), 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return "", 0, "It is not a plain file; nothing was read."
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > limit:
                    return "", size, "It grew past the size limit while it was read."
                digest.update(chunk)
    except OSError as refused:
        return "", size, _refusal(refused)
    return digest.hexdigest(), size, None
