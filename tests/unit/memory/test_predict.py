"""Predictions agree with a plain reading of their definition, field by field, however the index is tuned."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory import oracle
from tests.unit.memory.worlds import (
    PLAIN,
    SMALL,
    VECTORS,
    WORDS,
    Events,
    all_options,
    change,
    events,
    index_of,
    memory_and_query,
    pattern,
    shown,
)

from kimera.memory.contracts import Body, MemoryTuning, Observed, Predictions, RecallOptions
from kimera.memory.index import Index, Overlap
from kimera.memory.recall.predict import predict

LARGE = [f"w{i}" for i in range(40)]
AFFINITY = {"a": 3.0, "b": -1.5, "apple": 0.25, "w3": 7.0}
fifty = settings(deadline=None, max_examples=50)
World = tuple[list[dict[str, Any]], Events]


def check(world: World, options: RecallOptions, tuning: MemoryTuning) -> None:
    """Compare the product with the oracle; json makes the comparison one of bytes."""
    patterns, stm = world
    view = index_of(patterns, tuning, VECTORS).view()
    answer = predict(view, stm, options, vectors=VECTORS, affinity=AFFINITY)
    expected = oracle.predict(patterns, stm, options.to_dict(), VECTORS, AFFINITY)
    assert json.dumps(expected, sort_keys=True) == json.dumps(shown(answer), sort_keys=True)


@fifty
@given(memory_and_query(SMALL), all_options(), st.sampled_from([MemoryTuning(), MemoryTuning(**PLAIN)]))
def test_small_vocabularies_agree_with_the_definition(
    world: World, options: RecallOptions, tuning: MemoryTuning
) -> None:
    """Promise: where symbols repeat and everything ties, each field is what its formula says, to the last bit."""
    check(world, options, tuning)


@fifty
@given(memory_and_query(LARGE), all_options())
def test_large_vocabularies_agree_with_the_definition(world: World, options: RecallOptions) -> None:
    """Promise: the same over many symbols."""
    check(world, options, MemoryTuning())


@fifty
@given(memory_and_query([*WORDS, *VECTORS]), all_options(), st.sampled_from([MemoryTuning(), MemoryTuning(**PLAIN)]))
def test_near_words_and_vectors_agree_with_the_definition(
    world: World, options: RecallOptions, tuning: MemoryTuning
) -> None:
    """Promise: near symbols are replaced per pattern, the nearest first, and listed as anomalies."""
    check(world, options, tuning)


@fifty
@given(memory_and_query(SMALL), st.data())
def test_counters_of_a_session_give_what_a_fresh_count_gives(world: World, data: st.DataObject) -> None:
    """Promise: whatever happens between two predictions - new events, lost ones, learning - the counters stay true."""
    patterns, stm = world
    options = RecallOptions(recall_threshold=0.4)
    index, overlap, known = Index(), Overlap(), []
    for seq, p in enumerate(patterns):
        index.apply(seq, [change(p)])
        known.append(p)
        low = data.draw(st.integers(0, len(stm)))
        part = stm[low : data.draw(st.integers(low, len(stm)))]
        warm = predict(index.view(), part, options, overlap=overlap)
        assert oracle.predict(known, part, options.to_dict()) == shown(warm)


@fifty
@given(memory_and_query(SMALL), st.data())
def test_a_memory_that_forgot_is_one_that_never_knew(world: World, data: st.DataObject) -> None:
    """Promise: changed frequencies, gone patterns and returned ones leave no trace; older views stay as they were."""
    patterns, stm = world
    options = RecallOptions()
    index = index_of(patterns)
    before = index.view()
    expected_before = oracle.predict(patterns, stm, options.to_dict())
    after = [dict(p, frequency=data.draw(st.integers(0, 2))) for p in patterns]
    index.apply(2, [change(p) for p in after])
    expected = oracle.predict([p for p in after if p["frequency"]], stm, options.to_dict())
    assert expected == shown(predict(index.view(), stm, options))
    index.apply(3, [change(p) for p in patterns])
    assert expected_before == shown(predict(index.view(), stm, options)) == shown(predict(before, stm, options))


def test_a_pattern_that_changes_twice_at_once_counts_once() -> None:
    """Promise: within one record the last state of a pattern holds."""
    index = Index()
    content = events("a b c")
    index.apply(1, [change(pattern(content, 1)), change(pattern(events("x y"))), change(pattern(content, 3))])
    expected = oracle.predict([pattern(content, 3), pattern(events("x y"))], events("a b"), RecallOptions().to_dict())
    assert expected == shown(predict(index.view(), events("a b")))


def test_a_memory_that_forgot_most_is_rebuilt_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: compaction renumbers rows; answers, older views and session counters do not notice."""
    monkeypatch.setattr("kimera.memory.index.store.TAIL", 8)
    monkeypatch.setattr("kimera.memory.index.store.GONE_ROWS", 8)
    patterns = [pattern((("a",), (f"s{i}",), (f"VCTR|v1:{i % 5:064x}",))) for i in range(40)]
    index, overlap = Index(), Overlap()
    index.apply(1, [change(p, VECTORS) for p in patterns])
    stm, options = (("a",), ("s7",), tuple(VECTORS)[:1]), RecallOptions()
    before = index.view()
    first = predict(before, stm, options, vectors=VECTORS, overlap=overlap)
    index.apply(2, [change(dict(p, frequency=0)) for p in patterns[::2]])
    assert index.view().generation == 1 and index.view().rows == 20
    expected = oracle.predict(patterns[1::2], stm, options.to_dict(), VECTORS)
    assert expected == shown(predict(index.view(), stm, options, vectors=VECTORS, overlap=overlap))
    assert first == predict(before, stm, options, vectors=VECTORS)


