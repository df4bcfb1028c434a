"""The memory behind a running `kimera serve`: the two scripts of the field, in their short form."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = {"health", "single", "batch", "single_predicted", "batch_predicted", "reference_predicted"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def script(name: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a script and return its exit code and its document."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout, done.stderr[-3_000:]
    return done.returncode, json.loads(done.stdout)


def test_batches_and_singles_predict_what_the_reference_predicts() -> None:
    """Promise: the benchmark ends well, as it does only when server and reference agree; batches are faster."""
    code, found = script("benchmark_batch.py", "--count", "50", "--pattern-db-size", "200", "--warm", "0")
    assert (0, ROWS) == (code, set(found["rows"]))
    assert {"predictions", "bodies"} <= found["server"]["caches"].keys()
    assert found["server"]["process"]["rss_bytes"] > 0
    assert found["ratios"]["batch over single"] > 1.5


def test_twenty_users_lose_nothing_and_break_nothing() -> None:
    """Promise: no 5xx, every acknowledged learn and forget in the log, the state that the log replayed gives."""
    code, found = script(
        "stress_test.py", "--concurrent-users", "20", "--duration", "6", "--pattern-db-size", "200", "--warm", "0"
    )
    failed = {name: words for name, words in found["failed"].items() if name != "slow"}  # a busy machine makes tails
    assert {} == failed
    assert found["acknowledged"] > 20
    assert {"200", "400", "404", "422"} == set(found["statuses"])
    assert code == (1 if found["failed"] else 0)


def test_a_missed_bar_ends_with_one() -> None:
    """Promise: --check compares; a bar that cannot be met ends with 1 and is named."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import benchmark_batch
    finally:
        sys.path.pop(0)
    figures = {"p50_ms": 1.0, "mean_ms": 1.0, "per_second": 6_000.0}
    rows = {name: dict(figures) for name in ROWS}
    assert all(bar["ok"] for bar in benchmark_batch.checks(rows))
    rows["batch"]["per_second"] = 10.0
    assert ["batch observations per second"] == [b["what"] for b in benchmark_batch.checks(rows) if not b["ok"]]
