"""A bounded cache with a time to live, and a decorator that loads each key once."""

from __future__ import annotations

import functools
import math
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from kimera.clock import Clock
from kimera.errors import ConfigurationError
from kimera.resilience._flights import CacheInfo, Store, StoreOptions, add_up
from kimera.resilience._keys import compile_key, compile_lookup, is_method
from kimera.resilience._shelf import END, RANK, VALUE, Shelf
from kimera.resilience._tally import Tally
from kimera.resilience.pipeline import SYSTEM_CLOCK, Hook, Policy, Switch, bound_once, describe

__all__ = ["UNSET", "Cache", "CacheInfo", "CacheStats", "Cached", "cached"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = _Unset()
"""What stands for "not given" where None means something."""


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was made."""

    size: int
    hits: int
    misses: int
    evictions: int


def _check_size(max_size: int) -> int:
    if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < 0:
        raise ConfigurationError(f"max_size takes a whole number of 0 or more, not {max_size!r}.", "max_size")
    return max_size


def _check_ttl(ttl: float | None) -> float | None:
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or math.isnan(ttl)):
        raise ConfigurationError(f"ttl takes seconds, or None for no expiry, not {ttl!r}.", "ttl")
    return ttl


def _reading(clock: Clock | None) -> Callable[[], float]:
    return time.monotonic if clock is None or clock is SYSTEM_CLOCK else clock.monotonic


class Cache(Generic[K, V]):
    """At most ``max_size`` entries, each alive while now < stored + ttl seconds (None: no expiry).

    ``get`` renews the rank, not the age; ``set`` renews both. Room is made from expired entries first, then from the
    least recently used. None is a value. Any thread may use it; only ``set`` and what removes take the lock.
    """

    get: Callable[..., Any]
    """``get(key, default=None)``: return the value, or ``default``."""

    def __init__(self, max_size: int = 128, ttl: float | None = 300.0, *, clock: Clock | None = None) -> None:
        self._shelf = Shelf(_check_size(max_size), _reading(clock))
        self._ttl = _check_ttl(ttl)
        self._now = self._shelf.now
        self._lock = threading.Lock()
        self._misses = Tally()
        self.get = _make_get(self._shelf, self._misses.tick)

    def set(self, key: K, value: V, ttl: float | _Unset | None = UNSET) -> None:
        """Store ``value``; a ttl of 0 or less removes what was there."""
        lifetime = self._ttl if isinstance(ttl, _Unset) else _check_ttl(ttl)
        with self._lock:
            self._shelf.put(key, value, lifetime)

    def delete(self, key: K) -> bool:
        """Remove one entry; return whether it was there and alive."""
        with self._lock:
            entry = self._shelf.entries.pop(key, None)
            return entry is not None and bool(self._now() < entry[END])

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._shelf.clear()

    def purge(self) -> int:
        """Remove expired entries; return how many."""
        with self._lock:
            return self._shelf.purge(self._now())

    def stats(self) -> CacheStats:
        """Return size and counters."""
        with self._lock:
            self._shelf.purge(self._now())
            size, hits, evictions = len(self._shelf.entries), self._shelf.hits(), self._shelf.evictions
        return CacheStats(size, hits, self._misses.read(), evictions)

    def __len__(self) -> int:
        """Return how many entries are held, expired ones not counted."""
        with self._lock:
            self._shelf.purge(self._now())
            return len(self._shelf.entries)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            entry = self._shelf.entries.get(key)
            return entry is not None and bool(self._now() < entry[END])


def _make_get(shelf: Shelf, miss: Callable[[], int]) -> Callable[..., Any]:
    # a closure: looking up attributes would cost as much as the lookup itself
    find, now, tick = shelf.entries.get, shelf.now, shelf.tick

    def get(key: Any, default: Any = None) -> Any:
        entry = find(key)
        if entry is not None and now() < entry[END]:
            entry[RANK] = tick()
            return entry[VALUE]
        miss()
        return default

    return get


class Cached(Policy):
    """What `cached` returns: a decorator and a policy. Every function has its own store, every instance of a class too.

    Decorated functions have ``invalidate(*args, **kwargs)``, ``clear()`` and ``info()``.
    """

    kind = "cache"

    def __init__(
        self,
        ttl: float | None,
        max_size: int,
        key: Callable[..., Hashable] | None,
        typed: bool,
        stale: float,
        name: str | None,
        clock: Clock | None,
        on_event: Hook | None,
    ) -> None:
        super().__init__(name, clock, on_event)
        if isinstance(stale, bool) or not isinstance(stale, int | float) or not 0 <= stale < math.inf:
            raise ConfigurationError(f"stale takes seconds of 0 or more, not {stale!r}.", "stale")
        if key is not None and not callable(key):
            raise ConfigurationError(f"key takes a function of the call's arguments, not {key!r}.", "key")
        self._options = StoreOptions(_check_ttl(ttl), _check_size(max_size), float(stale), _reading(clock), self.emit)
        self._key, self._typed = key, typed
        self._stores: WeakSet[Store] = WeakSet()
        self._bound: WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = WeakKeyDictionary()

    def stats(self) -> CacheInfo:
        """Return the sums over all functions."""
        return add_up(store.info() for store in list(self._stores))

    def bind_async(self, fn: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return ``fn`` with a store of its own."""
        return self._bind(fn, True)

    def bind_sync(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return the plain function ``fn`` with a store of its own."""
        if self._options.stale:
            raise ConfigurationError(
                f"stale= refreshes in the background and needs an async function; leave it out for {describe(fn)}.",
                "stale",
            )
        return self._bind(fn, False)

    def _bind(self, fn: Callable[..., Any], asynchronous: bool) -> Callable[..., Any]:
        if is_method(fn):
            return _CachedMethod(self, fn, asynchronous)
        store = self.open_store(fn)
        lookup: Any = compile_lookup(
            fn,
            asynchronous,
            self._typed,
            self._key,
            switch=Switch,
            get=store.shelf.entries.get,
            now=store.shelf.now,
            tick=store.shelf.tick,
            miss=store.load_async if asynchronous else store.load_sync,
        )
        key_of = compile_key(fn, self._typed, self._key)
        lookup.invalidate = lambda *args, **kwargs: store.invalidate(key_of(*args, **kwargs))
        lookup.clear, lookup.info = store.clear, store.info
        lookup.__wrapped__ = fn
        return lookup  # type: ignore[no-any-return]

    def open_store(self, fn: Callable[..., Any]) -> Store:
        """Return a new store for ``fn``, counted in `stats`."""
        store = Store(fn, self._options)
        self._stores.add(store)
        return store

    def key_of_method(self, fn: Callable[..., Any]) -> Callable[..., Hashable]:
        """Return the key function over the arguments after the instance; a given ``key=`` sees the instance too."""
        return compile_key(fn, self._typed, self._key, skip=0 if self._key is not None else 1)

    @property
    def has_own_key(self) -> bool:
        """Return whether ``key=`` was given."""
        return self._key is not None

    def call(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``fn`` through its store, which is kept while the function lives."""
        if Switch.off:
            return fn(*args, **kwargs)
        return bound_once(self, self._bound, fn)(*args, **kwargs)


def cached(
    ttl: float | None = 300.0,
    max_size: int = 128,
    *,
    key: Callable[..., Hashable] | None = None,
    typed: bool = True,
    stale: float = 0.0,
    name: str | None = None,
    clock: Clock | None = None,
    on_event: Hook | None = None,
) -> Cached:
    """Return a decorator that remembers results for ``ttl`` seconds (None: no expiry), at most ``max_size`` of them.

    One load per key however many callers; a cancelled load is taken over by a waiter; a failing one fails its waiters
    and is not stored. ``typed`` keeps 1, 1.0 and True apart. ``stale`` (async only): for that many seconds past the ttl
    callers get the old value at once while one refresh runs. Unhashable arguments raise TypeError unless ``key`` (a
    function of the same arguments) is given.
    """
    return Cached(ttl, max_size, key, typed, stale, name, clock, on_event)


class _CachedMethod:
    """A cached method: one store per instance, which the cache does not keep alive."""

    def __init__(self, policy: Cached, fn: Callable[..., Any], asynchronous: bool) -> None:
        self.policy, self.fn = policy, fn
        self.key_of = policy.key_of_method(fn)
        self._bound = _BoundAsync if asynchronous else _Bound
        self._stores: dict[int, tuple[weakref.ref[Any], Store]] = {}
        self._lock = threading.Lock()
        functools.update_wrapper(self, fn)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else self._bound(self, instance)

    def __call__(self, instance: Any, *args: Any, **kwargs: Any) -> Any:
        return self._bound(self, instance)(*args, **kwargs)

    def store_of(self, instance: Any) -> Store:
        """Return the instance's store; TypeError when the instance cannot be referred to weakly."""
        place = id(instance)
        found = self._stores.get(place)
        if found is not None and found[0]() is instance:
            return found[1]
        with self._lock:
            found = self._stores.get(place)
            if found is None or found[0]() is not instance:
                self._stores[place] = found = (self._watch(instance), self.policy.open_store(self.fn))
            return found[1]

    def _watch(self, instance: Any) -> weakref.ref[Any]:
        place = id(instance)
        stores = self._stores

        def forget(gone: weakref.ref[Any]) -> None:
            found = stores.get(place)
            if found is not None and found[0] is gone:
                del stores[place]

        try:
            return weakref.ref(instance, forget)
        except TypeError:
            raise TypeError(
                f"{type(instance).__qualname__} cannot be referred to weakly; add '__weakref__' to its __slots__."
            ) from None

    def invalidate(self, instance: Any, *args: Any, **kwargs: Any) -> None:
        """Forget one result of one instance."""
        self._bound(self, instance).invalidate(*args, **kwargs)

    def clear(self) -> None:
        """Forget every result of every instance."""
        for _, store in list(self._stores.values()):
            store.clear()

    def info(self) -> CacheInfo:
        """Return the sums over all instances."""
        return add_up(store.info() for _, store in list(self._stores.values()))


class _Bound:
    """A cached method of one instance."""

    def __init__(self, method: _CachedMethod, instance: Any) -> None:
        self._method, self._instance = method, instance
        self._store = method.store_of(instance)
        self.clear, self.info = self._store.clear, self._store.info
        self.__wrapped__ = method.fn

    def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        seen = (self._instance, *args) if self._method.policy.has_own_key else args
        return self._method.key_of(*seen, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if Switch.off:
            return self._method.fn(self._instance, *args, **kwargs)
        return self._store.get_sync(self._key(args, kwargs), (self._instance, *args), kwargs)

    def invalidate(self, *args: Any, **kwargs: Any) -> None:
        """Forget one result."""
        self._store.invalidate(self._key(args, kwargs))


class _BoundAsync(_Bound):
    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if Switch.off:
            return await self._method.fn(self._instance, *args, **kwargs)
        return await self._store.get_async(self._key(args, kwargs), (self._instance, *args), kwargs)
