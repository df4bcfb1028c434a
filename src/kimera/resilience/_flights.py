"""One store of a cached function: what is remembered, and who is loading what for whom.

A *flight* is one load with the callers that wait for it. Its leader loads in its own task or thread; when the leader is
cancelled, one waiter takes over. A flight that an invalidation took off the list serves its waiters and stores nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from kimera.errors import OperationTimeout
from kimera.resilience._shelf import END, RANK, VALUE, Entry, Shelf
from kimera.resilience.pipeline import CacheRefreshed, Err, Ok, attempt_counter, awaits, describe
from kimera.resilience.timeout import forget_limit, remaining

_log = logging.getLogger("kimera.resilience")
_LEAD: Final = object()


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cached function has done; hits + stale_hits + misses are its calls."""

    hits: int
    misses: int
    loads: int
    failures: int
    coalesced: int
    stale_hits: int
    evictions: int
    size: int


def add_up(parts: Iterable[CacheInfo]) -> CacheInfo:
    """Return the sums, field by field."""
    rows = [(p.hits, p.misses, p.loads, p.failures, p.coalesced, p.stale_hits, p.evictions, p.size) for p in parts]
    return CacheInfo(*(sum(column) for column in zip(*rows, strict=True))) if rows else CacheInfo(*[0] * 8)


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the stores of one decorator have in common."""

    ttl: float | None
    max_size: int
    stale: float
    now: Callable[[], float]
    emit: Callable[..., None]


class _TaskSeat:
    __slots__ = ("_future", "_loop", "flight", "outcome")

    def __init__(self, flight: _Flight) -> None:
        self.flight = flight
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self.outcome: Any = None

    async def wait(self) -> None:
        await self._future

    def wake(self) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._done()
        else:
            self._loop.call_soon_threadsafe(self._done)

    def _done(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class _ThreadSeat:
    __slots__ = ("_event", "flight", "outcome")

    def __init__(self, flight: _Flight) -> None:
        self.flight = flight
        self._event = threading.Event()
        self.outcome: Any = None

    def wait(self, seconds: float | None) -> bool:
        return self._event.wait(seconds)

    def wake(self) -> None:
        self._event.set()


class _Flight:
    __slots__ = ("leader", "seats")

    def __init__(self, leader: object) -> None:
        self.leader = leader
        self.seats: OrderedDict[_TaskSeat | _ThreadSeat, None] = OrderedDict()


class Store:
    """The results of one function, or of one method of one instance."""

    def __init__(self, fn: Callable[..., Any], options: StoreOptions) -> None:
        self._fn, self._options = fn, options
        self.shelf = Shelf(options.max_size, options.now, options.stale)
        self._misses = self._loads = self._failures = self._coalesced = self._stale_hits = 0
        self._flights: dict[Hashable, _Flight] = {}
        self._refreshes: set[asyncio.Task[None]] = set()
        self._lock = threading.Lock()

    def info(self) -> CacheInfo:
        """Return the counters."""
        with self._lock:
            self.shelf.purge(self._options.now())
            return CacheInfo(
                self.shelf.hits(),
                self._misses,
                self._loads,
                self._failures,
                self._coalesced,
                self._stale_hits,
                self.shelf.evictions,
                len(self.shelf.entries),
            )

    def invalidate(self, key: Hashable) -> None:
        """Forget one result; a load that has begun serves its waiters and is not stored."""
        with self._lock:
            self.shelf.entries.pop(key, None)
            self._flights.pop(key, None)

    def clear(self) -> None:
        """Forget everything, likewise."""
        with self._lock:
            self.shelf.clear()
            self._flights.clear()

    async def get_async(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the stored value or load it."""
        entry = self._fresh(key)
        return await self.load_async(key, args, kwargs) if entry is None else entry[VALUE]

    def get_sync(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the stored value or load it."""
        entry = self._fresh(key)
        return self.load_sync(key, args, kwargs) if entry is None else entry[VALUE]

    def _fresh(self, key: Hashable) -> Entry | None:
        entry = self.shelf.entries.get(key)
        if entry is None or self._options.now() >= entry[END]:
            return None
        entry[RANK] = self.shelf.tick()
        return entry

    async def load_async(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Load, or wait for the load under way, or give the stale value while one refresh runs."""
        me = asyncio.current_task()
        if self._options.stale and (old := self._stale_entry(key)) is not None:
            if old[1] is not None:
                task = asyncio.ensure_future(self._refresh(old[1], key, args, kwargs))
                self._refreshes.add(task)
                task.add_done_callback(self._refreshes.discard)
            return old[0]
        with self._lock:
            entry = self._fresh(key)  # another thread may have landed since the caller looked
            if entry is not None:
                return entry[VALUE]
            flight, leads = self._board(key, me)
            seat = None if leads else _TaskSeat(flight)
            if seat is not None:
                flight.seats[seat] = None
        if seat is None:
            return await self._lead(flight, key, args, kwargs)
        try:
            await seat.wait()
        except BaseException:
            self._leave_seat(key, seat)
            raise
        if seat.outcome is not _LEAD:
            return seat.outcome.unwrap()
        seat.flight.leader = me
        return await self._lead(seat.flight, key, args, kwargs)

    def load_sync(self, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Load, or wait for the thread that is loading, no longer than `remaining` allows."""
        me = threading.get_ident()
        with self._lock:
            entry = self._fresh(key)
            if entry is not None:
                return entry[VALUE]
            flight, leads = self._board(key, me)
            seat = None if leads else _ThreadSeat(flight)
            if seat is not None:
                flight.seats[seat] = None
        if seat is None:
            return self._lead_sync(flight, key, args, kwargs)
        limit = remaining()
        try:
            if not seat.wait(limit):
                raise OperationTimeout("", describe(self._fn), limit, elapsed=limit)
        except BaseException:
            self._leave_seat(key, seat)
            raise
        if seat.outcome is not _LEAD:
            return seat.outcome.unwrap()
        seat.flight.leader = me
        return self._lead_sync(seat.flight, key, args, kwargs)

    def _board(self, key: Hashable, me: object) -> tuple[_Flight, bool]:
        self._misses += 1
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(me)
            return flight, True
        if flight.leader == me:
            raise RuntimeError(f"{describe(self._fn)} calls itself with the same arguments and would wait for itself.")
        self._coalesced += 1
        return flight, False

    def _stale_entry(self, key: Hashable) -> tuple[Any, _Flight | None] | None:
        """Return the old value and, for the caller who has to refresh it, a new flight."""
        with self._lock:
            entry = self.shelf.entries.get(key)
            if entry is None or self._options.now() >= entry[END] + self._options.stale:
                return None
            self._stale_hits += 1
            if key in self._flights:
                return entry[VALUE], None
            flight = self._flights[key] = _Flight(None)
            return entry[VALUE], flight

    async def _refresh(self, flight: _Flight, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # on its own: neither the deadline nor the attempts of the caller who happened to start it are its business
        forget_limit()
        attempt_counter.set(None)
        flight.leader = asyncio.current_task()
        try:
            await self._lead(flight, key, args, kwargs)
        except Exception as error:  # noqa: BLE001 - nobody awaits a refresh; the event, the log and the counter tell
            _log.warning("refreshing %s failed with %s; the old value stays", describe(self._fn), type(error).__name__)
            self._options.emit(CacheRefreshed, False)
        else:
            self._options.emit(CacheRefreshed, True)

    async def _lead(self, flight: _Flight, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            value = await self._fn(*args, **kwargs)
        except Exception as error:
            self._land(flight, key, Err(error))
            raise
        except BaseException:
            self._hand_over(flight, key)
            raise
        self._land(flight, key, Ok(value))
        return value

    def _lead_sync(self, flight: _Flight, key: Hashable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            value = self._fn(*args, **kwargs)
            if awaits(value):
                raise TypeError(f"{describe(self._fn)} gives an awaitable, which can be awaited once; make it async.")
        except Exception as error:
            self._land(flight, key, Err(error))
            raise
        except BaseException:
            self._hand_over(flight, key)
            raise
        self._land(flight, key, Ok(value))
        return value

    def _land(self, flight: _Flight, key: Hashable, outcome: Ok[Any] | Err) -> None:
        with self._lock:
            self._loads += 1
            self._failures += not outcome.ok
            if self._flights.get(key) is flight:
                del self._flights[key]
                if outcome.ok:
                    self.shelf.put(key, outcome.value, self._options.ttl)
            seats = list(flight.seats)
            flight.seats.clear()
            for seat in seats:
                seat.outcome = outcome
        for seat in seats:
            _wake(seat)

    def _hand_over(self, flight: _Flight, key: Hashable) -> None:
        with self._lock:
            flight.leader = None
            if flight.seats and self._moved(flight, key):
                return
            while flight.seats:
                seat, _ = flight.seats.popitem(last=False)
                seat.outcome = _LEAD
                if _wake(seat):
                    return
            if self._flights.get(key) is flight:
                del self._flights[key]

    def _moved(self, flight: _Flight, key: Hashable) -> bool:
        # a flight taken off by an invalidation: what its heir would load is new, so it counts again, or joins who does
        current = self._flights.setdefault(key, flight)
        if current is flight:
            return False
        for seat in flight.seats:
            seat.flight = current
        current.seats.update(flight.seats)
        flight.seats.clear()
        return True

    def _leave_seat(self, key: Hashable, seat: _TaskSeat | _ThreadSeat) -> None:
        with self._lock:
            seat.flight.seats.pop(seat, None)
            leads = seat.outcome is _LEAD
        if leads:
            self._hand_over(seat.flight, key)


def _wake(seat: _TaskSeat | _ThreadSeat) -> bool:
    try:
        seat.wake()
    except RuntimeError:  # the waiter's event loop was closed over its head
        return False
    return True
