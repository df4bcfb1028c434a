"""The worked examples of the design, through the public surface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kimera.memory import Memory, Prediction

TOLERANCE = 1e-9


@pytest.fixture
def memory() -> Iterator[Memory]:
    """Yield an empty memory."""
    with Memory.open(":memory:") as opened:
        yield opened


def sequence(text: str) -> list[list[str]]:
    """Return events written as in the design: ``(ab) c`` is an event of two symbols, then one of one."""
    return [list(word[1:-1]) if word.startswith("(") else [word] for word in text.split()]


def predicted(memory: Memory, learned: str, observed: str, **options: Any) -> list[Prediction]:
    """Teach what stands before and between semicolons (``x2`` = twice), observe, and return the predictions."""
    session = memory.session("teacher")
    for text in learned.split(";"):
        words = text.removesuffix("x2").strip()
        for _ in range(2 if text.endswith("x2") else 1):
            for event in sequence(words):
                session.observe(event)
            session.learn()
    for event in sequence(observed):
        session.observe(event)
    return list(session.predictions(**options).predictions)


def lists(events: Any) -> list[list[str]]:
    """Return events as lists."""
    return [list(event) for event in events]


def check(found: Prediction, **expected: Any) -> None:
    """Compare the named fields, floats within the tolerance."""
    for name, value in expected.items():
        actual = getattr(found, name)
        if isinstance(value, float | int):
            assert pytest.approx(value, abs=TOLERANCE) == actual, name
        elif name == "matches":
            assert value == list(actual), name
        else:
            assert value == lists(actual), name


def test_one_gap_on_each_side(memory: Memory) -> None:
    """Promise: fixture 1."""
    (found,) = predicted(memory, "a b c d", "b c")
    check(
        found,
        matches=["b", "c"],
        past=[["a"]],
        present=[["b"], ["c"]],
        future=[["d"]],
        missing=[[], []],
        extras=[[], []],
        similarity=2 / 3,
        evidence=0.5,
        confidence=1,
        snr=1,
        fragmentation=0,
        itfdf_similarity=1,
        potential=3.5,
        entropy=1,
        normalized_entropy=0.5,
        hamiltonian=0.5,
        global_normalized_entropy=0,
        grand_hamiltonian=0,
        confluence=0,
        tfidf_score=0.5,
        predictive_information=2 / 3,
        bayesian_posterior=1,
    )
    (future,) = memory.session("teacher").predictions().future_potentials
    assert [["d"]] == lists(future.future)
    assert (1, 1) == (future.aggregate_potential, future.supporting_patterns)
    assert pytest.approx(2 / 3, abs=TOLERANCE) == future.total_weighted_frequency


def test_a_broken_match(memory: Memory) -> None:
    """Promise: fixture 2."""
    (found,) = predicted(memory, "(ab) (cd) e", "a c")
    check(
        found,
        present=[["a", "b"], ["c", "d"]],
        future=[["e"]],
        missing=[["b"], ["d"]],
        similarity=4 / 7,
        evidence=0.4,
        confidence=0.5,
        snr=1,
        fragmentation=1,
        itfdf_similarity=0.7071067811865475,
        potential=2.1071067811865474,
        entropy=2,
        normalized_entropy=0.8613531161467861,
        alignment=[[0, 0], [2, 1]],
    )


def test_what_does_not_belong_is_extra(memory: Memory) -> None:
    """Promise: fixture 3."""
    (found,) = predicted(memory, "a b", "(ax) b y")
    check(
        found,
        matches=["a", "b"],
        extras=[["x"], [], ["y"]],
        missing=[[], []],
        similarity=2 / 3,
        evidence=1,
        confidence=1,
        snr=1 / 3,
        fragmentation=1,
        potential=13 / 6,
        predictive_information=0,
    )


def test_ties_are_ordered_by_id(memory: Memory) -> None:
    """Promise: fixture 4."""
    first, second = predicted(memory, "a b c x2; a b d", "a b")
    assert [True, True] == [first.id.startswith("p1:d1f10f74"), second.id.startswith("p1:e660c9d9")]
    for found, prior in ((first, 1 / 3), (second, 2 / 3)):
        check(found, potential=11 / 3, similarity=0.8, evidence=2 / 3, predictive_information=0.8, confluence=0)
        check(found, bayesian_prior=prior, bayesian_posterior=prior)
    answer = memory.session("teacher").predictions()
    assert 3 == answer.statistics.total_frequency
    shown = [(lists(f.future), f.aggregate_potential, f.total_weighted_frequency) for f in answer.future_potentials]
    assert [[["c"]], [["d"]]] == [future for future, _, _ in shown]
    assert pytest.approx([2 / 3, 1.6, 1 / 3, 0.8]) == [value for _, *values in shown for value in values]


def test_an_unknown_symbol_lowers_the_ratio(memory: Memory) -> None:
    """Promise: fixture 5."""
    (found,) = predicted(memory, "a b c; x a y", "b z")
    check(
        found,
        past=[["a"]],
        present=[["b"]],
        future=[["c"]],
        extras=[[], ["z"]],
        similarity=0.4,
        evidence=1 / 3,
        confidence=1,
        snr=1 / 3,
        potential=22 / 9,
        confluence=0.25,
        entropy=0,
        global_normalized_entropy=0.21533827903669653,
        tfidf_score=2,
    )


def test_a_repeated_symbol_not_seen_is_missing(memory: Memory) -> None:
    """Promise: fixture 6."""
    (found,) = predicted(memory, "(ac) (bc) d", "c d")
    check(
        found,
        past=[["a", "c"]],
        present=[["b", "c"], ["d"]],
        missing=[["b"], []],
        similarity=4 / 7,
        confidence=2 / 3,
        fragmentation=0,
        itfdf_similarity=0.8164965809277259,
        potential=2.8831632475943927,
    )


def test_the_order_follows_rank_by(memory: Memory) -> None:
    """Promise: fixture 7."""
    first, second = predicted(memory, "a b c d e; a x b y", "a b")
    assert [["a"], ["b"], ["c"], ["d"], ["e"]] == lists(first.sequence)
    check(first, potential=3.4, similarity=4 / 7)
    check(second, potential=2.6380711874576983, similarity=2 / 3, itfdf_similarity=0.9714045207910316)
    turned = memory.session("teacher").predictions(rank_by="similarity").predictions
    assert [second.id, first.id] == [found.id for found in turned]


def test_a_misspelt_symbol_counts_as_matched(memory: Memory) -> None:
    """Promise: fixture 8."""
    (found,) = predicted(memory, "apple banana cherry date", "apple bannana cherry", fuzzy_token_threshold=0.8)
    check(
        found,
        matches=["apple", "bannana", "cherry"],
        missing=[[], [], []],
        extras=[[], [], []],
        similarity=6 / 7,
        evidence=0.75,
        confidence=1,
        fragmentation=0,
        potential=3.75,
    )
    (anomaly,) = found.anomalies
    assert ("bannana", "banana") == (anomaly.observed, anomaly.expected)
    assert pytest.approx(0.923076923076923, abs=TOLERANCE) == anomaly.similarity


def test_patterns_are_learned_by_length(memory: Memory) -> None:
    """Promise: fixture 9: ROLLING keeps the last events, CLEAR none."""
    rolling = memory.session("rolling", max_pattern_length=3, stm_mode="ROLLING")
    seen = [rolling.observe([symbol]) for symbol in "abcde"]
    learned = [
        "".join(symbol for event in memory.pattern(each.auto_learned_id).events for symbol in event)
        for each in seen
        if each.auto_learned_id
    ]
    assert ["abc", "bcd", "cde"] == learned
    assert [["d"], ["e"]] == rolling.stm
    assert [1, 2, 2, 2, 2] == [each.stm_length for each in seen]
    clear = memory.session("clear", max_pattern_length=3)
    seen = [clear.observe([symbol]) for symbol in "abcde"]
    assert [False, False, True, False, False] == [each.auto_learned_id is not None for each in seen]
    assert [["d"], ["e"]] == clear.stm


def test_emotives_stay_with_their_own_pattern(memory: Memory) -> None:
    """Promise: fixture 10: emotives and affinities come from the events they came with."""
    session = memory.session()
    session.observe(["a"], emotives={"joy": 2})
    session.observe(["b"], emotives={"joy": 4, "fear": -1})
    session.learn()
    session.observe(["c"])
    session.observe(["d"])
    other = session.learn()
    session.observe(["a"])
    session.observe(["b"])
    (found,) = session.predictions().predictions
    assert {"joy": 3.0, "fear": -1.0} == dict(found.emotives)
    assert {"fear": -1.0, "joy": 3.0} == memory.affinity("a") == memory.affinity("b")
    assert {} == memory.affinity("c")
    assert {} == memory.pattern(other.id).emotives
