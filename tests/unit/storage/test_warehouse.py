"""The warehouse's rows out of a real database: a mission, its attempts, calls, spans, requests and service levels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.storage.attempts import Attempts, Failure, new_attempt
from kimera.storage.database import Database, open_database
from kimera.storage.missions import Brief, Entry, Missions
from kimera.storage.rollups import Rollups
from kimera.storage.spend import SpendRows
from kimera.storage.trail import open_trail
from kimera.storage.warehouse import Warehouse
from kimera.telemetry import SpanRecord
from kimera.telemetry.reading.warehouse import TABLES, TEXTS, export
from kimera.telemetry.retention.rollup_store import RollupRow
from kimera.telemetry.retention.rollups import Key, Rollup, encode

FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
BEGIN = FakeClock().now().timestamp()
DAY = 86_400.0
NANO = 10**9


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a database of each kind in which a mission ran on the first day and was tried again on the second."""
    with database_url(request.param, tmp_path) as url:
        opened = open_database(url, clock=FakeClock())
        lived(opened)
        yield opened
        opened.close()


def lived(database: Database) -> None:
    clock: Any = database.clock
    missions = Missions(database)
    attempts = Attempts(database, missions)
    created = {"session_id": "s", "knowledge_space": "k", "brief": "0"}
    attempts.create(
        Brief("m1", "0", "Who paid whom?", "/f", "{}", "p", tenant="acme"),
        Entry("created", "mission.created", created),
        [Entry("d1", "track.dispatched", {"round": 0}, "ds_star", 1)],
        [new_attempt("m1", "ds_star", 1, 0)],
    )
    clock.tick(10)
    change(missions, "PENDING", "RUNNING")
    attempts.start("m1", "ds_star", 1, ["code"])
    retry = {"phase": "code", "number": 1, "error_type": "X", "error_code": "X", "delay": 0.5}
    missions.append("m1", [Entry("retry", "track.retry", retry, "ds_star", 1)])
    paid(database, missions, "0.5")
    clock.tick(20)
    attempts.fail("m1", "ds_star", 1, Failure("Timeout", "TIMEOUT", "took too long over Alice's file"), "code")
    change(missions, "RUNNING", "FAILED")
    clock.tick(DAY)
    change(missions, "FAILED", "PENDING", 1)
    change(missions, "PENDING", "RUNNING", 1)
    degraded = Entry("deg", "degraded", {"cause": "no_model", "text": "No model was configured."})
    paid(database, missions, "0.25")
    missions.append("m1", [degraded, version()])
    change(missions, "RUNNING", "FUSION", 1)
    change(missions, "FUSION", "DONE", 1)


def version() -> Entry:
    return Entry("v1", "report.version", {"version": 1, "blob": "b", "partial": False, "reason": "tracks", "claims": 3})


def change(missions: Missions, old: str, new: str, round_: int = 0) -> None:
    payload = {"old": old, "new": new, "round": round_}
    missions.append("m1", [Entry(f"state:{round_}:{new}", "mission.state", payload)])


def paid(database: Database, missions: Missions, usd: str) -> None:
    spend = SpendRows(database)
    nano = int(Decimal(usd) * NANO)
    spend.open_scope("mission:m1", 2 * NANO)
    day = database.clock.now().date().isoformat()
    spend.open_scope(f"day:{day}", 9 * NANO)
    ticket = spend.reserve("m1", "ds_star", day, nano, [("mission:m1", 2 * NANO), (f"day:{day}", 9 * NANO)], 60.0)
    spend.settle(ticket, nano, 100, 10)
    settled = {"ticket": ticket, "usd": usd, "input_tokens": 100, "output_tokens": 10}
    missions.append("m1", [Entry(f"settle:{ticket}", "budget.settle", settled)])


def rows(database: Database, table: str, day: date) -> list[dict[str, Any]]:
    """Return a table's rows with exactly its columns; a missing one or a null in a required one fails."""
    found = list(Warehouse(database).rows(table, day))
    columns = TABLES.get(table, TEXTS).columns
    for row in found:
        assert [] == [one.name for one in columns if one.required and row[one.name] is None]
    return [{one.name: row[one.name] for one in columns} for row in found]


def test_each_round_is_a_row_with_its_own_money(database: Database) -> None:
    """Promise: the first round's row stays as it was when the second round spends and ends on another day."""
    (first,) = rows(database, "missions", FIRST)
    assert ("failed", "timeout", "acme", 30.0, 10.0) == (
        first["outcome"], first["cause"], first["tenant"], first["duration_seconds"], first["queue_seconds"],
    )  # fmt: skip
    assert (Decimal("0.5"), 1, 100, Decimal(2)) == (
        first["usd"],
        first["calls"],
        first["input_tokens"],
        first["cap_usd"],
    )
    (second,) = rows(database, "missions", SECOND)
    assert ("degraded", 1, Decimal("0.25"), '["no_model"]', 1) == (
        second["outcome"], second["round"], second["usd"], second["degraded_causes"], second["versions"],
    )  # fmt: skip


