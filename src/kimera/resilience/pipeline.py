"""The policy protocol, outcomes, events, and the pipeline that composes policies.

A policy is a configured object with four faces over one core: decorator, ``call``, block, ``outcome``. The core of a
policy is one function per kind of callee: ``bind_async(fn)`` and ``bind_sync(fn)`` return ``fn`` guarded.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar, Generic, Literal, NoReturn, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from kimera.clock import Clock, SystemClock
from kimera.errors import ConfigurationError

__all__ = [
    "BreakerChanged",
    "CacheRefreshed",
    "CallRefused",
    "Err",
    "Event",
    "Ok",
    "Outcome",
    "Pipeline",
    "PipelineWarning",
    "Policy",
    "RetryGivenUp",
    "RetryScheduled",
    "TimedOut",
    "inactive",
]

T = TypeVar("T")
P = ParamSpec("P")
Hook = Callable[["Event"], object]

SYSTEM_CLOCK: Clock = SystemClock()
_log = logging.getLogger("kimera.resilience")


@dataclass(frozen=True, slots=True)
class Ok(Generic[T]):
    """A call that gave a value, after how many attempts and seconds."""

    value: T
    attempts: int = 1
    elapsed: float = 0.0
    ok: ClassVar[Literal[True]] = True

    def unwrap(self) -> T:
        """Return the value."""
        return self.value


@dataclass(frozen=True, slots=True)
class Err:
    """A call that failed, after how many attempts and seconds."""

    error: Exception
    attempts: int = 1
    elapsed: float = 0.0
    ok: ClassVar[Literal[False]] = False

    def unwrap(self) -> NoReturn:
        """Raise the error itself."""
        raise self.error


Outcome = Ok[T] | Err


@dataclass(frozen=True, slots=True)
class Event:
    """Something a policy did. ``policy`` is its kind, ``name`` its own, ``at`` seconds on its clock."""

    policy: str
    name: str
    at: float


@dataclass(frozen=True, slots=True)
class RetryScheduled(Event):
    """An attempt failed and another follows after ``delay`` seconds."""

    attempt: int
    delay: float
    error: Exception


@dataclass(frozen=True, slots=True)
class RetryGivenUp(Event):
    """The last attempt failed."""

    attempts: int
    error: Exception


@dataclass(frozen=True, slots=True)
class BreakerChanged(Event):
    """A breaker went from one state to another."""

    old: str
    new: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallRefused(Event):
    """A call was refused before it was made."""

    error: Exception


@dataclass(frozen=True, slots=True)
class TimedOut(Event):
    """A call was cut after ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CacheRefreshed(Event):
    """A stale entry was loaded again in the background."""

    ok: bool


class PipelineWarning(UserWarning):
    """Policies stand in an order that rarely does what is meant."""


class Switch:
    """Whether policies are in force; a class attribute because every guarded call looks at it."""

    off = 0


@contextmanager
def inactive() -> Iterator[None]:
    """Turn every policy into a pass-through inside the block; for tests."""
    Switch.off += 1
    try:
        yield
    finally:
        Switch.off -= 1


# attempts made so far, and the Retry that counts them: an unrelated Retry deeper down leaves the number alone
attempt_counter: ContextVar[list[Any] | None] = ContextVar("kimera_attempts", default=None)


def is_async(fn: Callable[..., Any]) -> bool:
    """Return whether calling ``fn`` gives a coroutine; looks through partials, methods and callable objects.

    Raises TypeError for generator functions, which no policy can guard.
    """
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    for candidate in (inner, getattr(inner, "__call__", None)):  # noqa: B004 - the method itself is what is asked about
        if inspect.isgeneratorfunction(candidate) or inspect.isasyncgenfunction(candidate):
            raise TypeError(f"{describe(fn)} is a generator function; guard the function that consumes it instead.")
        if inspect.iscoroutinefunction(candidate):
            return True
    return False


def _is_async_now(fn: Any) -> bool:
    # what is_async says, from the code flags alone where there is code: a call should not cost an inspection
    code = getattr(fn, "__code__", None)
    if code is None or code.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        return is_async(fn)
    return bool(code.co_flags & inspect.CO_COROUTINE)


