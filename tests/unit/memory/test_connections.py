"""Pools and short-term memories, as `Memories.connections` tells of them, on every kind of store."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from tests.unit.memory.stores import DATABASES, SHORT_TERM, location, short_term

from kimera.memory import Memories
from kimera.memory.observing.stm_redis import RedisStm


@pytest.mark.parametrize("stm", SHORT_TERM)
@pytest.mark.parametrize("kind", DATABASES)
def test_streams_and_their_events_are_counted(kind: str, stm: str, tmp_path: Path) -> None:
    """Promise: live sessions of the tenant and the events they hold; learned events are gone."""
    with location(kind, tmp_path) as url, short_term(stm) as store:
        memories = Memories.open(url, stm=store)
        mine, name = f"t{uuid.uuid4().hex[:8]}", "m"
        memory = memories.get(name, tenant=mine)
        assert {"count": 0, "events": 0, "lag": 0} == memories.connections(mine)["stm_streams"]
        for session, symbols in (("one", "abc"), ("two", "d")):
            for symbol in symbols:
                memory.session(session).observe([symbol])
        assert {"count": 2, "events": 4, "lag": 0} == memories.connections(mine)["stm_streams"]
        memory.session("one").learn()
        assert {"count": 2, "events": 1, "lag": 0} == memories.connections(mine)["stm_streams"]
        if stm != "process":  # a process belongs to one tenant or to none
            assert 0 == memories.connections("another")["stm_streams"]["count"]
        pools = memories.connections(mine)["pools"]
        assert {"database", *(["redis"] if stm == "redis" else [])} == pools.keys()
        for pool in pools.values():
            assert pool["last_health_check"]["ok"] and pool["failures"] == pool["waiting"] == 0
            assert pool["in_use"] <= pool["size"] and pool["wait_p95_ms"] is not None
        memories.close()


@pytest.mark.redis
def test_what_a_dead_process_left_untrimmed_is_lag(tmp_path: Path) -> None:
    """Promise: events below the floor that SQL holds, still in their stream, count as lag and not as events."""
    with short_term("redis") as store:
        memories = Memories.open(tmp_path / "m.db", stm=store)
        session = memories.get().session("s")
        for symbol in "abcd":
            session.observe([symbol])
        with memories.database.engine.begin() as connection:  # as a process that dies between learning and trimming
            connection.exec_driver_sql("UPDATE memory_sessions SET floor = 3")
        assert {"count": 1, "events": 1, "lag": 3} == memories.connections()["stm_streams"]
        memories.close()


def test_a_redis_that_is_away_shows(tmp_path: Path) -> None:
    """Promise: the figures come all the same: the check names the failure, failures count, the streams are unknown."""
    memories = Memories.open(tmp_path / "m.db", stm="redis://127.0.0.1:1/0")
    assert isinstance(memories.stm_store, RedisStm)
    memories.get().session("s")
    told = memories.connections()
    assert ("ConnectionError", None) == (told["pools"]["redis"]["last_health_check"]["failure"], told["stm_streams"])
    assert told["pools"]["redis"]["failures"] >= 1
    assert told["pools"]["database"]["last_health_check"]["ok"]
    memories.close()
