"""Correcting and forgetting: the algebra of changes, on both databases, checked against the replay of the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.memory.stores import DATABASES, Shelf, opened

from kimera.clock import FakeClock
from kimera.errors import ConflictError, KimeraError, NotFoundError, ValidationError
from kimera.memory import Memory
from kimera.memory.keeping.changes import Selection, select
from kimera.storage import memory as sql
from kimera.storage.rows import plan_of

EMPTY = "s1:3247001b5a776a6b9eb646a9c2bb919d7a946c3c69a4ec3e361e2b0b21b767aa"

symbols = st.sampled_from(["a", "b", "c", "d"])
events = st.lists(st.lists(symbols, min_size=1, max_size=2), min_size=2, max_size=3)
numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.1, 0.2, 0.3, 1e300, -1e300])
lessons = st.fixed_dictionaries(
    {"events": events},
    optional={
        "emotives": st.lists(st.dictionaries(st.sampled_from(["joy", "fear"]), numbers, max_size=2), max_size=3),
        "metadata": st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from([1, 1.0, "1", True, None])),
        "source": st.sampled_from(["s", "t"]),
        "outcome": st.fixed_dictionaries({}, optional={"utility": st.floats(0, 1)}).filter(bool),
        "ttl_seconds": st.sampled_from([1.0, 100.0]),
    },
)
steps = st.one_of(
    st.tuples(st.just("learn"), lessons),
    st.tuples(st.just("forget"), st.fixed_dictionaries({"symbol": symbols})),
    st.tuples(st.just("forget"), st.fixed_dictionaries({"source": st.sampled_from(["s", "t"])})),
    st.tuples(st.just("edit"), st.tuples(st.integers(0, 9), events)),
    st.tuples(st.just("outcome"), st.tuples(st.integers(0, 9), st.floats(0, 1), st.floats(0, 1e6))),
    st.tuples(st.just("undo"), st.integers(1, 12)),
    st.tuples(st.just("expire"), st.sampled_from([2.0, 200.0])),
    st.tuples(st.just("clear"), st.none()),
)


@pytest.fixture(params=DATABASES)
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    """Yield an empty memory on each kind of database."""
    yield from opened(request.param, tmp_path, clock=FakeClock())


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Yield what makes empty memories."""
    made = Shelf()
    yield made
    made.memories.close()


def take(memory: Memory, step: tuple[str, Any]) -> None:
    """Take one step; what is refused changes nothing."""
    kind, given_ = step
    known = [pattern.id for pattern in memory.patterns().patterns]
    try:
        if kind == "learn":
            memory.learn(**given_)
        elif kind == "forget":
            memory.forget(**given_)
        elif kind == "edit" and known:
            memory.edit(known[given_[0] % len(known)], given_[1])
        elif kind == "outcome" and known:
            memory.record_outcome(known[given_[0] % len(known)], given_[1], given_[2])
        elif kind == "undo":
            memory.undo(given_)
        elif kind == "expire":
            memory.expire(memory.now() + given_)
        elif kind == "clear":
            memory.clear_all()
    except (NotFoundError, ConflictError):
        pass


def test_an_empty_memory_has_the_state_of_the_design(memory: Memory) -> None:
    """Promise: the name of the empty state is the one in the design."""
    assert EMPTY == memory.state_hash()
    assert memory.verify().ok


def test_the_state_is_what_the_design_hashes(memory: Memory) -> None:
    """Promise: the state's name is SHA-256 over canonical lines, as anyone can compute them."""
    import hashlib

    one = memory.learn([["a"], ["b"]], emotives=[{"joy": 2}, {}], metadata={"k": 3}, outcome={"utility": 1, "cost": 2})
    two = memory.learn([["c"], ["d"]])
    memory.learn([["c"], ["d"]])
    lines = [[one.id, 1, [{"joy": 2.0}], {"k": [3]}, [1, 1.0, 2.0]], [two.id, 2, [], {}, [0, 0.0, 0.0]]]
    digest = hashlib.sha256(b"kimera.memory.state.v1\n")
    for line in sorted(lines):
        digest.update(json.dumps(line, separators=(",", ":")).encode() + b"\n")
    assert f"s1:{digest.hexdigest()}" == memory.state_hash()


def test_relearning_counts_and_unites(memory: Memory) -> None:
    """Promise: learning again adds one to the frequency, extends the window of emotives and unites metadata."""
    for number in range(7):
        learned = memory.learn([["a"], ["b"]], emotives=[{"joy": number}], metadata={"k": [1, "1", 1][number % 3]})
    assert (7, False) == (learned.frequency, learned.new)
    pattern = memory.pattern(learned.id)
    assert (4.0, ["1", 1]) == (pattern.emotives["joy"], pattern.metadata["k"])
    assert 7 == len(pattern.episodes)
    assert 21.0 == memory.affinity("a")["joy"]


