"""Following missions from an event loop: one reader of the store for any number of viewers.

The reader asks once per tick for the heads of all watched missions and loads each new event once. A viewer has no
queue: it holds the number of the last event it took and looks into the feed's short memory; one that is too slow for
that memory reads what it missed from the store, page by page, at its own pace. So memory does not grow with viewers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

from kimera.errors import BulkheadFull, StorageError
from kimera.missions.control.commands import events, heads
from kimera.missions.control.home import Home
from kimera.telemetry.recording.events import MissionEvent

__all__ = ["Watch"]

T = TypeVar("T")

POLL_SECONDS = 0.2
REMEMBERED = 512
PAGE = 256
VIEWERS = 1_000

Item = tuple[int, T]
"""An event's number and what the viewers get of it."""


class _Feed(Generic[T]):
    """One watched mission: its newest events, how many there are, and whether it has ended."""

    def __init__(self) -> None:
        self.recent: deque[Item[T]] = deque(maxlen=REMEMBERED)
        self.head = -1  # not looked at yet
        self.ended = False
        self.viewers = 0
        self.changed = asyncio.Event()

    def tell(self) -> None:
        """Wake every viewer that waits."""
        self.changed.set()
        self.changed = asyncio.Event()

    def after(self, seq: int) -> list[Item[T]] | None:
        """Return what is remembered after ``seq``; None when that is not all there is."""
        if seq >= self.head:
            return []
        if not self.recent or self.recent[0][0] > seq + 1:
            return None
        return [item for item in self.recent if item[0] > seq]


class Watch(Generic[T]):
    """All viewers of one process on one event loop. ``shape`` makes what viewers get, once per event."""

    def __init__(
        self,
        home: Home,
        shape: Callable[[MissionEvent], T],
        *,
        poll: float = POLL_SECONDS,
        viewers: int = VIEWERS,
    ) -> None:
        self.home = home
        self.looks = self.pages = 0  # questions asked to the store: for all viewers together, and for one that lags
        self._shape, self._poll, self._most = shape, poll, viewers
        self._feeds: dict[str, _Feed[T]] = {}
        self._closed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="kimera-watch")

    async def follow(self, mission_id: str, after: int = 0) -> AsyncGenerator[Item[T]]:
        """Yield (number, item) of every event above ``after``, in order and without a gap, until the mission ends.

        Also ends when the watch is closed: a viewer that wants more comes back with the last number it saw. Raises
        `BulkheadFull` when there are too many viewers.
        """
        feed, seq = self._join(mission_id), after
        try:
            while not self._closed.is_set():
                changed = feed.changed
                known = feed.after(seq) if feed.head >= 0 else []
                if known is None:
                    known = await self._page(mission_id, seq)
                for number, item in known:
                    yield number, item
                    seq = number
                    if self._closed.is_set():
                        return
                if known:
                    continue
                if feed.ended and seq >= feed.head:
                    return
                await changed.wait()
        finally:
            self._leave(mission_id)

    @property
    def viewers(self) -> int:
        """Return how many watch now."""
        return sum(feed.viewers for feed in self._feeds.values())

    def close(self) -> None:
        """Let every viewer come to an end; for a process that is about to stop."""
        self._closed.set()
        for feed in self._feeds.values():
            feed.tell()
        self._wake.set()
        self._threads.shutdown(wait=False)

    def check_room(self) -> None:
        """Raise `BulkheadFull` when there are too many viewers for one more."""
        if self.viewers >= self._most:
            raise BulkheadFull("Too many viewers at once; try again in a few seconds.", name="watch", retry_after=5.0)

    def _join(self, mission_id: str) -> _Feed[T]:
        self.check_room()
        if mission_id not in self._feeds:
            self._feeds[mission_id] = _Feed()
            self._wake.set()
        feed = self._feeds[mission_id]
        feed.viewers += 1
        if self._reader is None or self._reader.done():
            self._reader = asyncio.get_running_loop().create_task(self._read(), name="kimera-watch")
        return feed

    def _leave(self, mission_id: str) -> None:
        feed = self._feeds[mission_id]
        feed.viewers -= 1
        if not feed.viewers:
            del self._feeds[mission_id]

    async def _page(self, mission_id: str, seq: int) -> list[Item[T]]:
        def read() -> list[Item[T]]:
            return [(one.seq, self._shape(one)) for one in events(self.home, mission_id, seq, PAGE)]

        self.pages += 1
        return await asyncio.get_running_loop().run_in_executor(self._threads, read)

    async def _read(self) -> None:
        """Look for news until nobody watches any more."""
        loop = asyncio.get_running_loop()
        while self._feeds and not self._closed.is_set():
            self._wake.clear()
            # the store may be away for a while; viewers stay, and get everything when it is back
            with suppress(StorageError):
                await self._look(loop)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._wake.wait()

    async def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        known = {mission_id: feed.head for mission_id, feed in self._feeds.items()}
        self.looks += 1
        for mission_id, (fresh, head, over) in (await loop.run_in_executor(self._threads, self._news, known)).items():
            feed = self._feeds.get(mission_id)
            if feed is None or (feed.head == head and feed.ended == over):
                continue
            feed.recent.extend(fresh)
            feed.head, feed.ended = head, over
            feed.tell()

    def _news(self, known: dict[str, int]) -> dict[str, tuple[list[Item[T]], int, bool]]:
        """Return new items, number of events and whether it has ended; on a first look viewers catch up themselves."""
        found = {}
        for mission_id, (head, over) in heads(self.home, known).items():
            seen = known[mission_id]
            new = events(self.home, mission_id, seen) if 0 <= seen < head else []
            items = [(one.seq, self._shape(one)) for one in new]
            # events may have come since the heads were read: the end counts only when it belongs to these
            last = items[-1][0] if items else max(head, seen)
            found[mission_id] = (items, last, over and last == head)
        return found
