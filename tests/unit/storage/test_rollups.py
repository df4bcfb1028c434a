"""Where roll-ups rest: one contract for the database and for the one in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import BOTH, database_url

from kimera.storage.database import open_database
from kimera.storage.rollups import Rollups
from kimera.telemetry.retention.rollup_store import MemoryRollups, RollupRow, RollupStore


@pytest.fixture(params=["memory", *BOTH])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RollupStore]:
    """Yield an empty store of each kind."""
    if request.param == "memory":
        yield MemoryRollups()
        return
    with database_url(request.param, tmp_path) as url:
        database = open_database(url)
        yield Rollups(database)
        database.close()


def row(bucket: int, process: str = "w1", tier: str = "raw", body: bytes = b"x") -> RollupRow:
    """Return a row."""
    return RollupRow(tier, bucket, process, body)


def test_a_row_takes_the_place_of_its_predecessor(store: RollupStore) -> None:
    """Promise: writing a row again leaves one row, the newer; so a repeated write changes nothing."""
    store.put(row(15, body=b"old"))
    store.put(row(15, body=b"new"))
    assert [row(15, body=b"new")] == store.rows("raw", 0, 100)


def test_rows_come_in_order_from_start_to_before_end(store: RollupStore) -> None:
    """Promise: rows are sorted by bucket and process, the start is in, the end is out, other tiers are not."""
    for one in [row(30), row(15, "w2"), row(15), row(45), row(0), row(15, tier="5m")]:
        store.put(one)
    assert [row(15), row(15, "w2"), row(30)] == store.rows("raw", 15, 45)


def test_first_and_last_find_the_ends(store: RollupStore) -> None:
    """Promise: the ends of a tier are found, and None says that there is nothing."""
    assert (None, None) == (store.first("raw", 0), store.last("raw"))
    store.put(row(15))
    store.put(row(90))
    assert (15, 90, None, 90) == (
        store.first("raw", 0),
        store.first("raw", 16),
        store.first("raw", 91),
        store.last("raw"),
    )


def test_pruning_takes_the_oldest_first_in_batches(store: RollupStore) -> None:
    """Promise: at most the limit goes at once, oldest first, nothing at or after the border, no other tier."""
    for bucket in range(0, 100, 15):
        store.put(row(bucket))
        store.put(row(bucket, "w2"))
    store.put(row(0, tier="5m"))
    assert 3 == store.prune("raw", 60, 3)
    assert 15 == store.first("raw", 0)
    assert 5 == store.prune("raw", 60, 1_000)
    assert 0 == store.prune("raw", 60, 1_000)
    assert (60, 0) == (store.first("raw", 0), store.first("5m", 0))


def test_a_lease_has_one_holder(store: RollupStore) -> None:
    """Promise: a held lease is renewed by its holder only, and free again once given back or run out."""
    assert store.lease("rollups", "a", 60.0)
    assert store.lease("rollups", "a", 60.0)
    assert not store.lease("rollups", "b", 60.0)
    store.release("rollups", "b")
    assert not store.lease("rollups", "b", 60.0)
    store.release("rollups", "a")
    assert store.lease("rollups", "b", -1.0)  # run out as soon as it is taken
    assert store.lease("rollups", "c", 60.0)
