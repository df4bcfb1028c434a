"""Sessions: observing, learning by length, duplicates, life time; one suite for every store of short-term events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory.stores import SHORT_TERM, Shelf, opened, short_term

from kimera.clock import FakeClock
from kimera.errors import ConflictError, KimeraError, NotFoundError, ValidationError
from kimera.memory import Memories, Memory, Observed, Session


@pytest.fixture(params=SHORT_TERM)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield each kind of store for short-term events."""
    with short_term(request.param) as stm:
        yield stm


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands still."""
    return FakeClock()


@pytest.fixture
def memory(place: str, clock: FakeClock, tmp_path: Path) -> Iterator[Memory]:
    """Yield an empty memory with each kind of short-term store."""
    yield from opened("sqlite", tmp_path, stm=place, clock=clock)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Yield what makes empty memories."""
    made = Shelf()
    yield made
    made.memories.close()


def twin(memory: Memory, session: str) -> Session:
    """Return the same session as another process would open it."""
    return Session(memory, memory.stm_store.find(memory.store.memory, session))  # type: ignore[arg-type]


def test_an_event_is_sorted_and_counted(memory: Memory) -> None:
    """Promise: one observation is one event, time counts it, and nothing is predicted unasked."""
    session = memory.session()
    seen = session.observe(["b", "a", "b"], [[1.0, 0.0]], source="s")
    assert (True, 1, 1, None, None) == (seen.event_added, seen.time, seen.stm_length, seen.predictions, seen.guard)
    ((vector, *strings),) = session.stm
    assert (["a", "b", "b"], "VCTR|v1:959bc28f") == (strings, vector[:16])


def test_an_empty_observation_attaches_to_the_newest_event(memory: Memory) -> None:
    """Promise: no symbols: time goes on, the events stay, emotives and metadata join the newest event, if any."""
    session = memory.session()
    lost = session.observe(emotives={"joy": 1}, metadata={"k": 1})
    session.observe(["a"])
    session.observe(["b"], emotives={"fear": 1})
    kept = session.observe(emotives={"joy": 2}, metadata={"k": 2})
    session.observe(["c"])
    bare = session.observe()
    assert (False, False, 0, 1) == (lost.record_attached, lost.event_added, lost.stm_length, lost.time)
    assert (True, False, 2, 4) == (kept.record_attached, kept.event_added, kept.stm_length, kept.time)
    assert (False, 6) == (bare.record_attached, bare.time)
    pattern = memory.pattern(session.learn().id)
    assert ({"fear": 1.0, "joy": 2.0}, {"k": [2]}) == (pattern.emotives, pattern.metadata)
    assert [] == session.stm


def test_the_same_unique_id_is_applied_once(memory: Memory) -> None:
    """Promise: while its event is there, an observation with a known id gets its first answer and applies nothing."""
    session = memory.session(max_pattern_length=3, stm_mode="ROLLING")
    answers = [session.observe([symbol], unique_id=symbol) for symbol in "abc"]
    before = (session.stm, session.time, memory.seq)
    for number in (1, 2):
        again = session.observe(["z"], unique_id="abc"[number])
        assert again.duplicate
        assert answers[number].to_dict() == {**again.to_dict(), "duplicate": False}
    assert before == (session.stm, session.time, memory.seq)
    assert not session.observe(["a"], unique_id="a").duplicate  # its event had fallen out


def test_the_oldest_events_fall_out(memory: Memory) -> None:
    """Promise: the short-term memory holds at most stm_limit events."""
    session = memory.session(stm_limit=2)
    assert [1, 2, 2, 2] == [session.observe([symbol]).stm_length for symbol in "abcd"]
    assert [["c"], ["d"]] == session.stm == twin(memory, "default").stm


