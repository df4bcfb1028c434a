"""What a file is, told by its first bytes; its name only breaks ties between kinds of text."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from kimera.guardian.checks.archives import DIRECTORY_BYTES, directory_bytes
from kimera.knowledge._delimited import sample_lines
from kimera.knowledge._encoding import looks_binary
from kimera.knowledge._layout import RUNS, find_layout

__all__ = ["Form", "sniff"]

Kind = Literal["table", "document", "image", "archive", "database", "other"]
HEAD = 1 << 16

OOXML = "application/vnd.openxmlformats-officedocument."
_TABLE_NAMES = frozenset({".csv", ".tsv", ".tab", ".psv"})
_MARKDOWN_NAMES = frozenset({".md", ".markdown", ".mdown"})
_PROSE_NAMES = frozenset({".rst", ".tex", ".log", ".yaml", ".yml", ".toml", ".ini", ".py", ".r", ".sql", ".js", ".sh"})
_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
_PACKED = "It is packed ({}); unpack it into the folder to have it read."
_PROGRAM = "It is a program; it was neither read nor run."
_CLOSED: tuple[tuple[bytes, Kind, str], ...] = (
    (b"\x1f\x8b", "archive", _PACKED.format("gzip")),
    (b"BZh", "archive", _PACKED.format("bzip2")),
    (b"\xfd7zXZ\0", "archive", _PACKED.format("xz")),
    (b"\x28\xb5\x2f\xfd", "archive", _PACKED.format("zstd")),
    (b"7z\xbc\xaf\x27\x1c", "archive", _PACKED.format("7-Zip")),
    (b"Rar!\x1a\x07", "archive", _PACKED.format("RAR")),
    (b"\x7fELF", "other", _PROGRAM),
    (b"MZ\x90", "other", _PROGRAM),
    (b"\xca\xfe\xba\xbe", "other", _PROGRAM),
    (bytes(64), "other", "It holds nothing but zero bytes."),
)
_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_XML = re.compile(r"\s*<(?:\?xml|[A-Za-z][\w:-]*[\s>/])")


@dataclass(frozen=True)
class Form:
    """How a file is to be read. ``reader`` empty: it is listed with ``problem`` and not read."""

    reader: str
    kind: Kind
    media_type: str
    problem: str | None = None


def sniff(path: Path, name: str) -> Form:
    """Return the form of a plain file. Raises OSError when it cannot be opened."""
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return Form("", "other", "application/x-empty", "The file is empty.")
    suffix = PurePosixPath(name).suffix.lower()
    return _by_magic(head, path) or _by_text(head, path, suffix) or _unknown(head)


def _by_magic(head: bytes, path: Path) -> Form | None:
    for magic, kind, problem in _CLOSED:
        if head.startswith(magic):
            return Form("", kind, "application/octet-stream", problem)
    if b"%PDF-" in head[:1024]:
        return Form("pdf", "document", "application/pdf")
    if head.startswith(b"PAR1"):
        return Form("parquet", "table", "application/vnd.apache.parquet")
    if head.startswith(b"SQLite format 3\0"):
        return Form("sqlite", "database", "application/vnd.sqlite3")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_family(path)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _ole(head)
    for magic, media_type in _IMAGES:
        if head.startswith(magic):
            return Form("image", "image", media_type)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Form("image", "image", "image/webp")
    return None


def _ole(head: bytes) -> Form:
    """Old Office files share one container; only workbooks are read."""
    if "Workbook".encode("utf-16-le") in head or "Book".encode("utf-16-le") in head or len(head) == HEAD:
        return Form("excel", "table", "application/vnd.ms-excel")
    problem = "It is an old Word or PowerPoint file; save it as .docx, .pptx or PDF to have it read."
    return Form("", "other", "application/x-ole-storage", problem)


def _zip_family(path: Path) -> Form:
    if directory_bytes(path) > DIRECTORY_BYTES:
        return Form("", "archive", "application/zip", "The archive lists too many members; unpack it into the folder.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            mimetype = archive.read("mimetype")[:80] if _small_mimetype(archive) else b""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, EOFError):
        return Form("", "archive", "application/zip", "The archive is damaged; make it again or unpack it.")
    if "word/document.xml" in names:
        return Form("docx", "document", OOXML + "wordprocessingml.document")
    if "ppt/presentation.xml" in names:
        return Form("pptx", "document", OOXML + "presentationml.presentation")
    if names & {"xl/workbook.xml", "xl/workbook.bin"}:
        return Form("excel", "table", OOXML + "spreadsheetml.sheet")
    if mimetype.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        return Form("excel", "table", "application/vnd.oasis.opendocument.spreadsheet")
    if mimetype.startswith((b"application/vnd.oasis", b"application/epub")):
        problem = "Text and slides in this format are not read; save it as .docx, .pptx or PDF."
        return Form("", "other", mimetype.decode("ascii", "replace"), problem)
    return Form("zip", "archive", "application/zip")


def _small_mimetype(archive: zipfile.ZipFile) -> bool:
    info = archive.NameToInfo.get("mimetype")
    return info is not None and info.file_size <= 200 and info.compress_type == zipfile.ZIP_STORED


def _by_text(head: bytes, path: Path, suffix: str) -> Form | None:
    if looks_binary(head):
        return None
    lines, _ = sample_lines(path)
    start = "\n".join(lines[:50])
    if _HTML.match(start) or (suffix in {".html", ".htm", ".xhtml"} and "<" in start):
        return Form("html", "document", "text/html")
    if suffix in _TABLE_NAMES:
        return Form("delimited", "table", "text/tab-separated-values" if suffix in {".tsv", ".tab"} else "text/csv")
    if suffix in {".json", ".jsonl", ".ndjson", ".geojson"} or start.lstrip("\ufeff \n")[:1] in {"{", "["}:
        reader = _json_reader(lines, suffix)
        if reader:
            return Form(reader, "table", "application/json")
    if suffix in _MARKDOWN_NAMES:
        return Form("markdown", "document", "text/markdown")
    if _XML.match(start) and start.lstrip().startswith(("<?xml", "<svg")):
        return Form("", "other", "application/xml", "XML files are not read; export the data as CSV or JSON.")
    if suffix not in _PROSE_NAMES and _is_table(lines):
        return Form("delimited", "table", "text/plain")
    return Form("text", "document", "text/plain")


def _json_reader(lines: list[str], suffix: str) -> str | None:
    filled = [line for line in lines[:20] if line.strip()]
    objects = 0
    for line in filled[:-1] if len(filled) > 1 else filled:
        try:
            objects += isinstance(json.loads(line), dict | list)
        except (ValueError, RecursionError):
            objects -= 100
    if suffix in {".jsonl", ".ndjson"} or (len(filled) > 1 and objects >= len(filled) - 1):
        return "jsonl"
    first = "".join(filled)[:1]
    return "json" if suffix in {".json", ".geojson"} or (first in {"{", "["} and len(filled) > 0) else None


def _is_table(lines: list[str]) -> bool:
    """Return whether text without a telling name is a table: nearly all lines cut into the same number of cells."""
    filled = [line for line in lines if line.strip()]
    if len(filled) < 3:
        return False
    layout = find_layout(lines)
    needed = 0.65 if layout.delimiter in {"\t", ";", "|"} else 0.8  # commas also stand in prose
    if layout.delimiter == RUNS:
        needed = 0.85
    return layout.width >= 2 and layout.score >= needed


def _unknown(head: bytes) -> Form:
    import puremagic

    media_type, what = "application/octet-stream", "binary data"
    try:
        guess = puremagic.magic_string(head)[0]
        if guess.confidence >= 0.5:
            media_type, what = guess.mime_type or media_type, guess.name or what
    except (puremagic.PureError, ValueError, IndexError):
        pass
    problem = f"It looks like {what}, which is not read; convert it to CSV, text or PDF if it matters."
    return Form("", "other", media_type, problem)
