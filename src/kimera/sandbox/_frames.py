"""Frames on a pipe: a length and that many bytes of JSON. Both ends are ours; job code never holds them."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Channel"]

LENGTH = struct.Struct(">I")
POLL = 0.05
"""Seconds between two looks at ``should_stop``."""


class Channel:
    """One end of a pair of pipes. `receive` returns None when ``seconds`` passed or ``should_stop`` turned true."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self.read_fd = read_fd
        self.write_fd = write_fd
        self._buffer = bytearray()
        self._poll = select.poll()
        self._poll.register(read_fd, select.POLLIN)

    def send(self, value: dict[str, Any]) -> None:
        """Write one frame; BrokenPipeError when the other end is gone."""
        # Sorted: a job must see its parameters in one order, however the report was written and read since.
        data = json.dumps(value, sort_keys=True).encode()
        view = memoryview(LENGTH.pack(len(data)) + data)
        while view:
            view = view[os.write(self.write_fd, view) :]

    def receive(self, seconds: float | None = None, should_stop: Callable[[], bool] | None = None) -> Any:
        """Return the next frame, or None; EOFError when the other end is gone."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            frame = self._take()
            if frame is not None:
                return frame
            if should_stop is not None and should_stop():
                return None
            left = POLL if deadline is None else min(POLL, deadline - time.monotonic())
            if left < 0:
                return None
            # Without anybody to ask there is no reason to wake up before something arrives.
            wait = None if deadline is None and should_stop is None else left * 1000
            if self._poll.poll(wait):
                self._read()

    def ready(self, wait_ms: int = 0) -> bool:
        """Return whether something (a frame, or the end) can be read within ``wait_ms``."""
        return bool(self._buffer) or bool(self._poll.poll(wait_ms))

    def close(self) -> None:
        """Close both pipes."""
        os.close(self.read_fd)
        os.close(self.write_fd)

    def _read(self) -> None:
        chunk = os.read(self.read_fd, 1 << 16)
        if not chunk:
            raise EOFError
        self._buffer += chunk

    def _take(self) -> Any:
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        end = LENGTH.size + length
        if len(self._buffer) < end:
            return None
        frame = json.loads(bytes(self._buffer[LENGTH.size : end]))
        del self._buffer[:end]
        return frame
