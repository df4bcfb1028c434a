"""Growing arrays that can be published: what was handed out never changes under its reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Tally"]

Array = NDArray[Any]
_WORTH_NOTING, _NOTES = 512, 256


class Column:
    """Hold one growing numpy array.

    Appending never touches published elements. Changing one of them copies the array first, so a published slice
    stays as it was for as long as somebody reads it.
    """

    __slots__ = ("_data", "_published", "size")

    def __init__(self, dtype: Any, capacity: int = 16) -> None:
        self._data: Array = np.zeros(capacity, dtype=dtype)
        self._published = 0
        self.size = 0

    def extend(self, values: Any) -> None:
        """Append ``values``."""
        count = len(values)
        self.reserve(self.size + count)
        self._data[self.size : self.size + count] = values
        self.size += count

    def grow(self, size: int) -> None:
        """Append zeros until the column has ``size`` elements."""
        if size > self.size:
            self.reserve(size)
            self._data[self.size : size] = 0
            self.size = size

    def reserve(self, size: int) -> None:
        """Make room for ``size`` elements in all."""
        if size > len(self._data):
            data = np.zeros(max(size, len(self._data) + (len(self._data) >> 1)), dtype=self._data.dtype)
            data[: self.size] = self._data[: self.size]
            self._data, self._published = data, 0

    @property
    def values(self) -> Array:
        """Return the elements for reading; the array is the live one."""
        return self._data[: self.size]

    def writable(self, lowest: int = 0) -> Array:
        """Return the elements for changing in place from ``lowest`` on, copied first where a reader may hold them."""
        if lowest < self._published:
            self._data, self._published = self._data.copy(), 0
        return self._data[: self.size]

    def publish(self) -> Array:
        """Return the elements as a read-only array that never changes again."""
        self._published = self.size
        view = self._data[: self.size]
        view.flags.writeable = False
        return view

    @property
    def footprint(self) -> int:
        """Return the bytes taken, room to grow included."""
        return int(self._data.nbytes)


class Tally:
    """Hold one growing array of counts that is read far less often than it changes.

    Changes are noted and worked in when somebody reads, so that learning does not copy the counts of every event.
    """

    __slots__ = ("_column", "_noted", "size")

    def __init__(self) -> None:
        self._column = Column(np.int64)
        self._noted: list[tuple[Array, Array]] = []
        self.size = 0

    def grow(self, size: int) -> None:
        """Count ``size`` things from now on."""
        self.size = max(size, self.size)

    def add(self, at: Array, difference: Array) -> None:
        """Add ``difference`` to the counts ``at``; a place may occur more than once."""
        if len(at) < _WORTH_NOTING and len(self._noted) < _NOTES:
            self._noted.append((at, difference))
            return
        self._column.grow(self.size)
        counts = self._column.writable()
        for places, amounts in [*self._noted, (at, difference)]:
            np.add.at(counts, places, amounts)
        self._noted = []

    def publish(self) -> Callable[[], Array]:
        """Return a function that gives the counts as they stand now."""
        settled, noted, size = self._column.publish(), tuple(self._noted), self.size

        def read() -> Array:
            counts = np.zeros(size, dtype=np.int64)
            counts[: len(settled)] = settled
            for places, amounts in noted:
                np.add.at(counts, places, amounts)
            counts.flags.writeable = False
            return counts

        return read

    @property
    def footprint(self) -> int:
        """Return the bytes taken by the counts."""
        return self._column.footprint
