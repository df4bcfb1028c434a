"""How missions ended: one row per round, in the transaction of the final state, derived from events alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.storage.database import Database, open_database
from kimera.storage.missions import Brief, Entry, Missions
from kimera.storage.outcomes import Outcomes, cause_of
from kimera.telemetry.retention.outcomes import MemoryOutcomes, Outcome, OutcomeStore

BEGIN = FakeClock().now().timestamp()


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database of each kind at the turn of the year."""
    with database_url(request.param, tmp_path) as url:
        opened = open_database(url, clock=FakeClock())
        yield opened
        opened.close()


def begin(database: Database, mission_id: str = "m1") -> Missions:
    missions = Missions(database)
    created = {"session_id": "s", "knowledge_space": "k", "brief": "0"}
    missions.create(Brief(mission_id, "0", "Q?", "/f", "{}", "p"), Entry("created", "mission.created", created))
    return missions


def wait(database: Database, seconds: float) -> None:
    database.clock.tick(seconds)  # type: ignore[attr-defined]


def move(missions: Missions, old: str, new: str, round_: int = 0, *more: Entry, mission_id: str = "m1") -> None:
    payload = {"old": old, "new": new, "round": round_}
    missions.append(mission_id, [*more, Entry(f"state:{round_}:{new}", "mission.state", payload)])


def report(*, partial: bool = False, number: int = 1) -> Entry:
    payload = {"version": number, "blob": "b", "partial": partial, "reason": "tracks", "claims": 1}
    return Entry(f"version:{number}", "report.version", payload)


def failed(track: str, code: str, attempt: int = 1) -> Entry:
    payload = {"error_type": "X", "error_code": code, "text": "t"}
    return Entry(f"failed:{track}:{attempt}", "track.failed", payload, track, attempt)


def finished(code: str) -> Entry:
    return Entry(f"finished:{code}", "mission.finished", {"state": "FAILED", "error_type": "X", "error_code": code})


def test_a_mission_that_is_done_has_its_times(database: Database) -> None:
    """Promise: queue wait, first report and end are counted from acceptance; control time is there."""
    missions = begin(database)
    wait(database, 2)
    move(missions, "PENDING", "RUNNING")
    wait(database, 3)
    missions.append("m1", [report(partial=True)])
    wait(database, 5)
    move(missions, "RUNNING", "FUSION")
    move(missions, "FUSION", "DONE", 0, report(number=2))
    expected = Outcome("m1", 0, "done", "none", BEGIN, BEGIN + 10, 5.0, 0.0, 2.0)
    assert [expected] == Outcomes(database).of("m1")


def test_control_time_is_the_sum_of_the_recorded_steps(database: Database) -> None:
    """Promise: what each control step took is kept in its event and summed; waiting in between is not."""
    missions = begin(database)
    for old, new in (("PENDING", "RUNNING"), ("RUNNING", "FUSION")):
        wait(database, 100)
        payload = {"old": old, "new": new}

        def slow(connection: sa.Connection) -> bool:
            wait(database, 0.25)
            return True

        missions.append("m1", [Entry(new, "mission.state", payload)], only_if=slow)
    move(missions, "FUSION", "DONE", 0, report())
    (outcome,) = Outcomes(database).of("m1")
    assert 0.5 == outcome.orchestration_seconds


def test_time_around_a_step_counts_with_the_next_one(database: Database) -> None:
    """Promise: what preparing and committing took is added to the next control step, and never twice."""
    missions = begin(database)
    missions.owe("m1", 0.25)

    def commit(connection: sa.Connection) -> None:
        wait(database, 0.125)

    missions.append("m1", [Entry("run", "mission.state", {"old": "PENDING", "new": "RUNNING"})], also=commit)
    missions.append("m1", [report(partial=True)], also=commit)
    move(missions, "RUNNING", "FUSION")
    move(missions, "FUSION", "DONE", 0, report(number=2))
    taken = [event.payload["seconds"] for event in missions.events("m1") if event.type == "mission.state"]
    assert [0.25, 0.125, 0.0] == taken
    assert 0.375 == Outcomes(database).of("m1")[0].orchestration_seconds


def test_flags_of_the_report_tell_the_endings_apart(database: Database) -> None:
    """Promise: partial wins over degraded, degraded over done; a deadline is the cause of a partial end."""
    degraded = Entry("degraded", "degraded", {"cause": "no_model", "text": "t"})
    late = Entry("late", "degraded", {"cause": "deadline", "text": "t"})
    for mission_id, more in (("a", [report()]), ("b", [report(), degraded]), ("c", [report(partial=True), late])):
        missions = begin(database, mission_id)
        move(missions, "PENDING", "RUNNING", mission_id=mission_id)
        move(missions, "RUNNING", "FUSION", mission_id=mission_id)
        move(missions, "FUSION", "DONE", 0, *more, mission_id=mission_id)
    found = {name: Outcomes(database).of(name)[0] for name in "abc"}
    assert {"a": "done", "b": "degraded", "c": "partial"} == {name: one.outcome for name, one in found.items()}
    assert {"a": "none", "b": "none", "c": "timeout"} == {name: one.cause for name, one in found.items()}


