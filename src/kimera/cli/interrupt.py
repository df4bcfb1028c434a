"""Ctrl-C once: end politely. Ctrl-C twice: end now; what was recorded is safe either way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["polite_stop"]


@contextmanager
def polite_stop(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; the second SIGINT interrupts at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("stopping: putting together what there is (Ctrl-C again to end at once)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