def test_names_find_patterns(memory: Memory) -> None:
    """Promise: a pattern is found by id, by name and by PTRN|name, and nothing else."""
    learned = memory.learn([["don't"], ['say "hi"']])
    for ref in (learned.id, learned.name, f"PTRN|{learned.name}"):
        assert learned.id == memory.pattern(ref).id
    with pytest.raises(NotFoundError) as missing:
        memory.pattern("PTRN|nothing")
    assert "PATTERN_NOT_FOUND" == missing.value.code


@settings(max_examples=30, deadline=None)
@given(kept=st.lists(lessons, max_size=5), lost=st.lists(lessons, max_size=5), order=st.randoms(use_true_random=False))
def test_forgetting_equals_never_having_learned(shelf: Shelf, kept: Any, lost: Any, order: Any) -> None:
    """Promise: after forgetting, the state is that of a memory that never saw those episodes."""
    marked = [(lesson, "keep") for lesson in kept] + [(lesson, "lose") for lesson in lost]
    order.shuffle(marked)
    memory, other = shelf.memory(), shelf.memory()
    for lesson, source in marked:
        memory.learn(**{**lesson, "source": source})
        if source == "keep":
            other.learn(**{**lesson, "source": source})
    memory.forget(source="lose")
    assert other.state_hash() == memory.state_hash()
    assert other.affinity() == memory.affinity()
    assert memory.verify().ok


@example(
    history=[
        ("learn", {"events": [["a"], ["a"]]}),
        ("forget", {"symbol": "a"}),
        ("learn", {"events": [["a"], ["a"]]}),
    ]
)
@settings(max_examples=30, deadline=None)
@given(history=st.lists(steps, max_size=10))
def test_any_history_verifies_and_undo_is_its_own_inverse(shelf: Shelf, history: Any) -> None:
    """Promise: after any steps the tables, the index and the replay agree; undoing an undo restores the state."""
    memory = shelf.memory()
    for step in history:
        take(memory, step)
    assert () == memory.verify().problems
    before = memory.state_hash()
    for seq in range(1, memory.seq + 1):
        try:
            first = memory.undo(seq)
        except ConflictError:
            continue
        assert () == memory.verify().problems
        memory.undo(first.seq)
        assert before == memory.state_hash()
    memory.rebuild()
    assert before == memory.state_hash()
    assert () == memory.verify().problems


@settings(max_examples=40, deadline=None)
@given(st.lists(steps, max_size=14))
def test_the_short_way_to_episodes_finds_what_the_long_one_does(shelf: Shelf, history: Any) -> None:
    """Promise: a selector of a pattern or source reads what an index leads to, and finds the same episodes."""
    memory = shelf.memory()
    for step in history:
        take(memory, step)

    def look(rows: Any) -> None:
        number = memory.store.memory
        every = select(rows, number, Selection(everything=True))
        for name in ("", "s", "t"):
            assert [e for e in every if e.source == name] == select(rows, number, Selection(source=name))
        for pattern in {name for e in every for name in (e.pattern, e.taught) if name is not None}:
            ever = [e for e in every if pattern in {e.pattern, e.taught}]
            assert ever == select(rows, number, Selection(pattern=pattern), gone=True)
            live = [e for e in ever if e.pattern == pattern]
            if live:
                assert live == select(rows, number, Selection(pattern=pattern))

    memory.store.read(look)


def test_forgetting_a_pattern_does_not_read_the_log(memory: Memory) -> None:
    """Promise: what a forget by pattern or source reads does not grow with the number of episodes."""
    memory.learn_all([{"events": [["a"], [f"b{n}"]], "source": f"s{n % 100}"} for n in range(300)])
    assert memory.forget(pattern=memory.patterns(limit=1).patterns[0].id).episodes == 1
    assert memory.forget(source="s7").episodes in {2, 3}
    assert memory.store.transactions.times is not None
    assert sql.EPISODE_LIST not in memory.store.transactions.times.by_statement()
    if memory.store.transactions.database.embedded:
        wanted: dict[Any, tuple[str, ...]] = {
            sql.EPISODES_FROM: ("l USING INDEX ix_memory_log_source",),
            sql.EPISODES_ABOUT: ("l USING INDEX ix_memory_log_pattern", "m USING INDEX ix_memory_moves_pattern"),
            sql.EPISODES_OF: ("l USING INDEX ix_memory_log_pattern", "m USING INDEX ix_memory_moves_pattern"),
        }
        wanted[sql.EFFECTS_ON] = (
            "e USING COVERING INDEX",
            "l USING INDEX sqlite_autoindex_memory_log_1 (memory_id=? AND seq=?",
        )
        wanted[sql.LEARN_BY_UNIQUE] = ("memory_log USING INDEX ix_memory_log_unique (memory_id=? AND unique_id=?",)
        for by_name in (sql.READ_BY_NAME, sql.READ_GONE_BY_NAME):
            wanted[by_name] = ("memory_patterns USING INDEX ix_memory_patterns_name (memory_id=? AND name=?",)
        for statement, ways in wanted.items():
            plan = " ".join(memory.store.read(lambda rows, each=statement: plan_of(rows, each)))
            assert all(f"SEARCH {way}" in plan for way in ways) and "SCAN" not in plan, plan


