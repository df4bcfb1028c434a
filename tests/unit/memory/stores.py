"""Where a memory can be: the databases and the stores of short-term events, for suites that run on each."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.databases import database_url

from kimera.clock import FakeClock
from kimera.memory import Memories, Memory

REDIS = os.environ.get("KIMERA_TEST_REDIS_URL", "redis://127.0.0.1:6379/11")

DATABASES = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
SHORT_TERM = ["process", "sql", pytest.param("redis", marks=pytest.mark.redis)]


@contextmanager
def location(kind: str, place: Path) -> Iterator[str]:
    """Yield the address of an empty database."""
    if kind == "memory":
        yield ":memory:"
        return
    with database_url(kind, place) as url:
        yield url


@contextmanager
def short_term(kind: str) -> Iterator[str]:
    """Yield what `Memory.open` takes as ``stm``; what a test leaves in Redis is removed."""
    if kind != "redis":
        yield kind
        return
    import redis

    server = redis.Redis.from_url(REDIS)
    try:
        server.ping()
    except redis.ConnectionError:
        server.close()
        if os.environ.get("KIMERA_REQUIRE_SERVICES"):
            raise
        pytest.skip("no Redis server; set KIMERA_TEST_REDIS_URL")
    before = set(server.keys("kimera:stm:*"))
    try:
        yield REDIS
    finally:
        mine = set(server.keys("kimera:stm:*")) - before
        if mine:
            server.delete(*mine)
        server.close()


def opened(kind: str, place: Path, **options: Any) -> Iterator[Memory]:
    """Yield an empty memory on a database of the kind, under a name of its own."""
    with location(kind, place) as url, Memory.open(url, f"m-{uuid.uuid4().hex[:8]}", **options) as memory:
        yield memory


class Shelf:
    """Makes empty memories by the dozen, in one database in memory; for tests that need a new one per example."""

    def __init__(self) -> None:
        self.memories = Memories.open(":memory:", clock=FakeClock())

    def memory(self) -> Memory:
        """Return an empty memory."""
        return self.memories.get(f"m-{uuid.uuid4().hex}")
