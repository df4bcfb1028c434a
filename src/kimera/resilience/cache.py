"""A bounded cache with a time to live, and a decorator that loads each key once."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from kimera.clock import Clock
from kimera.errors import ConfigurationError
from kimera.resilience.pipeline import SYSTEM_CLOCK, CacheRefreshed, Hook, Switch, describe, is_async

__all__ = ["UNSET", "Cache", "CacheInfo", "CacheStats", "cached"]

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


def check_size(max_size: int, minimum: int = 0) -> int:
    """Return ``max_size`` or raise ConfigurationError."""
    if isinstance(max_size, bool) or not isinstance(max_size, int) or max_size < minimum:
        raise ConfigurationError(f"max_size takes a whole number of {minimum} or more, not {max_size!r}.", "max_size")
    return max_size


def check_ttl(ttl: float | None) -> float | None:
    """Return ``ttl`` or raise ConfigurationError."""
    if ttl is not None and (isinstance(ttl, bool) or not isinstance(ttl, int | float) or math.isnan(ttl)):
        raise ConfigurationError(f"ttl takes seconds, or None for no expiry, not {ttl!r}.", "ttl")
    return ttl


class Cache(Generic[K, V]):
    """At most ``max_size`` entries, each alive while now < stored + ttl seconds (None: no expiry).

    ``get`` renews the rank, not the age; ``set`` renews both. Room is made from expired entries first, then from the
    least recently used. None is a value. Any thread may use it.
    """

    def __init__(self, max_size: int = 128, ttl: float | None = 300.0, *, clock: Clock | None = None) -> None:
        self._max_size = check_size(max_size)
        self._ttl = check_ttl(ttl)
        self._now = (clock or SYSTEM_CLOCK).monotonic
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._hits = self._misses = self._evictions = 0

    def get(self, key: K, default: Any = None) -> Any:
        """Return the value, or ``default``."""
        entries = self._entries
        with self._lock:
            entry = entries.get(key)
            if entry is not None:
                if self._now() < entry[1]:
                    entries.move_to_end(key)
                    self._hits += 1
                    return entry[0]
                del entries[key]
            self._misses += 1
        return default

    def set(self, key: K, value: V, ttl: float | None | _Unset = UNSET) -> None:
        """Store ``value``; a ttl of 0 or less removes what was there."""
        lifetime = self._ttl if isinstance(ttl, _Unset) else check_ttl(ttl)
        with self._lock:
            if (lifetime is not None and lifetime <= 0) or self._max_size == 0:
                self._entries.pop(key, None)
                return
            now = self._now()
            if key not in self._entries and len(self._entries) >= self._max_size:
                self._make_room(now)
            self._entries[key] = (value, math.inf if lifetime is None else now + lifetime)
            self._entries.move_to_end(key)

    def delete(self, key: K) -> bool:
        """Remove one entry; return whether it was there."""
        with self._lock:
            return self._entries.pop(key, None) is not None

    def clear(self) -> None:
        """Remove everything."""
        with self._lock:
            self._entries.clear()

    def purge(self) -> int:
        """Remove expired entries; return how many."""
        with self._lock:
            return self._drop_expired(self._now())

    def stats(self) -> CacheStats:
        """Return size and counters."""
        with self._lock:
            return CacheStats(len(self._entries), self._hits, self._misses, self._evictions)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        with self._lock:
            entry = self._entries.get(key)  # type: ignore[call-overload]
            return entry is not None and self._now() < entry[1]

    def _make_room(self, now: float) -> None:
        if not self._drop_expired(now):
            self._entries.popitem(last=False)
            self._evictions += 1

    def _drop_expired(self, now: float) -> int:
        dead = [key for key, (_, end) in self._entries.items() if now >= end]
        for key in dead:
            del self._entries[key]
        return len(dead)


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cached function has done."""

    hits: int
    misses: int
    loads: int
    failures: int
    coalesced: int
    stale_hits: int
    evictions: int
    size: int