def fixture(learned: list[dict[str, Any]], seen: str | Events, **options: Any) -> Predictions:
    """Predict over a small memory."""
    stm = events(seen) if isinstance(seen, str) else seen
    return predict(index_of(learned).view(), stm, RecallOptions(**options))


def close(expected: dict[str, Any], prediction: Any) -> None:
    """Compare fields: numbers to 1e-9, everything else exactly."""
    data = prediction.to_dict()
    for name, value in expected.items():
        assert data[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value), name


def test_acceptance_a_gap_on_both_sides() -> None:
    """Promise: fixture 1 of the design, every figure."""
    answer = fixture([pattern(events("a b c d"))], "b c")
    expected = {
        "id": "p1:07766ceeed73e6dc48dfbdf309331f6fc97a2191615a49f4e34a855f423c7da8",
        "matches": ["b", "c"],
        "past": [["a"]],
        "present": [["b"], ["c"]],
        "future": [["d"]],
        "missing": [[], []],
        "extras": [[], []],
        "similarity": 2 / 3,
        "evidence": 0.5,
        "confidence": 1.0,
        "snr": 1.0,
        "fragmentation": 0,
        "itfdf_similarity": 1.0,
        "potential": 3.5,
        "entropy": 1.0,
        "normalized_entropy": 0.5,
        "hamiltonian": 0.5,
        "global_normalized_entropy": 0.0,
        "grand_hamiltonian": 0.0,
        "confluence": 0.0,
        "tfidf_score": 0.5,
        "predictive_information": 2 / 3,
        "bayesian_posterior": 1.0,
    }
    close(expected, answer.predictions[0])
    assert [1.0, 1, pytest.approx(2 / 3)] == list(answer.future_potentials[0].to_dict().values())[1:]
    assert (("d",),) == answer.future_potentials[0].future


def test_acceptance_symbols_missing_inside_events() -> None:
    """Promise: fixture 2 of the design."""
    (found,) = fixture([pattern(events("(ab) (cd) e"))], "a c").predictions
    expected = {
        "present": [["a", "b"], ["c", "d"]],
        "future": [["e"]],
        "missing": [["b"], ["d"]],
        "similarity": 4 / 7,
        "evidence": 0.4,
        "confidence": 0.5,
        "snr": 1.0,
        "fragmentation": 1,
        "itfdf_similarity": 0.7071067811865475,
        "potential": 2.1071067811865474,
        "entropy": 2.0,
        "normalized_entropy": 0.8613531161467861,
        "alignment": [[0, 0], [2, 1]],
    }
    close(expected, found)


