"""The cache: what is alive, and who makes room."""

from __future__ import annotations

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.clock import FakeClock
from kimera.resilience import Cache, TTLCache


def test_alive_just_before_the_ttl_and_gone_at_it() -> None:
    """Promise (1): an entry is there while now < stored + ttl."""
    clock = FakeClock()
    cache: Cache[str, int] = Cache(ttl=10, clock=clock)
    cache.set("a", 1)
    clock.tick(9.999)
    assert (1, True) == (cache.get("a"), "a" in cache)
    clock.tick(0.001)
    assert (None, False, 0) == (cache.get("a"), "a" in cache, len(cache))


def test_an_update_at_capacity_keeps_the_other_keys() -> None:
    """Promise (2): setting a key that is there evicts nobody."""
    cache: Cache[str, int] = Cache(max_size=2, clock=FakeClock())
    for key, value in (("a", 1), ("b", 2), ("a", 3)):
        cache.set(key, value)
    assert (3, 2, 0) == (cache.get("a"), cache.get("b"), cache.stats().evictions)


def test_no_ttl_for_one_key_never_expires() -> None:
    """Promise (3): ttl=None for one key keeps it, ttl of 0 or less stores nothing and removes what was there."""
    clock = FakeClock()
    cache: Cache[str, int] = Cache(ttl=1, clock=clock)
    cache.set("forever", 1, ttl=None)
    cache.set("never", 2)
    cache.set("never", 3, ttl=0)
    assert cache.get("never") is None
    clock.tick(1e9)
    assert 1 == cache.get("forever")


def test_get_renews_rank_only_and_set_renews_age_too() -> None:
    """Promise (4): a key that was read outlives one that was not; reading does not make it younger, writing does."""
    clock = FakeClock()
    cache: Cache[str, int] = Cache(max_size=2, ttl=10, clock=clock)
    cache.set("a", 1)
    cache.set("b", 2)
    cache.get("a")
    cache.set("c", 3)
    assert (1, None, 3) == (cache.get("a"), cache.get("b"), cache.get("c"))
    clock.tick(6)
    cache.set("c", 4)
    cache.get("a")
    clock.tick(4)
    assert (None, 4) == (cache.get("a"), cache.get("c"))


def test_none_is_a_value() -> None:
    """Promise (5): a stored None is a hit, told from a miss by the default."""
    cache: Cache[str, None] = Cache(clock=FakeClock())
    cache.set("a", None)
    assert (None, "miss") == (cache.get("a", "miss"), cache.get("b", "miss"))
    assert (1, 1) == (cache.stats().hits, cache.stats().misses)


def test_expired_entries_go_before_live_ones() -> None:
    """Promise (6): room is made from expired entries first, however recently they were used."""
    clock = FakeClock()
    cache: Cache[str, int] = Cache(max_size=2, ttl=100, clock=clock)
    cache.set("old but alive", 1)
    cache.set("young but dead", 2, ttl=1)
    clock.tick(1)
    cache.set("new", 3)
    assert (1, 3, 0) == (cache.get("old but alive"), cache.get("new"), cache.stats().evictions)


def test_four_threads_with_their_own_loops_share_one_ttl_cache() -> None:
    """Promise (7): four threads, each with an event loop of its own, use one TTLCache; no error, no hang."""
    cache, errors = TTLCache(max_size=50), []

    async def work(seed: int) -> None:
        for i in range(500):
            await cache.set((seed + i) % 80, i)
            await cache.get((seed * 7 + i) % 80)

    def run(seed: int) -> None:
        try:
            asyncio.run(work(seed))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [] == errors
    assert [False] * 4 == [thread.is_alive() for thread in threads]
    assert len(cache) <= 50


def test_the_least_recently_used_goes_first_whatever_was_read() -> None:
    """Promise: at capacity the key whose last use is longest ago is evicted, over many rounds."""
    cache: Cache[int, int] = Cache(max_size=3, ttl=None, clock=FakeClock())
    for key in (1, 2, 3):
        cache.set(key, key)
    for used in ([1, 2], [2, 1, 3], [3, 3, 1]):
        for key in used:
            cache.get(key)
    cache.set(4, 4)  # last uses: 2, then 3, then 1
    assert [None, 1, 3, 4] == [cache.get(2), cache.get(1), cache.get(3), cache.get(4)]
    cache.set(5, 5)
    assert cache.get(1) is None


def test_a_size_of_zero_stores_nothing() -> None:
    """Promise: max_size=0 is allowed and never a hit."""
    cache: Cache[str, int] = Cache(max_size=0)
    cache.set("a", 1)
    assert (None, 0) == (cache.get("a"), len(cache))


def test_delete_clear_and_purge() -> None:
    """Promise: delete says whether it was there, purge removes and counts the expired, clear removes everything."""
    clock = FakeClock()
    cache: Cache[str, int] = Cache(ttl=1, clock=clock)
    cache.set("a", 1)
    assert (True, False) == (cache.delete("a"), cache.delete("a"))
    cache.set("b", 1)
    cache.set("c", 1, ttl=9)
    clock.tick(1)
    assert (1, 1) == (cache.purge(), len(cache))
    cache.clear()
    assert 0 == len(cache)


def test_what_is_kept_to_order_entries_stays_in_proportion() -> None:
    """Promise: rewriting a few keys for ever does not grow the cache's own books."""
    clock = FakeClock()
    cache: Cache[int, int] = Cache(max_size=8, ttl=1000, clock=clock)
    for i in range(5000):
        cache.set(i % 8, i)
        cache.delete(i % 3)
    assert len(cache._shelf._ends) <= 2 * 8 + 65
    assert len(cache._shelf._ranks) <= 2 * 8 + 65


@given(st.lists(st.tuples(st.sampled_from(["get", "set", "delete"]), st.integers(0, 6)), max_size=80))
def test_it_agrees_with_a_list_in_order_of_use(steps: list[tuple[str, int]]) -> None:
    """Promise: for any sequence of calls it holds what a list kept in order of use would hold."""
    cache: Cache[int, int] = Cache(max_size=3, ttl=None)
    model: list[int] = []
    for action, key in steps:
        if action == "delete":
            assert (key in model) == cache.delete(key)
            model = [k for k in model if k != key]
        elif action == "get":
            assert (key if key in model else None) == cache.get(key)
            model = [*(k for k in model if k != key), key] if key in model else model
        else:
            cache.set(key, key)
            model = [*(k for k in model if k != key), key][-3:]
    assert sorted(model) == [key for key in range(7) if key in cache]


def test_a_negative_size_is_refused() -> None:
    """Promise: the constructor says what to write instead."""
    with pytest.raises(ValueError, match="0 or more"):
        Cache(max_size=-1)
