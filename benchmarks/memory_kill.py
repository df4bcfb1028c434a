"""Kill -9 while a memory learns or observes: what was acknowledged must be there, nothing twice, nothing made up.

    python benchmarks/memory_kill.py --kills 20 [--database URL] [--stm sql|redis://...] [--count 10000]

A child process learns (or observes, learning by length) one event after the other and prints a line after each
acknowledgement; it is killed at a random moment. Then acknowledged <= stored <= attempted, log numbers have no gap,
the hash chain and the tables verify, and a fresh memory taught the same has the same state.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from kimera.memory import Memory

LENGTH = 7


def pattern(number: int) -> list[list[str]]:
    """Return the pattern a child learns as its ``number``-th; every tenth is one it knows already."""
    shown = number - 5 if number % 10 == 9 else number
    return [[f"w{shown}"], [f"x{shown % 97}", "y"], [f"z{shown % 13}"]]


def child(mode: str, url: str, name: str, stm: str, count: int) -> None:
    """Learn or observe and print each acknowledged number."""
    memory = Memory.open(url, name, stm=stm)
    session = memory.session("s", max_pattern_length=LENGTH, stm_limit=100_000)
    print("ready", flush=True)
    for number in range(count):
        done = memory.learn(pattern(number)).seq if mode == "learn" else session.observe([f"e{number}"]).time
        print(done, flush=True)


def killed(mode: str, url: str, name: str, stm: str, count: int, wait: float) -> int:
    """Run a child, kill it ``wait`` seconds after it is ready, and return the last number it acknowledged."""
    command = [sys.executable, __file__, "--child", mode, url, name, stm, str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise RuntimeError("the child did not start")
    begun = time.monotonic()
    last = 0
    for line in process.stdout:
        if line.endswith("\n"):
            last = int(line)
        if time.monotonic() - begun >= wait:
            break
    process.kill()
    for line in process.stdout:  # acknowledged before it died, read after
        if line.endswith("\n"):
            last = int(line)
    process.wait()
    process.stdout.close()
    return last


def check_learned(memory: Memory, acknowledged: int, count: int) -> dict[str, Any]:
    """Compare what stands in the log with what was acknowledged."""
    stored = [record for record in memory.log(0, count + 1) if record.kind == "learn"]
    taught = [[list(event) for event in record.body["events"]] for record in stored if record.body]
    with Memory.open(":memory:") as fresh:
        for number in range(len(stored)):
            fresh.learn(pattern(number))
        same = fresh.state_hash() == memory.state_hash()
    return {
        "acknowledged": acknowledged,
        "stored": len(stored),
        "lost": max(0, acknowledged - len(stored)),
        "gaps": [record.seq for record in stored] != list(range(1, len(stored) + 1)),
        "made_up": taught != [[sorted(event) for event in pattern(number)] for number in range(len(stored))],
        "unverified": not memory.verify().ok or not same,
    }


def check_observed(memory: Memory, acknowledged: int, count: int) -> dict[str, Any]:
    """Compare patterns learned by length, and what is in the short-term memory, with what was acknowledged."""
    learned = [event[0] for record in memory.log(0, count + 1) for event in (record.body or {})["events"]]
    seen = learned + [event[0] for event in memory.session("s").stm]
    return {
        "acknowledged": acknowledged,
        "stored": len(seen),
        "lost": max(0, acknowledged - len(seen)),
        "gaps": seen != [f"e{number}" for number in range(len(seen))],
        "made_up": len(seen) > count,
        "unverified": not memory.verify().ok,
    }


def run(
    mode: str, kills: int, count: int, place: Path, url: str | None, stm: str, seed: int = 7
) -> list[dict[str, Any]]:
    """Kill ``kills`` children and return what was found after each."""
    chance = random.Random(seed)
    found = []
    for number in range(kills):
        address = url or f"sqlite:///{place / f'{mode}-{number}-{uuid.uuid4().hex[:6]}.db'}"
        name = f"kill-{uuid.uuid4().hex[:8]}"
        last = killed(mode, address, name, stm, count, chance.uniform(0.0, 2.0))
        with Memory.open(address, name, stm=stm) as memory:
            check = check_learned if mode == "learn" else check_observed
            found.append(check(memory, last, count))
            memory.session("s").delete()
    return found


def passed(found: list[dict[str, Any]]) -> bool:
    """Return whether nothing was lost, doubled, made up or left unverifiable."""
    return all(not each[fault] for each in found for fault in ("lost", "gaps", "made_up", "unverified"))


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--database")
    parser.add_argument("--stm", default="sql")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=5)
    options = parser.parse_args()
    if options.child:
        mode, url, name, stm, count = options.child
        child(mode, url, name, stm, int(count))
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for mode in ("learn", "observe"):
            stm = "process" if mode == "learn" else options.stm
            results[mode] = run(mode, options.kills, options.count, Path(folder), options.database, stm)
    if options.json:
        print(json.dumps(results))
        return
    print(
        f"{platform.machine()}, Python {platform.python_version()}, {options.kills} kills each, {options.count} planned"
    )
    for mode, found in results.items():
        totals = {key: sum(int(each[key]) for each in found) for key in found[0]}
        print(
            f"{mode:8}",
            " ".join(f"{key} {value}" for key, value in totals.items()),
            "ok" if passed(found) else "FAILED",
        )


if __name__ == "__main__":
    main()