def test_too_little_is_not_learned(memory: Memory) -> None:
    """Promise: a pattern needs two symbols; one event of two is enough, one symbol keeps the short-term memory."""
    session = memory.session()
    session.observe(["a"])
    with pytest.raises(ValidationError) as refused:
        session.learn()
    assert ("PATTERN_TOO_SHORT", 400, [["a"]], 0) == (
        refused.value.code,
        refused.value.http_status,
        session.stm,
        memory.seq,
    )
    session.clear_stm()
    session.observe(["a", "b"])
    assert (2, True, []) == ((learned := session.learn()).length, learned.new, session.stm)


def test_auto_learning_of_one_symbol_learns_nothing_and_treats_the_events_the_same(memory: Memory) -> None:
    """Promise: reaching the length with fewer than two symbols clears without learning."""
    session = memory.session(max_pattern_length=1)
    seen = session.observe(["a"])
    assert (None, 0, 0) == (seen.auto_learned_id, seen.stm_length, memory.seq)


def test_rolling_keeps_emotives_and_metadata(memory: Memory) -> None:
    """Promise: what ROLLING keeps, it keeps with what came along."""
    session = memory.session(max_pattern_length=2, stm_mode="ROLLING")
    session.observe(["a"], emotives={"joy": 1})
    session.observe(["b"], emotives={"joy": 2}, metadata={"k": "b"})
    learned = session.observe(["c"], emotives={"joy": 4})
    pattern = memory.pattern(str(learned.auto_learned_id))
    assert ({"joy": 3.0}, {"k": ["b"]}) == (pattern.emotives, pattern.metadata)


def test_sessions_and_memories_share_nothing(memory: Memory) -> None:
    """Promise: look-alike names are different memories and sessions, with events and options of their own."""
    names = ["acme-x", "acme.x", "acme x", "ACME-X"]
    memories = [memory._memories.get(name) for name in names]
    for number, (each, name) in enumerate(zip(memories, names, strict=True)):
        for other in names:
            each.session(other, max_predictions=number + 1).observe([name, other])
        each.learn([[name], ["b"]])
    for number, (each, name) in enumerate(zip(memories, names, strict=True)):
        assert [[[name], ["b"]]] == [[list(e) for e in p.events] for p in each.patterns().patterns]
        assert 1 == each.seq
        for other in names:
            session = each.session(other)
            assert ([sorted([name, other])], number + 1) == (session.stm, session.options.max_predictions)
    assert sorted(names) == [name for name in memory._memories.names() if name in names]


def test_a_session_expires_after_its_last_use(memory: Memory, clock: FakeClock) -> None:
    """Promise: use prolongs a session, an unused one ends, looking whether it exists is no use of it."""
    session = memory.session("s", ttl_seconds=10)
    memories = memory._memories
    session.observe(["a"])
    clock.tick(9)
    session.predictions()
    clock.tick(9)
    assert [["a"]] == session.stm
    clock.tick(9)
    assert (memory.name, False) == memories.session_home("s")
    clock.tick(1)
    assert (memory.name, True) == memories.session_home("s")
    for call in (lambda: session.observe(["b"]), lambda: memories.session("s")):
        with pytest.raises(NotFoundError) as ended:
            call()
        assert ("SESSION_EXPIRED", 410) == (ended.value.code, ended.value.http_status)
    fresh = memory.session("s")
    assert [] == fresh.stm
    fresh.extend(100)
    clock.tick(99)
    assert 1 == memories.count_sessions()
    fresh.delete()
    with pytest.raises(NotFoundError) as missing:
        fresh.observe(["a"])
    assert "SESSION_NOT_FOUND" == missing.value.code
    assert None is memories.session_home("s")


def test_outlived_sessions_are_swept_away(tmp_path: Path, clock: FakeClock) -> None:
    """Promise: a process that opens sessions without end does not keep the events of those that ended."""
    for memory in opened("sqlite", tmp_path, stm="sql", clock=clock):
        for number in range(130):
            memory.session(f"s{number}", ttl_seconds=1).observe(["a"])
            clock.tick(1)
        sessions = "SELECT count(*) FROM memory_sessions UNION ALL SELECT count(*) FROM memory_stm"
        with memory.store.transactions.database.engine.connect() as connection:
            left = [count for (count,) in connection.exec_driver_sql(sessions)]
        assert all(count < 70 for count in left), left


