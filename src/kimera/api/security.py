"""Who is calling, from where, and what they may do.

Three questions, in this order: was the request meant for us (Host, against DNS rebinding), may the page that sent it
do so (Origin, Sec-Fetch-Site), and which key does it carry. On loopback no key is needed, so the first two are all that
stands between a page in the browser and the missions on this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from kimera.clock import Clock
from kimera.errors import ConfigurationError, Forbidden, KimeraError, StorageError, Unauthenticated
from kimera.settings import Settings
from kimera.storage.keys import SCOPES, ApiKey, Keys, digest_of, id_of
from kimera.storage.tickets import Tickets

__all__ = [
    "LOCAL",
    "NOBODY",
    "KeyRing",
    "Principal",
    "Visitors",
    "is_loopback",
    "is_mark",
    "missing_scope",
    "public",
    "requires",
    "scope_of",
]

FRESH_SECONDS = 1.0
"""A revoked key opens nothing after this long."""

PATIENCE_SECONDS = 30.0
"""With the database away, keys read before keep working for so long."""

LOAD_SECONDS = 1.0
MOST_SEEN = 10_000
LOOPBACK_NAMES = (b"localhost", b"127.0.0.1", b"[::1]")
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-real-ip", b"via")
SAFE_SITES = (None, b"same-origin", b"none")

Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: the key, the tenant whose things it sees, and its scopes (read, write, admin)."""

    key_id: str
    tenant: str
    scopes: frozenset[str]


LOCAL = Principal("loopback", "local", frozenset(SCOPES))
NOBODY = Principal("nobody", "", frozenset())

_MARK = "__kimera_scope__"


def requires(scope: str) -> Any:
    """Return the dependency of a route that needs ``scope``; raises `Forbidden` for a principal without it."""
    if scope not in SCOPES:
        raise ConfigurationError(f"A route needs one of the scopes {', '.join(SCOPES)}, not {scope!r}.", "scope")

    async def check(request: Request) -> None:
        """Raise unless the caller holds the scope."""
        if scope not in request.state.principal.scopes:
            raise missing_scope(scope, request.state.principal)

    setattr(check, _MARK, scope)
    return Depends(check)


def missing_scope(scope: str, principal: Principal) -> Forbidden:
    """Return the refusal of a principal without ``scope``."""
    has = ", ".join(one for one in SCOPES if one in principal.scopes) or "none"
    return Forbidden(
        f"This needs a key with the scope {scope}; yours has {has}.", error_code="SCOPE_MISSING", scope=scope
    )


def public() -> Any:
    """Return the dependency that says that a route is meant to be open to everybody."""

    async def nothing() -> None:
        """Ask for nothing."""

    setattr(nothing, _MARK, "public")
    return Depends(nothing)


def is_mark(call: Any) -> bool:
    """Return whether a dependency is one of `requires` or `public`."""
    return hasattr(call, _MARK)


def scope_of(dependant: Any) -> str | None:
    """Return what a route's dependencies ask for: a scope, ``public``, or None when nobody said."""
    if dependant is None:
        return None
    found = [getattr(one.call, _MARK, None) or scope_of(one) for one in dependant.dependencies]
    asked = [one for one in found if one is not None]
    ranks = ("public", *SCOPES)
    return max(asked, key=ranks.index) if asked else None


def is_loopback(host: str) -> bool:
    """Return whether everything that ``host`` stands for is this machine's loopback."""
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(ipaddress.ip_address(str(one).partition("%")[0]).is_loopback for one in found)


class Visitors:
    """Tells requests that may come in from those that a foreign page or a rebound name sent."""

    def __init__(self, settings: Settings) -> None:
        self.loopback = is_loopback(settings.host)
        self.keyless = self.loopback and settings.keys == "auto"
        named = {_host(name.encode()) for name in _listed(settings.allowed_hosts)}
        own = {_host(_bracketed(settings.host))} if self.loopback else set()
        self.hosts = frozenset({*LOOPBACK_NAMES, *own, *named}) if self.loopback or named else None
        self.origins = frozenset(origin.encode() for origin in _listed(settings.cors_origins))
        for origin in self.origins:
            _check_origin(origin.decode())

    def check(self, method: str, headers: Headers) -> bytes | None:
        """Return the foreign origin that is allowed in, None for none; raises `Forbidden`."""
        host = headers.get(b"host", b"")
        if self.hosts is not None and host not in self.hosts and _host(host) not in self.hosts:
            raise Forbidden(
                "The gateway does not answer to this Host name; call it by localhost, or list the name in "
                "KIMERA_ALLOWED_HOSTS.",
                error_code="HOST_REFUSED",
            )
        origin = headers.get(b"origin")
        site = headers.get(b"sec-fetch-site")
        if origin is None and site in SAFE_SITES:
            return None
        if origin is not None and origin in self.origins:
            return origin
        if site in SAFE_SITES and origin is not None and origin.partition(b"://")[2] == host:
            return None
        if origin is None and method in {"GET", "HEAD"} and _navigation(headers):
            return None
        raise Forbidden(
            "A page of another origin sent this; list its origin in KIMERA_CORS_ORIGINS if it may.",
            error_code="ORIGIN_REFUSED",
        )

    def keyless_ok(self, headers: Headers) -> bool:
        """Return whether a request without a key is the person at this machine.

        A proxy on this machine reaches us over loopback too: what says that it was forwarded needs a key.
        """
        return self.keyless and not any(name in headers for name in FORWARDED)


