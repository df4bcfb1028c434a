"""What the resilience kernel does, as metrics. It is a sibling: events and statistics are read by field name."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

from kimera.telemetry.recording.metrics import Reading, metric, register_collector

__all__ = ["on_resilience_event", "watch"]

STATES = {"closed": 0, "half_open": 1, "open": 2, "isolated": 2}


def on_resilience_event(event: Any) -> None:
    """Count one event of a policy; subscribe it with ``policy.subscribe(telemetry.on_resilience_event)``."""
    count = COUNTED.get(type(event).__name__)
    if count is not None:
        count(event)


def _retry_scheduled(event: Any) -> None:
    metric("kimera_retry_attempts_total").bind(policy=event.name, outcome="retry").inc()


def _retry_given_up(event: Any) -> None:
    metric("kimera_retry_attempts_total").bind(policy=event.name, outcome="gave_up").inc()


def _breaker_changed(event: Any) -> None:
    metric("kimera_breaker_transitions_total").bind(breaker=event.name, to=event.new).inc()
    metric("kimera_breaker_state").bind(breaker=event.name).set(STATES[event.new])


def _call_refused(event: Any) -> None:
    # a breaker's refusals show in its state; the other two refuse one call at a time
    if event.policy == "bulkhead":
        metric("kimera_bulkhead_rejected_total").bind(bulkhead=event.name).inc()
    elif event.policy == "rate_limit":
        metric("kimera_rate_limited_total").bind(limit=event.name).inc()


def _timed_out(event: Any) -> None:
    metric("kimera_timeouts_total").bind(policy=event.name).inc()


def _cache_refreshed(event: Any) -> None:
    # how often stale entries were served is read from the cache's statistics
    if not event.ok:
        metric("kimera_errors_total").bind(module="resilience", severity="low").inc()


COUNTED = {
    "RetryScheduled": _retry_scheduled,
    "RetryGivenUp": _retry_given_up,
    "BreakerChanged": _breaker_changed,
    "CallRefused": _call_refused,
    "TimedOut": _timed_out,
    "CacheRefreshed": _cache_refreshed,
}

_watched: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = threading.Lock()
_registered: list[object] = []


def watch(policy: Any) -> None:
    """Show the statistics of a breaker, bulkhead, cache or pool at every scrape, for as long as it lives."""
    with _lock:
        _watched.add(policy)
        if not _registered:
            _registered.append(register_collector(_statistics))


def _statistics() -> list[Reading]:
    with _lock:
        policies = list(_watched)
    added: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for policy in policies:
        for name, value, labels in _facts(policy.name, policy.stats()):
            key = name, tuple(labels.items())
            # of two policies of one name the breaker further from closed shows; everything else adds up
            added[key] = max(added.get(key, 0), value) if name == "kimera_breaker_state" else added.get(key, 0) + value
    return [Reading(name, value, dict(labels)) for (name, labels), value in added.items()]


def _facts(name: str, stats: Any) -> Iterator[tuple[str, float, dict[str, str]]]:
    if hasattr(stats, "consecutive_failures"):
        yield "kimera_breaker_state", STATES[stats.state], {"breaker": name}
    elif hasattr(stats, "in_flight"):
        yield "kimera_bulkhead_in_use", stats.in_flight, {"bulkhead": name}
        yield "kimera_bulkhead_queued", stats.waiting, {"bulkhead": name}
    elif hasattr(stats, "lent"):
        yield "kimera_pool_connections", stats.idle, {"pool": name, "state": "idle"}
        yield "kimera_pool_connections", stats.lent, {"pool": name, "state": "busy"}
    elif hasattr(stats, "misses"):
        counted = {"hit": "hits", "miss": "misses", "stale": "stale_hits", "shared": "coalesced"}
        for result, attribute in counted.items():
            yield "kimera_cache_requests_total", getattr(stats, attribute, 0), {"cache": name, "result": result}
