"""The log's end: whoever writes, numbers and hashes follow each other."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import ValidationError
from kimera.memory import Memory
from kimera.memory.keeping.episodes import lesson
from kimera.memory.keeping.log import LogRecord, append_next, read
from kimera.storage.rows import Rows

AB = [["a"], ["b"]]


@pytest.fixture(params=BOTH)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Memory, Memory]]:
    """Yield one memory opened twice, as two processes would."""
    name = f"m-{uuid.uuid4().hex[:8]}"
    with database_url(request.param, tmp_path) as url, Memory.open(url, name) as one, Memory.open(url, name) as other:
        yield one, other


def test_two_writers_take_turns_at_the_end_of_the_log(pair: tuple[Memory, Memory]) -> None:
    """Promise: a writer that knew the last record notices those that another has written since."""
    one, other = pair
    numbers = [memory.learn([["a"], [str(n)]]).seq for n in range(3) for memory in (one, one, other)]
    other.forget(symbol="1")
    numbers += [10, one.learn(AB).seq, other.learn(AB).seq]
    assert list(range(1, 13)) == numbers
    assert one.verify().ok


def test_what_was_undone_is_not_remembered(pair: tuple[Memory, Memory]) -> None:
    """Promise: a record whose transaction failed leaves no gap behind it."""
    one, _ = pair
    one.learn(AB)

    def fails(rows: Rows) -> None:
        append_next(rows, one.store.memory, lesson((("c",), ("d",)), at=1.0).entry)
        raise ValidationError("No.", "events")

    with pytest.raises(ValidationError):
        one.store.write(fails)
    assert 2 == one.learn(AB).seq
    assert one.verify().ok


def test_a_last_record_that_is_gone_is_not_followed(pair: tuple[Memory, Memory]) -> None:
    """Promise: a writer looks for the log's end again when the record it knew as the last is not there."""
    one, _ = pair
    for _ in range(2):
        one.learn(AB)
    with one.store.transactions.database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM memory_log WHERE seq = 2")
    assert 2 == one.learn(AB).seq


@pytest.mark.postgres
def test_lost_connections_are_replaced(tmp_path: Path) -> None:
    """Promise: after the server has closed every connection a memory reads and writes on as before."""
    with database_url("postgres", tmp_path) as url, Memory.open(url, stm="sql", clock=FakeClock()) as memory:
        session = memory.session("s")
        session.observe(["a"])
        for _ in range(2):
            with memory.store.transactions.database.engine.connect() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            assert memory.session("s") is session
            session.observe(["b"])
        assert [["a"], ["b"], ["b"]] == session.stm
        assert 1 == session.learn().seq


def test_many_lessons_at_once_are_written_as_they_are_one_by_one(pair: tuple[Memory, Memory]) -> None:
    """Promise: a batch leaves the records that single calls leave, to the last character, known or new."""
    one, _ = pair
    odd = ["'", '"', "\\", "%(a)s", ":rows", "\n", "\x01", "é", "\U0001f600", "null", '{"a": 1}', "-- ;"]
    lessons = [
        {"events": [[symbol], [other]], "metadata": {"k": [symbol, "\x00", 0.1]}, "source": symbol, "ttl_seconds": 5.5}
        for symbol in odd
        for other in odd[:3]
    ]
    plain = [{"events": [[symbol], ["b"]], "unique_id": f"u{symbol}"} for symbol in odd]
    one.learn_all([*lessons, *plain, *plain[:2]])
    batch = [(each.pattern_id, each.body, each.source, each.unique_id) for each in records(one)]
    single = one._memories.get("single")
    for given in [*lessons, *plain, *plain[:2]]:
        single.learn(**given)
    assert [(each.pattern_id, each.body, each.source, each.unique_id) for each in records(single)] == batch
    assert single.state_hash() == one.state_hash()
    assert one.verify().ok


def records(memory: Memory) -> list[LogRecord]:
    """Return the log."""
    return memory.store.read(lambda rows: list(read(rows, memory.store.memory)))
