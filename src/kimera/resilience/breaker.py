"""A circuit breaker whose permits cannot leak and whose late results change nothing."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, Self

from kimera.clock import Clock
from kimera.errors import BreakerIsolated, BreakerOpen, ConfigurationError, RefusedError
from kimera.resilience._tally import Tally
from kimera.resilience._windows import CallWindow, TimeWindow
from kimera.resilience.pipeline import (
    PLAIN,
    BreakerChanged,
    CallRefused,
    Hook,
    Policy,
    Switch,
    await_it,
    awaits,
    error_kinds,
    grown,
    guard,
)

__all__ = ["Breaker", "BreakerStats", "Breakers", "breakers"]

State = Literal["closed", "open", "half_open", "isolated"]
Kinds = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class BreakerStats:
    """A breaker's state and what it has counted since it was made."""

    state: State
    generation: int
    consecutive_failures: int
    calls: int
    failures: int
    slow: int
    refused: int
    stale: int
    retry_after: float


class _Permit:
    __slots__ = ("generation", "probe", "started")

    def __init__(self, generation: int, started: float, probe: int | None) -> None:
        self.generation, self.started, self.probe = generation, started, probe


class Breaker(Policy):
    """Refuse calls to a dependency that keeps failing, and let it prove itself before trusting it again.

    Opens on ``failures`` in a row (None: off) or, once the window (``window_calls`` or ``window_seconds``) holds
    ``min_calls``, on ``failure_rate`` or ``slow_rate`` (slow: lasted ``slow_after`` seconds or more). Open for
    ``recovery`` seconds (times ``recovery_factor`` per failed round, at most ``max_recovery``), then half-open: at most
    ``probes`` in flight, ``successes`` good ones close it, one bad one opens it. A probe held for ``probe_lease``
    loses its permit. Cancellation, refusals, errors in ``ignore`` or not in ``on`` count neither way.
    """

    kind = "breaker"

    def __init__(
        self,
        name: str,
        *,
        failures: int | None = 5,
        window_calls: int | None = None,
        window_seconds: float | None = None,
        failure_rate: float | None = None,
        slow_after: float | None = None,
        slow_rate: float | None = None,
        min_calls: int = 20,
        recovery: float = 60.0,
        recovery_factor: float = 1.0,
        max_recovery: float = 600.0,
        probes: int = 1,
        successes: int = 1,
        probe_lease: float = 60.0,
        on: Kinds = Exception,
        ignore: Kinds = (),
        clock: Clock | None = None,
        on_event: Hook | None = None,
    ) -> None:
        self.config = {
            key: value
            for key, value in locals().items()
            if key not in {"self", "name", "clock", "on_event", "__class__"}
        }
        _check(name, self.config)
        super().__init__(name, clock, on_event)
        self._limit = failures if failures is not None else math.inf
        self._failure_rate = math.inf if failure_rate is None else failure_rate
        self._slow_rate = math.inf if slow_rate is None else slow_rate
        self._slow_after = math.inf if slow_after is None else slow_after
        self._min_calls = min_calls
        self._recovery, self._factor, self._max_recovery = recovery, recovery_factor, max_recovery
        self._probes, self._successes, self._lease = probes, successes, probe_lease
        self._on = error_kinds("Breaker", "on", on)
        self._ignore = (*error_kinds("Breaker", "ignore", ignore), RefusedError)
        self._window: CallWindow | TimeWindow | None = None
        if window_calls is not None:
            self._window = CallWindow(window_calls)
        elif window_seconds is not None:
            self._window = TimeWindow(window_seconds)
        self._timed = window_seconds is not None or slow_after is not None
        self._lock = threading.Lock()
        self._state: State = "closed"
        self._generation = 0
        self._run = 0
        # what the fast path reads: the generation while closed, and while one more success would change nothing
        self._passing: int | None = None if self._timed else 0
        self._calm: int | None = 0 if self._window is None else None
        self._quick = Tally()
        self._zero()
        self._open_until = 0.0
        self._rounds = 0
        self._good = 0
        self._leases: dict[int, float] = {}
        self._probe_ids = itertools.count(1)
        self._reason = ""
        self._permits: ContextVar[tuple[_Permit | None, ...]] = ContextVar("kimera_permits", default=())

    @property
    def state(self) -> State:
        """Return the state; reading it never changes it."""
        return self._state

    def stats(self) -> BreakerStats:
        """Return state and counters."""
        with self._lock:
            return BreakerStats(
                self._state,
                self._generation,
                self._run,
                self._calls + self._quick.read(),
                self._failures,
                self._slow,
                self._refused,
                self._stale,
                self._seconds_left(self._clock.monotonic()),
            )

    def _zero(self) -> None:
        self._calls = self._failures = self._slow = self._refused = self._stale = 0
        self._quick.zero()

    def isolate(self, reason: str = "isolated by hand") -> None:
        """Refuse everything until `close`."""
        with self._lock:
            change = self._move("isolated", reason)
        self._tell(change)

    def close(self) -> None:
        """Close by hand and zero the counters."""
        with self._lock:
            self._rounds = 0
            self._zero()
            change = self._move("closed", "closed by hand")
        self._tell(change)

    reset = close

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` guarded by this breaker."""
        tick = self._quick.tick

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            """Call with a permit."""
            if Switch.off:
                return await fn(*args, **kwargs)
            generation = self._passing
            if generation is None:
                return await self._watch(self._admit(), fn, args, kwargs)
            try:
                result = await fn(*args, **kwargs)
            except Exception as error:
                self._record(_Permit(generation, 0.0, None), error)
                raise
            if generation == self._calm:  # no lock: at this moment one more success leaves everything as it was
                tick()
            else:
                self._record(_Permit(generation, 0.0, None), None)
            return result

        return guard(guarded, fn)  # type: ignore[no-any-return]

    async def _watch(
        self, permit: _Permit, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            result = await fn(*args, **kwargs)
        except Exception as error:
            self._record(permit, error)
            raise
        except BaseException:
            self._give_back(permit)
            raise
        self._record(permit, None)
        return result

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` guarded by this breaker."""
        tick = self._quick.tick

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if Switch.off:
                return fn(*args, **kwargs)
            generation = self._passing
            if generation is None:
                return self._watch_sync(self._admit(), fn, args, kwargs)
            try:
                result = fn(*args, **kwargs)
            except Exception as error:
                self._record(_Permit(generation, 0.0, None), error)
                raise
            if type(result) not in PLAIN and awaits(result):
                return self._watch(_Permit(generation, 0.0, None), await_it, (result, fn), {})
            if generation == self._calm:
                tick()
            else:
                self._record(_Permit(generation, 0.0, None), None)
            return result

        return guard(guarded, fn)  # type: ignore[no-any-return]

    def _watch_sync(
        self, permit: _Permit, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            result = fn(*args, **kwargs)
        except Exception as error:
            self._record(permit, error)
            raise
        except BaseException:
            self._give_back(permit)
            raise
        if awaits(result):
            return self._watch(permit, await_it, (result, fn), {})
        self._record(permit, None)
        return result

    def __enter__(self) -> Self:
        permit = None if Switch.off else self._admit()
        self._permits.set((*self._permits.get(), permit))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        permits = self._permits.get()
        self._permits.set(permits[:-1])
        # none at all: the block is left in another context than it was entered; a probe's lease frees its permit
        permit = permits[-1] if permits else None
        if permit is None:
            return
        if error is None or isinstance(error, Exception):
            self._record(permit, error)
        else:
            self._give_back(permit)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    # admission

    def _admit(self) -> _Permit:
        change: tuple[State, State, str] | None = None
        refusal: BreakerOpen | None = None
        probe: int | None = None
        with self._lock:
            now = self._clock.monotonic() if self._timed or self._state != "closed" else 0.0
            if self._state == "open" and now >= self._open_until:
                change = self._move("half_open", "recovery time over", now)
            if self._state == "half_open":
                probe, refusal = self._admit_probe(now)
            elif self._state != "closed":
                refusal = self._refusal(now)
            if refusal is not None:
                self._refused += 1
            permit = _Permit(self._generation, now, probe)
        self._tell(change)
        if refusal is not None:
            self.emit(CallRefused, refusal)
            raise refusal
        return permit

    def _admit_probe(self, now: float) -> tuple[int | None, BreakerOpen | None]:
        for number, end in list(self._leases.items()):
            if now >= end:
                del self._leases[number]
        if len(self._leases) >= self._probes:
            wait = min(min(self._leases.values()) - now, self._recovery)
            return None, BreakerOpen(f"{self.name} is being probed; try later.", name=self.name, retry_after=wait)
        number = next(self._probe_ids)
        self._leases[number] = now + self._lease
        return number, None

    def _refusal(self, now: float) -> BreakerOpen:
        if self._state == "isolated":
            return BreakerIsolated(f"{self.name} is isolated: {self._reason}.", name=self.name)
        left = self._seconds_left(now)
        return BreakerOpen(f"{self.name} is open; try again in {left:.3g} s.", name=self.name, retry_after=left)

    def _seconds_left(self, now: float) -> float:
        return max(0.0, self._open_until - now) if self._state == "open" else 0.0

    # results

    def _record(self, permit: _Permit, error: BaseException | None) -> None:
        if error is not None and (not isinstance(error, self._on) or isinstance(error, self._ignore)):
            self._give_back(permit)
            return
        now = self._clock.monotonic() if self._timed else 0.0
        failed = error is not None
        slow = self._timed and now - permit.started >= self._slow_after
        with self._lock:
            if self._is_stale(permit):
                self._stale += 1
                return
            self._calls += 1
            self._failures += failed
            self._slow += slow
            if permit.probe is not None:
                del self._leases[permit.probe]
                change = self._judge_probe(failed)
            else:
                change = self._judge(failed, slow, now)
        self._tell(change)

    def _is_stale(self, permit: _Permit) -> bool:
        if permit.probe is None:
            return permit.generation != self._generation
        end = self._leases.get(permit.probe) if permit.generation == self._generation else None
        if end is not None and self._clock.monotonic() >= end:
            del self._leases[permit.probe]
            return True
        return end is None

    def _judge(self, failed: bool, slow: bool, now: float) -> tuple[State, State, str] | None:
        self._run = self._run + 1 if failed else 0
        window = self._window
        if window is not None:
            window.add(failed, slow, now)
        self._calm = self._generation if not self._run and (window is None or window.clean) else None
        if failed and self._run >= self._limit:
            return self._move("open", f"{self._run} failures in a row")
        if window is None or window.calls < self._min_calls:
            return None
        if window.failed / window.calls >= self._failure_rate:
            return self._move("open", f"{window.failed} of {window.calls} calls failed")
        if window.slow / window.calls >= self._slow_rate:
            return self._move("open", f"{window.slow} of {window.calls} calls were slow")
        return None

    def _judge_probe(self, failed: bool) -> tuple[State, State, str] | None:
        if failed:
            self._rounds += 1
            return self._move("open", "a probe failed")
        self._good += 1
        if self._good < self._successes:
            return None
        self._rounds = 0
        return self._move("closed", f"{self._good} good probes")

    def _give_back(self, permit: _Permit) -> None:
        with self._lock:
            if permit.probe is not None and permit.generation == self._generation:
                self._leases.pop(permit.probe, None)

    # transitions

    def _move(self, state: State, reason: str, now: float | None = None) -> tuple[State, State, str]:
        old, self._state = self._state, state
        self._generation += 1
        self._run = self._good = 0
        self._reason = reason
        self._leases.clear()
        self._passing = self._generation if state == "closed" and not self._timed else None
        self._calm = self._generation if state == "closed" and self._window is None else None
        if self._window is not None:
            self._window.clear()
        if state == "open":
            wait = grown(self._recovery, self._factor, self._rounds, self._max_recovery)
            self._open_until = (self._clock.monotonic() if now is None else now) + wait
        return old, state, reason

    def _tell(self, change: tuple[State, State, str] | None) -> None:
        if change is not None and change[0] != change[1]:
            self.emit(BreakerChanged, *change)


class Breakers:
    """Breakers by name, so that everyone who calls one dependency shares one."""

    def __init__(self) -> None:
        self._known: dict[str, Breaker] = {}
        self._lock = threading.Lock()

    def get_or_create(self, name: str, **config: Any) -> Breaker:
        """Return the breaker of that name; `ConfigurationError` when it exists with another configuration."""
        with self._lock:
            found = self._known.get(name)
            if found is None:
                found = self._known[name] = Breaker(name, **config)
                return found
        wanted = Breaker(name, **config).config
        if found.config != wanted:
            raise ConfigurationError(f"Breaker {name!r} exists with another configuration; use one of them.", "breaker")
        return found

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return the statistics of all breakers by name, JSON-safe."""
        with self._lock:
            known = sorted(self._known.items())
        return {name: asdict(breaker.stats()) for name, breaker in known}


