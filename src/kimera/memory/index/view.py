"""One immutable state of the index: what a query works on from beginning to end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kimera.memory.contracts import Event, Events, MemoryTuning
from kimera.memory.index.near import NearSymbols
from kimera.memory.index.postings import Segment
from kimera.memory.index.tables import EventTable, FutureTable, SymbolTable
from kimera.memory.recall.figures import Rarity, Spread, spread_of

__all__ = ["View"]

Array = NDArray[Any]
_SPREADS = 4_096


@dataclass(frozen=True)
class View:
    """Show the memory as it stood at log record ``seq``.

    Patterns are rows. ``tokens[token_starts[r]:token_starts[r + 1]]`` are the symbols of row r, flattened;
    ``events``, ``event_ends`` (offset in the pattern past the event's last symbol) and ``futures`` (number of the end
    that begins with this event) stand at ``event_starts[r]:event_starts[r + 1]``. Frequency 0 marks a row as gone.
    ``holders`` is n(x), ``occurrences`` the weighted count of x; both by symbol number.
    """

    seq: int
    generation: int
    N: int
    V: int
    T: int
    tuning: MemoryTuning
    row_of: dict[bytes, int]
    ids: list[bytes]
    keys: Array
    token_starts: Array
    tokens: Array
    event_starts: Array
    events: Array
    event_ends: Array
    futures: Array
    lengths: Array
    frequency: Array
    outcomes: Array
    utility: Array
    holders: Array
    occurrences: Array
    event_counts: Callable[[], Array]
    kinds: int
    segments: tuple[Segment, ...]
    symbol_table: SymbolTable
    event_table: EventTable
    future_table: FutureTable
    near: NearSymbols

    @property
    def rows(self) -> int:
        """Return the number of rows, gone ones included."""
        return len(self.lengths)

    @property
    def tail(self) -> int:
        """Return the first row that no segment covers."""
        return self.segments[-1].high if self.segments else 0

    def id(self, row: int) -> str:
        """Return the id of the pattern in a row."""
        return "p1:" + self.ids[row].hex()

    def find(self, pattern_id: str) -> int | None:
        """Return the row of a pattern, None where this view does not hold it."""
        try:
            row = self.row_of.get(bytes.fromhex(pattern_id.removeprefix("p1:")))
        except ValueError:
            return None
        return row if row is not None and row < self.rows and self.frequency[row] > 0 else None

    def symbol(self, text: str) -> int | None:
        """Return the number of a symbol, None where it stands in no pattern ever learned up to this view."""
        number = self.symbol_table.number.get(text)
        return number if number is not None and number < len(self.holders) else None

    def event(self, event: Sequence[str]) -> int | None:
        """Return the number of an event, None where it was never learned up to this view."""
        number = self.event_table.find(event)
        return number if number is not None and number < self.kinds else None

    def row_tokens(self, row: int) -> list[int]:
        """Return the symbol numbers of a pattern."""
        low, high = self.token_starts[row : row + 2].tolist()
        found: list[int] = self.tokens[low:high].tolist()
        return found

    def row_events(self, row: int) -> Events:
        """Return the events of a pattern."""
        low, high = self.event_starts[row : row + 2].tolist()
        return self.event_table.all_of(self.events[low:high].tolist())

    def row_event_ends(self, row: int) -> list[int]:
        """Return where each event of a pattern ends, in symbols."""
        low, high = self.event_starts[row : row + 2].tolist()
        found: list[int] = self.event_ends[low:high].tolist()
        return found

    def event_text(self, number: int) -> Event:
        """Return the symbols of an event."""
        return self.event_table.text(number)

    @cached_property
    def event_frequency(self) -> Array:
        """Return by event how often it occurs, each pattern counted by its frequency."""
        return self.event_counts()

    @cached_property
    def mean_utility(self) -> float:
        """Return the mean utility over the memory's outcomes, 0.5 without any."""
        alive = (self.frequency > 0) & (self.outcomes > 0)
        outcomes = int(self.outcomes[alive].sum())
        return math.fsum(self.utility[alive].tolist()) / outcomes if outcomes else 0.5

    @cached_property
    def rarity(self) -> Rarity:
        """Return what the figures need to know of each symbol, filled as symbols are asked for."""
        return Rarity(self.holders, self.N)

    def spread(self, low: int, high: int, frequency: int) -> Spread:
        """Return the figures of a `present` that stands at ``low:high`` of the tokens; the latest are kept."""
        if not self.tuning.caches:
            return spread_of(self, self.tokens[low:high].tolist(), frequency)
        found = self.spreads.get((low, high))
        if found is None:
            if len(self.spreads) >= _SPREADS:
                self.spreads.clear()
            found = self.spreads[low, high] = spread_of(self, self.tokens[low:high].tolist(), frequency)
        return found

    @cached_property
    def spreads(self) -> dict[tuple[int, int], Spread]:
        """Return the kept figures by place; a place belongs to one pattern, whose frequency is that of the view."""
        return {}

    @cached_property
    def bits(self) -> float:
        """Return log2 V, 0.0 below two symbols."""
        return math.log2(self.V) if self.V > 1 else 0.0

    @cached_property
    def longest(self) -> int:
        """Return the length of the longest pattern, at least 1."""
        return max(1, int(self.lengths.max(initial=1)))

    @cached_property
    def alive(self) -> Array:
        """Return the rows that are not gone."""
        return np.flatnonzero(self.frequency > 0)

    @cached_property
    def event_symbols(self) -> tuple[Array, Array]:
        """Return pairs (event, symbol), each once: which symbols an event holds."""
        starts = self.event_table.starts.values[: self.kinds + 1]
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        fresh = self.event_table.fresh.values[: len(owner)]
        return owner[fresh], self.event_table.tokens.values[: len(owner)][fresh]
