"""What looking for secrets and personal data costs, and how often it cries wolf.

    python benchmarks/redaction.py [--data FOLDER] [--limit 5000] [--json]

Reads text files of a folder (default: documents and sources of the installed Python packages), at most 10,000
characters of each. Bars: `secrets.find` at most 0.5 ms per document, the redactor at most 50 us per log line. Hits are
listed by rule with their files, for a person to judge: some manuals do hold keys.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

import pydantic  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from kimera.guardian import redactor  # noqa: E402
from kimera.guardian.checks import CanarySet, pii, secrets  # noqa: E402
from kimera.settings import Settings  # noqa: E402

CHARACTERS = 10_000
KINDS = {".md", ".rst", ".txt", ".py", ".toml", ".json", ".html"}
LINE = (
    '{"ts": "2026-11-20T11:36:12.123456Z", "level": "INFO", "event": "track.finished", "logger": "missions", '
    '"request_id": "process:01jd3k7q8z5v6w9x0y1a2b3c4d", "mission_id": "m1m7wegmwvb609996d", "claims": 14}'
)


def documents(folder: Path, limit: int) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of readable text files in the order of their names."""
    found = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix in KINDS and path.is_file() and found < limit:
            text = path.read_text("utf-8", "replace")[:CHARACTERS]
            if len(text) > 200:
                found += 1
                yield path.relative_to(folder).as_posix(), text


def per_call(work: Callable[[str], object], texts: list[str]) -> float:
    """Return CPU seconds per text, after one call to warm up."""
    work(texts[0])
    start = time.process_time()
    for text in texts:
        work(text)
    return (time.process_time() - start) / len(texts)


def measure(folder: Path, limit: int) -> dict[str, Any]:
    """Return every figure of the table."""
    held = list(documents(folder, limit))
    texts = [text for _, text in held]
    canaries = CanarySet(f"a configured secret {number:04}" for number in range(5))
    hide = redactor(Settings(database_url=SecretStr("postgresql://app:a-configured-password@db.example/k")))
    hits = [(one.rule, name) for name, text in held for one in secrets.find(text)]
    return {
        "documents": len(texts),
        "characters": round(sum(map(len, texts)) / len(texts)),
        "secrets_ms": per_call(secrets.find, texts) * 1e3,
        "canaries_ms": per_call(canaries.found, texts) * 1e3,
        "pii_ms": per_call(pii.find, texts) * 1e3,
        "line_us": per_call(hide, [LINE] * 20_000) * 1e6,
        "hits": dict(Counter(rule for rule, _ in hits)),
        "files": sorted({f"{rule}: {name}" for rule, name in hits}),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(pydantic.__file__).parents[1])
    parser.add_argument("--limit", type=int, default=5_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.data, given.limit)
    if given.json:
        print(json.dumps(found))
        return
    print(f"{found['documents']} documents, {found['characters']} characters each on average; {found['machine']}")
    print(f"secrets.find     {found['secrets_ms']:8.3f} ms CPU per document  (bar 0.5)")
    print(f"5 canaries       {found['canaries_ms']:8.3f} ms per document")
    print(f"pii.find         {found['pii_ms']:8.3f} ms per document")
    print(f"redactor         {found['line_us']:8.1f} us CPU per log line   (bar 50)")
    print(f"secret hits      {sum(found['hits'].values())} {found['hits']}")
    for line in found["files"]:
        print(f"  {line}")


if __name__ == "__main__":
    main()