def _navigation(headers: Headers) -> bool:
    return headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _bracketed(host: str) -> bytes:
    return f"[{host}]".encode() if ":" in host else host.encode()


def _host(value: bytes) -> bytes:
    """Return the name of a Host field without its port."""
    if value.startswith(b"["):
        return value[: value.find(b"]") + 1].lower()
    return value.partition(b":")[0].lower().rstrip(b".")


def _check_origin(origin: str) -> None:
    scheme, _, rest = origin.partition("://")
    if scheme not in {"http", "https"} or not rest or any(mark in rest for mark in "/*?# "):
        raise ConfigurationError(
            f"KIMERA_CORS_ORIGINS takes exact origins such as https://console.example, not {origin!r}.", "cors_origins"
        )


class KeyRing:
    """The active keys, read again when older than a second; one object per process, used on its event loop."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._tickets = Tickets(keys.database)
        self._clock = clock
        self._known: dict[str, tuple[ApiKey, Principal]] = {}
        self._loaded = float("-inf")
        self._loading: asyncio.Task[None] | None = None
        self._used: dict[str, float] = {}
        self._seen: dict[bytes, tuple[ApiKey, Principal]] = {}

    def known(self, authorization: bytes) -> Principal | None:
        """Return whose key this is when it was checked within the last second, else None: ask `principal`."""
        if self._clock.monotonic() - self._loaded > FRESH_SECONDS:
            return None
        # by the digest of what was sent: how long the look-up takes says nothing about any key
        found = self._seen.get(hashlib.sha256(authorization).digest())
        if found is None or not found[0].active(now := self._clock.now().timestamp()):
            return None
        self._used[found[1].key_id] = now
        return found[1]

    async def principal(self, authorization: bytes) -> Principal:
        """Return whose key this is; raises `Unauthenticated`, or `StorageError` when keys cannot be read."""
        scheme, _, token = authorization.partition(b" ")
        key = token.strip().decode("ascii", "replace")
        key_id = id_of(key) if scheme.lower() == b"bearer" else None
        if key_id is None:
            raise Unauthenticated("The Authorization field does not hold a Kimera key.", error_code="KEY_MALFORMED")
        if key_id not in self._known or self._clock.monotonic() - self._loaded > FRESH_SECONDS:
            await self.refresh()
        found = self._known.get(key_id)
        digest = digest_of(key)
        now = self._clock.now().timestamp()
        if found is None or not found[0].matches(digest) or not found[0].active(now):
            raise Unauthenticated("The key is unknown, revoked or has expired.", error_code="KEY_REFUSED")
        self._used[key_id] = now
        if len(self._seen) < MOST_SEEN:
            self._seen[hashlib.sha256(authorization).digest()] = found
        return found[1]

    def holds(self, principal: Principal) -> bool:
        """Return whether the principal's key is among the active ones as last read."""
        if principal.key_id in {LOCAL.key_id, NOBODY.key_id}:
            return True
        found = self._known.get(principal.key_id)
        return found is not None and found[0].active(self._clock.now().timestamp())

    async def guest(self, mission_id: str, ticket: str) -> Principal:
        """Return for whom a stream's ticket was made, to read only; raises `Unauthenticated`. The ticket is used up."""
        holder = await asyncio.to_thread(self._tickets.redeem, mission_id, ticket)
        if holder is not None:
            guest = Principal(holder.key_id, holder.tenant, frozenset({"read"}))
            if self._clock.monotonic() - self._loaded > FRESH_SECONDS:
                await self.refresh()
            if self.holds(guest):
                return guest
        raise Unauthenticated("The ticket is unknown, used or has expired; get a new one.", error_code="TICKET_REFUSED")

    async def refresh(self) -> None:
        """Read the keys again, once for all who ask; raises `StorageError` when that has failed for too long."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())
        done, _ = await asyncio.wait({self._loading}, timeout=LOAD_SECONDS)
        if self._clock.monotonic() - self._loaded > PATIENCE_SECONDS:
            cause = self._loading.exception() if done else None
            raise StorageError("Keys cannot be read from the database now; try again soon.") from cause

    async def _load(self) -> None:
        try:
            active = await asyncio.to_thread(self._keys.active)
        except KimeraError:
            return
        self._known = {key.key_id: (key, Principal(key.key_id, key.tenant, key.scopes)) for key in active}
        self._seen.clear()
        self._loaded = self._clock.monotonic()

    async def flush(self) -> None:
        """Write down when keys were last used."""
        used, self._used = self._used, {}
        if used:
            await asyncio.to_thread(self._touch, list(used.items()))

    def _touch(self, used: Iterable[tuple[str, float]]) -> None:
        self._keys.touch(used)
