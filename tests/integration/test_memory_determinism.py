"""One memory, one question, one answer: to the byte, whatever the process, the order of learning and the threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PROGRAM = """
import hashlib, json, random, sys
from concurrent.futures import ThreadPoolExecutor
from kimera.memory.contracts import MemoryTuning, PatternChange, RecallOptions
from kimera.memory.recall.guard import guard
from kimera.memory.index import Index, Overlap
from kimera.memory.recall.next import next_events
from kimera.memory.recall.predict import predict
from kimera.memory.symbols import pattern_id

seed = int(sys.argv[1])
contents = [(("a",), (f"t{i}",), ("b",), (f"e{i % 7}", "e")) for i in range(320)]
contents += [(("a",), ("b",), (f"z{i}",)) for i in range(40)]
random.Random(seed).shuffle(contents)

def learned(step, tuning):
    index = Index(tuning)
    for low in range(0, len(contents), step):
        index.apply(low, [PatternChange(pattern_id(e), e, 1) for e in contents[low:low + step]])
        index.view()
    index.apply(1_000, [])
    return index

def answers(index, overlap=None):
    found = []
    for stm in ((("a",), ("b",)), (("b",), ("a",), ("b",), ("e",))):
        for rank in ("potential", "entropy"):
            answer = predict(index.view(), stm, RecallOptions(rank_by=rank, max_predictions=50), overlap=overlap)
            found.append(answer.to_dict())
        found += [next_events(index.view(), stm).to_dict(), guard(index.view(), stm).to_dict()]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()

one, many = learned(360, MemoryTuning()), learned(17, MemoryTuning(parallel=False, incremental=False))
hashes = {answers(one) for _ in range(4)} | {answers(many, Overlap())}
with ThreadPoolExecutor(4) as pool:
    shared = Overlap()
    hashes |= set(pool.map(lambda _: answers(one, shared), range(4)))
print("\\n".join(sorted(hashes)))
"""


def run(hash_seed: int, order: int) -> str:
    """Return the hashes of all answers of one process."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(order)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_360_tied_patterns_answer_identically_everywhere() -> None:
    """Promise: 5 hash seeds, 5 orders of learning, two segment layouts, 4 threads, 9 rounds of calls each: one hash."""
    results = {run(seed, seed * 31) for seed in range(5)}
    assert 1 == len(results) and "\n" not in next(iter(results)), results