def test_undo_voids_what_it_names(memory: Memory) -> None:
    """Promise: undo of a forget brings the episodes back, undo of that takes them away; a void record is refused."""
    learned = memory.learn([["a"], ["b"]])
    before = memory.state_hash()
    forgotten = memory.forget(pattern=learned.name)
    assert (EMPTY, 1, 1) == (memory.state_hash(), forgotten.episodes, forgotten.patterns)
    undone = memory.undo(forgotten.seq)
    assert before == memory.state_hash()
    with pytest.raises(ConflictError) as refused:
        memory.undo(forgotten.seq)
    assert "NOT_UNDOABLE" == refused.value.code
    memory.undo(undone.seq)
    assert EMPTY == memory.state_hash()
    with pytest.raises(NotFoundError) as missing:
        memory.undo(99)
    assert "SEQ_NOT_FOUND" == missing.value.code


def test_an_edit_moves_the_episodes(memory: Memory) -> None:
    """Promise: editing joins what is there already, editing to itself does nothing, and both can be undone."""
    one = memory.learn([["a"], ["b"]], emotives=[{"joy": 1}])
    two = memory.learn([["a"], ["c"]], emotives=[{"joy": 3}])
    before, seq = memory.state_hash(), memory.seq
    assert None is memory.edit(one.id, [["a"], ["b"]]).seq
    assert (before, seq) == (memory.state_hash(), memory.seq)
    changed = memory.edit(one.id, [["a"], ["c"]])
    pattern = memory.pattern(two.id)
    assert (2, {"joy": 2.0}, (1, 2)) == (
        pattern.frequency,
        pattern.emotives,
        tuple(episode.seq for episode in pattern.episodes),
    )
    assert 1 == memory.stats().patterns
    assert {"joy": 4.0} == memory.affinity("c")
    memory.undo(changed.seq)
    assert before == memory.state_hash()
    assert memory.verify().ok


def test_time_changes_nothing_until_expire_is_called(tmp_path: Path) -> None:
    """Promise: an episode outlives its time to live until expire writes so, and that can be undone."""
    clock = FakeClock()
    for memory in opened("sqlite", tmp_path, clock=clock):
        memory.learn([["a"], ["b"]], ttl_seconds=10)
        memory.learn([["c"], ["d"]])
        before = memory.state_hash()
        clock.tick(9.0)
        assert None is memory.expire().seq
        clock.tick(1.0)
        assert before == memory.state_hash()
        expired = memory.expire()
        assert (1, 1) == (expired.episodes, memory.stats().patterns)
        memory.undo(expired.seq)
        assert before == memory.state_hash()


def test_outcomes_join_the_newest_episode(memory: Memory) -> None:
    """Promise: an outcome recorded later counts with the newest episode, and goes with it."""
    memory.learn([["a"], ["b"]], outcome={"utility": 0.25, "cost": 1})
    newest = memory.learn([["a"], ["b"]])
    memory.record_outcome(newest.id, utility=0.75, cost=3)
    pattern = memory.pattern(newest.id)
    assert (2, 1.0, 2.0) == (pattern.outcomes, pattern.total_utility, pattern.cost)
    memory.forget(episodes=[newest.seq])
    pattern = memory.pattern(newest.id)
    assert (1, 0.25, 1.0) == (pattern.outcomes, pattern.total_utility, pattern.cost)


def test_selectors_are_and_ed_and_one_is_required(memory: Memory) -> None:
    """Promise: every selector given must hold, a dry run counts only, and no selector is an error."""
    memory.learn([["a"], ["b"]], source="s")
    memory.learn([["a"], ["c"]], source="s")
    memory.learn([["a"], ["c"]], source="t")
    before, seq = memory.state_hash(), memory.seq
    looked = memory.forget(source="s", symbol="c", dry_run=True)
    assert (1, None, before, seq) == (looked.episodes, looked.seq, memory.state_hash(), memory.seq)
    assert 1 == memory.forget(source="s", symbol="c").episodes
    assert None is memory.forget(source="nobody").seq
    with pytest.raises(ValidationError) as refused:
        memory.forget()
    assert "SELECTOR_REQUIRED" == refused.value.code
    assert 2 == memory.clear_all().episodes
    assert EMPTY == memory.state_hash()


