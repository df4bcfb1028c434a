"""Members of a zip archive, unpacked one by one into a private folder under names of our own."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kimera.guardian.checks.archives import BOMB, BROKEN, Bounds, allowance, refusal
from kimera.knowledge._walk import shown_name
from kimera.knowledge.limits import Limits

__all__ = ["Member", "members"]

CHUNK = 1 << 18


@dataclass(frozen=True)
class Member:
    """One member: ``path`` is where it was unpacked, or None with the ``problem`` why it was not."""

    name: str
    path: Path | None
    size: int = 0
    problem: str | None = None


def members(path: Path, archive_name: str, limits: Limits, scratch: Callable[[str], Path]) -> Iterator[Member]:
    """Yield the members of a zip archive in the order of their names. Sizes are counted while unpacking.

    Links, nested archives' members, absolute and climbing names are listed and not unpacked. Nothing is yielded of an
    archive whose stated sizes are a bomb: one `Member` with an empty name says so.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = sorted((i for i in archive.infolist() if not i.is_dir()), key=lambda info: info.filename)
            stated = sum(info.file_size for info in infos)
            bounds = Bounds(limits.archive_bytes, limits.archive_ratio, limits.archive_members)
            budget = [allowance(path.stat().st_size, bounds)]
            if stated > budget[0]:
                yield Member("", None, problem=BOMB)
                return
            for number, info in enumerate(infos):
                name = f"{archive_name}/{shown_name(info.filename)}"
                if _hidden(info.filename):
                    continue
                if number >= limits.archive_members:
                    yield Member("", None, problem=f"Only its first {limits.archive_members} members were read.")
                    return
                yield _member(archive, info, name, scratch, budget, limits)
    except BROKEN:
        yield Member("", None, problem="The archive is damaged; make it again or unpack it into the folder.")


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and not part.startswith("..") for part in name.split("/")) or "__MACOSX" in name


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, scratch: Callable[[str], Path], budget: list[int],
    limits: Limits,
) -> Member:  # fmt: skip
    problem = refusal(info)
    if problem is None and info.file_size > limits.file_bytes:
        problem = f"It is larger than the limit of {limits.file_bytes >> 20} MB for one file."
    if problem:
        return Member(name, None, info.file_size, problem)
    target, size = scratch(".member"), 0
    try:
        with archive.open(info) as source, target.open("wb") as sink:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                budget[0] -= len(chunk)
                if budget[0] < 0 or size > limits.file_bytes:
                    target.unlink()
                    return Member(name, None, size, "It unpacks to more than it states (a zip bomb); it was not read.")
                sink.write(chunk)
    except BROKEN:
        target.unlink(missing_ok=True)
        return Member(name, None, size, "It is damaged inside the archive and cannot be unpacked.")
    return Member(name, target, size)
