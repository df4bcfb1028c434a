"""What keeping costs: observing, learning alone, in batches and from many threads, beside a bare one-row commit.

    python benchmarks/memory_store.py [--database URL] [--count 2000]

The bare commit is one INSERT of a row as large as a log record, in a transaction of its own, on the same database, in
the same run, interleaved with the learns it is compared with: once through the driver itself, once through
`Database.write` as the rest of the product writes (core). The rows alone are the records and patterns of those learns,
inserted again by the driver under another number, with nothing worked out: what the tables and indexes cost.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kimera.memory import Memory
from kimera.memory.keeping.log import record
from kimera.storage import memory as sql
from kimera.storage.rows import BEGIN, Rows

BARE = sa.table("bench_bare", sa.column("body"))
INSERT = BARE.insert().values(body=sa.bindparam("body"))
BATCH = 1_000
ANOTHER = 2**30  # number of no memory


def timed(work: Callable[[], object]) -> float:
    """Return the seconds one call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def events(chance: random.Random) -> list[list[str]]:
    """Return a pattern of eight events over 9,000 words."""
    return [[f"word{chance.randrange(9_000)}"] for _ in range(8)]


class Bare:
    """Commits one row after the other on a connection of its own."""

    def __init__(self, memory: Memory) -> None:
        self.database = memory.store.transactions.database
        with self.database.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE bench_bare (id INTEGER PRIMARY KEY, body TEXT)")
        self.connection: Any = self.database.engine.raw_connection()
        self.rows = Rows(self.database, self.connection.driver_connection)
        self.body = "x" * 700
        if not self.database.embedded:
            with self.database.engine.begin() as connection:
                connection.exec_driver_sql("ALTER TABLE bench_bare DROP COLUMN id")

    def commit(self) -> None:
        """Insert one row and commit."""
        if self.database.embedded:
            self.rows.run(BEGIN)
        self.rows.run(INSERT, {"body": self.body})
        self.connection.driver_connection.commit()

    def commit_core(self) -> None:
        """Insert one row and commit the way the rest of the product writes."""
        self.database.write(lambda connection: connection.execute(INSERT, {"body": self.body}))

    def again(self, logged: dict[str, Any], learned: dict[str, Any]) -> None:
        """Insert a record and a pattern and commit."""
        if self.database.embedded:
            self.rows.run(BEGIN)
        self.rows.run(sql.APPEND, logged)
        self.rows.run(sql.ENTER_PATTERN, learned)
        self.connection.driver_connection.commit()

    def close(self) -> None:
        """Drop the table and the rows."""
        self.connection.close()
        with self.database.engine.begin() as connection:
            for table in (sql.LOG, sql.PATTERNS):
                connection.execute(table.delete().where(table.c.memory_id == ANOTHER))
            connection.exec_driver_sql("DROP TABLE bench_bare")


def measure(url: str, count: int) -> dict[str, float]:
    """Return the figures, times in microseconds."""
    chance = random.Random(7)
    name = f"bench-{uuid.uuid4().hex[:8]}"
    figures: dict[str, float] = {}
    with Memory.open(url, name) as memory:
        bare = Bare(memory)
        learned, alone, committed, core = [], [], [], []
        for _ in range(count):
            lesson = events(chance)
            learned.append(timed(lambda lesson=lesson: memory.learn(lesson)))  # type: ignore[misc]
            committed.append(timed(bare.commit))
            core.append(timed(bare.commit_core))
        for seq in range(1, count + 1):
            rows = rows_of(memory, seq)
            alone.append(timed(lambda rows=rows: bare.again(*rows)))  # type: ignore[misc]
            bare.commit_core()
        bare.close()
        figures["learn_us"] = statistics.median(learned) * 1e6
        figures["bare_commit_us"] = statistics.median(committed) * 1e6
        figures["rows_alone_us"] = statistics.median(alone) * 1e6
        figures["core_commit_us"] = statistics.median(core) * 1e6
        figures["learn_ratio_core"] = figures["learn_us"] / figures["core_commit_us"]
        figures["rows_alone_ratio"] = figures["rows_alone_us"] / figures["bare_commit_us"]
        figures["learn_ratio"] = figures["learn_us"] / figures["bare_commit_us"]
        session = memory.session("s")
        seen = [timed(lambda word=f"w{n}": session.observe([word, "b", "c"])) for n in range(count)]  # type: ignore[misc]
        figures["observe_process_us"] = statistics.median(seen) * 1e6
        rates = []
        for _ in range(3):
            many = [{"events": events(chance)} for _ in range(BATCH)]
            rates.append(BATCH / timed(lambda many=many: memory.learn_all(many)))  # type: ignore[misc]
        figures["batch_patterns_per_s"] = statistics.median(rates)
        batch = memory.session("b", max_pattern_length=8)
        rates = []
        for _ in range(3):
            items = [{"strings": event} for _ in range(BATCH) for event in events(chance)]
            rates.append(BATCH / timed(lambda items=items: batch.observe_sequence(items)))  # type: ignore[misc]
        figures["sequence_patterns_per_s"] = statistics.median(rates)  # 8,000 observations that learn 1,000 patterns
        figures["threads16_learns_per_s"] = _threads(memory, count)
    with Memory.open(url, name, stm="sql") as memory:
        session = memory.session("q")
        seen = [timed(lambda word=f"w{n}": session.observe([word, "b", "c"])) for n in range(count)]  # type: ignore[misc]
        figures["observe_sql_us"] = statistics.median(seen) * 1e6
    return figures


def rows_of(memory: Memory, seq: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of a record and its pattern, under another memory's number."""
    number = memory.store.memory

    def look(rows: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
        logged = record(rows, number, seq)
        assert logged is not None
        found = rows.one(sql.READ_PATTERN, {"memory": number, "pattern": logged.pattern_id})
        assert found is not None
        entered = dict(zip(("pattern", "name", "events", "length"), found, strict=False))
        return {"memory_id": ANOTHER, **logged._asdict()}, {"memory": ANOTHER, "seq": seq, **entered}

    return memory.store.read(look)


def _threads(memory: Memory, count: int) -> float:
    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(count // 16):
            memory.learn(events(chance))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]

    def together() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return count // 16 * 16 / timed(together)


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database")
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.database or f"sqlite:///{Path(folder) / 'bench.db'}", options.count)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.count} of each")
    bars = {"learn_ratio": "<= 3", "observe_process_us": "<= 50", "batch_patterns_per_s": ">= 5000"}
    for name, value in figures.items():
        print(f"{name:24} {value:12.1f}  {bars.get(name, '')}")


if __name__ == "__main__":
    main()
