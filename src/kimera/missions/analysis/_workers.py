"""Warm sandbox sessions kept between phases and missions, so that the second job does not pay for imports."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kimera.sandbox import Session

__all__ = ["prepare", "worker"]

KEPT = 2


class _Warm:
    """A session whose stop question is asked of whoever holds it now."""

    def __init__(self) -> None:
        from kimera.sandbox import Session

        self.should_stop: Callable[[], bool] = _go_on
        self.session: Session = Session(should_stop=self._asked)

    def _asked(self) -> bool:
        return self.should_stop()


def _go_on() -> bool:
    return False


_idle: list[_Warm] = []
_lock = threading.Lock()


def prepare() -> None:
    """Start a warm session without waiting for it, if none is idle: its process imports while this one reads."""
    from kimera.errors import SandboxError

    with _lock, suppress(SandboxError):  # whoever runs the first job will be told
        if not _idle:
            warm = _Warm()
            warm.session.start()
            _idle.append(warm)


@contextmanager
def worker(should_stop: Callable[[], bool]) -> Iterator[Session]:
    """Lend a warm session; each job in it still runs in a fresh child process."""
    with _lock:
        warm = _idle.pop() if _idle else _Warm()
    warm.should_stop = should_stop
    try:
        yield warm.session
    finally:
        warm.should_stop = _go_on
        with _lock:
            keep = len(_idle) < KEPT
            if keep:
                _idle.append(warm)
        if not keep:
            warm.session.close()


@atexit.register
def _close() -> None:
    while _idle:
        _idle.pop().session.close()
