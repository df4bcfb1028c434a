"""Connections: never too many, never lost, never a broken one twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.resilience.callees import never, settle

from kimera.clock import FakeClock
from kimera.errors import OperationTimeout, PoolClosed
from kimera.resilience import Pool


class Connection:
    """A connection that notes whether it is open."""

    def __init__(self, number: int) -> None:
        self.number, self.open, self.answers = number, True, True

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.open = False


class Server:
    """Makes connections and knows how many are open."""

    def __init__(self, error: Exception | None = None) -> None:
        self.made: list[Connection] = []
        self.error = error

    async def connect(self) -> Connection:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.made.append(Connection(len(self.made)))
        return self.made[-1]

    def open_count(self) -> int:
        return sum(connection.open for connection in self.made)


def pool_of(server: Server, **options: Any) -> Pool[Connection]:
    """Return a pool of three on a fake clock."""
    options = {"max_size": 3, "close": Connection.close, "clock": FakeClock(), **options}
    return Pool(server.connect, **options)


async def test_never_above_max_size_reused_and_waiters_in_order() -> None:
    """Promise (36): 100 borrowers share three connections, served in order of arrival."""
    server, order = Server(), []
    pool = pool_of(server)
    most = 0

    async def borrow(x: int) -> None:
        nonlocal most
        async with pool.connection():
            order.append(x)
            most = max(most, pool.stats().lent)
            await asyncio.sleep(0)

    await asyncio.gather(*(borrow(x) for x in range(100)))
    assert (3, 3, list(range(100))) == (len(server.made), most, order)
    assert (3, 0, 0) == (pool.stats().idle, pool.stats().lent, pool.stats().waiting)


async def test_the_most_recently_used_goes_first_and_the_old_are_replaced_unseen() -> None:
    """Promise (36): last in first out; idle for max_idle, or older than max_age, is closed and replaced."""
    clock, server = FakeClock(), Server()
    pool = pool_of(server, max_idle=60, max_age=200, clock=clock)
    one, two = await pool.acquire(), await pool.acquire()
    await pool.release(one)
    await pool.release(two)
    assert two is await pool.acquire()
    await pool.release(two)
    clock.tick(60)
    three = await pool.acquire()
    assert (2, False, False) == (three.number, one.open, two.open)
    for _ in range(4):
        await pool.release(three)
        clock.tick(50)
        latest = await pool.acquire()
    assert (3, 1) == (latest.number, server.open_count())


async def test_one_that_does_not_answer_is_replaced() -> None:
    """Promise (36): `ping` that says False or raises replaces the connection before anybody sees it."""
    server = Server()

    def ping(connection: Connection) -> bool:
        if connection.number == 1:
            raise OSError
        return connection.answers

    pool = pool_of(server, ping=ping)
    one = await pool.acquire()
    await pool.release(one)
    one.answers = False
    two = await pool.acquire()
    await pool.release(two)
    three = await pool.acquire()
    assert ([0, 1, 2], 1, 1) == ([c.number for c in server.made], server.open_count(), pool.stats().lent)
    assert three.open


async def test_plain_and_async_factories_work_and_a_failing_one_frees_its_slot() -> None:
    """Promise (37): sync and async factories; after 100 failed attempts every slot is still there."""
    plain: Pool[Connection] = Pool(lambda: Connection(7), max_size=1)
    async with plain.connection() as connection:
        assert 7 == connection.number
    server = Server(ConnectionError("down"))
    pool = pool_of(server)
    results = await asyncio.gather(*(pool.acquire() for _ in range(100)), return_exceptions=True)
    assert {ConnectionError} == {type(result) for result in results}
    server.error = None
    assert [0, 1, 2] == [(await pool.acquire()).number for _ in range(3)]


async def test_no_slot_is_lost_to_a_cancelled_acquire() -> None:
    """Promise: cancelled while waiting, while opening, or in the turn the slot came: it passes on."""
    server = Server()
    pool = pool_of(server, max_size=1)
    opening = asyncio.create_task(pool.acquire())
    await asyncio.sleep(0)
    opening.cancel()
    await settle()
    held = await pool.acquire()
    waiters = [asyncio.create_task(pool.acquire()) for _ in range(3)]
    await settle()
    waiters[0].cancel()
    await pool.release(held)
    waiters[1].cancel()
    await settle()
    assert held is waiters[2].result()
    assert (1, 0) == (pool.stats().lent, pool.stats().waiting)


async def test_waiting_ends_at_acquire_timeout() -> None:
    """Promise: past acquire_timeout the borrower gets OperationTimeout and leaves the queue; a hanging factory too."""
    clock = FakeClock()
    pool: Pool[None] = Pool(never, max_size=1, acquire_timeout=5, clock=clock, name="db")
    calls = [asyncio.create_task(pool.acquire()) for _ in range(100)]
    await clock.advance(5)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {OperationTimeout} == {type(result) for result in results}
    assert "borrowing from db took longer than 5 s" in str(results[0])
    assert (0, 0, 0) == (pool.stats().lent, pool.stats().waiting, pool._slots)


async def test_a_connection_that_may_be_broken_is_not_lent_again() -> None:
    """Promise: left by an OSError or by cancellation it is discarded, by another error kept; is_broken decides."""
    server = Server()
    pool = pool_of(server)
    for error, number in (
        (ValueError(), 0),
        (ConnectionResetError(), 0),
        (TimeoutError(), 1),
        (asyncio.CancelledError(), 2),
    ):
        with pytest.raises(type(error)):
            async with pool.connection() as connection:
                assert number == connection.number
                raise error
    await settle()
    assert (0, 0) == (server.open_count(), pool.stats().idle)
    choosy = pool_of(Server(), is_broken=lambda error: isinstance(error, ValueError))
    with pytest.raises(OSError):
        async with choosy.connection():
            raise OSError
    assert 1 == choosy.stats().idle


async def test_giving_back_twice_or_a_stranger_is_an_error() -> None:
    """Promise: ValueError for a connection that is not on loan from this pool; discarding counts as giving back."""
    pool = pool_of(Server())
    connection = await pool.acquire()
    await pool.release(connection)
    for wrong in (connection, Connection(99)):
        with pytest.raises(ValueError, match="not on loan"):
            await pool.release(wrong)
    await pool.discard(await pool.acquire())
    assert (0, 0) == (pool.stats().idle, pool._slots)


async def test_close_refuses_waits_and_closes_all() -> None:
    """Promise: newcomers and waiters get PoolClosed; loans are waited for; then every connection is closed."""
    server = Server()
    pool = pool_of(server, max_size=2)
    one, two = await pool.acquire(), await pool.acquire()
    waiters = [asyncio.create_task(pool.acquire()) for _ in range(100)]
    await settle()
    await_close = asyncio.create_task(pool.close())
    await settle()
    assert {PoolClosed} == {type(waiter.exception()) for waiter in waiters}
    with pytest.raises(PoolClosed):
        await pool.acquire()
    await pool.release(one)
    assert not await_close.done()
    await pool.release(two)
    await await_close
    assert 0 == server.open_count()


async def test_close_with_a_time_limit_takes_what_is_not_given_back() -> None:
    """Promise: after `timeout` the loans are closed over their borrowers' heads, who may still give them back."""
    clock, server = FakeClock(), Server()
    pool = pool_of(server, clock=clock)
    kept = await pool.acquire()
    closing = asyncio.create_task(pool.close(timeout=3))
    await clock.advance(3)
    await closing
    assert 0 == server.open_count()
    await pool.release(kept)
    with pytest.raises(ValueError):
        await pool.release(kept)
