"""Interning: symbols, events and futures become small integers, so that equal things are equal numbers."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import Event, Events
from kimera.memory.index.columns import Column

__all__ = ["EventTable", "FutureTable", "SymbolTable"]

Ints = NDArray[np.int64]
T = TypeVar("T")
_KEPT = 65_536  # of what is made again when needed
_FEW = 24  # below this many keys a loop is faster than a pass of numpy
_MIX_EVENT, _MIX_REST, _WORD = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, (1 << 64) - 1


class Kept(dict[int, T]):
    """Make what is asked for by number when it is first asked for; emptied when it has grown long."""

    def __init__(self, make: Callable[[int], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> T:
        if len(self) >= _KEPT:
            self.clear()
        found = self[number] = self._make(number)
        return found


class SymbolTable:
    """Number the symbols in the order of their first appearance; numbers are never reused."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self.texts: list[str] = []

    def intern(self, symbol: str) -> int:
        """Return the number of a symbol, a new one where it is new."""
        number = self.number.get(symbol)
        if number is None:
            number = self.number[symbol] = len(self.texts)
            self.texts.append(symbol)
        return number


class EventTable:
    """Number the events and keep their symbols; an event is the list of its symbols, in order."""

    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols = symbols
        self._number: dict[bytes, int] = {}
        self.starts = Column(np.int64)
        self.starts.extend([0])
        self.tokens = Column(np.int32, 64)
        self.fresh = Column(np.bool_, 64)  # False where the event holds the same symbol further left
        self._texts: list[Event | None] = []
        self._waiting: list[array[int]] = []
        self.written = Kept(lambda number: json.dumps(self.text(number), ensure_ascii=False, separators=(",", ":")))

    def __len__(self) -> int:
        return len(self._texts)

    def intern(self, event: Sequence[str]) -> tuple[int, array[int]]:
        """Return the number of an event and the numbers of its symbols."""
        try:
            ids = array("i", [*map(self._symbols.number.__getitem__, event)])
        except KeyError:
            ids = array("i", [*map(self._symbols.intern, event)])
        key = ids.tobytes()
        number = self._number.get(key)
        if number is None:
            number = self._number[key] = len(self._texts)
            self._texts.append(None)
            self._waiting.append(ids)
        return number, ids

    def flush(self) -> None:
        """Move the symbols of new events into the columns."""
        if self._waiting:
            lengths = np.fromiter(map(len, self._waiting), np.int64, len(self._waiting))
            self.starts.extend(np.cumsum(lengths) + self.tokens.size)
            joined = array("i")
            for ids in self._waiting:
                joined.extend(ids)
            self.tokens.extend(np.frombuffer(joined, dtype=np.int32))
            self.fresh.extend([first for ids in self._waiting for first in _first_times(ids)])
            self._waiting.clear()

    def find(self, event: Sequence[str]) -> int | None:
        """Return the number of an event, None where it was never learned."""
        known = self._symbols.number
        ids = array("i")
        for symbol in event:
            number = known.get(symbol)
            if number is None:
                return None
            ids.append(number)
        return self._number.get(ids.tobytes())

    def all_of(self, numbers: Sequence[int]) -> Events:
        """Return the symbols of some events."""
        texts = self._texts
        return tuple([texts[number] or self.text(number) for number in numbers])

    def text(self, number: int) -> Event:
        """Return the symbols of an event."""
        event = self._texts[number]
        if event is None:
            texts = self._symbols.texts
            low, high = self.starts.values[number : number + 2].tolist()
            event = tuple(texts[i] for i in self.tokens.values[low:high].tolist())
            self._texts[number] = event
        return event


def _first_times(ids: array[int]) -> list[bool]:
    if len(set(ids)) == len(ids):
        return [True] * len(ids)
    return [ids.index(number) == place for place, number in enumerate(ids)]


