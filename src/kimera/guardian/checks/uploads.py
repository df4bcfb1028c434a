"""Files that come over the network: a name of our own, a kind we know, an archive that is none of a trap.

Pure functions: the gateway stores what passes under the name given here, outside of any web root, opened with
``O_CREAT | O_EXCL | O_NOFOLLOW``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from kimera.guardian.checks import archives
from kimera.guardian.checks.archives import Bounds

__all__ = ["EXTENSIONS", "NAME_BYTES", "check", "safe_name", "safe_names"]

NAME_BYTES = 150
HEAD = 1 << 16

RESERVED = re.compile(r'[<>:"|?*]')
DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
HIDDEN = re.compile(r"^[.~$\s-]+")
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
PROGRAMS = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"#!")
BINARY = (*PROGRAMS, *ZIP, *archives.PACKED, b"%PDF-", b"PAR1", b"SQLite format 3\0", b"\xd0\xcf\x11\xe0", b"\x89PNG")
WIDE = (b"\xff\xfe", b"\xfe\xff")  # marks of UTF-16, the only text in which zero bytes are honest


def safe_name(name: str) -> str:
    """Return a file name for the server from the one a client sent: one component, visible, no device, no trick.

    Whatever a client sends gets a name; the same one for the same input, and a safe name stays as it is.
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    seen = "".join(one for one in last if unicodedata.category(one) not in UNSEEN)
    plain = _trimmed(RESERVED.sub("_", " ".join(seen.split())))
    if DEVICE.fullmatch(plain.split(".", 1)[0].strip()):
        plain = f"_{plain}"
    return _shortened(plain) or "upload"


def safe_names(names: Iterable[str]) -> list[str]:
    """Return a safe name for each file of one upload; no two are equal, also where case does not count."""
    taken: set[str] = set()
    chosen = []
    for name in names:
        safe, number = safe_name(name), 1
        stem, dot, suffix = safe.partition(".")
        while safe.casefold() in taken:
            number += 1
            safe = f"{stem} ({number}){dot}{suffix}"
        taken.add(safe.casefold())
        chosen.append(safe)
    return chosen


def check(name: str, path: Path, bounds: Bounds | None = None) -> str | None:
    """Return why the uploaded file at ``path`` is refused, as a sentence with the next step; None when it may stay.

    The extension must be one that Kimera reads and the first bytes must be of that kind; zip files and office documents
    are unpacked to nowhere within ``bounds``.
    """
    suffix = PurePosixPath(name).suffix.lower()
    is_kind = EXTENSIONS.get(suffix)
    if is_kind is None:
        return f"Files ending in {suffix or 'nothing'} are not read; send tables, documents or a zip of them."
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    if not head:
        return "The file is empty; send it again."
    if not is_kind(head):
        return f"What is in the file is not what {suffix} says; save it in that format and send it again."
    if head.startswith(ZIP):
        return archives.check(path, bounds, office=suffix != ".zip")
    return None


def _trimmed(name: str) -> str:
    name = HIDDEN.sub("", name)
    return name.rstrip(". ")


def _shortened(name: str) -> str:
    """Return at most `NAME_BYTES` bytes, the extension kept."""
    if len(name.encode()) <= NAME_BYTES:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 16:
        stem, dot, suffix = name, "", ""
    room = NAME_BYTES - len(f"{dot}{suffix}".encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + dot + suffix


def _starts(*magic: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magic)


def _is_pdf(head: bytes) -> bool:
    return b"%PDF-" in head[:1024] and not head.startswith(PROGRAMS)


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_text(head: bytes) -> bool:
    if head.startswith(WIDE):
        return True
    return b"\0" not in head and not head.startswith(BINARY)


TEXT = (
    ".csv .tsv .tab .psv .txt .md .markdown .mdown .json .jsonl .ndjson .geojson .html .htm .xhtml .rst .tex .log "
    ".yaml .yml .toml .ini"
)
EXTENSIONS: dict[str, Callable[[bytes], bool]] = {
    **dict.fromkeys(TEXT.split(), _is_text),
    **dict.fromkeys((".docx", ".xlsx", ".xlsm", ".pptx", ".ods", ".zip"), _starts(*ZIP)),
    ".xls": _starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ".pdf": _is_pdf,
    ".parquet": _starts(b"PAR1"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), _starts(b"SQLite format 3\0")),
    ".png": _starts(b"\x89PNG\r\n\x1a\n"),
    **dict.fromkeys((".jpg", ".jpeg"), _starts(b"\xff\xd8\xff")),
    ".gif": _starts(b"GIF8"),
    ".webp": _is_webp,
}
"""What may be uploaded: extension -> whether the first bytes are of that kind."""
