"""A report from elsewhere: report.json alone or an exported zip, read as the untrusted bytes they are."""

from __future__ import annotations

import shutil
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic

from kimera.errors import NotFoundError, ValidationError
from kimera.knowledge.contracts import Library
from kimera.missions.contracts import MissionOutcomePackage, TextClaim
from kimera.sandbox.strict_json import parse
from kimera.storage.blobs import canonical_json, sha256_hex

__all__ = ["Bundle", "open_bundle"]

MAX_REPORT = 64 * 1024**2
MAX_LIBRARY = 256 * 1024**2
MAX_SOURCES = 2 * 1024**3
MAX_ENTRIES = 20_000
MAX_ITEMS = 20_000_000
MAX_RATIO = 200
"""A member that unpacks to more than this many times its packed size (and over a megabyte) is a bomb."""
CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """What a file holds. ``sources`` is a folder with the included files; ``problems`` says what does not fit."""

    outcome: MissionOutcomePackage
    library: Library | None = None
    sources: Path | None = None
    problems: tuple[str, ...] = ()


def open_bundle(path: Path, work: Path) -> Bundle:
    """Read a report file; included sources are unpacked below ``work``.

    Raises `NotFoundError` when there is no file, `ValidationError` when it is not a report or breaks a limit.
    """
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}; give a report.json, an exported zip, or a mission id.")
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > MAX_REPORT:
            raise ValidationError(f"{path.name} is larger than a report can be ({MAX_REPORT} bytes).", "report")
        return Bundle(_outcome(path.read_bytes(), path.name))
    try:
        with zipfile.ZipFile(path) as archive:
            return _from_zip(archive, path.name, work)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as broken:
        raise ValidationError(f"{path.name} cannot be unpacked; export the mission again.", "report") from broken


def _outcome(data: bytes, name: str) -> MissionOutcomePackage:
    try:
        return MissionOutcomePackage.model_validate(parse(data.decode("utf-8", "surrogatepass"), MAX_ITEMS))
    except (pydantic.ValidationError, ValueError) as wrong:
        first = wrong.errors()[0] if isinstance(wrong, pydantic.ValidationError) else {"loc": (), "msg": str(wrong)}
        place = ".".join(map(str, first["loc"]))
        raise ValidationError(
            f"{name} is not a Kimera report ({place + ': ' if place else ''}{first['msg']}); "
            "give the report.json or the zip that `kimera export` wrote.",
            "report",
        ) from wrong


def _from_zip(archive: zipfile.ZipFile, name: str, work: Path) -> Bundle:
    members = _members(archive, name)
    if "report.json" not in members:
        raise ValidationError(f"{name} holds no report.json; give the zip that `kimera export` wrote.", "report")
    outcome = _outcome(_read(archive, members["report.json"], MAX_REPORT), "report.json")
    problems = _files_against_report(archive, members, outcome)
    library = None
    if "library.json" in members:
        data = _read(archive, members["library.json"], MAX_LIBRARY)
        library, problem = _library(data, outcome)
        problems += problem
    return Bundle(outcome, library, _unpack_sources(archive, members, work), tuple(problems))


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """Return the plain files by name; a zip with odd names, links or bombs is refused as a whole."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ValidationError(f"{name} holds more than {MAX_ENTRIES} files.", "report")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        inner = PurePosixPath(entry.filename)
        odd = inner.is_absolute() or ".." in inner.parts or "\\" in entry.filename or "\0" in entry.filename
        if odd or stat.S_ISLNK(entry.external_attr >> 16) or entry.filename in found:
            raise ValidationError(f"{name} holds a name that no export has ({entry.filename[:80]!r}).", "report")
        if entry.file_size > 1024**2 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise ValidationError(f"{name} holds a file that unpacks to {entry.file_size} bytes.", "report")
        if not entry.is_dir():
            found[entry.filename] = entry
    return found


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    # The size in the directory is a claim of the file: what is read is counted.
    with archive.open(entry) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValidationError(f"{entry.filename} is larger than {most} bytes.", "report")
    return data


def _library(data: bytes, outcome: MissionOutcomePackage) -> tuple[Library | None, list[str]]:
    try:
        library = Library.model_validate(parse(data.decode("utf-8", "surrogatepass"), MAX_ITEMS))
    except (pydantic.ValidationError, ValueError):
        return None, ["library.json is not a list of what was read; the folder is read from scratch instead."]
    if outcome.library is not None and sha256_hex(canonical_json(library.as_json())) != outcome.library:
        return library, ["library.json is not the one the report was made with."]
    return library, []


def _files_against_report(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], outcome: MissionOutcomePackage
) -> list[str]:
    """Compare code and quotations beside the report with those in it: a person reads the one, we check the other."""
    problems = []
    for computation in outcome.computations:
        suffix = "sql" if computation.language == "sql" else "py"
        entry = members.get(f"computations/{computation.id}.{suffix}")
        if entry is not None and _read(archive, entry, MAX_REPORT) != computation.code.encode("utf-8", "surrogatepass"):
            problems.append(f"{entry.filename} is not the code in report.json.")
    for claim in outcome.claims:
        entry = members.get(f"spans/{claim.id}.json")
        if entry is not None and isinstance(claim, TextClaim):
            stated = _quotes(_read(archive, entry, MAX_REPORT))
            if stated != [span.quote for span in claim.spans]:
                problems.append(f"{entry.filename} does not hold the quotations in report.json.")
    return problems


def _quotes(data: bytes) -> list[Any] | None:
    try:
        return [span["quote"] for span in parse(data.decode())["spans"]]
    except (ValueError, KeyError, TypeError):
        return None


def _unpack_sources(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], work: Path) -> Path | None:
    entries = [entry for name, entry in sorted(members.items()) if name.startswith("sources/")]
    if sum(entry.file_size for entry in entries) > MAX_SOURCES:
        raise ValidationError(f"The included sources unpack to more than {MAX_SOURCES} bytes.", "report")
    folder = work / "sources"
    left = MAX_SOURCES
    for entry in entries:
        target = folder / PurePosixPath(entry.filename).relative_to("sources")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as stream, target.open("xb") as out:
            while chunk := stream.read(min(CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    shutil.rmtree(folder)
                    raise ValidationError(f"The included sources unpack to more than {MAX_SOURCES} bytes.", "report")
                out.write(chunk)
    return folder if entries else None
