"""Service levels from known histories: shares, intervals, budgets, burn, and what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.clock import FakeClock
from kimera.errors import ConfigurationError, ValidationError
from kimera.telemetry.reading import slo
from kimera.telemetry.reading.slo import ServiceLevel, ServiceLevels
from kimera.telemetry.retention.outcomes import Cause, Ending, MemoryOutcomes, Outcome

NOW = FakeClock().now().timestamp()
HOUR = 3_600.0


@dataclass
class Counted:
    """Requests as (seconds ago, route, status class, count)."""

    held: list[tuple[float, str, str, float]] = field(default_factory=list)

    def total(self, metric: str, by: Sequence[str], start: float, end: float) -> dict[tuple[str, ...], float]:
        assert ("kimera_http_requests_total", ("route", "status_class")) == (metric, tuple(by))
        grown: dict[tuple[str, ...], float] = {}
        for ago, route, status, count in self.held:
            if start <= NOW - ago < end:
                grown[route, status] = grown.get((route, status), 0.0) + count
        return grown


def ended(
    outcome: Ending, count: int, cause: Cause = "none", ago: float = 2 * HOUR, took: float = 0.1
) -> list[Outcome]:
    return [
        Outcome(f"m{outcome}{cause}{n}{ago}", 0, outcome, cause, NOW - ago - 9, NOW - ago, 1.0, took, 0.5)
        for n in range(count)
    ]


def read(
    outcomes: Sequence[Outcome] = (), requests: Counted | None = None, window: str = "30d"
) -> dict[str, ServiceLevel]:
    levels = ServiceLevels(MemoryOutcomes(outcomes), requests or Counted(), FakeClock())
    return {level.name: level for level in levels.read(window)}


def test_ninety_five_of_a_hundred_meet_the_target_with_nothing_to_spare() -> None:
    """Promise: 95 of 100 is .95, met, budget 0, with Wilson's interval [.888250, .978456]."""
    level = read(ended("done", 60) + ended("degraded", 20) + ended("partial", 15) + ended("failed", 5, "internal"))
    success = level["mission_success"]
    assert (0.95, "met", 0.0, 95, 100) == (success.value, success.status, success.budget, success.good, success.valid)
    assert success.interval == pytest.approx((0.888250, 0.978456), abs=5e-7)


def test_ninety_four_of_a_hundred_do_not() -> None:
    """Promise: 94 of 100 is violated and the budget is overdrawn by a fifth."""
    success = read(ended("done", 94) + ended("failed", 6, "timeout"))["mission_success"]
    assert ("violated", 0.94) == (success.status, success.value)
    assert success.budget == pytest.approx(-0.2)


def test_outages_of_a_provider_and_cancellations_are_left_out_and_counted() -> None:
    """Promise: 100 good and 7 provider outages are 1.0 with 7 excluded; who cancels does not count either way."""
    success = read(ended("done", 100) + ended("failed", 7, "provider_outage") + ended("cancelled", 3))[
        "mission_success"
    ]
    assert (1.0, 100, {"provider_outage": 7, "cancelled": 3}) == (success.value, success.valid, success.excluded)
    assert 1.0 == success.budget


def test_a_partial_report_under_an_outage_is_a_success() -> None:
    """Promise: what ended with a report counts as good whatever its first error was."""
    assert 1 == read(ended("partial", 1, "provider_outage"))["mission_success"].good


def test_nothing_is_no_data_and_no_violation() -> None:
    """Promise: without missions and requests every level says no_data and has no numbers."""
    for level in read().values():
        assert ("no_data", None, None, None) == (level.status, level.value, level.interval, level.budget)
        assert {"1h": None, "6h": None} == level.burn


def test_the_95th_percentile_is_the_nearest_rank() -> None:
    """Promise: of 1..100 times 10 ms it is .95 s; at 2 s exactly the promise is broken."""
    times = [one for n in range(1, 101) for one in ended("done", 1, took=n / 100, ago=HOUR + n)]
    assert (0.95, "met") == (read(times)["orchestration_latency"].value, read(times)["orchestration_latency"].status)
    slow = read(ended("done", 94, took=0.5) + ended("failed", 6, "internal", took=2.0))["orchestration_latency"]
    assert (2.0, "violated", 94) == (slow.value, slow.status, slow.good)


