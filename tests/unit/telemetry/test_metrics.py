"""Counting: children, the registry, caps and switches."""

from __future__ import annotations

import math
import threading
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.clock import FakeClock
from kimera.telemetry.recording.catalog import METRICS, OTHER
from kimera.telemetry.recording.children import NANO, Counter, Histogram, nano
from kimera.telemetry.recording.metrics import Reading, Registry

ENTROPY = "kimera_identity_entropy"
DROPPED = "kimera_metrics_dropped_labelsets_total"


def histogram(registry: Registry, name: str, **labels: str) -> Histogram:
    """Return a bound histogram."""
    return cast("Histogram", registry.metric(name).bind(**labels))


def test_a_family_shows_zeros_as_soon_as_it_is_named(registry: Registry) -> None:
    """Promise: every series of a closed counter or histogram is there, at zero, before anything happened."""
    missions = registry.metric("kimera_missions_total")
    assert 5 * 6 == len(missions.present())
    assert {0} == {cast("Counter", child).value for child in missions.present()}


def test_a_gauge_is_absent_until_somebody_knows_its_value(registry: Registry) -> None:
    """Promise: nobody is told "0 identities" by a process that has not looked; a check not made says so with -1."""
    assert [] == registry.metric("kimera_identities").present()
    assert 5 == len(registry.metric("kimera_decay_verification_status").present())
    assert -1.0 == registry.value("kimera_decay_verification_status", check="formula")


def test_a_value_moves_sum_count_and_its_own_bucket_only(registry: Registry) -> None:
    """Promise: a stored entropy of 2.5 moves the sum by 2.5, the count by 1, bucket 2.5 by 1 and bucket 2 by 0."""
    child = histogram(registry, ENTROPY, identity_type="geoid")
    child.observe(2.5)
    counts, total = child.snapshot()
    assert (2.5, 1) == (total, sum(counts))
    edges = METRICS[ENTROPY].edges
    assert (1, 0) == (counts[edges.index(2.5)], counts[edges.index(2.0)])


def test_binding_twice_gives_the_same_child(registry: Registry) -> None:
    """Promise: a child is one object per label values, so counts of two callers add up."""
    first = registry.metric("kimera_timeouts_total").bind(policy="search")
    first.inc()
    registry.metric("kimera_timeouts_total").bind(policy="search").inc(2)
    assert first is registry.metric("kimera_timeouts_total").bind(policy="search")
    assert 3 == registry.value("kimera_timeouts_total", policy="search")


def test_undeclared_names_and_values_raise_under_test(registry: Registry) -> None:
    """Promise: under test a metric, label, value or combination the catalogue does not know is an error."""
    with pytest.raises(ValueError, match="No metric is called kimera_typo_total"):
        registry.metric("kimera_typo_total")
    with pytest.raises(ValueError, match="has no value 'dog'"):
        registry.metric(ENTROPY).bind(identity_type="dog")
    with pytest.raises(ValueError, match="has the labels"):
        registry.metric(ENTROPY).bind()
    with pytest.raises(ValueError, match="knows no series"):
        registry.metric("kimera_mission_phase_duration_seconds").bind(track="fusion", phase="explore")


def test_undeclared_names_and_values_count_as_other_in_production(lenient: Registry) -> None:
    """Promise: in production nothing raises; the value counts under "other" and the loss is counted by metric."""
    lenient.metric("kimera_typo_total").bind(anything="x").inc()
    child = lenient.metric("kimera_chat_turns_total").bind(outcome="nobody declared this")
    child.inc()
    assert (OTHER,) == child.values
    assert 1 == lenient.value("kimera_chat_turns_total", outcome=OTHER)
    assert 1 == lenient.value(DROPPED, metric="kimera_chat_turns_total")
    assert 2 == lenient.value(DROPPED, metric=OTHER)  # the name, and its label


def test_a_catch_all_takes_any_value(registry: Registry) -> None:
    """Promise: where "other" is a declared value, what comes from data counts there and is no mistake."""
    registry.metric("kimera_degraded_total").bind(cause="a cause of a playbook").inc()
    assert 1 == registry.value("kimera_degraded_total", cause=OTHER)
    assert 0 == registry.value(DROPPED, metric="kimera_degraded_total")


def test_an_open_label_keeps_to_its_cap(registry: Registry) -> None:
    """Promise: 100,000 names make at most cap + 1 series, nothing is lost from the sum, and the loss is counted."""
    metric = registry.metric("kimera_timeouts_total")
    for number in range(100_000):
        metric.bind(policy=f"policy {number}").inc()
    assert 20 + 1 == len(metric.children)
    assert 100_000 - 20 == registry.value("kimera_timeouts_total", policy=OTHER)
    assert 100_000 - 20 == registry.value(DROPPED, metric="kimera_timeouts_total")