async def apply_async(fn: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    """Await ``fn(*args, **kwargs)``; a policy bound to this once serves its ``call`` face for every function."""
    return await fn(*args, **kwargs)


def apply(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return ``fn(*args, **kwargs)``; the same for plain functions."""
    return fn(*args, **kwargs)


async def await_it(value: Awaitable[Any], origin: Callable[..., Any]) -> Any:
    """Await what ``origin`` gave."""
    return await value


_STANDS_FOR: dict[Any, int] = {apply_async: 0, apply: 0, await_it: 1}
"""Functions that stand for another one, and which argument that is."""


def guard(wrapper: Any, fn: Callable[..., Any]) -> Any:
    """Note on ``wrapper`` what it guards, so that errors can name it."""
    wrapper.__wrapped__ = fn
    return wrapper


def origin(fn: Any, args: tuple[Any, ...] = ()) -> Any:
    """Return what is really called: looks under our wrappers, partials, and the stand-ins of the ``call`` face."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif isinstance(fn, FunctionType) and args and fn in _STANDS_FOR:
            fn, args = args[_STANDS_FOR[fn]], ()
        else:
            return fn


def describe(fn: Any, args: tuple[Any, ...] = ()) -> str:
    """Return the name of what is really called."""
    fn = origin(fn, args)
    return getattr(fn, "__qualname__", None) or type(fn).__qualname__


# exact types that cannot be awaited: the hot paths ask this set before they ask `awaits`
PLAIN = frozenset([type(None), bool, int, float, str, bytes, list, dict, tuple, set])


def awaits(value: object) -> bool:
    """Return whether ``value`` can be awaited; cheaper than inspect.isawaitable on plain values."""
    return hasattr(type(value), "__await__")


def error_kinds(owner: str, key: str, kinds: Any) -> tuple[type[BaseException], ...]:
    """Return one exception class or a tuple of them as a tuple, or raise ConfigurationError."""
    found = kinds if isinstance(kinds, tuple) else (kinds,)
    if all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in found):
        return found
    example = f"{key}=(OSError, ValueError)"
    raise ConfigurationError(f"{owner} takes {key} as exception classes, e.g. {example}, not {kinds!r}.", key)


def grown(base: float, factor: float, times: int, top: float) -> float:
    """Return min(top, base * factor**times), also where the power overflows."""
    try:
        return min(top, base * factor**times)
    except OverflowError:
        return top if base else 0.0


class Policy:
    """What all policies share: faces, events, statistics.

    A subclass gives ``bind_async``, ``bind_sync`` and, where a block makes sense, ``__enter__``/``__aenter__``.
    What the two return looks at `Switch` first, so that `inactive` reaches it.
    """

    kind: ClassVar[str] = "policy"

    def __init__(self, name: str | None, clock: Clock | None, on_event: Hook | None) -> None:
        self.name = name or self.kind
        self._clock: Clock = clock if clock is not None else SYSTEM_CLOCK
        self._hooks: tuple[Hook, ...] = (on_event,) if on_event is not None else ()
        self._complained: set[int] = set()

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the async function ``fn`` under this policy."""
        raise NotImplementedError

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` under this policy; an awaitable it returns is guarded until awaited."""
        raise NotImplementedError

    def bind_role(self, fn: Callable[..., Awaitable[Any]], role: str | None) -> Callable[..., Awaitable[Any]]:
        """Return ``bind_async(fn)``; a policy that acts differently in a pipeline overrides this."""
        return self.bind_async(fn)

    def stats(self) -> Any:
        """Return a frozen, JSON-safe dataclass of counters."""
        raise NotImplementedError

    def __call__(self, fn: Callable[P, T]) -> Callable[P, T]:
        """Decorate a sync or async function; its name, doc and signature are kept."""
        if not callable(fn):
            raise TypeError(f"{type(self).__name__} decorates functions, not {type(fn).__name__}.")
        guarded: Any = self.bind_async(fn) if is_async(fn) else self.bind_plain(fn)  # type: ignore[arg-type]
        return functools.update_wrapper(guarded, fn)

    def bind_plain(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``bind_sync(fn)``; a policy that cannot guard plain functions refuses here."""
        return self.bind_sync(fn)

    def call(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call ``fn`` under the policy: a plain function gives its value, an async one an awaitable."""
        if Switch.off:
            return fn(*args, **kwargs)
        if _is_async_now(fn):
            return self._through_async(fn, *args, **kwargs)  # type: ignore[return-value]
        return self._through_sync(fn, *args, **kwargs)  # type: ignore[no-any-return]

    @functools.cached_property
    def _through_async(self) -> Callable[..., Awaitable[Any]]:
        return self.bind_async(apply_async)

    @functools.cached_property
    def _through_sync(self) -> Callable[..., Any]:
        return self.bind_sync(apply)

    def counts_attempts(self) -> Policy:
        """Return the policy whose attempts an outcome of this one reports."""
        return self

    def outcome(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``fn`` and return `Ok` or `Err` (an awaitable of it for an async function); never raises Exception."""
        started = self._clock.monotonic()
        counter: list[Any] = [1, self.counts_attempts()]
        token = attempt_counter.set(counter)
        try:
            result: Any = self.call(fn, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - an outcome holds any failure
            return Err(error, counter[0], self._clock.monotonic() - started)
        finally:
            attempt_counter.reset(token)
        if awaits(result):
            return self._outcome_async(result, counter, started)
        return Ok(result, counter[0], self._clock.monotonic() - started)

    async def _outcome_async(self, result: Awaitable[Any], counter: list[Any], started: float) -> Outcome[Any]:
        token = attempt_counter.set(counter)
        try:
            value = await result
        except Exception as error:  # noqa: BLE001 - an outcome holds any failure
            return Err(error, counter[0], self._clock.monotonic() - started)
        finally:
            attempt_counter.reset(token)
        return Ok(value, counter[0], self._clock.monotonic() - started)

    def subscribe(self, hook: Hook) -> None:
        """Let ``hook`` receive every event from now on."""
        self._hooks = (*self._hooks, hook)

    def emit(self, make: Callable[..., Event], *facts: Any) -> None:
        """Build the event and hand it to the hooks; one that raises is logged once and ignored."""
        if not self._hooks:
            return
        event = make(self.kind, self.name, self._clock.monotonic(), *facts)
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:  # noqa: BLE001 - a listener may not break the call it listens to
                if id(hook) not in self._complained:
                    self._complained.add(id(hook))
                    _log.exception("an event hook of %s raised and is ignored", self.name)


class Pipeline(Policy):
    """Policies in order, outermost first; itself a policy, flattened when nested, compiled once per function.

    Raises `ConfigurationError` for the same object twice, two Retry, or something that is no policy; warns with
    `PipelineWarning` about orders that rarely do what is meant.
    """

    kind = "pipeline"

    def __init__(self, *policies: Policy, name: str | None = None) -> None:
        flat: list[Policy] = []
        for policy in policies:
            if not isinstance(policy, Policy):
                raise ConfigurationError(
                    f"Pipeline takes policies such as Timeout(30) or Retry(attempts=3), not {policy!r}.", "policies"
                )
            flat.extend(policy.policies if isinstance(policy, Pipeline) else [policy])
        if not flat:
            raise ConfigurationError("Pipeline needs at least one policy, e.g. Pipeline(Timeout(30)).", "policies")
        self.policies: tuple[Policy, ...] = tuple(flat)
        super().__init__(name, next((p._clock for p in flat if p._clock is not SYSTEM_CLOCK), None), None)
        _refuse(self.policies)
        self._roles = _roles(self.policies)
        for remedy in _doubts(self.policies):
            warnings.warn(remedy, PipelineWarning, stacklevel=2)
        self._cached = bool(_kinds(self.policies, "cache"))
        self._compiled: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = WeakKeyDictionary()

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` inside every policy, the last one innermost."""
        for policy in reversed(self.policies):
            fn = policy.bind_role(fn, self._roles.get(id(policy)))
        return fn

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` inside every policy, the last one innermost."""
        for policy in reversed(self.policies):
            fn = policy.bind_sync(fn)
        return fn

    def bind_plain(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Let every policy refuse a plain function it cannot guard, then bind."""
        for policy in reversed(self.policies):
            fn = policy.bind_plain(fn)
        return fn

    def call(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call ``fn`` under every policy; with a cache among them each function is bound once and kept weakly."""
        if not self._cached or Switch.off:
            return super().call(fn, *args, **kwargs)
        return bound_once(self, self._compiled, fn)(*args, **kwargs)  # type: ignore[no-any-return]

    def counts_attempts(self) -> Policy:
        """Return the Retry of the pipeline, if there is one."""
        return next((policy for policy in self.policies if policy.kind == "retry"), self)

    def subscribe(self, hook: Hook) -> None:
        """Let ``hook`` receive every event of every policy in the pipeline."""
        for policy in self.policies:
            policy.subscribe(hook)

    def stats(self) -> dict[str, Any]:
        """Return each policy's statistics by name."""
        return {f"{i}:{policy.name}": policy.stats() for i, policy in enumerate(self.policies)}

    @classmethod
    def recommended(
        cls,
        *,
        total: Policy | None = None,
        retry: Policy | None = None,
        breaker: Policy | None = None,
        rate: Policy | None = None,
        bulkhead: Policy | None = None,
        attempt: Policy | None = None,
        name: str | None = None,
    ) -> Pipeline:
        """Return total Timeout, Retry, Breaker, RateLimit, Bulkhead, attempt Timeout in this order, Nones left out."""
        order = (total, retry, breaker, rate, bulkhead, attempt)
        return cls(*(policy for policy in order if policy is not None), name=name)


def bound_once(
    policy: Policy, known: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]], fn: Callable[..., Any]
) -> Callable[..., Any]:
    """Return ``fn`` bound to a policy that keeps something per function; a method is bound by its function."""
    owner = getattr(fn, "__self__", None)
    plain = getattr(fn, "__func__", None)
    key = fn if owner is None or plain is None else plain
    found = known.get(key)
    if found is None:
        found = known[key] = policy.bind_async(key) if is_async(key) else policy.bind_sync(key)
    return found if key is fn else functools.partial(found, owner)


def _kinds(policies: tuple[Policy, ...], kind: str) -> list[int]:
    return [place for place, policy in enumerate(policies) if policy.kind == kind]


def _refuse(policies: tuple[Policy, ...]) -> None:
    if len({id(policy) for policy in policies}) != len(policies):
        raise ConfigurationError("Pipeline holds the same policy object twice; make a second one.", "policies")
    if len(_kinds(policies, "retry")) > 1:
        raise ConfigurationError("Pipeline holds two Retry; attempts would multiply, keep one.", "policies")


def _roles(policies: tuple[Policy, ...]) -> dict[int, str]:
    retries = _kinds(policies, "retry")
    if not retries:
        return {}
    return {id(policies[place]): "total" for place in _kinds(policies, "timeout") if place < retries[0]}


def _doubts(policies: tuple[Policy, ...]) -> list[str]:
    retry = next(iter(_kinds(policies, "retry")), None)
    doubts = []
    if retry is not None:
        if any(place < retry for place in _kinds(policies, "breaker")):
            doubts.append("A Retry inside a Breaker counts a whole retried call as one; put the Breaker inside.")
        if any(place < retry for place in _kinds(policies, "rate_limit")):
            doubts.append("A RateLimit outside a Retry lets retries escape it; put the RateLimit inside.")
        if any(place < retry for place in _kinds(policies, "bulkhead")):
            doubts.append("A Bulkhead outside a Retry holds its slot while waiting; put the Bulkhead inside.")
        if any(place > retry for place in _kinds(policies, "cache")):
            doubts.append("A cache inside a Retry is asked at every attempt; put the cache outside.")
    doubts.extend(_doubt_about_limits(policies))
    return doubts


def _doubt_about_limits(policies: tuple[Policy, ...]) -> list[str]:
    limits = [policies[place].seconds for place in _kinds(policies, "timeout")]  # type: ignore[attr-defined]
    if any(inner >= outer for outer, inner in itertools.pairwise(limits)):
        return ["An inner Timeout that is not shorter than an outer one never acts; make it shorter."]
    return []