def test_queue_wait_stands_beside_and_what_was_not_measured_is_counted() -> None:
    """Promise: the wait in the queue is shown and not added; rounds without a measurement are excluded by count."""
    old = Outcome("old", 0, "done", "none", NOW - 99, NOW - 90)
    level = read([*ended("done", 4), old])["orchestration_latency"]
    assert ({"queue_seconds_p95": 0.5}, {"not_measured": 1}, 4) == (level.beside, level.excluded, level.valid)


def test_burn_compares_the_last_hours_with_what_is_allowed() -> None:
    """Promise: one of ten failing in the last hour burns at twice the allowed rate, and less over six hours."""
    level = read(ended("done", 9, ago=0.5 * HOUR) + ended("failed", 1, "internal", ago=0.5 * HOUR) + ended("done", 30))
    assert {"1h": 2.0, "6h": 0.5} == level["mission_success"].burn


def test_requests_count_by_status_without_the_metrics_page() -> None:
    """Promise: 5xx are errors, every other answer is good, /metrics does not count."""
    held = [(HOUR / 2, "/api/missions", "2xx", 990.0), (HOUR / 2, "/api/missions", "4xx", 5.0)]
    held += [(HOUR / 2, "/api/missions", "5xx", 5.0), (HOUR / 2, "/metrics", "5xx", 100.0)]
    level = read(requests=Counted(held))["api_availability"]
    assert (0.995, "met", 1000, 0.0) == (level.value, level.status, level.valid, level.budget)
    worse = read(requests=Counted([*held, (2 * HOUR, "/", "5xx", 1.0)]))["api_availability"]
    assert ("violated", 1.0) == (worse.status, worse.burn["1h"])


def test_a_window_leaves_out_what_is_older() -> None:
    """Promise: only what ended within the window counts."""
    outcomes = ended("failed", 9, "internal", ago=25 * HOUR) + ended("done", 1, ago=23 * HOUR)
    assert (1, "met") == (
        read(outcomes, window="1d")["mission_success"].valid,
        read(outcomes, window="24h")["mission_success"].status,
    )


@pytest.mark.parametrize("window", ["", "30", "d", "0d", "-1d", "1w", "366d", "1.5h", "99999d"])
def test_other_windows_are_refused(window: str) -> None:
    """Promise: a window that is no time up to a year is a validation error that says how to write it."""
    with pytest.raises(ValidationError, match="30d, 12h or 90m"):
        slo.seconds_of(window)


@given(st.integers(0, 5_000), st.integers(0, 5_000))
def test_the_interval_holds_the_share(good: int, bad: int) -> None:
    """Promise: the interval lies in [0, 1], contains the share, and narrows with more of the same."""
    interval = slo.wilson(good, good + bad)
    if interval is None:
        assert 0 == good + bad
        return
    low, high = interval
    assert 0 <= low <= good / (good + bad) <= high <= 1
    ten = slo.wilson(10 * good, 10 * (good + bad))
    assert ten is not None
    assert ten[1] - ten[0] < high - low


@given(st.lists(st.floats(0, 10), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_with_enough_below(values: list[float], q: float) -> None:
    """Promise: the nearest rank is an observed value that at least the share q does not exceed."""
    found = slo.nearest_rank(values, q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values) - 1e-9  # type: ignore[operator]


def test_asking_without_a_home_says_so() -> None:
    """Promise: `slo` answers from what is attached, and without it names what is missing."""
    with pytest.raises(ConfigurationError, match="home"):
        slo.slo()
    slo.attach(ServiceLevels(MemoryOutcomes(ended("done", 3)), Counted(), FakeClock()))
    try:
        assert 3 == slo.slo("1d")[0].good
    finally:
        slo.attach(None)


def test_the_gauges_show_shares_targets_and_budgets() -> None:
    """Promise: the collector reports ratio and remaining budget of what has data, and every target."""
    levels = ServiceLevels(MemoryOutcomes(ended("done", 94) + ended("failed", 6, "internal")), Counted(), FakeClock())
    found = {(one.name, one.labels["slo"]): one.value for one in levels.readings()}
    assert 0.94 == found["kimera_slo_ratio", "mission_success"]
    assert found["kimera_slo_error_budget_remaining_ratio", "mission_success"] == pytest.approx(-0.2)
    assert {0.95, 0.995} == {value for (name, _), value in found.items() if name == "kimera_slo_target"}
    assert ("kimera_slo_ratio", "api_availability") not in found
