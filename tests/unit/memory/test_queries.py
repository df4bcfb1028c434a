"""What a memory asks of its database: counted, timed and explained by name."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from tests.unit.memory.stores import location

from kimera.clock import FakeClock
from kimera.errors import MemoryFault, NotFoundError
from kimera.memory import Memories, Memory
from kimera.storage import memory as sql

OF_POSTGRES = {"candidates", "holding", "event_counts", "step_and_add"}


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_every_statement_has_a_name_and_a_plan(kind: str, tmp_path: Path) -> None:
    """Promise: what ran is counted by name, every named statement can be explained, and explaining changes nothing."""
    with location(kind, tmp_path) as url:
        memories = Memories.open(url, stm="sql")
        memory = memories.get(f"m-{uuid.uuid4().hex[:8]}")
        memory.learn([["a"], ["b"]])
        memory.session().observe(["a"])
        before = (memory.seq, memory.state_hash())
        seen = memories.queries()
        assert (1, True) == (seen["append"]["count"], seen["append"]["p50_ms"] > 0)
        stepped = {"step_session", "add_stm"} if kind == "sqlite" else {"step_and_add"}
        assert {"head", "enter_pattern", *stepped} <= seen.keys()
        skipped = {"lock_memory", "secure_delete", *OF_POSTGRES} if kind == "sqlite" else {"secure_delete"}
        for name in sql.named_statements().keys() - skipped:
            plan = memories.explain(name)
            assert plan or name.startswith(("new_", "add_", "append", "enter_")), name  # SQLite plans no plain insert
        assert before == (memory.seq, memory.state_hash())
        with pytest.raises(NotFoundError):
            memories.explain("DROP TABLE memory_log")
        assert {"pools", "stm_streams"} == memories.connections().keys()
        memories.close()


def test_the_hot_statements_use_an_index(tmp_path: Path) -> None:
    """Promise: no statement of learning or observing scans a table."""
    memories = Memories.open(tmp_path / "m.db")
    for name in (
        "head",
        "find_pattern",
        "episodes_of",
        "changed_page",
        "some_patterns",
        "step_session",
        "read_stm",
    ):
        plan = memories.explain(name)
        assert not any(line.startswith("SCAN memory") for line in plan), (name, plan)
    memories.close()


def test_a_record_that_is_not_here_yet_is_waited_for() -> None:
    """Promise: at_least_seq waits two seconds for a record; then it is INDEX_BEHIND, with a hint."""
    clock = FakeClock(auto=True)
    with Memory.open(":memory:", clock=clock) as memory:
        learned = memory.learn([["a"], ["b"]])
        assert learned.seq == memory.predict([["a"]], at_least_seq=learned.seq).memory_seq
        before = clock.monotonic()
        with pytest.raises(MemoryFault) as missing:
            memory.predict([["a"]], at_least_seq=learned.seq + 1)
        assert ("INDEX_BEHIND", True) == (missing.value.code, clock.monotonic() - before >= 2.0)
