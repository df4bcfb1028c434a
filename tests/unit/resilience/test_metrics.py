"""Durations: counts, errors, quantiles."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.resilience.callees import never, settle

from kimera.errors import ServiceError
from kimera.resilience import Metrics, timed_execution

FIVE = {"avg_time_ms", "min_time_ms", "max_time_ms", "success_rate", "total_requests"}


def test_the_summary_has_the_five_keys_and_is_json() -> None:
    """Promise (44): the guide's five keys with right values, and JSON also when empty."""
    metrics = Metrics()
    assert "{}" == json.dumps(metrics.get_summary())
    for duration, success in ((1.0, True), (2.0, True), (6.0, False)):
        metrics.record("ask", duration, success)
    summary = json.loads(json.dumps(metrics.get_summary()))["ask"]
    assert FIVE <= set(summary)
    assert [3.0, 1.0, 6.0, 3] == [
        summary[key] for key in ("avg_time_ms", "min_time_ms", "max_time_ms", "total_requests")
    ]
    assert 100 * 2 / 3 == pytest.approx(summary["success_rate"])


def test_only_cancelled_calls_are_no_failure() -> None:
    """Promise: an operation that was only cancelled has no requests, and its summary is still JSON."""
    metrics = Metrics()
    metrics.record_cancelled("ask")
    summary = json.loads(json.dumps(metrics.get_summary()))["ask"]
    assert (0, 1, 0.0) == (summary["total_requests"], summary["cancelled"], summary["max_time_ms"])


def test_errors_are_counted_by_code() -> None:
    """Promise: our errors by their code, foreign ones by class."""
    metrics = Metrics()
    metrics.record("ask", 1, error=ServiceError("down", "api", 503))
    metrics.record("ask", 1, error=KeyError("x"))
    metrics.record("ask", 1, success=False)
    assert {"FAILED": 1, "KeyError": 1, "SERVICE_API_503": 1} == metrics.get_summary()["ask"]["errors"]


@given(st.lists(st.floats(0, 1e7, allow_nan=False), min_size=1, max_size=200))
def test_quantiles_are_within_one_percent(durations: list[float]) -> None:
    """Promise: p50, p95 and p99 are the ceil(q * n)-th smallest, within 1 %."""
    metrics = Metrics()
    for duration in durations:
        metrics.record("op", duration)
    summary = metrics.get_summary()["op"]
    for q, key in ((0.5, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
        assert summary[key] == pytest.approx(sorted(durations)[math.ceil(q * len(durations)) - 1], rel=0.0101)


def test_wrong_durations_are_refused() -> None:
    """Promise: negative and non-finite durations raise ValueError and count nothing."""
    metrics = Metrics()
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="0 or more"):
            metrics.record("op", wrong)
    assert {} == metrics.get_summary()


def test_merge_and_reset() -> None:
    """Promise: merging gives the summary of all, quantiles included; reset forgets."""
    one, two, whole = Metrics(), Metrics(), Metrics()
    for i in range(100):
        (one if i % 2 else two).record("op", float(i))
        whole.record("op", float(i))
    one.merge(two)
    assert whole.get_summary() == one.get_summary()
    one.reset()
    assert {} == one.get_summary()


def test_threads_lose_no_count() -> None:
    """Promise: 8 threads with 500 records each give 4,000."""
    metrics = Metrics()
    threads = [threading.Thread(target=lambda: [metrics.record("op", 1) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 4000 == metrics.get_summary()["op"]["total_requests"]


async def test_every_call_is_timed_and_cancellation_is_apart(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: success, failure and cancellation are each recorded, sync and async; slow calls are logged."""
    metrics = Metrics()

    @timed_execution("work", metrics, slow_ms=0.0)
    async def work(kind: str) -> str:
        if kind == "bad":
            raise ValueError
        if kind == "hang":
            await never()
        return kind

    @timed_execution(metrics=metrics)
    def plain() -> int:
        return 1

    with caplog.at_level(logging.WARNING, "kimera.resilience"):
        assert "good" == await work("good")
    assert ["work took"] == [record.getMessage()[:9] for record in caplog.records]
    with pytest.raises(ValueError):
        await work("bad")
    hanging = [asyncio.create_task(work("hang")) for _ in range(100)]
    await settle()
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert 1 == plain()
    summary = metrics.get_summary()
    assert (2, 50.0, 100) == tuple(summary["work"][key] for key in ("total_requests", "success_rate", "cancelled"))
    assert 1 == next(row for name, row in summary.items() if name.endswith("plain"))["total_requests"]