class FutureTable:
    """Number the ends of patterns: each is one event and the number of the end that follows it; 0 is the empty end.

    Built from the right, so equal futures get equal numbers. An open-addressing table of int32 keeps it at about 16
    bytes per end, a fifth of what a dict takes.
    """

    def __init__(self, events: EventTable) -> None:
        self.events = events
        self.event = Column(np.int32)
        self.rest = Column(np.int32)
        self.event.extend([-1])
        self.rest.extend([-1])
        self._slots: NDArray[np.int32] = np.full(64, -1, dtype=np.int32)
        self.digests = Kept(self._digest)  # by number: the SHA-256 that is the id of an end as a pattern
        self.written = Kept(self._write)  # by number: the events as JSON

    def intern(self, events: Ints, rests: Ints) -> Ints:
        """Return the numbers of the ends made of ``events`` followed by ``rests``, new ones where they are new."""
        if len(events) < _FEW:
            return np.array([self._one(e, r) for e, r in zip(events.tolist(), rests.tolist(), strict=True)], np.int64)
        keys, inverse = np.unique((events << 32) | rests, return_inverse=True)
        numbers = self._lookup(keys)
        new = np.flatnonzero(numbers < 0)
        if len(new):
            first = self.event.size
            numbers[new] = np.arange(first, first + len(new))
            self.event.extend((keys[new] >> 32).astype(np.int32))
            self.rest.extend((keys[new] & 0xFFFFFFFF).astype(np.int32))
            if not self._widen():
                self._place(keys[new], numbers[new])
        return numbers[inverse]

    def text(self, number: int) -> Events:
        """Return the events of an end."""
        return self.events.all_of(self.numbers(number))

    def numbers(self, number: int) -> list[int]:
        """Return the numbers of the events of an end."""
        found: list[int] = []
        known, rests = self.event.values, self.rest.values
        while number:
            found.append(int(known[number]))
            number = int(rests[number])
        return found

    def _digest(self, number: int) -> bytes:
        events = self.text(number)
        parts = [b"kimera.pattern.v1\0", len(events).to_bytes(4, "big")]
        for event in events:
            parts.append(len(event).to_bytes(4, "big"))
            for symbol in event:
                data = symbol.encode()
                parts += (len(data).to_bytes(4, "big"), data)
        return hashlib.sha256(b"".join(parts)).digest()

    def _write(self, number: int) -> str:
        return f"[{','.join([self.events.written[each] for each in self.numbers(number)])}]"

    def _one(self, event: int, rest: int) -> int:
        slots, known, rests = self._slots, self.event.values, self.rest.values
        mask = len(slots) - 1
        place = self._hash(event, rest) & mask
        while (number := int(slots[place])) >= 0:
            if known[number] == event and rests[number] == rest:
                return number
            place = (place + 1) & mask
        number = self.event.size
        self.event.extend([event])
        self.rest.extend([rest])
        slots[place] = number
        self._widen()
        return number

    @staticmethod
    def _hash(event: int, rest: int) -> int:
        mixed = ((event * _MIX_EVENT) ^ (rest * _MIX_REST)) & _WORD
        return (mixed ^ (mixed >> 29)) >> 3

    def _hashes(self, keys: Ints) -> Ints:
        events, rests = (keys >> 32).astype(np.uint64), (keys & 0xFFFFFFFF).astype(np.uint64)
        mixed = (events * np.uint64(_MIX_EVENT)) ^ (rests * np.uint64(_MIX_REST))
        folded: Ints = ((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(3)).astype(np.int64)
        return folded

    def _lookup(self, keys: Ints) -> Ints:
        numbers = np.full(len(keys), -1, dtype=np.int64)
        mask = len(self._slots) - 1
        place, open_ = self._hashes(keys) & mask, np.arange(len(keys))
        known, rests = self.event.values, self.rest.values
        while len(open_):
            found = self._slots[place]
            filled = found >= 0
            open_, place, found = open_[filled], place[filled], found[filled]
            same = (known[found].astype(np.int64) << 32 | rests[found]) == keys[open_]
            numbers[open_[same]] = found[same]
            open_, place = open_[~same], (place[~same] + 1) & mask
        return numbers

    def _place(self, keys: Ints, numbers: Ints) -> None:
        mask = len(self._slots) - 1
        place = self._hashes(keys) & mask
        while len(numbers):
            free = self._slots[place] < 0
            self._slots[place[free]] = numbers[free]  # of several rivals for one slot the last one gets it
            lost = self._slots[place] != numbers
            place, numbers = (place[lost] + 1) & mask, numbers[lost]

    def _widen(self) -> bool:
        if self.event.size * 2 <= len(self._slots):
            return False
        size = len(self._slots)
        while self.event.size * 2 > size:
            size *= 2
        self._slots = np.full(size, -1, dtype=np.int32)
        keys = (self.event.values.astype(np.int64) << 32) | self.rest.values
        self._place(keys[1:], np.arange(1, self.event.size))
        return True
