"""Answers that are kept: the same again without work, within a budget, nobody's objects."""

from __future__ import annotations

import gc
import weakref
from contextlib import closing

import pytest

from kimera.memory import Memories, Memory, memories
from kimera.memory.index import near
from kimera.memory.index.tables import SymbolTable
from kimera.memory.keeping import bodies
from kimera.memory.keeping.follow import Behind
from kimera.memory.recall import answers
from kimera.memory.recall.shown import footprint


def taught() -> Memory:
    """Return a memory of fifty patterns that begin alike."""
    memory = Memory.open(":memory:")
    memory.learn_all([{"events": [["a"], [f"b{n}"], [f"c{n % 7}"]]} for n in range(50)])
    return memory


def test_the_same_question_is_answered_from_what_is_kept() -> None:
    """Promise: asked again, the same bytes come without work; what the first asker made of them is not held."""
    with taught() as memory:
        first = memory.predict([["a"]])
        seen = first.predictions[0]
        again = memory.predict([["a"]])
        assert (1, 1) == (memory.answers.counts.hits, memory.answers.counts.misses)
        assert first == again and first.to_json() == again.to_json()
        assert again.predictions[0] == seen and again.predictions[0] is not seen
        memory.learn([["a"], ["new"]])
        assert 51 == len(memory.predict([["a"]]).predictions)


def test_a_writer_elsewhere_does_not_hold_up_an_answer() -> None:
    """Promise: what predictions show is read as of their record while other patterns change, never of a later one."""
    with taught() as memory:
        follower = memory.answers.follower
        seq, ids = memory.seq, [one.id for one in memory.predict([["a"]]).predictions[:2]]
        for n in range(3):
            memory.learn([["z"], [f"z{n}"]])
            memory.predict([["z"]])
        assert follower.seq == seq + 3 and ids == [*follower.bodies(seq, ids, None)]
        memory.learn(memory.pattern(ids[0]).events, outcome={"cost": 3.0})
        memory.predict([["a"]])
        with pytest.raises(Behind):
            follower.bodies(seq, ids, None)
        assert 3.0 == follower.bodies(seq + 4, ids, None)[ids[0]].cost


def test_what_is_kept_stays_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the oldest answers go when their bytes exceed the budget; one that is larger alone is never kept."""
    with taught() as memory:
        size = footprint(memory.predict([["a"]]))
        assert 10_000 < size < 200_000
        monkeypatch.setattr(answers, "KEPT_BYTES", 3 * size)
        for n in range(9):
            memory.predict([["a"], [f"x{n}"]])
        assert 3 == memory.answers.kept and memory.answers.counts.evictions >= 7
        monkeypatch.setattr(answers, "KEPT_BYTES", size // 2)
        assert memory.predict([["a"]]).predictions and 3 >= memory.answers.kept
        memory.predict([["c1"]])
        assert 1 == memory.answers.kept


def test_answers_go_with_the_record_they_belong_to() -> None:
    """Promise: once the log has gone on, what was kept before takes no room, and a late answer is not kept."""
    with taught() as memory:
        for n in range(5):
            memory.predict([["a"], [f"x{n}"]])
        assert 5 == memory.answers.kept
        memory.learn([["a"], ["new"]])
        found = memory.predict([["a"]])
        assert 1 == memory.answers.kept and 5 == memory.answers.counts.evictions
        memory.answers._keep((found.memory_seq - 1, "late"), found)
        assert 1 == memory.answers.kept


def test_bodies_stay_within_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: bodies with much metadata go before there are ten thousand of them; answers stay whole."""
    with Memory.open(":memory:") as memory:
        memory.learn_all([{"events": [["a"], [f"b{n}"]], "metadata": {"text": f"{n}" * 9_000}} for n in range(10, 40)])
        monkeypatch.setattr(bodies, "BODY_BYTES", 400_000)
        follower = memory.answers.follower
        first = memory.predict([["a"]])
        assert (5, 25) == (follower.cached_bodies, follower.counts.evictions)
        assert {f"{n}" * 9_000 for n in range(10, 40)} == {one.metadata["text"][0] for one in first.predictions}
        memory.learn([["x"], ["y"]])
        again = memory.predict([["a"]])
        assert 5 == follower.counts.hits and 5 == follower.cached_bodies
        assert [one.metadata for one in first.predictions] == [one.metadata for one in again.predictions]


def test_near_symbols_stay_within_their_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: near symbols are kept by how many there are, not by how often was asked; answers stay the same."""
    monkeypatch.setattr(near, "_KEPT_PAIRS", 100)
    symbols = SymbolTable()
    for n in range(60):
        symbols.intern(f"word{n:02}")
    found = near.NearSymbols(symbols)
    wide = found.strings("word", 0.5, 60)
    assert 60 == len(wide) == found.kept
    narrow = found.strings("word0x", 0.8, 60)
    assert 10 < len(narrow) <= 40 and 60 + len(narrow) == found.kept
    found.strings("wordy", 0.5, 60)
    assert len(narrow) + 60 == found.kept  # the first went, the third came
    assert wide == found.strings("word", 0.5, 60) and found.kept <= 100


def test_memories_nobody_holds_are_let_go_and_come_back_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: a place keeps so many memories ready and no more; who holds one, or a session of one, has the only one.

    One that was let go answers as before: its patterns, its options, its sessions' short-term memory.
    """
    monkeypatch.setattr(memories, "RECENT", 3)
    with closing(Memories.open(":memory:")) as place:
        held = place.get("held")
        session = place.get("watched").session("s")
        first = place.get("first", config={"max_pattern_length": 7})
        first.learn([["a"], ["b"], ["c"]])
        first.session("t").observe(["a"])
        before = first.predict([["a"]]).to_json()
        gone = weakref.ref(first)
        del first
        for n in range(8):
            place.get(f"other {n}").learn([["a"], [f"b{n}"]])
        gc.collect()
        assert gone() is None
        assert place.get("held") is held and place.get("watched") is session.memory
        again = place.get("first", create=False)
        assert 7 == again.options.max_pattern_length and before == again.predict([["a"]]).to_json()
        seen = place.session("t", memory="first").observe(["b"])
        assert (2, 1) == (seen.stm_length, seen.memory_seq)
