"""The law of the mission row, over random histories."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.errors import ConflictError
from kimera.storage.database import Database, open_database
from kimera.storage.fold import ALLOWED, fold, from_nano, to_nano
from kimera.storage.missions import Brief, Entry, Missions
from kimera.telemetry import CATALOGUE, coerce, parse
from kimera.telemetry.recording.events import PAYLOAD_BYTES

TRACKS = st.sampled_from(["deep_research", "ds_star"])
STATES = st.sampled_from(sorted(ALLOWED))
WORDS = st.text(max_size=20)

payloads: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "mission.state": st.fixed_dictionaries({"old": WORDS, "new": STATES, "round": st.integers(0, 3)}),
    "track.dispatched": st.just({"round": 0}),
    "track.started": st.just({"phases": ["one"]}),
    "track.finished": st.just({"package": "0" * 64, "claims": 1}),
    "track.failed": st.fixed_dictionaries({"status": st.sampled_from(["failed", "cancelled", "skipped"])}),
    "report.version": st.fixed_dictionaries(
        {"version": st.integers(1, 9), "blob": st.just("0" * 64), "partial": st.booleans()}
    ),
    "plan.step": st.fixed_dictionaries({"kind": st.sampled_from(["library", "phase"]), "inputs": st.just(["1" * 64])}),
    "budget.settle": st.fixed_dictionaries(
        {"ticket": WORDS, "usd": st.decimals(0, 9, places=9), "input_tokens": st.integers(0, 99)}
    ),
    "degraded": st.fixed_dictionaries({"cause": WORDS, "text": WORDS}),
    "human.decision": st.fixed_dictionaries({"action": st.sampled_from(["cancel", "stop", "retry", "resume"])}),
    "mission.finished": st.fixed_dictionaries({"state": STATES, "error_code": WORDS, "text": WORDS}),
}
steps = st.sampled_from(sorted(payloads)).flatmap(
    lambda name: st.tuples(st.just(name), payloads[name], TRACKS, st.integers(0, 12))
)


def brief(mission_id: str, key: str | None = None) -> Brief:
    """Return a small brief."""
    return Brief(mission_id, "0" * 64, "Q?", "/folder", "{}", "small", key)


CREATED = Entry("created", "mission.created", {"session_id": "s", "knowledge_space": "k", "brief": "0" * 64})


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield an open database of each kind."""
    with database_url(request.param, tmp_path) as url:
        opened = open_database(url)
        yield opened
        opened.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=20))
def test_folding_the_events_gives_exactly_the_row(history: list[tuple[str, dict[str, Any], str, int]]) -> None:
    """Promise: after any history, repeated and refused events included, fold(events) == row."""
    with TemporaryDirectory() as place:
        database = open_database(f"sqlite:///{place}/law.db", clock=FakeClock(auto=True))
        store = Missions(database)
        store.create(brief("m1"), CREATED)
        for event_type, payload, track, number in history:
            try:
                store.append("m1", [Entry(f"{event_type}:{number}", event_type, payload, track, number)])
            except ConflictError:
                assert event_type == "mission.state"
        assert store.get("m1") == fold(store.events("m1"))
        assert list(range(1, store.get("m1").seq + 1)) == [event.seq for event in store.events("m1")]
        database.close()


def test_an_event_with_a_known_key_is_a_no_op(database: Database) -> None:
    """Promise: appending the same key twice records one event; creating twice one mission."""
    store = Missions(database)
    assert "m1" == store.create(brief("m1", "key"), CREATED) == store.create(brief("m2", "key"), CREATED)
    entry = Entry("k", "degraded", {"cause": "c", "text": "t"})
    assert (True, False) == (store.append("m1", [entry]), store.append("m1", [entry]))
    assert 2 == store.get("m1").seq


def test_the_wall_clock_may_step_back_but_events_do_not(tmp_path: Path) -> None:
    """Promise: the times of a mission's events never decrease."""
    clock = FakeClock(start=100.0, auto=True)
    database = open_database(f"sqlite:///{tmp_path / 'clock.db'}", clock=clock)
    store = Missions(database)
    store.create(brief("m1"), CREATED)
    clock.tick(-50)
    store.append("m1", [Entry("k", "degraded", {"cause": "c"})])
    times = [event.at for event in store.events("m1")]
    assert times == sorted(times)
    database.close()


@given(st.decimals(0, 10**6, places=12))
def test_money_is_never_under_counted(usd: Decimal) -> None:
    """Promise: rounding to nano-dollars goes up, by less than one."""
    assert 0 <= from_nano(to_nano(usd)) - usd < Decimal("1e-9")


def test_the_catalogue_is_closed_and_small() -> None:
    """Promise: unknown types and fields are refused by parse and left out by coerce; texts and payloads are bounded."""
    assert 25 == len(CATALOGUE)
    with pytest.raises(KeyError):
        parse("mission.exploded", {})
    with pytest.raises(ValueError, match="prompt"):
        parse("degraded", {"cause": "c", "prompt": "secret"})
    assert {"cause": "c", "text": ""} == coerce("degraded", {"cause": "c", "prompt": "secret"})
    assert None is coerce("mission.exploded", {})
    assert 280 == len((coerce("degraded", {"cause": "c", "text": "x" * 999}) or {})["text"])
    assert None is coerce("plan.step", {"inputs": ["y" * 280] * 40})
    assert 4096 == PAYLOAD_BYTES
