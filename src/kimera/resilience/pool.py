"""Connections that are lent out, taken back, and never more than so many."""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from kimera.clock import Clock
from kimera.errors import ConfigurationError, OperationTimeout, PoolClosed
from kimera.resilience.pipeline import SYSTEM_CLOCK
from kimera.resilience.timeout import is_ours

__all__ = ["Pool", "PoolStats"]

C = TypeVar("C")
_log = logging.getLogger("kimera.resilience")


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Connections by where they are, and how many were ever opened and closed."""

    idle: int
    lent: int
    waiting: int
    opened: int
    closed: int


class _Held(Generic[C]):
    __slots__ = ("born", "connection", "used")

    def __init__(self, connection: C, now: float) -> None:
        self.connection, self.born, self.used = connection, now, now


class Pool(Generic[C]):
    """At most ``max_size`` connections made by ``factory``; one event loop's.

    The most recently used idle one is lent first; one idle for ``max_idle`` seconds, older than ``max_age`` or failing
    ``ping`` is replaced unseen. Waiters are served in order; past ``acquire_timeout`` seconds (None: no limit):
    `OperationTimeout`. Factory, ping and close may be sync or async.
    """

    def __init__(
        self,
        factory: Callable[[], Awaitable[C] | C],
        *,
        max_size: int = 10,
        max_idle: float | None = 60.0,
        max_age: float | None = None,
        acquire_timeout: float | None = 30.0,
        ping: Callable[[C], Any] | None = None,
        close: Callable[[C], Any] | None = None,
        is_broken: Callable[[BaseException], bool] | None = None,
        name: str = "pool",
        clock: Clock | None = None,
    ) -> None:
        if not callable(factory):
            raise ConfigurationError(f"Pool takes a function that opens a connection, not {factory!r}.", "factory")
        if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 1:
            raise ConfigurationError(f"Pool takes a max_size of 1 or more, not {max_size!r}.", "max_size")
        for key, value in (("max_idle", max_idle), ("max_age", max_age), ("acquire_timeout", acquire_timeout)):
            if value is not None and (isinstance(value, bool) or not 0 < value < math.inf):
                raise ConfigurationError(f"Pool takes {key} as seconds above 0, or None, not {value!r}.", key)
        self.name, self._factory, self._max_size = name, factory, max_size
        self._max_idle, self._max_age = max_idle or math.inf, max_age or math.inf
        self._acquire_timeout = acquire_timeout
        self._ping, self._close, self._is_broken = ping, close, is_broken
        self._clock: Clock = clock if clock is not None else SYSTEM_CLOCK
        self._idle: list[_Held[C]] = []
        self._lent: dict[int, _Held[C]] = {}
        self._taken_from_borrower: dict[int, C] = {}
        self._slots = 0  # lent, or being opened or checked; every connection that is not idle stands in one
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._closing: set[asyncio.Future[Any]] = set()
        self._all_back: asyncio.Future[None] | None = None
        self._closed = False
        self._opened_count = self._closed_count = 0

    def stats(self) -> PoolStats:
        """Return where the connections are."""
        return PoolStats(len(self._idle), len(self._lent), len(self._waiters), self._opened_count, self._closed_count)

    def connection(self) -> _Loan[C]:
        """Return an ``async with`` block that borrows a connection and gives it back.

        Left by an OSError or by cancellation the connection is discarded; ``is_broken(error)`` decides if given.
        """
        return _Loan(self)

    async def acquire(self) -> C:
        """Borrow a connection. Raises `PoolClosed`, `OperationTimeout`, or what the factory raises."""
        if self._closed:
            raise self._is_closed()
        if self._ping is None and self._slots < self._max_size and not self._waiters and self._idle:
            held = self._idle[-1]
            if not self._too_old(held):
                self._idle.pop()
                self._slots += 1
                return self._lend(held)
        if self._acquire_timeout is None:
            return await self._acquire()
        scope: Any = None
        started = self._clock.monotonic()
        try:
            async with self._clock.timeout(self._acquire_timeout) as scope:
                return await self._acquire()
        except TimeoutError as late:
            if not is_ours(late, scope):
                raise
            raise OperationTimeout(
                "",
                f"borrowing from {self.name}",
                self._acquire_timeout,
                elapsed=self._clock.monotonic() - started,
            ) from None

    async def _acquire(self) -> C:
        if self._slots < self._max_size and not self._waiters:
            self._slots += 1
        else:
            await self._wait_for_slot()
        held: _Held[C] | None = None
        try:
            while self._idle and not self._closed:
                held = self._idle.pop()
                if not self._too_old(held) and await self._answers(held):
                    return self._lend(held)
                gone, held = held, None
                await self._dispose(gone)
            if self._closed:
                raise self._is_closed()
            opened = self._factory()
            connection: Any = await opened if inspect.isawaitable(opened) else opened
        except BaseException:
            if held is not None:  # cut off while it was being checked: nobody knows what it would answer next
                self._dispose_later(held)
            self._free_slot()
            raise
        self._opened_count += 1
        return self._lend(_Held(connection, self._clock.monotonic()))

    async def _wait_for_slot(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[future] = None
        try:
            await future
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._free_slot()
            else:
                self._waiters.pop(future, None)
            raise

    def _free_slot(self) -> None:
        while self._waiters:
            future, _ = self._waiters.popitem(last=False)
            if not future.done():
                future.set_result(None)
                return
        self._slots -= 1
        if self._slots == 0 and self._all_back is not None and not self._all_back.done():
            self._all_back.set_result(None)

    def _lend(self, held: _Held[C]) -> C:
        self._lent[id(held.connection)] = held
        return held.connection

    def _too_old(self, held: _Held[C]) -> bool:
        now = self._clock.monotonic()
        return now - held.used >= self._max_idle or now - held.born >= self._max_age

    async def _answers(self, held: _Held[C]) -> bool:
        if self._ping is None:
            return True
        try:
            answer = self._ping(held.connection)
            answer = await answer if inspect.isawaitable(answer) else answer
        except Exception:  # noqa: BLE001 - a connection that cannot even be asked is replaced
            return False
        return answer is not False

    async def release(self, connection: C) -> None:
        """Give a connection back. Raises ValueError when it is not on loan from here."""
        held = self._take_back(connection)
        if held is None:
            return
        if self._closed:
            self._free_slot()
            await self._dispose(held)
            return
        held.used = self._clock.monotonic()
        self._idle.append(held)
        self._free_slot()

    async def discard(self, connection: C) -> None:
        """Close a borrowed connection instead of giving it back."""
        held = self._take_back(connection)
        if held is not None:
            try:
                await self._dispose(held)
            finally:
                self._free_slot()

    def drop(self, connection: C) -> None:
        """Discard without waiting for the connection to close; the pool sees to it."""
        held = self._take_back(connection)
        if held is not None:
            self._dispose_later(held)
            self._free_slot()

    def _take_back(self, connection: C) -> _Held[C] | None:
        held = self._lent.pop(id(connection), None)
        if held is not None and held.connection is connection:
            return held
        if self._taken_from_borrower.pop(id(connection), None) is not None:
            return None
        raise ValueError(f"This connection is not on loan from {self.name}; give each one back once, to its own pool.")

    def breaks(self, error: BaseException | None) -> bool:
        """Return whether a block that ended with ``error`` leaves its connection unusable."""
        if error is None:
            return False
        if self._is_broken is not None:
            return self._is_broken(error)
        return isinstance(error, OSError) or not isinstance(error, Exception)

    async def _dispose(self, held: _Held[C]) -> None:
        self._closed_count += 1
        if self._close is None:
            return
        try:
            closing = self._close(held.connection)
            if inspect.isawaitable(closing):
                await closing
        except Exception as error:  # noqa: BLE001 - it is thrown away either way; the log says that it went badly
            _log.warning("closing a connection of %s failed: %s", self.name, type(error).__name__)

    def _dispose_later(self, held: _Held[C]) -> None:
        task = asyncio.ensure_future(self._dispose(held))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - loans outlive it, it cuts nothing
        """Refuse newcomers and waiters, wait for loans (at most ``timeout`` seconds), close every connection."""
        self._closed = True
        refused = list(self._waiters)
        self._waiters.clear()
        for future in refused:
            if not future.done():
                future.set_exception(self._is_closed())
        idle, self._idle = self._idle, []
        for held in idle:
            await self._dispose(held)
        if self._slots:
            await self._wait_for_loans(timeout)
        for place, held in list(self._lent.items()):
            del self._lent[place]
            self._taken_from_borrower[place] = held.connection
            self._slots -= 1
            await self._dispose(held)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _wait_for_loans(self, timeout: float | None) -> None:  # noqa: ASYNC109
        if self._all_back is None:
            self._all_back = asyncio.get_running_loop().create_future()
        if timeout is None:
            await asyncio.shield(self._all_back)
            return
        try:
            async with self._clock.timeout(timeout):
                await asyncio.shield(self._all_back)
        except TimeoutError:
            _log.warning("%s closes %d connections that were not given back", self.name, len(self._lent))

    def _is_closed(self) -> PoolClosed:
        return PoolClosed(f"{self.name} is closed; make a new pool.", name=self.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class _Loan(Generic[C]):
    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool[C]) -> None:
        self._pool = pool

    async def __aenter__(self) -> C:
        self._connection = await self._pool.acquire()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._pool.breaks(error):
            await self._pool.release(self._connection)
        else:
            self._pool.drop(self._connection)