breakers = Breakers()
"""The process-wide registry."""


def _check(name: str, config: dict[str, Any]) -> None:
    if not isinstance(name, str) or not name:
        raise ConfigurationError('Breaker needs a name, e.g. Breaker("openai").', "name")
    for key in ("failures", "window_calls", "min_calls", "probes", "successes"):
        value = config[key]
        if value is None and key in {"failures", "window_calls"}:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigurationError(f"Breaker takes {key} of 1 or more, not {value!r}.", key)
    for key in ("window_seconds", "recovery", "max_recovery", "probe_lease", "slow_after"):
        value = config[key]
        if value is not None and not 0 < value < math.inf:
            raise ConfigurationError(f"Breaker takes {key} as finite seconds above 0, not {value!r}.", key)
    for key in ("failure_rate", "slow_rate"):
        value = config[key]
        if value is not None and not 0 < value <= 1:
            raise ConfigurationError(f"Breaker takes {key} between 0 and 1, not {value!r}.", key)
    if not 1 <= config["recovery_factor"] < math.inf:
        raise ConfigurationError("Breaker takes a recovery_factor of 1 or more.", "recovery_factor")
    _check_window(config)


def _check_window(config: dict[str, Any]) -> None:
    windowed = config["window_calls"] is not None or config["window_seconds"] is not None
    rated = config["failure_rate"] is not None or config["slow_rate"] is not None
    if config["window_calls"] is not None and config["window_seconds"] is not None:
        raise ConfigurationError("Breaker takes window_calls or window_seconds, not both.", "window_calls")
    if config["window_calls"] is not None and config["window_calls"] < config["min_calls"]:
        raise ConfigurationError(
            f"A window of {config['window_calls']} calls never holds min_calls={config['min_calls']}; lower min_calls.",
            "min_calls",
        )
    if rated != windowed:
        raise ConfigurationError(
            "A rate needs a window and a window a rate, e.g. window_calls=100, failure_rate=0.5.", "window_calls"
        )
    if (config["slow_rate"] is None) != (config["slow_after"] is None):
        raise ConfigurationError("slow_rate and slow_after go together.", "slow_rate")
    if config["failures"] is None and not windowed:
        raise ConfigurationError("A Breaker with failures=None needs a window, or it would never open.", "failures")
