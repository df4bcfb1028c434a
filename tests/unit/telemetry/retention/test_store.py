"""The contract of a telemetry store, kept by the one in memory and by the trail on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.databases import database_url

from kimera.errors import StorageError
from kimera.storage.database import open_database
from kimera.storage.trail import open_trail
from kimera.telemetry import LogRecord, MemoryStore, SpanRecord, TelemetryStore

KINDS = ["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
def trail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TelemetryStore]:
    """Yield an empty store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    with database_url(request.param, tmp_path) as url:
        database = open_database(url)
        store = open_trail(database)
        yield store
        store.close()
        database.close()


def line(at: float, event: str = "room.verb", mission_id: str | None = "m1", level: str = "INFO") -> LogRecord:
    """Return a log line."""
    return LogRecord(at, level, event, "r1", mission_id, {"event": event, "n": at})


def span(number: int, ended: float | None = None, mission_id: str = "m1") -> SpanRecord:
    """Return a span that begins at ``number``."""
    return SpanRecord(
        span_id=f"{number:016x}",
        trace_id="a" * 32,
        parent_id=None if number == 0 else "0" * 16,
        name="agent.step",
        process="run@host:1:2:X",
        started_at=float(number),
        ended_at=ended,
        request_id="r1",
        mission_id=mission_id,
        session_id="s",
        track="ds_star",
        attempt=1,
        attributes={"phase": "code", "rows": 3},
    )


def test_what_is_written_is_read_back(trail: TelemetryStore) -> None:
    """Promise: lines and spans come back as they were, lines in the order written, spans by start."""
    lines = [line(3.0, "a.b"), line(1.0, "c.d"), line(2.0, "w.x", None)]
    trail.write(lines, [span(2), span(0, 9.5), span(1)])
    assert lines[:2] == trail.logs("m1")
    assert lines[2:] == trail.logs(None)
    assert [span(0, 9.5), span(1), span(2)] == trail.spans("m1")
    assert ([], []) == (trail.logs("m2"), trail.spans("m2"))


def test_limits_keep_the_newest_lines_and_the_first_spans(trail: TelemetryStore) -> None:
    """Promise: of lines the newest are returned, of spans the first."""
    trail.write([line(float(n)) for n in range(5)], [span(n) for n in range(5)])
    assert [3.0, 4.0] == [one.at for one in trail.logs("m1", limit=2)]
    assert [0.0, 1.0] == [one.started_at for one in trail.spans("m1", limit=2)]


def test_a_span_ends_once(trail: TelemetryStore) -> None:
    """Promise: an end completes an open span; a late start or a second end changes nothing."""
    done = replace(span(1, 5.0), status="error", error_type="Boom", attributes={"rows": 7})
    trail.write([], [span(1)])
    trail.write([], [done])
    trail.write([], [span(1)])
    trail.write([], [span(1, 99.0)])
    assert [done] == trail.spans("m1")


def test_old_records_go_in_small_batches(trail: TelemetryStore) -> None:
    """Promise: pruning takes the oldest first, at most a batch of each kind, and never what is young enough."""
    trail.write([line(float(n)) for n in range(10)], [span(n) for n in range(10)])
    assert 6 == trail.prune(8.0, batch=3)
    assert [3.0, 4.0] == [one.at for one in trail.logs("m1")][:2]
    assert 6 == trail.prune(8.0, batch=3)
    assert 4 == trail.prune(8.0, batch=3)
    assert 0 == trail.prune(8.0, batch=3)
    assert [8.0, 9.0] == [one.at for one in trail.logs("m1")] == [one.started_at for one in trail.spans("m1")]


def test_odd_texts_hold_nothing_up(trail: TelemetryStore) -> None:
    """Promise: NUL characters, lone surrogates and overlong names are stored in a form every database takes."""
    odd = LogRecord(1.0, "WARN", "a" * 300 + "\0", "r" * 99, "m1", {"text": "\0 \ud800"})
    trail.write([odd], [replace(span(1), name="n\0" * 200, session_id="\ud800" * 200)])
    assert [{"text": "\0 \ud800"}] == [one.body for one in trail.logs("m1")]
    assert 1 == len(trail.spans("m1"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(1, 9))), max_size=12))
def test_any_order_of_starts_and_ends_gives_what_memory_gives(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[int, float | None]]
) -> None:
    """Promise: over random histories the trail holds exactly the spans that the store in memory holds."""
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('trail') / 'test.db'}")
    store, memory = open_trail(database), MemoryStore()
    for number, ended in history:
        for one in (store, memory):
            one.write([], [span(number, ended)])
    assert memory.spans("m1") == store.spans("m1")
    store.close()
    database.close()


def test_a_locked_database_is_refused_within_a_moment(tmp_path: Path) -> None:
    """Promise: while another process holds the write lock the trail raises instead of waiting on."""
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    store = open_trail(database)
    with database.engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(StorageError):
            store.write([line(1.0)], [])
        holder.exec_driver_sql("ROLLBACK")
    store.write([line(1.0)], [])
    assert 1 == len(store.logs("m1"))
    store.close()
    database.close()


def test_several_processes_write_the_same_span(tmp_path: Path) -> None:
    """Promise: two trails on one database, as two processes have them, see each other's spans."""
    database = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    one, two = open_trail(database), open_trail(database)
    one.write([], [span(1)])
    two.write([], [span(1, 4.0)])
    assert [4.0] == [found.ended_at for found in one.spans("m1")]
    for store in (one, two):
        store.close()
    with database.engine.connect() as connection:
        assert 1 == connection.execute(sa.text("SELECT count(*) FROM telemetry_spans")).scalar_one()
    database.close()