def test_acceptance_extras_of_the_observed() -> None:
    """Promise: fixture 3 of the design."""
    (found,) = fixture([pattern(events("a b"))], "(ax) b y").predictions
    expected = {
        "matches": ["a", "b"],
        "extras": [["x"], [], ["y"]],
        "missing": [[], []],
        "similarity": 2 / 3,
        "evidence": 1.0,
        "confidence": 1.0,
        "snr": 1 / 3,
        "fragmentation": 1,
        "potential": 13 / 6,
        "predictive_information": 0.0,
    }
    close(expected, found)


def test_acceptance_ties_go_by_id_and_futures_by_share() -> None:
    """Promise: fixture 4 of the design."""
    answer = fixture([pattern(events("a b c"), 2), pattern(events("a b d"))], "a b")
    first, second = answer.predictions
    assert ("p1:d1f10f74", "p1:e660c9d9") == (first.id[:11], second.id[:11])
    shared = {
        "potential": 11 / 3,
        "similarity": 0.8,
        "evidence": 2 / 3,
        "predictive_information": 0.8,
        "confluence": 0.0,
    }
    for found, prior in ((first, 1 / 3), (second, 2 / 3)):
        close({**shared, "bayesian_prior": prior, "bayesian_posterior": prior}, found)
    assert 3 == answer.statistics.total_frequency
    futures = [(f.future, f.aggregate_potential, f.total_weighted_frequency) for f in answer.future_potentials]
    assert [((("c",),), pytest.approx(2 / 3), pytest.approx(1.6)), ((("d",),), pytest.approx(1 / 3), 0.8)] == futures


def test_acceptance_one_candidate_of_two() -> None:
    """Promise: fixture 5 of the design."""
    (found,) = fixture([pattern(events("a b c")), pattern(events("x a y"))], "b z").predictions
    expected = {
        "past": [["a"]],
        "present": [["b"]],
        "future": [["c"]],
        "extras": [[], ["z"]],
        "similarity": 0.4,
        "evidence": 1 / 3,
        "confidence": 1.0,
        "snr": 1 / 3,
        "potential": 22 / 9,
        "confluence": 0.25,
        "entropy": 0.0,
        "global_normalized_entropy": 0.21533827903669653,
        "tfidf_score": 2.0,
    }
    close(expected, found)


def test_acceptance_a_repeated_symbol() -> None:
    """Promise: fixture 6 of the design."""
    (found,) = fixture([pattern(events("(ac) (bc) d"))], "c d").predictions
    expected = {
        "past": [["a", "c"]],
        "present": [["b", "c"], ["d"]],
        "missing": [["b"], []],
        "similarity": 4 / 7,
        "confidence": 2 / 3,
        "fragmentation": 0,
        "itfdf_similarity": 0.8164965809277259,
        "potential": 2.8831632475943927,
    }
    close(expected, found)


def test_acceptance_ranks() -> None:
    """Promise: fixture 7 of the design: potential and similarity order differently."""
    learned = [pattern(events("a b c d e")), pattern(events("a x b y"))]
    first, second = fixture(learned, "a b").predictions
    close({"length": 5, "potential": 3.4, "similarity": 4 / 7}, first)
    close({"potential": 2.6380711874576983, "similarity": 2 / 3, "itfdf_similarity": 0.9714045207910316}, second)
    assert [second.id, first.id] == [p.id for p in fixture(learned, "a b", rank_by="similarity").predictions]


