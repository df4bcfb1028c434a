"""Bodies that are kept: what predictions showed of patterns lately, within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kimera.guardian import Label
from kimera.memory.contracts import Body

__all__ = ["Bodies", "CacheCounts", "KeptBody"]

BODIES, BODY_BYTES = 10_000, 64 * 2**20
BARE, PER_CHARACTER = 1_000, 4  # bytes of a body that says nothing, and of each character it was read from


@dataclass(slots=True)
class CacheCounts:
    """What a cache did since the start."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0

    def to_dict(self, size: int) -> dict[str, float]:
        """Return the counts with the cache's size and its hit rate (0 before the first look)."""
        looks = self.hits + self.misses
        rate = self.hits / looks if looks else 0.0
        return {"size": size, "hits": self.hits, "misses": self.misses, "evictions": self.evictions, "hit_rate": rate}


@dataclass(frozen=True, slots=True)
class KeptBody:
    """A pattern's body and label, unchanged since record ``changed``; ``characters`` long was the text it came from."""

    body: Body
    label: Label
    changed: int
    characters: int

    @property
    def footprint(self) -> int:
        """Return an estimate of the bytes taken."""
        return BARE + PER_CHARACTER * self.characters


class Bodies:
    """The bodies used last, at most 10,000 and about 64 MiB. Whoever uses it holds a lock."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, KeptBody] = OrderedDict()
        self._bytes = 0
        self.counts = CacheCounts()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def footprint(self) -> int:
        """Return an estimate of the bytes taken."""
        return self._bytes

    def known(self, patterns: Iterable[str]) -> dict[str, KeptBody]:
        """Return those of these patterns that are kept; counts as a use of them."""
        found = {}
        for pattern in patterns:
            kept = self._kept.get(pattern)
            if kept is None:
                self.counts.misses += 1
            else:
                found[pattern] = kept
                self._kept.move_to_end(pattern)
        self.counts.hits += len(found)
        return found

    def keep(self, read: Mapping[str, KeptBody]) -> None:
        """Keep these, and let those go that were not used for longest."""
        for pattern, body in read.items():
            self.drop(pattern)
            self._kept[pattern] = body
            self._bytes += body.footprint
        while len(self._kept) > BODIES or self._bytes > BODY_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].footprint
            self.counts.evictions += 1

    def drop(self, pattern: str) -> None:
        """Let one go, whose pattern has changed."""
        gone = self._kept.pop(pattern, None)
        if gone is not None:
            self._bytes -= gone.footprint

    def clear(self) -> None:
        """Let all go."""
        self._kept.clear()
        self._bytes = 0