def test_nothing_is_counted_while_metrics_are_off(registry: Registry, off: None) -> None:
    """Promise: with metrics off every child is inert, whatever it is called with."""
    counter = registry.metric("kimera_timeouts_total").bind(policy="x")
    counter.inc()
    histogram(registry, ENTROPY, identity_type="geoid").observe(1.0)
    registry.metric("kimera_http_in_flight").bind().set(4)
    assert (0, 0, 0) == (
        registry.value("kimera_timeouts_total", policy="x"),
        registry.value(ENTROPY, identity_type="geoid"),
        registry.value("kimera_http_in_flight"),
    )


def test_a_counter_refuses_to_shrink_and_a_histogram_to_be_infinite(registry: Registry) -> None:
    """Promise: amounts that would spoil every rate are refused at the call that makes them."""
    with pytest.raises(ValueError, match="only grows"):
        registry.metric("kimera_timeouts_total").bind(policy="x").inc(-1)
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            histogram(registry, ENTROPY, identity_type="geoid").observe(wrong)
    with pytest.raises(TypeError, match="has no set"):
        registry.metric("kimera_timeouts_total").bind(policy="x").set(1)


def test_a_collector_is_asked_at_most_once_per_interval(registry: Registry) -> None:
    """Promise: what a collector reads from the database is shared for as long as it said, however often one scrapes."""
    clock = FakeClock()
    registry = Registry(strict=True, clock=clock)
    asked: list[float] = []

    def collect() -> list[Reading]:
        asked.append(clock.monotonic())
        return [Reading("kimera_missions_running", 3, {"state": "running"})]

    registry.register_collector(collect, every=10.0)
    for _ in range(4):
        registry.collect()
        clock.tick(4)
    assert [0.0, 12.0] == asked
    assert 3 == registry.value("kimera_missions_running", state="running")


def test_a_failing_collector_takes_only_its_own_series_away(registry: Registry) -> None:
    """Promise: readings that can no longer be made disappear instead of standing still, and others stay."""
    broken: list[Exception] = []
    told: list[Exception] = []

    def collect() -> list[Reading]:
        if broken:
            raise broken[0]
        return [Reading("kimera_disputes", 2, {"status": "open"})]

    registry.faults.append(told.append)
    registry.register_collector(collect)
    registry.register_collector(lambda: [Reading("kimera_reverification_due", 7)])
    registry.collect()
    assert 2 == registry.value("kimera_disputes", status="open")
    broken.append(OSError("locked"))
    registry.collect()
    assert [] == registry.metric("kimera_disputes").present()
    assert 7 == registry.value("kimera_reverification_due")
    assert broken == told


def test_a_collector_that_ends_takes_its_series_with_it(registry: Registry) -> None:
    """Promise: what a closed home reported is no longer shown as if it were now."""
    end = registry.register_collector(lambda: [Reading("kimera_disputes", 2, {"status": "open"})])
    registry.collect()
    end()
    assert [] == registry.metric("kimera_disputes").present()


def test_counts_of_many_threads_are_exact(registry: Registry) -> None:
    """Promise: eight threads counting at once lose nothing."""
    counter = registry.metric("kimera_timeouts_total").bind(policy="x")
    child = histogram(registry, ENTROPY, identity_type="geoid")

    def work() -> None:
        for _ in range(2_000):
            counter.inc()
            child.observe(1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 16_000 == registry.value("kimera_timeouts_total", policy="x") == sum(child.snapshot()[0])


@given(st.lists(st.integers(0, 10**12) | st.floats(0, 1e6), max_size=20))
def test_what_is_taken_adds_up_to_the_total(amounts: list[float]) -> None:
    """Promise: the increments taken over a counter's life are exactly its total, however they fall between rows."""
    child = cast("Counter", Registry(strict=True).metric("kimera_timeouts_total").bind(policy="x"))
    taken = 0
    for amount in amounts:
        child.inc(amount)
        taken += child.take()
    assert nano(child.value) == taken + child.take()


@given(st.integers(-(10**15), 10**15))
def test_whole_numbers_are_exact_in_billionths(number: int) -> None:
    """Promise: integers of any size survive the change of unit."""
    assert number * NANO == nano(number)


def test_a_total_counted_elsewhere_may_start_again(registry: Registry) -> None:
    """Promise: when the counter behind a collector restarts, its new total is added, none is taken away."""
    child = cast("Counter", registry.metric("kimera_cache_requests_total").bind(cache="answers", result="hit"))
    child.reach(10)
    child.reach(4)
    assert 14 * NANO == child.take()
