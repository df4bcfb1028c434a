"""A report that can be checked on another machine: the outcome, the code, the spans and the hashes in one zip."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kimera.knowledge.contracts import Library
from kimera.missions.contracts import MissionOutcomePackage, TextClaim
from kimera.storage.blobs import Blobs, canonical_json, sha256_hex

__all__ = ["export_zip"]

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: no clock in the bytes
README = """This archive holds one Kimera report and everything needed to check it.

report.html        the report for reading (one file, loads nothing)
report.md          the same as Markdown
report.json        the same as data; all other files are made from it
computations/      the code behind every computed value, one file per computation
spans/             the quotations behind every claim from a document, one file per claim
library.json       what was read from the folder, and how
sources.json       names, sizes and sha256 of the files the report rests on
sources/           the files themselves, if they were included

To check it, put the source files in a folder (not needed when sources/ is here) and run, with this zip or report.json,

    kimera verify REPORT --folder FOLDER --allow-code

It compares the hashes, reads every quotation again and runs every computation again. Code from elsewhere runs only with
--allow-code, in the sandbox; computations/ is there to be read first. Without it quotations and hashes are checked.
"""


def export_zip(outcome: MissionOutcomePackage, blobs: Blobs, target: Path, with_sources: bool = False) -> Path:
    """Write the report and its evidence to ``target`` and return it; the same outcome gives the same bytes.

    ``with_sources`` adds the bytes of every source from the mission's folder; one that is gone or has changed there is
    left out and listed as such in sources.json. Raises NotFoundError when the library blob is missing.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in _members(outcome, blobs, with_sources):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, data, compresslevel=6)
    return target


def _members(outcome: MissionOutcomePackage, blobs: Blobs, with_sources: bool) -> Iterator[tuple[str, bytes]]:
    from kimera.missions.fusion.report import render

    yield "README.txt", README.encode()
    yield "report.json", render(outcome, "json").encode("utf-8", "surrogatepass")
    yield "report.md", render(outcome, "md", blobs).encode("utf-8", "surrogatepass")
    yield "report.html", render(outcome, "html", blobs).encode("utf-8", "surrogatepass")
    for computation in outcome.computations:
        suffix = {"python": "py", "sql": "sql"}[computation.language]
        yield f"computations/{_safe(computation.id)}.{suffix}", computation.code.encode("utf-8", "surrogatepass")
    for claim in outcome.claims:
        if isinstance(claim, TextClaim):
            yield f"spans/{_safe(claim.id)}.json", _pretty(_spans(claim, outcome))
    if outcome.library is not None:
        library = Library.model_validate(blobs.get_json(outcome.library))
        yield "library.json", canonical_json(library.as_json())
    included = dict(_source_bytes(outcome)) if with_sources else {}
    yield "sources.json", _pretty(_listing(outcome, included))
    yield from ((f"sources/{name}", data) for name, data in sorted(included.items()))


def _spans(claim: TextClaim, outcome: MissionOutcomePackage) -> dict[str, Any]:
    names = {source.id: source.name for source in outcome.sources}
    spans = [{**span.model_dump(mode="json"), "source": names.get(span.source_id)} for span in claim.spans]
    return {"claim": claim.id, "statement": claim.statement, "spans": spans}


def _listing(outcome: MissionOutcomePackage, included: dict[str, bytes]) -> list[dict[str, Any]]:
    return [
        {
            "name": source.name,
            "also_named": list(source.also_named),
            "sha256": source.id,
            "size": source.size,
            "included": source.name in included,
        }
        for source in outcome.sources
    ]


def _source_bytes(outcome: MissionOutcomePackage) -> Iterator[tuple[str, bytes]]:
    """Yield the files that still are what was read; never one outside the folder."""
    folder = Path(outcome.folder).resolve()
    for source in outcome.sources:
        path = (folder / source.name).resolve()
        plain = ".." not in Path(source.name).parts and "\\" not in source.name
        if plain and path.is_relative_to(folder) and path.is_file():
            data = path.read_bytes()
            if sha256_hex(data) == source.id:
                yield source.name, data


def _safe(name: str) -> str:
    """Return an id as a file name: ids of our own making pass, anything else is hashed."""
    plain = name.replace("_", "").replace("-", "")
    return name if plain.isascii() and plain.isalnum() and len(name) <= 100 else sha256_hex(name.encode())[:32]


def _pretty(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
