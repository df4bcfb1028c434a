"""What the resilience kernel's policies do shows as metrics."""

from __future__ import annotations

import gc

import pytest

from kimera.clock import FakeClock
from kimera.errors import BreakerOpen, BulkheadFull, RateLimited
from kimera.resilience import Breaker, Bulkhead, RateLimit, Retry
from kimera.telemetry.recording.metrics import REGISTRY
from kimera.telemetry.recording.resilience import on_resilience_event, watch


class Counted:
    """How far a metric of this process moved since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._asked = name, labels
        self._before = REGISTRY.value(name, **labels)

    @property
    def moved(self) -> float:
        """Return the difference."""
        name, labels = self._asked
        return REGISTRY.value(name, **labels) - self._before


def failing() -> None:
    """Fail as a dependency that is down."""
    raise ConnectionError("down")


def test_retries_and_giving_up_are_counted_by_policy() -> None:
    """Promise: three attempts that fail are two retries and one giving up."""
    policy = Retry(3, on=ConnectionError, initial=0.0, name="t1 retry", clock=FakeClock(auto=True))
    policy.subscribe(on_resilience_event)
    retries = Counted("kimera_retry_attempts_total", policy="t1 retry", outcome="retry")
    gave_up = Counted("kimera_retry_attempts_total", policy="t1 retry", outcome="gave_up")
    with pytest.raises(ConnectionError):
        policy(failing)()
    assert (2, 1) == (retries.moved, gave_up.moved)


def test_a_breaker_shows_its_state_and_its_changes() -> None:
    """Promise: an opened breaker counts one change and shows 2, also to a scrape that reads its statistics."""
    breaker = Breaker(failures=1, name="t1 breaker", clock=FakeClock())
    breaker.subscribe(on_resilience_event)
    opened = Counted("kimera_breaker_transitions_total", breaker="t1 breaker", to="open")
    with pytest.raises(ConnectionError):
        breaker(failing)()
    with pytest.raises(BreakerOpen):
        breaker(failing)()
    assert 1 == opened.moved
    assert 2 == REGISTRY.value("kimera_breaker_state", breaker="t1 breaker")


def test_refusals_are_counted_where_they_happen() -> None:
    """Promise: a full bulkhead and a passed rate each count one refusal under their own name."""
    slots = Bulkhead(1, name="t1 slots", queue=0)
    rate = RateLimit(1, per=60.0, max_wait=0.0, name="t1 rate", clock=FakeClock())
    for policy in (slots, rate):
        policy.subscribe(on_resilience_event)
    rejected = Counted("kimera_bulkhead_rejected_total", bulkhead="t1 slots")
    limited = Counted("kimera_rate_limited_total", limit="t1 rate")
    with slots, pytest.raises(BulkheadFull), slots:
        pass
    with pytest.raises(RateLimited):
        for _ in range(2):
            with rate:
                pass
    assert (1, 1) == (rejected.moved, limited.moved)


def test_watched_policies_are_read_at_scrape_for_as_long_as_they_live() -> None:
    """Promise: slots in use show while the bulkhead lives, and its series is gone with it."""
    slots = Bulkhead(4, name="t1 watched")
    watch(slots)
    with slots:
        REGISTRY.collect()
        assert 1 == REGISTRY.value("kimera_bulkhead_in_use", bulkhead="t1 watched")
    REGISTRY.collect()
    assert 0 == REGISTRY.value("kimera_bulkhead_in_use", bulkhead="t1 watched")
    del slots
    gc.collect()
    REGISTRY.collect()
    names = {child.values for child in REGISTRY.metric("kimera_bulkhead_in_use").present()}
    assert ("t1 watched",) not in names


def test_an_unknown_event_is_nothing() -> None:
    """Promise: an event of a newer kernel is passed over in silence."""
    on_resilience_event(object())