def test_a_session_lives_on_one_memory(memory: Memory) -> None:
    """Promise: asking for a session on another memory than its own is a conflict."""
    memory.session("mine")
    assert "mine" == memory._memories.session("mine").id
    with pytest.raises(ConflictError) as refused:
        memory._memories.session("mine", memory="elsewhere", create=True)
    assert "SESSION_CONFLICT" == refused.value.code


def test_options_of_a_session_are_its_own(memory: Memory) -> None:
    """Promise: a bad option refuses the whole call; a good one holds for this session and others see where from."""
    with pytest.raises(ValidationError):
        memory.session("s", anchor="end", persistence=3)
    assert None is memory._memories.session_home("s")
    session = memory.session("s", persistence=3)
    with pytest.raises(ValidationError):
        session.configure(anchor="start", nope=1)
    assert "anywhere" == session.options.anchor
    session.configure(anchor="start")
    memory.configure(max_predictions=7)
    shown = twin(memory, "s").config
    assert [("start", "session"), (7, "memory"), (5, "default")] == [
        (shown[name]["value"], shown[name]["from"]) for name in ("anchor", "max_predictions")
    ] + [(memory.session("t").config["persistence"]["value"], "default")]


@pytest.mark.parametrize("place", SHORT_TERM[1:], indirect=True)
def test_two_processes_on_one_session_lose_nothing(memory: Memory) -> None:
    """Promise: a step from an old view is planned again on the new one, so both processes' events are there."""
    one, two = memory.session("s"), twin(memory, "s")
    two.observe(["a"])
    for number in range(5):
        one.observe([f"x{number}"])
        two.observe([f"y{number}"])
    expected = [["a"]] + [[f"{side}{number}"] for number in range(5) for side in "xy"]
    assert expected == one.stm == two.stm
    assert 11 == one.time == two.time
    learned = one.learn()
    assert [] == two.stm
    with pytest.raises(ValidationError):
        two.learn()
    assert (1, 11) == (memory.seq, learned.length)


actions = st.fixed_dictionaries(
    {},
    optional={
        "strings": st.lists(st.sampled_from("abc"), max_size=2),
        "emotives": st.dictionaries(st.sampled_from(["joy"]), st.integers(-3, 3), max_size=1),
        "metadata": st.dictionaries(st.just("k"), st.integers(0, 2), max_size=1),
        "unique_id": st.sampled_from(["u", "v"]),
        "source": st.sampled_from(["s", "t"]),
        "predict": st.booleans(),
        "guard": st.booleans(),
    },
)


def one_by_one(session: Session, items: list[dict[str, Any]], each: bool, end: bool, between: bool) -> list[Observed]:
    """Do with single calls what `observe_sequence` does."""

    def learn() -> None:
        if sum(map(len, session.stm)) >= 2:
            session.learn()

    results = []
    for number, item in enumerate(items):
        if between and number:
            session.clear_stm()
        results.append(session.observe(**item))
        if each:
            learn()
    if end:
        learn()
    return results


@settings(max_examples=60, deadline=None)
@given(
    first=st.lists(actions, max_size=3),
    items=st.lists(actions, max_size=8),
    ways=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    config=st.fixed_dictionaries(
        {},
        optional={
            "max_pattern_length": st.integers(1, 4),
            "stm_mode": st.sampled_from(["CLEAR", "ROLLING"]),
            "stm_limit": st.integers(1, 5),
            "predict_on_observe": st.booleans(),
            "affinity_emotive": st.just("joy"),
        },
    ),
)
def test_a_sequence_equals_single_calls(shelf: Shelf, first: Any, items: Any, ways: Any, config: Any) -> None:
    """Promise: observe_sequence answers and leaves behind what the same single calls would."""
    together, singly = shelf.memory(), shelf.memory()
    a, b = together.session("s", **config), singly.session("s", **config)
    for item in first:
        a.observe(**item)
        b.observe(**item)
    names = ("learn_after_each", "learn_at_end", "clear_stm_between")
    answer = a.observe_sequence(items, **dict(zip(names, ways, strict=True)))
    assert one_by_one(b, items, *ways) == list(answer.results)
    assert (singly.state_hash(), singly.seq, b.stm, b.time) == (together.state_hash(), together.seq, a.stm, a.time)
    assert len(b.stm) == answer.final_stm_length
    assert together.verify().ok