def test_the_past_can_be_opened(memory: Memory) -> None:
    """Promise: at(seq) is the memory as it was then; it answers and refuses to learn."""
    hashes = [memory.state_hash()]
    for step in ([["a"], ["b"]], [["a"], ["c"]], [["a"], ["b"]]):
        memory.learn(step)
        hashes.append(memory.state_hash())
    memory.clear_all()
    for seq, expected in enumerate(hashes):
        with memory.at(seq) as past:
            assert expected == past.state_hash()
            assert past.verify().ok
    with memory.at(2) as past:
        assert 2 == len(past.predict([["a"]]).predictions)
        with pytest.raises(ConflictError):
            past.learn([["x"], ["y"]])
    with pytest.raises(NotFoundError):
        memory.at(99)


def test_labels_join_over_episodes(memory: Memory) -> None:
    """Promise: a pattern carries the least trust, the most secrecy and all sources of what taught it."""
    from kimera.guardian import Integrity, Label, Secrecy

    memory.learn([["a"], ["b"]], label=Label(Integrity.USER, Secrecy.PUBLIC, frozenset({"me"})))
    learned = memory.learn([["a"], ["b"]], label=Label(Integrity.VERIFIED, Secrecy.SECRET, frozenset({"x"})))
    expected = {"integrity": "VERIFIED", "secrecy": "SECRET", "sources": ["me", "x"]}
    assert expected == memory.pattern(learned.id).label
    session = memory.session()
    session.observe(["a"], source="web")
    (found,) = session.predictions().predictions
    assert {"integrity": "UNTRUSTED", "secrecy": "SECRET", "sources": ["me", "web", "x"]} == found.label


def test_a_damaged_log_is_noticed(tmp_path: Path) -> None:
    """Promise: a changed body, a changed column and a missing record each break the verification."""
    import sqlite3

    damages = [
        ("UPDATE memory_log SET body = replace(body, 'a', 'z') WHERE seq = 1", "the body of record 1"),
        ("UPDATE memory_log SET source = 'x' WHERE seq = 2", "record 2 was changed"),
        ("DELETE FROM memory_log WHERE seq = 2", "record 2 is missing"),
        ("UPDATE memory_patterns SET frequency = 9", "differs from the log"),
        ("DELETE FROM memory_patterns", "not in the table"),
    ]
    for number, (damage, words) in enumerate(damages):
        path = tmp_path / f"{number}.db"
        with Memory.open(path) as memory:
            for _ in range(3):
                memory.learn([["a"], ["b"]])
        with sqlite3.connect(path) as connection:
            connection.execute(damage)
        connection.close()
        with Memory.open(path) as memory:
            checked = memory.verify()
            assert not checked.ok
            assert any(words in problem for problem in checked.problems), checked.problems


def test_a_refused_call_changes_nothing(memory: Memory) -> None:
    """Promise: a refused learn, edit or outcome leaves no record."""
    learned = memory.learn([["a"], ["b"]])
    before = (memory.seq, memory.state_hash())
    refused = [
        lambda: memory.learn([["a"]]),
        lambda: memory.learn([["a"], [""]]),
        lambda: memory.learn([["a"], ["b"]], emotives=[{"joy": True}]),
        lambda: memory.learn([["a"], ["b"]], outcome={"utility": 2}),
        lambda: memory.edit(learned.id, [["a"]]),
        lambda: memory.edit("p1:nothing", [["a"], ["c"]]),
        lambda: memory.record_outcome(learned.id),
        lambda: memory.record_outcome(learned.id, cost=-1),
    ]
    for call in refused:
        with pytest.raises(KimeraError):
            call()
    assert before == (memory.seq, memory.state_hash())


def test_vectors_fix_the_dimension_until_they_are_forgotten(memory: Memory) -> None:
    """Promise: the first vector learned fixes the dimension; when the last is forgotten, none is fixed."""
    learned = memory.learn([["a", [1.0, 0.0]], ["b"]])
    with pytest.raises(ValidationError) as refused:
        memory.learn([["a", [1.0, 0.0, 0.0]], ["b"]])
    assert "VECTOR_DIMENSION" == refused.value.code
    near = memory.predict([["a", [0.99, 0.01]]]).predictions[0]
    assert 1 == len(near.anomalies)
    memory.forget(pattern=learned.id)
    memory.learn([["a", [1.0, 0.0, 0.0]], ["b"]])
    assert memory.verify().ok
