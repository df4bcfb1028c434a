"""What pools of connections say of themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.storage.database import Database, engine_for, open_database
from kimera.storage.pools import Waits

WORST = 5.0


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a database of each kind whose pool lends two connections at most, and waits .2 s for one."""
    with database_url(request.param, tmp_path) as url:
        engine = engine_for(url, pool=2)
        engine.pool._max_overflow, engine.pool._timeout = 0, 0.2  # type: ignore[attr-defined]
        database = Database(engine)
        yield database
        database.close()


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    done, tick = threading.Event(), 0.0
    while not true() and tick < WORST:
        done.wait(0.01)
        tick += 0.01
    assert true()


def test_lent_idle_and_waiting_are_told(database: Database) -> None:
    """Promise: what is lent is in use; who waits is counted while waiting, and for how long afterwards."""
    told = database.pool_figures()
    assert (2, 0, True, 0) == (told["size"], told["in_use"], told["last_health_check"]["ok"], told["failures"])
    first, second = database.engine.connect(), database.engine.connect()
    assert (2, 0, 0) == tuple(database.pool_figures()[name] for name in ("in_use", "idle", "waiting"))
    thread = threading.Thread(target=lambda: database.engine.connect().close())
    thread.start()
    until(lambda: database.pool_figures()["waiting"] == 1)
    first.close()
    thread.join(WORST)
    second.close()
    told = database.pool_figures()
    assert (0, 2, 0) == tuple(told[name] for name in ("in_use", "idle", "waiting"))
    assert 0 < told["wait_p95_ms"] <= told["wait_max_ms"]


def test_a_connection_that_was_not_to_be_had_is_a_failure(database: Database) -> None:
    """Promise: waiting longer than the limit fails and is counted; a full pool is not asked for a health check."""
    with database.engine.connect(), database.engine.connect():
        with pytest.raises(sa.exc.TimeoutError):
            database.engine.connect()
        told = database.pool_figures()
        assert (1, 0.2, "PoolFull") == (
            told["failures"],
            told["wait_timeout_seconds"],
            told["last_health_check"]["failure"],
        )
    assert database.pool_figures()["last_health_check"]["ok"]


def test_a_broken_connection_is_a_failure(database: Database) -> None:
    """Promise: a connection that had to be thrown away is counted."""
    lent = database.engine.raw_connection()
    lent.invalidate()
    assert 1 == database.pool_figures()["failures"]


def test_a_check_is_shown_again_for_a_while() -> None:
    """Promise: the probe runs when the last check is old, its failure is named, and success shows again."""
    clock, waits, ran = FakeClock(), Waits(), []

    def probe() -> None:
        ran.append(clock.now())
        if len(ran) == 2:
            raise OSError

    assert waits.check(probe, clock, 5.0).failure is None
    clock.tick(4.0)
    assert 1 == len(ran) and waits.check(probe, clock, 5.0).at == ran[0].timestamp()
    clock.tick(2.0)
    assert "OSError" == waits.check(probe, clock, 5.0).failure
    clock.tick(6.0)
    assert waits.check(probe, clock, 5.0).failure is None and 3 == len(ran)


def test_a_database_in_memory_has_one_connection() -> None:
    """Promise: it is told as a pool of one that is in use."""
    database = open_database("sqlite:///:memory:")
    told: dict[str, Any] = database.pool_figures()
    assert (1, 1, True) == (told["size"], told["in_use"], told["last_health_check"]["ok"])
    database.close()
