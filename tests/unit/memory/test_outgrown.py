"""A memory that has outgrown its index answers as one that holds it; only where candidates come from differs."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.databases import database_url

from kimera.errors import ConflictError
from kimera.memory import Memories, Memory

TINY = 1e-6  # MiB; less than an empty index takes
LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 1_300)))  # longer than an entry of a GIN index may be
WORDS = ["a", "b", "c", "banana", "bannana", "don't", "%s", '"', "\\", "é", LONG]
VECTORS = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [2.0, 0.2]]
words = st.one_of(st.sampled_from(WORDS[:4]), st.sampled_from(WORDS), st.sampled_from(VECTORS))
sequences = st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=5)
options = st.fixed_dictionaries(
    {"recall_threshold": st.sampled_from([0.0, 0.1, 0.34, 0.5, 2 / 3, 0.9, 1.0])},
    optional={
        "fuzzy_token_threshold": st.sampled_from([0.5, 0.8]),
        "matching": st.sampled_from(["tokens", "characters"]),
        "anchor": st.sampled_from(["anywhere", "start"]),
        "vector_max_distance": st.sampled_from([0.0, 0.1, 1.0]),
        "affinity_emotive": st.just("joy"),
        "rank_by": st.sampled_from(["potential", "similarity", "tfidf_score", "utility", "predictive_information"]),
        "max_predictions": st.integers(1, 4),
    },
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Memories, Memories]]:
    """Yield the memories of one PostgreSQL twice: with their indexes here, and without."""
    with database_url("postgres", tmp_path_factory.mktemp("none")) as url:
        whole, outgrown = Memories.open(url, index_mb=0), Memories.open(url, index_mb=TINY)
        yield whole, outgrown
        whole.close()
        outgrown.close()


def learned(places: tuple[Memories, Memories], lessons: list[Any]) -> tuple[Memory, Memory]:
    """Return one new memory, taught, as seen from both."""
    name = uuid.uuid4().hex
    whole, outgrown = (each.get(name) for each in places)
    for place, events in enumerate(lessons):
        if sum(map(len, events)) > 1:
            outcome = {"utility": place % 3 / 2} if place % 2 else None
            whole.learn(events, emotives=[{"joy": float(place)}] if place % 3 else (), outcome=outcome)
    return whole, outgrown


def same(whole: Memory, outgrown: Memory, asked: Any, chosen: dict[str, Any]) -> None:
    """Compare every kind of answer, byte by byte."""
    expected = whole.predict(asked, **chosen).to_dict()
    assert json.dumps(expected) == json.dumps(outgrown.predict(asked, **chosen).to_dict())
    for following in ({}, {"weight": "utility"}, {"max_order": 0}):
        assert json.dumps(whole.next(asked, **following).to_dict()) == json.dumps(
            outgrown.next(asked, **following).to_dict()
        )
    for prediction in expected["predictions"][:1]:
        one, other = (each.why(asked, prediction["id"], **chosen).to_dict() for each in (whole, outgrown))
        assert json.dumps(one) == json.dumps(other)


@pytest.mark.postgres
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lessons=st.lists(sequences, max_size=7), asked=sequences, chosen=options)
def test_the_answers_are_the_same_bytes(
    places: tuple[Memories, Memories], lessons: list[Any], asked: Any, chosen: dict[str, Any]
) -> None:
    """Promise: predictions, next events and whys do not depend on whether the index fits, whatever the options."""
    whole, outgrown = learned(places, lessons)
    same(whole, outgrown, asked, chosen)
    assert (False, bool(whole.stats().patterns)) == (
        whole.answers.follower.outgrown,
        outgrown.answers.follower.outgrown,
    )


@pytest.mark.postgres
def test_it_follows_every_change_of_the_log(places: tuple[Memories, Memories]) -> None:
    """Promise: after each relearn, forget, edit, undo, erase and outcome both still agree, and the log says so too."""
    chance = random.Random(5)
    lessons = [[[chance.choice(WORDS[:6])] for _ in range(chance.randint(2, 6))] for _ in range(30)]
    whole, outgrown = learned(places, lessons)
    asked = lessons[3][:4]
    same(whole, outgrown, asked, {"recall_threshold": 0.5})
    whole.learn([["a"], ["new"], ["a"]])
    forgotten = whole.forget(symbol="banana")
    assert outgrown.verify().ok
    same(whole, outgrown, asked, {"recall_threshold": 0.1})
    assert forgotten.seq is not None
    whole.undo(forgotten.seq)
    whole.edit(whole.learn([["b"], ["c"]]).id, [["b"], ["other"]])
    whole.record_outcome(whole.learn(lessons[3]).id, utility=0.25)
    same(whole, outgrown, asked, {"recall_threshold": 0.5})
    whole.erase(symbol="c")
    same(whole, outgrown, asked, {"recall_threshold": 0.3})
    assert ((), ()) == (outgrown.verify().problems, whole.verify().problems)


@pytest.mark.postgres
def test_sessions_predict_and_guard_alike(places: tuple[Memories, Memories]) -> None:
    """Promise: a session of an outgrown memory predicts, guards and learns on the way as any other."""
    chance = random.Random(7)
    lessons = [[[chance.choice("abcd")] for _ in range(5)] for _ in range(20)]
    answers = []
    for memories in places:
        memory = memories.get(uuid.uuid4().hex)
        memory.learn_all([{"events": lesson} for lesson in lessons])
        session = memory.session("s", max_pattern_length=4, stm_mode="ROLLING")
        seen = [session.observe([s], predict=True, guard=True).to_dict() for s in "abcabc"]
        answers.append([(one["predictions"], one["guard"]) for one in seen])
        assert memory.answers.follower.outgrown == (memories is places[1])
    assert json.dumps(answers[0]) == json.dumps(answers[1])


@pytest.mark.postgres
def test_a_sequence_that_learns_and_asks_is_refused_whole(places: tuple[Memories, Memories]) -> None:
    """Promise: what needs moments that only an index can keep is refused with nothing applied; the rest works."""
    _, memory = learned(places, [[["a"], ["b"], ["c"]]])
    session = memory.session("s")
    assert 1 == len(memory.predict([["a"]]).predictions)
    wanted = [{"strings": [s], "predict": True} for s in "ab"]
    with pytest.raises(ConflictError, match="one by one"):
        session.observe_sequence(wanted, learn_at_end=True)
    assert ([], 1) == (session.stm, memory.seq)
    assert 2 == len(session.observe_sequence(wanted).results)


def test_sqlite_keeps_the_index(tmp_path: Path) -> None:
    """Promise: on SQLite a limit changes no answer; the index stays."""
    memories = Memories.open(tmp_path / "m.db", index_mb=TINY)
    memory = memories.get("m")
    for last in "cde":
        memory.learn([["a"], ["b"], [last]])
        assert memory.predict([["a"], ["b"]]).predictions
    assert not memory.answers.follower.outgrown
    memories.close()


@pytest.mark.postgres
def test_the_database_looks_symbols_up_once_that_is_needed(tmp_path: Path) -> None:
    """Promise: learning pays for the index of symbols only where a memory has outgrown its own."""
    with database_url("postgres", tmp_path) as url:
        memories = [Memories.open(url, index_mb=limit) for limit in (0, TINY, TINY)]
        made = []
        for each in memories:
            memory = each.get("m")
            memory.learn([["a"], ["b"]])
            assert memory.predict([["a"]]).predictions
            made.append([i["name"] for i in sa.inspect(each.database.engine).get_indexes("memory_patterns")])
        assert [False, True, True] == ["ix_memory_patterns_symbols" in names for names in made]
        for each in memories:
            each.close()
