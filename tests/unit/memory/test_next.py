"""The next-event distribution, the guard and the why-view."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory import oracle, oracle_next
from tests.unit.memory.worlds import (
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
)

from kimera.errors import NotFoundError
from kimera.memory.contracts import Guard, GuardOptions, NextEvents, NextOptions, RecallOptions, Why
from kimera.memory.index import Index
from kimera.memory.recall.guard import find_loop, guard
from kimera.memory.recall.next import next_events
from kimera.memory.recall.predict import predict
from kimera.memory.recall.why import why

fifty = settings(deadline=None, max_examples=50)
World = tuple[list[dict[str, Any]], Events]
LEARNED = [pattern(events("a b c"), 2), pattern(events("a b d"))]


def following(learned: list[dict[str, Any]], seen: str, **options: Any) -> NextEvents:
    """Return the distribution after the observed events."""
    return next_events(index_of(learned).view(), events(seen), NextOptions(**options))


def test_the_example_of_the_design() -> None:
    """Promise: learned a b c twice and a b d once, after a b: 246, 123, 12, 12, 12 and 20 of 425."""
    answer = following(LEARNED, "a b")
    found = {"".join(c.event): c.probability for c in answer.events}
    assert {"c": 246 / 425, "d": 123 / 425, "a": 12 / 425, "b": 12 / 425} == pytest.approx(found)
    assert (2, ("c",), None) == (answer.order, answer.answer, answer.reason)
    assert [12 / 425, 4 / 85, 0.0] == pytest.approx([answer.end, answer.unknown, answer.others])
    assert (2, 2, 2) == answer.events[0].counts
    assert found == pytest.approx(dict(answer.symbols))


def test_an_unseen_event_gives_no_context() -> None:
    """Promise: after an event never learned there is no answer, and the unknown has 5 of 17."""
    answer = following(LEARNED, "z")
    assert (None, "no_context", 0) == (answer.answer, answer.reason, answer.order)
    assert 5 / 17 == pytest.approx(answer.unknown)


def test_every_reason_for_no_answer() -> None:
    """Promise: an empty memory, too few observations and too much uncertainty each say so."""
    assert ("empty", 1.0) == (following([], "a").reason, following([], "a").unknown)
    assert "too_few" == following(LEARNED, "a b", min_count=4).reason
    assert "too_uncertain" == following(LEARNED, "a b", max_unknown=0.01).reason
    assert "too_uncertain" == following(LEARNED, "a b", min_probability=0.9).reason


def test_the_end_of_a_pattern_is_an_answer() -> None:
    """Promise: where the memory expects nothing more, the answer is the empty event."""
    assert () == following([pattern(events("a b"), 5)], "a b").answer


def test_outcomes_move_the_answer() -> None:
    """Promise: weight by utility prefers what went well."""
    learned = [pattern(events("a b"), 2, 4, 0.0), pattern(events("a c"), 1, 4, 4.0)]
    assert (("b",), ("c",)) == (following(learned, "a").answer, following(learned, "a", weight="utility").answer)


@fifty
@given(memory_and_query(SMALL), st.integers(0, 6), st.sampled_from(["frequency", "utility"]))
def test_probabilities_agree_with_exact_fractions(world: World, order: int, weight: Any) -> None:
    """Promise: events, others, end and unknown sum to 1; by frequency each is the exact value of the definition."""
    patterns, stm = world
    answer = next_events(index_of(patterns).view(), stm, NextOptions(max_order=order, weight=weight))
    assert math.isclose(
        1, math.fsum(c.probability for c in answer.events) + answer.others + answer.end + answer.unknown
    )
    assert answer == NextEvents.from_dict(json.loads(json.dumps(answer.to_dict())))
    if weight == "frequency":
        expected, used = oracle_next.distribution(patterns, stm, order)
        found = {c.event: c.probability for c in answer.events} | {None: answer.unknown, (): answer.end}
        assert {y: pytest.approx(float(p)) for y, p in ({(): Fraction(0)} | expected).items()} == found
        assert used == answer.order
    for symbol, mass in answer.symbols.items():
        assert math.isclose(mass, math.fsum(c.probability for c in answer.events if symbol in c.event), rel_tol=1e-9)


@fifty
@given(memory_and_query(SMALL), st.integers(1, 4))
def test_a_shorter_list_hides_no_mass(world: World, limit: int) -> None:
    """Promise: the listing limit moves mass to `others` and changes no figure."""
    patterns, stm = world
    view = index_of(patterns).view()
    long, short = next_events(view, stm), next_events(view, stm, NextOptions(limit=limit))
    assert short.events == long.events[: len(short.events)]
    assert (long.answer, long.unknown, long.totals) == (short.answer, short.unknown, short.totals)
    listed = math.fsum(c.probability for c in long.events[len(short.events) :])
    assert math.isclose(listed, short.others, abs_tol=1e-12)


def test_many_segments_and_gone_patterns_count_right() -> None:
    """Promise: occurrences are found in frozen segments and the tail alike, and not in what was forgotten."""
    index = Index()
    content = [pattern([("x",), (f"y{i % 3}",), (f"z{i}",)]) for i in range(3_000)]
    for start in range(0, 3_000, 700):
        index.apply(start, [change(p) for p in content[start : start + 700]])
        index.view()
    index.apply(9_000, [change(dict(p, frequency=0)) for p in content[:10]])
    answer = next_events(index.view(), events("x"))
    assert {"y0": 996, "y1": 997, "y2": 997} == {c.event[0]: c.counts[1] for c in answer.events[:3]}


@fifty
@given(st.lists(st.sampled_from("ab"), max_size=14), st.integers(2, 4))
def test_loops_agree_with_the_definition(text: list[str], least: int) -> None:
    """Promise: the shortest period wins, with its greatest repeat count."""
    stm = [(x,) for x in text]
    found = find_loop(stm, least)
    assert oracle_next.loop(stm, least) == (None if found is None else (found.period, found.repeats, found.start))


def judged(learned: list[dict[str, Any]], seen: str, **options: Any) -> Guard:
    """Return the verdict on the newest event."""
    return guard(index_of(learned).view(), events(seen), GuardOptions(**options))


def test_the_guard_sees_loops_first() -> None:
    """Promise: x a b a b a b is a loop of period 2, three times, from event 1."""
    found = judged(LEARNED, "x a b a b a b")
    assert found.loop is not None
    assert ("loop", 2, 3, 1) == (found.verdict, found.loop.period, found.loop.repeats, found.loop.start)


def test_the_guard_tells_the_odd_from_the_expected() -> None:
    """Promise: a well-known way is ok, another event on it an anomaly with its surprise, an unseen start unknown."""
    learned = [pattern(events("a b c d"), 200)]
    assert ("ok", ("b",)) == ((good := judged(learned, "a b")).verdict, good.expected)
    odd = judged(learned, "a z")
    assert "anomaly" == odd.verdict and odd.surprise is not None and odd.surprise > 6
    assert ("unknown", "no_context") == ((new := judged(learned, "y z")).verdict, new.reason)
    assert ("unknown", None, None) == ((none := judged(learned, "")).verdict, none.event, none.surprise)


def test_the_guard_shows_what_was_skipped_and_where_it_left_the_way() -> None:
    """Promise: skipped is what the best prediction misses, divergence the first event with something extra."""
    found = judged([pattern(events("a b c d e"))], "a c x d")
    assert ((("b",),), 2) == (tuple(m for m in found.skipped if m), found.divergence)
    assert found == Guard.from_dict(json.loads(json.dumps(found.to_dict())))


NAMES = {
    "log2": math.log2,
    "sqrt": math.sqrt,
    "fsum": math.fsum,
    "prod": math.prod,
    "sorted": sorted,
    "min": min,
    "len": len,
}


@fifty
@given(memory_and_query([*SMALL, *WORDS[:4], *VECTORS]), all_options(), st.data())
def test_every_figure_can_be_recomputed_from_the_explanation(
    world: World, options: RecallOptions, data: st.DataObject
) -> None:
    """Promise: evaluating each formula over its stated inputs, read from JSON alone, gives the stated value."""
    patterns, stm = world
    if not patterns:
        return
    view = index_of(patterns, vectors=VECTORS).view()
    one = oracle.pattern_id(data.draw(st.sampled_from(patterns))["events"])
    answer = why(view, stm, one, options, vectors=VECTORS, affinity={"a": 2.0})
    read = json.loads(json.dumps(answer.to_dict()))
    assert answer == Why.from_dict(read)
    for figure in read["figures"]:
        value = eval(figure["formula"], {"__builtins__": {}} | NAMES | figure["inputs"])
        assert value == figure["value"], figure
    shown = predict(view, stm, options, vectors=VECTORS, affinity={"a": 2.0})
    ids = [p.id for p in shown.predictions]
    if one in ids:
        assert (ids.index(one) + 1, 0) == (answer.rank, answer.cut)
        assert shown.predictions[ids.index(one)] == answer.prediction
    elif answer.rank is not None:
        assert answer.cut == answer.rank - options.max_predictions > 0


def test_the_explanation_speaks_symbol_by_symbol() -> None:
    """Promise: each symbol of both sides has its state and partner; text says how far a pattern falls short."""
    view = index_of([pattern(events("a b c d")), pattern(events("x y"))]).view()
    answer = why(view, events("b q d"), oracle.pattern_id(events("a b c d")))
    assert ["outside", "matched", "missing", "matched"] == [s.state for s in answer.pattern]
    assert [("matched", 1), ("extra", None), ("matched", 3)] == [(s.state, s.partner) for s in answer.observed]
    assert answer.text.startswith(f"{answer.prediction.id} is number 1 of 1 candidates")
    other = why(view, events("b q d"), oracle.pattern_id(events("x y")))
    assert (None, 0.1) == (other.rank, other.shortfall)
    assert "is no candidate: its similarity lies 0.1 below the threshold" in other.text
    with pytest.raises(NotFoundError):
        why(view, events("b"), "p1:00")
