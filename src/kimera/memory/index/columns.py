"""Growing arrays that can be published: what was handed out never changes under its reader."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column"]

Array = NDArray[Any]


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

    def writable(self) -> Array:
        """Return the elements for changing in place, copied first where a reader may hold them."""
        if self._published:
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