def test_a_sequence_is_applied_all_or_nothing(memory: Memory) -> None:
    """Promise: one bad observation refuses the whole sequence, naming it."""
    session = memory.session(max_pattern_length=2)
    session.observe(["a"])
    with pytest.raises(ValidationError) as refused:
        session.observe_sequence([{"strings": ["b"]}, {"strings": ["c"]}, {"strings": [""]}])
    assert ("SYMBOL_INVALID", "observations[2].strings") == (refused.value.code, refused.value.field)
    vectors = [{"strings": ["b"], "vectors": [[1.0]]}, {"strings": ["c"], "vectors": [[1.0, 2.0]]}]
    with pytest.raises(ValidationError) as refused:
        session.observe_sequence([*vectors, {"strings": ["d"], "vectors": [[1.0, 2.0]]}])
    assert "VECTOR_DIMENSION" == refused.value.code
    assert ([["a"]], 1, 0) == (session.stm, session.time, memory.seq)
    answer = session.observe_sequence([{"strings": [symbol]} for symbol in "bcde"])
    assert (4, 1, 1, 2) == (
        answer.observations_processed,
        answer.initial_stm_length,
        answer.final_stm_length,
        len(answer.auto_learned_patterns),
    )
    assert [["e"]] == session.stm == twin(memory, "default").stm


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"strings": "abc"}, "BODY_INVALID"),
        ({"strings": [3]}, "BODY_INVALID"),
        ({"strings": [[1.0]]}, "BODY_INVALID"),
        ({"strings": [""]}, "SYMBOL_INVALID"),
        ({"strings": ["a\0"]}, "SYMBOL_INVALID"),
        ({"strings": ["\udfff"]}, "SYMBOL_INVALID"),
        ({"strings": ["x" * 4_097]}, "SYMBOL_INVALID"),
        ({"strings": ["a"] * 10_001}, "SYMBOL_INVALID"),
        ({"strings": ["VCTR|mine"]}, "SYMBOL_RESERVED"),
        ({"vectors": [[]]}, "VECTOR_INVALID"),
        ({"vectors": [[float("nan")]]}, "VECTOR_INVALID"),
        ({"vectors": [1.0]}, "BODY_INVALID"),
        ({"vectors": [[1.0, 2.0, 3.0]]}, "VECTOR_DIMENSION"),
        ({"strings": ["a"], "emotives": {"joy": True}}, "EMOTIVES_INVALID"),
        ({"strings": ["a"], "emotives": {"joy": float("inf")}}, "EMOTIVES_INVALID"),
        ({"strings": ["a"], "metadata": {"k": {1}}}, "METADATA_INVALID"),
        ({"strings": ["a"], "metadata": {"k": "x" * 70_000}}, "METADATA_INVALID"),
        ({"strings": ["a"], "unique_id": 3}, "BODY_INVALID"),
        ({"strings": ["a"], "source": "\0"}, "BODY_INVALID"),
        ({"strings": ["a"], "predict": 1}, "BODY_INVALID"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(memory: Memory, call: dict[str, Any], code: str) -> None:
    """Promise: each kind of bad input has its code, and the state stays as it was."""
    memory.learn([["a", [1.0, 2.0]], ["b"]])
    session = memory.session()
    session.observe(["a"], [[1.0, 2.0]])
    before = (session.stm, session.time, memory.seq, memory.state_hash())
    with pytest.raises(ValidationError) as refused:
        session.observe(**call)
    assert code == refused.value.code
    assert before == (session.stm, session.time, memory.seq, memory.state_hash())


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", "a\0", "\ud800", 3])
def test_a_bad_memory_name_is_refused(name: Any) -> None:
    """Promise: names have 1 to 256 characters and no control characters."""
    memories = Memories.open(":memory:")
    with pytest.raises(ValidationError) as refused:
        memories.get(name)
    assert "MEMORY_NAME_INVALID" == refused.value.code
    with pytest.raises(NotFoundError) as missing:
        memories.get("absent", create=False)
    assert "MEMORY_NOT_FOUND" == missing.value.code
    memories.close()


HOSTILE = [
    "'",
    '"',
    "\\",
    "%",
    "%s",
    "%(x)s",
    ":x",
    "a\nb",
    "'; DROP TABLE memory_log; --",
    "ß" * 2_048,
    "\u202e",
    "{}",
]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_hostile_symbols_are_symbols(tmp_path: Path, kind: str) -> None:
    """Promise: quotes, SQL, percent signs and long symbols do what plain letters do."""
    plain = [f"letter{number:02}" for number in range(len(HOSTILE))]
    for memory in opened(kind, tmp_path, stm="sql"):
        counts = []
        for symbols in (HOSTILE, plain):
            session = memory.session(symbols[0])
            for symbol in symbols:
                session.observe([symbol], emotives={symbol[:9]: 1.0}, metadata={symbol: symbol}, unique_id=symbol[:99])
            learned = session.learn(source=symbols[0])
            session.observe([symbols[3]])
            found = session.predictions(recall_threshold=0).predictions
            match = next(each for each in found if each.id == learned.id)
            counts.append(
                (
                    match.potential,
                    len(memory.patterns(contains=symbols[4]).patterns),
                    len(memory.symbols(symbols[8])),
                    memory.forget(source=symbols[0], symbol=symbols[2], session=symbols[0]).episodes,
                )
            )
        assert counts[0] == counts[1]
        assert () == memory.verify().problems


def test_learning_that_fails_leaves_the_session_as_it_was(memory: Memory) -> None:
    """Promise: when the log refuses, an observation that would have learned is not kept either."""
    session = memory.session(max_pattern_length=2)
    session.observe(["a"], [[1.0]], unique_id="first")
    memory.learn([["x", [1.0, 2.0]], ["y"]])
    before = session.stm
    with pytest.raises(KimeraError) as refused:
        session.observe(["b"], unique_id="second")
    assert "VECTOR_DIMENSION" == refused.value.code
    assert (before, 1) == (session.stm, memory.seq)
    session.configure(max_pattern_length=0)
    assert not session.observe(["b"], unique_id="second").duplicate
    assert 2 == len(session.stm) == len(twin(memory, "default").stm)


@pytest.mark.redis
def test_a_learn_repeated_after_a_crash_is_recognised(tmp_path: Path, clock: FakeClock) -> None:
    """Promise: dying between learning and trimming the stream leaves nothing to be learned twice."""
    from kimera.memory.observing.stm_redis import RedisStm

    class Dies(RedisStm):
        """Loses its connection before it trims what was learned."""

        def _run(self, held: Any, version: int, change: Any, expires_at: float, drop_from: int = 0) -> bool:
            if change.floor > 0:
                raise ConnectionError
            return super()._run(held, version, change, expires_at, drop_from)

    with short_term("redis") as url:
        memories = Memories.open(tmp_path / "m.db", stm=url, clock=clock)
        dying = Memories.open(tmp_path / "m.db", stm=Dies(memories.transactions, url, clock), clock=clock)
        session = dying.get().session("s")
        session.observe(["a"])
        session.observe(["b"])
        with pytest.raises(ConnectionError):
            session.learn()
        memory = memories.get()
        again = twin(memory, "s")
        assert [] == again.stm
        learned = again.learn()
        assert (1, 1, False) == (learned.seq, memory.seq, learned.new)
        with pytest.raises(ValidationError):
            again.learn()
        again.observe(["c", "d"])
        assert 2 == again.learn().seq
        dying.close()
        memories.close()
