"""What all requests of a gateway share: its rules, its counts, its open streams, and whether it is ending."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING

from kimera.api.health import Health
from kimera.api.limits import Rates
from kimera.api.security import KeyRing, Visitors
from kimera.api.traffic import Traffic
from kimera.errors import KimeraError
from kimera.guardian import Denials
from kimera.missions.control import Home
from kimera.settings import Settings
from kimera.storage.keys import Keys

if TYPE_CHECKING:
    from kimera.api.middleware import Exchange
    from kimera.api.switchboard import Switchboard

__all__ = ["Gate"]

TICK_SECONDS = 1.0
HEALTH_SECONDS = 5.0
TOUCH_TICKS = 30

API_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
PAGE_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HSTS = (b"strict-transport-security", b"max-age=31536000")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Gate:
    """The state of one gateway, on its event loop; ``app.state.gate``.

    ``draining`` is set when the process was asked to end. ``board`` knows the routes and what each needs.
    """

    board: Switchboard

    def __init__(self, home: Home, settings: Settings, health: Health) -> None:
        self.home, self.settings, self.clock = home, settings, home.clock
        self.health = health
        self.denials = Denials(home.database)
        self.visitors = Visitors(settings)
        self.ring = KeyRing(Keys(home.database), home.clock)
        self.rates = Rates(settings, home.clock)
        self.traffic = Traffic()
        self.streams: set[Exchange] = set()
        self.readers: set[Exchange] = set()
        self.large = 0
        self.draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        more = (HSTS,) if settings.behind_tls else ()
        self.api_headers = [*API_HEADERS, *more]
        self.page_headers = [(API_HEADERS[0][0], PAGE_POLICY), *API_HEADERS[1:], *more]
        self.api_block = b"".join(b"%s: %s\r\n" % pair for pair in self.api_headers)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Hold a task of the gateway's own until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def drain(self) -> None:
        """Begin to end: not ready from now on, and every event stream is told when to come back."""
        self.draining = True
        for stream in list(self.streams):
            stream.end_stream()

    async def watch(self) -> None:
        """Look after health, streams of revoked keys, and when keys were used, until cancelled."""
        ticks = 0
        while True:
            await self.health.refresh(older_than=HEALTH_SECONDS)
            self.cut_late()
            with contextlib.suppress(KimeraError):  # a database that is away shows in health; the next tick tries again
                await self.check_streams()
                await asyncio.to_thread(self.denials.write)
                if ticks % TOUCH_TICKS == 0:
                    await self.ring.flush()
            ticks += 1
            await asyncio.sleep(TICK_SECONDS)

    def cut_late(self) -> None:
        """Give up on the bodies that are overdue."""
        now = self.clock.monotonic()
        for reader in [one for one in self.readers if one.due < now]:
            reader.cut()

    async def check_streams(self) -> None:
        """End the streams of keys that open nothing any more."""
        if not self.streams:
            return
        await self.ring.refresh()
        for stream in list(self.streams):
            if not self.ring.holds(stream.principal):
                stream.end_stream()
