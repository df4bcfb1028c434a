"""Closed days as Parquet: what is written, when, again, and what a warehouse and its queries make of it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimera.clock import FakeClock
from kimera.errors import StorageError, ValidationError
from kimera.telemetry.reading.warehouse import TABLES, TEXTS, Row, _Alone, export, forget_texts

duckdb = pytest.importorskip("duckdb")

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "observability" / "warehouse"
NEW_YEAR = date(2026, 1, 1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
DAY = 86_400.0
PARQUET = {
    "STRING": "BYTE_ARRAY UTF8", "INT64": "INT64 INT_64", "FLOAT64": "DOUBLE None", "BOOL": "BOOLEAN None",
    "NUMERIC": "INT64 DECIMAL", "TIMESTAMP": "INT64 TIMESTAMP_MICROS", "DATE": "INT32 DATE",
}  # fmt: skip


class Days:
    """Rows by table and day, for tests; remembers what was asked for."""

    def __init__(self, held: dict[tuple[str, date], list[Row]], first: date | None = NEW_YEAR) -> None:
        self.held, self.first = held, first
        self.asked: list[tuple[str, date]] = []

    def first_day(self) -> date | None:
        return self.first

    def rows(self, table: str, day: date) -> Iterable[Row]:
        self.asked.append((table, day))
        return list(self.held.get((table, day), []))


def after(days: float) -> FakeClock:
    return FakeClock(days * DAY)


def mission(name: str, outcome: str = "done", cause: str = "none", day: int = 0, **more: Any) -> Row:
    accepted = BEGIN + day * DAY + 3_600.0
    row: Row = {
        "mission_id": name, "round": 0, "tenant": "local", "outcome": outcome, "cause": cause, "accepted_at": accepted,
        "ended_at": accepted + 60.0, "duration_seconds": 60.0, "first_report_seconds": 10.0, "queue_seconds": 1.0,
        "orchestration_seconds": 0.05, "versions": 2, "degraded_causes": "[]", "usd": Decimal("0.25"),
        "cap_usd": Decimal(1), "input_tokens": 100, "output_tokens": 10, "calls": 1, "downgrades": 0, "stops": 0,
    }  # fmt: skip
    return row | more


def attempt(name: str, track: str, status: str = "done", retries: int = 0, code: str | None = None) -> Row:
    return {
        "mission_id": name, "track": track, "attempt": 1, "round": 0, "status": status, "partial": False,
        "started_at": BEGIN + 3_601.0, "finished_at": BEGIN + 3_630.0, "seconds": 29.0, "retries": retries,
        "error_type": None, "error_code": code,
    }  # fmt: skip


def phase(number: int, seconds: float) -> Row:
    return {
        "span_id": f"{number:016x}", "mission_id": "m", "track": "ds_star", "phase": "code", "attempt": 1,
        "started_at": BEGIN, "ended_at": BEGIN + seconds, "seconds": seconds, "status": "ok", "error_type": None,
    }  # fmt: skip


def call(number: int, track: str, usd: str) -> Row:
    return {
        "ticket": f"t{number}", "mission_id": "m", "track": track, "day": NEW_YEAR, "usd": Decimal(usd),
        "input_tokens": 10 * number, "output_tokens": number,
    }  # fmt: skip


def level(day: int, good: int, valid: int) -> Row:
    return {
        "slo": "mission_success", "status": "met" if good * 100 >= 95 * valid else "violated", "value": good / valid,
        "target": 0.95, "good": good, "valid": valid, "excluded": "{}", "low": 0.1, "high": 1.0,
    }  # fmt: skip


def text(day: int) -> Row:
    at = BEGIN + day * DAY
    return {"mission_id": "m", "kind": "question", "place": "", "at": at, "text": f"Who won on day {day}?"}


def demo() -> Days:
    second = NEW_YEAR + timedelta(days=1)
    ended = [("done", "none")] * 6 + [("degraded", "none")] * 2 + [("partial", "timeout")]
    ended += [("failed", "internal"), ("failed", "provider_outage"), ("cancelled", "none")]
    return Days(
        {
            ("missions", NEW_YEAR): [mission(f"m{n:02}", *how) for n, how in enumerate(ended)],
            ("missions", second): [
                mission("n0", day=1, usd=Decimal("0.9"), downgrades=2), mission("n1", "failed", "budget", 1, stops=1),
            ],
            ("track_attempts", NEW_YEAR): [
                attempt("m00", "ds_star", retries=2), attempt("m01", "ds_star", "failed", 3, "TIMEOUT"),
                attempt("m02", "ds_star"), attempt("m00", "deep_research"),
                attempt("m03", "deep_research", "cancelled"),
            ],
            ("mission_phases", NEW_YEAR): [phase(n, float(n)) for n in range(1, 101)],
            ("llm_calls", NEW_YEAR): [
                call(1, "ds_star", "0.100001"), call(2, "ds_star", "0.2"), call(3, "fusion", "0.000001"),
            ],
            ("slo_daily", NEW_YEAR): [level(0, 9, 10)],
            ("slo_daily", second): [level(1, 1, 2)],
            ("texts", NEW_YEAR): [text(0)],
            ("texts", second): [text(1)],
        }
    )  # fmt: skip


def read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute("SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(folder / pattern)])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_only_closed_days_are_written_and_only_once(tmp_path: Path) -> None:
    """Promise: today stays out; the next run goes on at the watermark and asks for nothing before it."""
    feed = demo()
    first = export(feed, tmp_path, tables=["missions"], clock=after(1.5))
    assert {"missions/dt=2026-01-01/part.parquet": 12} == first.files
    feed.asked.clear()
    second = export(feed, tmp_path, tables=["missions"], clock=after(2.5))
    assert {"missions/dt=2026-01-02/part.parquet": 2} == second.files
    assert [("missions", date(2026, 1, 2))] == feed.asked
    assert {} == export(feed, tmp_path, tables=["missions"], clock=after(2.9)).files


def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    """Promise: rows, sha256 and schema version of each file, and each table's watermark."""
    export(demo(), tmp_path, clock=after(3))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet"))
    assert files == sorted(manifest["files"])
    for name, said in manifest["files"].items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == said["sha256"]
        assert len(read(tmp_path, name)) == said["rows"]
    assert {name: "2026-01-03" for name in TABLES} == manifest["watermark"]