def test_acceptance_a_misspelt_word() -> None:
    """Promise: fixture 8 of the design."""
    fruit = [pattern([("apple",), ("banana",), ("cherry",), ("date",)])]
    (found,) = fixture(fruit, (("apple",), ("bannana",), ("cherry",)), fuzzy_token_threshold=0.8).predictions
    expected = {
        "matches": ["apple", "bannana", "cherry"],
        "missing": [[], [], []],
        "extras": [[], [], []],
        "similarity": 6 / 7,
        "evidence": 0.75,
        "confidence": 1.0,
        "fragmentation": 0,
        "potential": 3.75,
    }
    close(expected, found)
    assert [("bannana", "banana", pytest.approx(0.923076923076923))] == [
        (a.observed, a.expected, a.similarity) for a in found.anomalies
    ]


def test_an_empty_short_term_memory_predicts_nothing() -> None:
    """Promise: nothing observed, nothing predicted, threshold 0 or not."""
    answer = fixture([pattern(events("a b"))], "", recall_threshold=0.0)
    assert ((), 0, 1) == (answer.predictions, len(answer.future_potentials), answer.statistics.patterns)


def test_bodies_are_read_for_the_winners_only() -> None:
    """Promise: names, emotives and metadata are asked for once, for exactly the predictions shown."""
    asked: list[list[str]] = []

    def bodies(ids: Any) -> dict[str, Body]:
        asked.append(list(ids))
        return {ids[0]: Body(name="n", emotives={"joy": 2.0}, cost=1.5)}

    learned = [pattern(events("a b c"), 2), pattern(events("a b d"))]
    options = RecallOptions(max_predictions=1)
    (found,) = predict(index_of(learned).view(), events("a b"), options, bodies).predictions
    assert ([[found.id]], "n", 1.5) == (asked, found.name, found.cost)


def _ordered(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False)


def test_an_answer_is_written_as_its_objects_are() -> None:
    """Promise: JSON that is written from columns is that of the objects, odd symbols and figures too."""
    odd = ['say "hi"', "back\\slash", "line\nbreak\x01\x7f", "é𝄞", "</script>", "a"]
    learned = [pattern(tuple((symbol, "a") for symbol in odd[: n + 1]), 10**n) for n in range(len(odd))]
    label = {"integrity": "USER", "secrecy": "PUBLIC", "sources": ["é"]}

    def bodies(ids: Any) -> dict[str, Body]:
        return {each: Body('n"', {"joy": -1e-7}, {"k": [3, {"deep": None}]}, 2.5e20, label) for each in ids[1:]}

    for options in (RecallOptions(recall_threshold=0), RecallOptions(fuzzy_token_threshold=0.5, max_predictions=2)):
        answer = predict(index_of(learned).view(), (("a", odd[0]), (), ("aa", "é𝄞", "é𝄞")), options, bodies)
        observed = Observed(1, 'u"', True, 3, 7, predictions=answer)
        assert _ordered(observed.to_dict()) == _ordered(json.loads(observed.to_json()))
        assert answer.predictions[0] == answer.predictions[:1][0] == next(iter(answer.predictions))


@fifty
@given(memory_and_query(SMALL), all_options())
def test_answers_keep_their_invariants(world: World, options: RecallOptions) -> None:
    """Promise: figures stay in their ranges, posteriors sum to 1, the parts make the whole, JSON reads back equal."""
    patterns, stm = world
    answer = predict(index_of(patterns).view(), stm, options)
    assert answer == Predictions.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert _ordered(answer.to_dict()) == _ordered(json.loads(answer.to_json()))
    if answer.statistics.ensemble == len(answer.predictions) and answer.statistics.ensemble_weight:
        assert math.isclose(1, sum(p.bayesian_posterior for p in answer.predictions))
    for p in answer.predictions:
        for name in ("similarity", "evidence", "confidence", "confluence", "bayesian_posterior"):
            assert 0 <= getattr(p, name) <= 1 + 1e-12, name
        assert 0 <= p.predictive_information <= 1 and -1 <= p.snr <= 1
        assert p.past + p.present + p.future == p.sequence
        assert len(p.matches) + sum(map(len, p.extras)) == sum(map(len, stm))