def test_the_first_error_is_the_cause(database: Database) -> None:
    """Promise: of two failed tracks the first one's error names the cause of the failure."""
    missions = begin(database)
    move(missions, "PENDING", "RUNNING")
    missions.append("m1", [failed("deep_research", "SERVICE_MODELHOST_503")])
    missions.append("m1", [failed("ds_star", "VALIDATION_COLUMN")])
    move(missions, "RUNNING", "FAILED", 0, finished("NOTHING_DELIVERED"))
    (outcome,) = Outcomes(database).of("m1")
    assert ("failed", "provider_outage", None) == (outcome.outcome, outcome.cause, outcome.first_report_seconds)


def test_a_mission_cancelled_before_anybody_began_never_waited_for_a_worker(database: Database) -> None:
    """Promise: a cancelled mission has no cause, no queue wait and no report."""
    missions = begin(database)
    wait(database, 7)
    move(missions, "PENDING", "CANCELLED")
    (outcome,) = Outcomes(database).of("m1")
    assert ("cancelled", "none", None, 7.0) == (
        outcome.outcome, outcome.cause, outcome.queue_seconds, outcome.ended_at - outcome.accepted_at,
    )  # fmt: skip


def test_a_retry_has_an_outcome_of_its_own(database: Database) -> None:
    """Promise: the second round counts from the retry, and the first round's row and cause stay."""
    missions = begin(database)
    move(missions, "PENDING", "RUNNING")
    missions.append("m1", [failed("ds_star", "TIMEOUT")])
    move(missions, "RUNNING", "FAILED", 0, finished("TIMEOUT"))
    wait(database, 1_000)
    move(missions, "FAILED", "PENDING", 1)
    wait(database, 1)
    move(missions, "PENDING", "RUNNING", 1)
    move(missions, "RUNNING", "FUSION", 1)
    move(missions, "FUSION", "DONE", 1, report())
    first, second = Outcomes(database).of("m1")
    assert (("failed", "timeout"), ("done", "none")) == ((first.outcome, first.cause), (second.outcome, second.cause))
    assert (BEGIN + 1_000, 1.0, 1.0) == (second.accepted_at, second.queue_seconds, second.first_report_seconds)


def test_state_and_outcome_are_written_together_or_not_at_all(database: Database) -> None:
    """Promise: when the closing transaction fails, neither the final state nor an outcome is there."""
    missions = begin(database)
    move(missions, "PENDING", "RUNNING")

    def refuse(connection: sa.Connection) -> None:
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        missions.append("m1", [Entry("end", "mission.state", {"old": "RUNNING", "new": "FAILED"})], also=refuse)
    assert ("RUNNING", []) == (missions.get("m1").state, Outcomes(database).of("m1"))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("SERVICE_ERROR", "provider_outage"),
        ("SERVICE_HOST", "provider_outage"),
        ("SERVICE_HOST_502", "provider_outage"),
        ("SERVICE_HOST_404", "internal"),
        ("BREAKER_OPEN", "provider_outage"),
        ("CONNECTIONREFUSEDERROR", "provider_outage"),
        ("CONNECTERROR", "provider_outage"),
        ("BUDGET", "budget"),
        ("BUDGET_DAY", "budget"),
        ("VALIDATION_FOLDER", "input"),
        ("NOT_FOUND", "input"),
        ("TIMEOUT", "timeout"),
        ("DEADLINE", "timeout"),
        ("READTIMEOUT", "timeout"),
        ("CRASH_LOOP", "internal"),
        ("KEYERROR", "internal"),
    ],
)
def test_error_codes_have_causes(code: str, cause: str) -> None:
    """Promise: every code falls into one of the closed causes."""
    assert cause == cause_of(code)


@pytest.mark.parametrize("kind", ["memory", "database"])
def test_both_stores_answer_alike(kind: str, database: Database) -> None:
    """Promise: `between` holds its start, leaves out its end and sorts by end, in memory as in a database."""
    for number, name in enumerate("bca"):
        missions = begin(database, name)
        wait(database, 10)
        move(missions, "PENDING", "CANCELLED", mission_id=name)
        assert BEGIN + 10 * (number + 1) == Outcomes(database).of(name)[0].ended_at
    store: OutcomeStore = Outcomes(database)
    if kind == "memory":
        store = MemoryOutcomes([one for name in "abc" for one in Outcomes(database).of(name)])
    assert ["b", "c"] == [one.mission_id for one in store.between(BEGIN + 10, BEGIN + 30)]
    assert [] == store.between(BEGIN + 31, BEGIN + 99)
