"""Run the tests in two halves side by side: those that mostly wait for processes of ours, and all others.

Each half gets a Redis database of its own, because tests remove what they left there. What the second half says comes
after the first, then the sum of both as pytest says it. Arguments go to both.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[1]
REDIS = os.environ.get("KIMERA_TEST_REDIS_URL", "redis://127.0.0.1:6379/0").rsplit("/", 1)[0]
HALVES = (["tests/integration"], ["tests", "--ignore=tests/integration"])
SUMMARY = re.compile(r"\d+ \w+.* in [\d.]+s")
NOTHING_CHOSEN = 5  # pytest's exit code


def start(half: int, arguments: list[str], output: int) -> subprocess.Popen[str]:
    """Start one half; each keeps its own notes of what failed last."""
    options = ["-o", f"cache_dir=.pytest_cache/{half}", *HALVES[half], *arguments]
    environment = os.environ | {"KIMERA_TEST_REDIS_URL": f"{REDIS}/{half}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "pytest", *options]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True)


def summed(last_lines: list[str], seconds: float) -> str:
    """Return pytest's last lines of both halves as one."""
    found: Counter[str] = Counter()
    for line in last_lines:
        for count, word in re.findall(r"(\d+) (\w+)", line.partition(" in ")[0]):
            found[word] += int(count)
    words = ", ".join(f"{count} {word}" for word, count in found.items())
    return f" {words} in {seconds:.2f}s ".center(100, "=")


def main(arguments: list[str]) -> int:
    """Run both; return 0 when both went well."""
    begun, last = monotonic(), ["", ""]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        second = start(1, arguments, said.fileno())
        first = start(0, arguments, subprocess.PIPE)
        assert first.stdout is not None
        for line in first.stdout:
            print(line, end="", flush=True)
            last[0] = line if SUMMARY.search(line) else last[0]
        codes = {first.wait(), second.wait()}
        said.seek(0)
        text = said.read()
    print(f"\n{' the other tests ':=^100}\n{text}", flush=True)
    last[1] = next((line for line in reversed(text.splitlines()) if SUMMARY.search(line)), "")
    print(summed(last, monotonic() - begun))
    return 0 if codes <= {0, NOTHING_CHOSEN} and codes != {NOTHING_CHOSEN} else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
