"""Policies in order, and what all of them share."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.resilience.callees import Flaky, FlakySync, Gate, settle

from kimera.clock import FakeClock
from kimera.errors import BreakerOpen, ConfigurationError
from kimera.resilience import (
    Breaker,
    Bulkhead,
    Err,
    Ok,
    Pipeline,
    PipelineWarning,
    RateLimit,
    Retry,
    RetryScheduled,
    Timeout,
    cached,
    timed_execution,
)
from kimera.validation import NotEmpty, with_validation


def policies() -> list[Callable[[Any], Any]]:
    """Return one decorator of each kind that takes async functions."""
    clock = FakeClock()
    pipeline = Pipeline(Retry(clock=clock), Breaker("p", clock=clock), Timeout(5, clock=clock), Bulkhead(3))
    single = [Retry(clock=clock), Breaker("b", clock=clock), Bulkhead(3), RateLimit(100), cached()]
    return [*single, Timeout(5), pipeline, timed_execution("t"), with_validation(text=NotEmpty())]


@pytest.mark.parametrize("policy", policies(), ids=lambda p: getattr(p, "__qualname__", type(p).__name__))
async def test_name_doc_and_signature_survive(policy: Callable[[Any], Any]) -> None:
    """Promise (29): every decorator keeps name, doc, signature and kind, for async and plain functions."""

    async def ask(text: str, *, deep: bool = False) -> str:
        """Ask."""
        return text

    def now(text: str, *, deep: bool = False) -> str:
        """Now."""
        return text

    guarded = policy(ask)
    assert ("ask", "Ask.", inspect.signature(ask)) == (guarded.__name__, guarded.__doc__, inspect.signature(guarded))
    assert inspect.iscoroutinefunction(guarded)
    assert "x" == await guarded("x", deep=True)
    if not isinstance(policy, Timeout) and not (isinstance(policy, Pipeline)):
        plain = policy(now)
        assert ("now", "Now.", inspect.signature(now)) == (plain.__name__, plain.__doc__, inspect.signature(plain))
        assert "x" == plain("x", deep=True)


def test_a_pipeline_refuses_what_makes_no_sense() -> None:
    """Promise (45): the same object twice, two Retry, no policy, and nothing at all raise ConfigurationError."""
    bulkhead = Bulkhead(1)
    for wrong, said in (
        ((bulkhead, bulkhead), "twice"),
        ((Retry(), Pipeline(Retry())), "two Retry"),
        ((Timeout(1), 30), "takes policies"),
        ((), "at least one"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            Pipeline(*wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: (Breaker("b"), Retry()), "put the Breaker inside"),
        (lambda: (RateLimit(1), Retry()), "put the RateLimit inside"),
        (lambda: (Bulkhead(1), Retry()), "put the Bulkhead inside"),
        (lambda: (Retry(), cached()), "put the cache outside"),
        (lambda: (Timeout(10), Timeout(10)), "not shorter"),
        (lambda: (Timeout(5), Retry(), Timeout(30)), "make it shorter"),
    ],
    ids=["breaker", "rate limit", "bulkhead", "cache", "equal limits", "longer limit"],
)
def test_a_pipeline_warns_about_orders_that_rarely_do_what_is_meant(
    make: Callable[[], tuple[Any, ...]], remedy: str
) -> None:
    """Promise (45): each doubtful order warns and names the remedy; the turned order does not warn."""
    with pytest.warns(PipelineWarning, match=remedy):
        Pipeline(*make())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Pipeline(*reversed(make())) if "shorter" not in remedy else None


async def test_the_recommended_order_warns_about_nothing_and_works_for_a_hundred() -> None:
    """Promise (45): recommended() leaves out what is None, warns about nothing, and serves 100 callers."""
    clock = FakeClock(auto=True)
    policy = Pipeline.recommended(
        total=Timeout(30, clock=clock),
        retry=Retry(3, initial=0, clock=clock),
        breaker=Breaker("api", failures=200, clock=clock),
        rate=RateLimit(1000, clock=clock),
        bulkhead=Bulkhead(10, clock=clock),
        attempt=Timeout(5, clock=clock),
    )
    kinds = [p.kind for p in policy.policies]
    assert ["timeout", "retry", "breaker", "rate_limit", "bulkhead", "timeout"] == kinds
    assert ["retry"] == [p.kind for p in Pipeline.recommended(retry=Retry()).policies]
    callees = [Flaky([ConnectionError()]) for _ in range(100)]
    assert ["fine"] * 100 == await asyncio.gather(*(policy.call(callee) for callee in callees))
    assert 100 == policy.stats()["1:retry"].retries


async def test_policies_nest_outermost_first() -> None:
    """Promise: each attempt of the Retry passes the Breaker inside it, and an open breaker ends the retries."""
    clock = FakeClock(auto=True)
    breaker = Breaker("api", failures=2, recovery=1000, clock=clock)
    ask = Flaky([ConnectionError() for _ in range(9)])
    with pytest.raises(BreakerOpen):
        await Pipeline(Pipeline(Retry(5, clock=clock)), breaker).call(ask)
    assert 2 == ask.calls


async def test_call_looks_through_partials_methods_and_callable_objects() -> None:
    """Promise: `call` and `outcome` see what is async through partials, bound methods and objects."""

    class Client:
        async def ask(self, x: int) -> int:
            return x

        def now(self, x: int) -> int:
            return -x

    policy, client = Pipeline(Retry(clock=FakeClock()), Bulkhead(5)), Client()
    assert [1, 2, "fine"] == [
        await policy.call(client.ask, 1),
        await policy.call(functools.partial(client.ask, 2)),
        await policy.call(Flaky()),
    ]
    assert [-1, -2, "fine"] == [
        policy.call(client.now, 1),
        policy.call(functools.partial(client.now, 2)),
        policy.call(FlakySync()),
    ]


def test_generator_functions_are_refused_at_decoration() -> None:
    """Promise: a generator function, sync or async, raises TypeError before any call."""

    def numbers() -> Iterator[int]:
        yield 1

    async def numbers_async() -> Any:
        yield 1

    for policy in (Retry(), Breaker("b"), Bulkhead(1), RateLimit(1), cached(), Timeout(1), Pipeline(Retry())):
        for wrong in (numbers, numbers_async, functools.partial(numbers)):
            with pytest.raises(TypeError, match="generator"):
                policy(wrong)
    with pytest.raises(TypeError, match="decorates functions"):
        Retry()(3)  # type: ignore[arg-type]


async def test_an_outcome_never_raises_and_counts_attempts() -> None:
    """Promise: Ok and Err carry value or error, the attempts of this policy's Retry, and the seconds on its clock."""
    clock = FakeClock(auto=True)
    policy = Pipeline(Retry(3, initial=1, jitter="none", clock=clock), Breaker("api", clock=clock))

    async def nested() -> Any:
        return await Retry(5, initial=0, clock=clock).call(Flaky([ConnectionError() for _ in range(4)]))

    assert Ok("fine", 3, 3.0) == await policy.outcome(Flaky([ConnectionError(), ConnectionError()]))
    assert Ok("fine", 1, 0.0) == await policy.outcome(nested)
    error = KeyError("bug")
    outcome = policy.outcome(FlakySync([error]))
    assert Err(error, 1, 0.0) == outcome
    assert (False, True) == (outcome.ok, Ok(1).ok)
    with pytest.raises(KeyError) as caught:
        outcome.unwrap()
    assert error is caught.value


async def test_cancellation_passes_an_outcome() -> None:
    """Promise: 100 cancelled outcomes are cancelled, not Err."""
    gate = Gate()
    calls = [asyncio.create_task(Retry(clock=FakeClock()).outcome(gate)) for _ in range(100)]
    await settle()
    for call in calls:
        call.cancel()
    assert {asyncio.CancelledError} == {type(r) for r in await asyncio.gather(*calls, return_exceptions=True)}


async def test_a_hook_that_raises_is_logged_once_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    """Promise: a broken listener breaks no call and fills no log; the others still hear; a pipeline passes hooks on."""
    heard: list[object] = []

    def broken(event: object) -> None:
        raise RuntimeError

    policy = Pipeline(Retry(5, initial=0, clock=FakeClock(auto=True)))
    policy.subscribe(broken)
    policy.subscribe(heard.append)
    with caplog.at_level(logging.ERROR, "kimera.resilience"):
        await policy.call(Flaky([ConnectionError() for _ in range(4)]))
    assert (1, 4) == (len(caplog.records), len(heard))
    assert {RetryScheduled} == {type(event) for event in heard}
    with pytest.raises(AttributeError):
        heard[0].attempt = 9  # type: ignore[attr-defined]
