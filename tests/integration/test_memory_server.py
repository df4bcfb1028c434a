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
    resident = found["resident"]
    assert len(resident["mib"]) >= 9 and resident["second_third_mib"] > 50 and not resident["grows"]
    assert max(resident["patterns"]) <= 200 + 20 * 20 and min(resident["patterns"]) >= 200
    assert {"200", "400", "404", "422"} == set(found["statuses"])
    assert code == (1 if found["failed"] else 0)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scripts be imported by their names."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.mark.usefixtures("scripts")
def test_growth_and_tails_are_told() -> None:
    """Promise: .1 MiB/s over five minutes is growth, what settles in the first third is not; 20 times p50 is a tail."""
    import stress_test

    mib = 2**20
    settling = [150 * mib, 240 * mib] + [262 * mib + n * mib // 20 for n in range(58)]
    assert not stress_test.growth(settling)["grows"]
    leaking = [262 * mib + 5 * n * mib // 10 for n in range(60)]
    assert stress_test.growth(leaking)["grows"]
    rows = {
        "observe": {"count": 5_000, "p50_ms": 10.0, "p99_ms": 199.0},
        "predict": {"count": 500, "p50_ms": 10.0, "p99_ms": 201.0},
        "forget": {"count": 50, "p50_ms": 10.0, "p99_ms": 900.0},
    }
    assert ["predict"] == [words.partition(":")[0] for words in stress_test.slow(rows)]


@pytest.mark.usefixtures("scripts")
def test_a_missed_bar_ends_with_one() -> None:
    """Promise: --check compares; a bar that cannot be met ends with 1 and is named."""
    import benchmark_batch

    figures = {"p50_ms": 1.0, "mean_ms": 1.0, "per_second": 6_000.0}
    rows = {name: dict(figures) for name in ROWS}
    assert all(bar["ok"] for bar in benchmark_batch.checks(rows))
    rows["batch"]["per_second"] = 10.0
    assert ["batch observations per second"] == [b["what"] for b in benchmark_batch.checks(rows) if not b["ok"]]