def test_a_day_exported_again_has_the_same_rows(tmp_path: Path) -> None:
    """Promise: with --since a day is replaced by the same rows, sorted by key, and the watermark does not go back."""
    feed = demo()
    export(feed, tmp_path, clock=after(3))
    name = "missions/dt=2026-01-01/part.parquet"
    before = read(tmp_path, name)
    feed.held["missions", NEW_YEAR].reverse()
    done = export(feed, tmp_path, since=NEW_YEAR, until=NEW_YEAR, tables=["missions"], clock=after(3))
    assert ({name: 12}, before) == (done.files, read(tmp_path, name))
    assert "2026-01-03" == done.watermark["missions"]
    assert sorted(row["mission_id"] for row in before) == [row["mission_id"] for row in before]


def test_a_day_that_has_become_empty_leaves_no_file(tmp_path: Path) -> None:
    """Promise: what is no longer there is taken out of folder and manifest on export of that day."""
    feed = demo()
    export(feed, tmp_path, tables=["missions"], clock=after(3))
    del feed.held["missions", NEW_YEAR]
    export(feed, tmp_path, tables=["missions"], since=NEW_YEAR, until=NEW_YEAR, clock=after(3))
    assert not (tmp_path / "missions/dt=2026-01-01/part.parquet").exists()
    assert ["missions/dt=2026-01-02/part.parquet"] == list(
        json.loads((tmp_path / "manifest.json").read_text())["files"]
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tables": ["identities"]}, "There is no table identities"),
        ({"tables": ["texts"]}, "There is no table texts"),
        ({"until": date(2026, 1, 4)}, "not over in UTC"),
        ({"since": date(2026, 1, 3), "until": date(2026, 1, 2)}, "nothing lies between"),
    ],
)
def test_wrong_questions_are_refused(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Promise: unknown tables, open days and reversed days are validation errors and write nothing."""
    with pytest.raises(ValidationError, match=words):
        export(demo(), tmp_path / "out", clock=after(3), **options)
    assert not (tmp_path / "out").exists()


def test_an_empty_home_exports_nothing(tmp_path: Path) -> None:
    """Promise: without a first event there is nothing to write and no watermark to set."""
    done = export(Days({}, None), tmp_path, clock=after(9))
    assert ({}, {}) == (done.files, done.watermark)


def test_two_exports_into_one_folder_do_not_mix(tmp_path: Path) -> None:
    """Promise: while one export writes, another is refused with what to do."""
    with _Alone(tmp_path), pytest.raises(StorageError, match="Another export"):
        export(demo(), tmp_path, clock=after(3))
    assert 14 == export(demo(), tmp_path, tables=["missions"], clock=after(3)).rows


def test_a_folder_of_another_format_is_left_alone(tmp_path: Path) -> None:
    """Promise: a manifest of a format we do not know is refused."""
    (tmp_path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(ValidationError, match="format 99"):
        export(demo(), tmp_path, clock=after(3))


def test_text_is_written_only_when_asked_for_and_can_be_forgotten(tmp_path: Path) -> None:
    """Promise: without --with-text no byte of a question is in the folder; old texts are deleted with their entries."""
    export(demo(), tmp_path, clock=after(3))
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file() and b"Who won" in path.read_bytes()]
    export(demo(), tmp_path, since=NEW_YEAR, with_text=True, clock=after(3))
    assert ["Who won on day 0?", "Who won on day 1?"] == [row["text"] for row in read(tmp_path, "texts/*/*.parquet")]
    stranger = tmp_path / "texts/dt=2025-01-01/part.parquet"
    stranger.parent.mkdir()
    stranger.write_bytes(b"not ours")
    assert ["texts/dt=2026-01-01/part.parquet"] == forget_texts(tmp_path, 2, after(3.5))
    assert ["Who won on day 1?"] == [row["text"] for row in read(tmp_path, "texts/dt=2026-01-02/*.parquet")]
    assert stranger.exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the demo days and a row in every table."""
    feed = demo()
    filler = {
        "STRING": "x",
        "INT64": 1,
        "FLOAT64": 0.5,
        "NUMERIC": Decimal(1),
        "BOOL": True,
        "TIMESTAMP": BEGIN,
        "DATE": NEW_YEAR,
    }
    for table in TABLES.values():
        feed.held.setdefault((table.name, NEW_YEAR), [{one.name: filler[one.type] for one in table.columns}])
    folder = tmp_path_factory.mktemp("warehouse")
    export(feed, folder, with_text=True, clock=after(3))
    return folder


@pytest.mark.parametrize("name", [*TABLES, "texts"])
def test_files_have_the_types_of_their_schema(name: str, exported: Path) -> None:
    """Promise: each column's Parquet type is the one that a warehouse loads as the schema's type; zstd throughout."""
    table = TABLES.get(name, TEXTS)
    path = str(exported / name / "dt=2026-01-01" / "part.parquet")
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT name, type || ' ' || coalesce(converted_type, 'None') FROM parquet_schema(?)", [path]
        ).fetchall()[1:]
        packed = connection.execute("SELECT DISTINCT compression FROM parquet_metadata(?)", [path]).fetchall()
        logical = connection.execute("SELECT name, logical_type FROM parquet_schema(?)", [path]).fetchall()[1:]
    assert [(one.name, PARQUET[one.type]) for one in table.columns] == found
    assert [("ZSTD",)] == packed
    utc = {column for column, kind in logical if kind and "isAdjustedToUTC=1" in kind.replace("true", "1")}
    assert {one.name for one in table.columns if one.type == "TIMESTAMP"} == utc


STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=4, deadline=None)
@given(
    st.lists(
        st.tuples(
            STRINGS,
            st.floats(0, 4e9),
            st.integers(-(2**53), 2**53),
            st.decimals(0, 10**9, places=6),
            st.none() | STRINGS,
        ),
        min_size=1,
        max_size=40,
    )
)
def test_what_is_written_is_what_is_read(rows: list[tuple[str, float, int, Decimal, str | None]]) -> None:
    """Promise: texts, instants to the microsecond, whole numbers, money and nulls come back as they went in."""
    import tempfile

    held = [
        call(n, track, str(usd)) | {"input_tokens": tokens, "mission_id": other or ""}
        for n, (track, _, tokens, usd, other) in enumerate(rows)
    ]
    spans = [phase(n, 1.0) | {"started_at": at, "error_type": other} for n, (_, at, _, _, other) in enumerate(rows)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        feed = Days({("llm_calls", NEW_YEAR): held, ("mission_phases", NEW_YEAR): spans})
        export(feed, folder, tables=["llm_calls", "mission_phases"], clock=after(1))
        calls, phases = read(folder, "llm_calls/*/*.parquet"), read(folder, "mission_phases/*/*.parquet")
    by_ticket = sorted(held, key=lambda row: row["ticket"])
    assert [(r["track"], r["usd"], r["input_tokens"]) for r in by_ticket] == [
        (r["track"], r["usd"], r["input_tokens"]) for r in calls
    ]
    assert [row["error_type"] for row in spans] == [row["error_type"] for row in phases]
    for row, back in zip(spans, phases, strict=True):
        assert abs(row["started_at"] - back["started_at"].timestamp()) < 1e-6


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Return the script that writes schemas and BigQuery texts."""
    spec = importlib.util.spec_from_file_location("warehouse_generate", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_files_are_committed_as_they_are_made(generate: ModuleType) -> None:
    """Promise: schemas and BigQuery texts are those of the code, byte for byte."""
    made = generate.files()
    assert {name: (FOLDER / name).read_text() for name in made} == made
    assert {path.name for path in FOLDER.glob("*.schema.json")} == {name for name in made if name.endswith(".json")}


@pytest.mark.parametrize("name", ["reliability", "cost"])
def test_the_bigquery_text_parses_and_uses_only_what_it_has(name: str) -> None:
    """Promise: every statement parses as BigQuery and has no aggregate percentile, FILTER or word of DuckDB alone."""
    import sqlglot
    from sqlglot import exp

    statements = sqlglot.parse((FOLDER / f"{name}.bigquery.sql").read_text(), read="bigquery")
    assert len(statements) >= 7
    for statement in statements:
        assert statement is not None
        words = statement.sql("bigquery").upper()
        for banned in (
            "PERCENTILE_CONT",
            "PERCENTILE_DISC",
            "QUANTILE_CONT",
            "APPROX_QUANTILE(",
            "FILTER(",
            "::",
            "EPOCH",
        ):
            assert banned not in words
        tables = {table.name for table in statement.find_all(exp.Table)}
        assert tables <= set(TABLES)


@pytest.fixture(scope="module")
def answers(exported: Path, generate: ModuleType) -> Iterator[Any]:
    """Return a function that runs a named query on the demo days."""
    with duckdb.connect() as connection:
        for name in TABLES:
            connection.sql(
                f"SELECT * FROM read_parquet('{exported}/{name}/*/*.parquet', hive_partitioning = true)"
            ).create_view(name)
        texts = dict(
            pair for file in ("reliability", "cost") for pair in generate.queries((FOLDER / f"{file}.sql").read_text())
        )

        def ask(name: str) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = connection.execute(texts[name]).fetchall()
            return found

        ask.names = list(texts)  # type: ignore[attr-defined]
        yield ask


def test_reliability_of_the_demo_days_is_known(answers: Any) -> None:
    """Promise: success leaves out cancellations and outages; causes, retries, phases and delays are as made."""
    second = date(2026, 1, 2)
    assert [(NEW_YEAR, 12, 9, 1, 1, 0.9), (second, 2, 1, 0, 0, 0.5)] == [
        (*row[:5], pytest.approx(float(row[5]))) for row in answers("success_per_day")
    ]
    assert [(NEW_YEAR, "deep_research", 2, 1, 0, 0, 1.0), (NEW_YEAR, "ds_star", 3, 2, 0, 1, pytest.approx(2 / 3))] == [
        (*row[:6], float(row[6])) for row in answers("success_per_track")
    ]
    assert [(NEW_YEAR, "internal", 1), (NEW_YEAR, "provider_outage", 1), (second, "budget", 1)] == answers(
        "failure_causes"
    )
    assert [("ds_star", "TIMEOUT", 1)] == answers("failing_codes")
    assert [(NEW_YEAR, "deep_research", 0, 0, 0), (NEW_YEAR, "ds_star", 5, 1, 1)] == answers("retries")
    ((track, name, runs, p50, p95, errors),) = answers("phases")
    assert ("ds_star", "code", 100, 0) == (track, name, runs, errors)
    assert (50, 95) == (pytest.approx(p50, abs=1.5), pytest.approx(p95, abs=1.5))
    assert (NEW_YEAR, 12, 10.0, 50.0, 50.0) == answers("partial_to_final")[0]
    assert [("mission_success", NEW_YEAR, 0.9), ("mission_success", second, pytest.approx(10 / 12))] == [
        (row[0], row[1], float(row[5])) for row in answers("slo_trend")
    ]


def test_cost_of_the_demo_days_is_known(answers: Any) -> None:
    """Promise: money adds up exactly, per day, track, success and cap."""
    second = date(2026, 1, 2)
    assert [
        (NEW_YEAR, 12, Decimal("3.000000"), 12, 1200, 120),
        (second, 2, Decimal("1.150000"), 2, 200, 20),
    ] == answers("per_day")
    assert ("n0", Decimal("0.900000"), 1, 1) == answers("dearest_missions")[0]
    assert [(NEW_YEAR, "ds_star", 2, Decimal("0.300001")), (NEW_YEAR, "fusion", 1, Decimal("0.000001"))] == answers(
        "per_track"
    )
    assert [pytest.approx(3 / 9), pytest.approx(1.15)] == [float(row[3]) for row in answers("per_successful_mission")]
    assert [("ds_star", "input", 30), ("ds_star", "output", 3), ("fusion", "input", 30), ("fusion", "output", 3)] == [
        row[1:] for row in answers("tokens")
    ]
    assert [(NEW_YEAR, 12, 0.25, 0), (second, 2, 0.9, 1)] == [
        (*row[:2], float(row[2]), row[3]) for row in answers("cap_use")
    ]
    assert [(NEW_YEAR, 0, 0), (second, 2, 1)] == answers("downgrades")