def test_attempts_and_calls_of_the_day(database: Database) -> None:
    """Promise: an attempt has its retries and code, a call its money; other days have none of them."""
    (attempt,) = rows(database, "track_attempts", FIRST)
    assert ("failed", 20.0, 1, "TIMEOUT") == (
        attempt["status"], attempt["seconds"], attempt["retries"], attempt["error_code"],
    )  # fmt: skip
    assert [Decimal("0.5")] == [row["usd"] for row in rows(database, "llm_calls", FIRST)]
    assert [Decimal("0.25")] == [row["usd"] for row in rows(database, "llm_calls", SECOND)]
    assert [] == rows(database, "track_attempts", SECOND)


def test_events_carry_no_prose_and_texts_carry_all_of_it(database: Database) -> None:
    """Promise: nothing written for a person is in events; the question, messages and errors are in texts."""
    told = json.dumps([rows(database, "events", day) for day in (FIRST, SECOND)])
    for words in ("Alice", "No model was configured", "Who paid"):
        assert words not in told
    assert {1, 2, 3} <= {row["seq"] for row in rows(database, "events", FIRST)}
    texts = {(row["kind"], row["text"]) for day in (FIRST, SECOND) for row in rows(database, "texts", day)}
    assert {
        ("question", "Who paid whom?"),
        ("event", "No model was configured."),
        ("event", "took too long over Alice's file"),
        ("error", "took too long over Alice's file"),
    } == texts


def test_spans_become_phases(database: Database) -> None:
    """Promise: ended spans are rows of the day they ended on; steps, fusion and control are phases."""
    trail = open_trail(database)
    facts = {"trace_id": "t", "parent_id": None, "process": "p", "mission_id": "m1"}
    trail.write(
        [],
        [
            SpanRecord(
                "a", name="agent.step", started_at=BEGIN + 1, ended_at=BEGIN + 3, track="ds_star", attempt=1,
                attributes={"phase": "code"}, **facts,
            ),
            SpanRecord("b", name="mission.accept", started_at=BEGIN, ended_at=BEGIN + 0.5, **facts),
            SpanRecord("c", name="sandbox.run", started_at=BEGIN, ended_at=BEGIN + 1, **facts),
            SpanRecord("d", name="agent.step", started_at=BEGIN + 9, ended_at=None, **facts),
            SpanRecord("e", name="fusion.run", started_at=BEGIN + DAY - 1, ended_at=BEGIN + DAY + 1, **facts),
        ],
    )  # fmt: skip
    trail.close()
    phases = {
        row["span_id"]: (row["track"], row["phase"], row["seconds"]) for row in rows(database, "mission_phases", FIRST)
    }
    assert {"a": ("ds_star", "code", 2.0), "b": ("orchestrator", "accept", 0.5)} == phases
    assert ["a", "b", "c"] == sorted(row["span_id"] for row in rows(database, "spans", FIRST))
    assert [("fusion", "fuse")] == [(row["track"], row["phase"]) for row in rows(database, "mission_phases", SECOND)]


def test_requests_and_service_levels_of_the_day(database: Database) -> None:
    """Promise: roll-ups become requests per five minutes, and the day's service levels count them."""
    store = Rollups(database)
    start = int(BEGIN)
    for at, status, count in ((start, "2xx", 7), (start + 299, "2xx", 3), (start + 300, "5xx", 1)):
        bucket = at // 15 * 15
        counters = {Key("kimera_http_requests_total", ("/api/missions", status)): count * NANO}
        store.put(RollupRow("raw", bucket, "p", encode(Rollup(counters))))
    found = [
        (row["bucket_start"] - start, row["status_class"], row["requests"])
        for row in rows(database, "requests_5m", FIRST)
    ]
    assert [(0, "2xx", 10), (300, "5xx", 1)] == sorted(found)
    levels = {row["slo"]: (row["good"], row["valid"], row["status"]) for row in rows(database, "slo_daily", FIRST)}
    assert {"mission_success": (0, 1, "violated"), "api_availability": (10, 11, "violated")} == {
        name: levels[name] for name in ("mission_success", "api_availability")
    }


def test_a_whole_home_goes_out_and_again_the_same(database: Database, tmp_path: Path) -> None:
    """Promise: every table of a real database passes the writer's types, and a second export has the same rows."""
    database.clock.tick(DAY)  # type: ignore[attr-defined]
    first, second = tmp_path / "first", tmp_path / "second"
    done = export(Warehouse(database), first, with_text=True, clock=database.clock)
    export(Warehouse(database), second, with_text=True, clock=database.clock)
    assert {"missions", "track_attempts", "llm_calls", "events", "slo_daily", "texts"} == {
        name.split("/")[0] for name in done.files
    }
    again = json.loads((second / "manifest.json").read_text())["files"]
    assert {name: one["sha256"] for name, one in again.items()} == {
        name: one["sha256"] for name, one in json.loads((first / "manifest.json").read_text())["files"].items()
    }
    kept = [path.read_bytes() for path in first.rglob("*.parquet") if "texts" not in path.parts]
    assert [] == [data for data in kept if b"Alice" in data or b"Who paid" in data]


def test_the_first_day_is_that_of_the_first_event(database: Database, tmp_path: Path) -> None:
    """Promise: an export without a watermark begins where anything happened; an empty database has no day."""
    assert FIRST == Warehouse(database).first_day()
    empty = open_database(f"sqlite:///{tmp_path / 'empty.db'}")
    assert Warehouse(empty).first_day() is None
    empty.close()
