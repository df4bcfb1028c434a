"""Which addresses may be fetched from this machine: public web servers, and nothing that only it can reach.

`check` reads an address with one strict parser, resolves its host once and answers with the addresses that were judged.
Whoever connects must use exactly those (``verdict.addresses``, ``verdict.host`` for SNI and Host): asking the resolver
again would let a name that pointed to a public address point to a private one. Each redirect is a new `check`.

Networks are those of the IANA special-purpose address registries, written out so that the answer does not depend on the
Python version.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

__all__ = ["PORTS", "REDIRECTS", "Resolver", "UrlVerdict", "check", "is_public"]

Resolver = Callable[[str, int], Sequence[str]]
"""Takes a host name and a port, returns addresses as text; raises OSError when there are none."""

PORTS = {"http": 80, "https": 443}
REDIRECTS = 3
LENGTH = 2048

SPLIT = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/?#]*))?(?P<target>[^#]*)(?:#.*)?")
AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[1-9][0-9]{0,4}))?")
NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

CLOSED_V4 = (
    IPv4Network("0.0.0.0/8"), IPv4Network("10.0.0.0/8"), IPv4Network("100.64.0.0/10"), IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"), IPv4Network("172.16.0.0/12"), IPv4Network("192.0.0.0/24"),
    IPv4Network("192.0.2.0/24"), IPv4Network("192.88.99.0/24"), IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"), IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.0/24"),
    IPv4Network("224.0.0.0/4"), IPv4Network("240.0.0.0/4"),
)  # fmt: skip
GLOBAL_V6 = IPv6Network("2000::/3")
CLOSED_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")


@dataclass(frozen=True)
class UrlVerdict:
    """Whether an address may be fetched, why not, and what to connect to.

    ``reason`` is ok, too_long, not_ascii, bad_character, no_url, scheme, userinfo, port, host, numeric_host,
    local_name, not_public or unresolved. ``addresses`` are the judged ones, as the resolver gave them.
    """

    allowed: bool
    reason: str
    addresses: tuple[str, ...] = ()
    scheme: str = ""
    host: str = ""
    port: int = 0
    target: str = ""


class _Refused(Exception):
    pass


def check(url: str, resolver: Resolver | None = None) -> UrlVerdict:
    """Return whether ``url`` leads to a public web server; ``resolver`` defaults to the system's.

    Never raises for a bad address. All addresses of a name must be public: one private among them refuses it.
    """
    addresses: tuple[str, ...] = ()
    try:
        scheme, host, port, target = _parse(url)
        literal = _literal(host)
        addresses = (str(literal),) if literal is not None else _resolve(host, port, resolver or _system)
        if not all(is_public(address) for address in addresses):
            raise _Refused("not_public")
    except _Refused as refused:
        return UrlVerdict(False, str(refused), addresses)
    return UrlVerdict(True, "ok", addresses, scheme, host, port, target)


def is_public(address: str) -> bool:
    """Return whether an IP address is global unicast, together with every IPv4 address wrapped in it."""
    try:
        parsed = _address(address)
    except ValueError:
        return False
    return all(_is_global(one) for one in _unwrapped(parsed))


def _parse(url: str) -> tuple[str, str, int, str]:
    if len(url) > LENGTH:
        raise _Refused("too_long")
    if not url.isascii():
        raise _Refused("not_ascii")
    if "\\" in url or any(character <= " " or character == "\x7f" for character in url):
        raise _Refused("bad_character")
    parts = SPLIT.fullmatch(url)
    if parts is None:
        raise _Refused("no_url")
    scheme = parts["scheme"].lower()
    if scheme not in PORTS:
        raise _Refused("scheme")
    host, port = _authority(parts["authority"] or "", scheme)
    return scheme, host, port, parts["target"] or "/"


def _authority(authority: str, scheme: str) -> tuple[str, int]:
    if "@" in authority:
        raise _Refused("userinfo")
    found = AUTHORITY.fullmatch(authority)
    if found is None:
        raise _Refused("port" if ":" in authority else "host")
    port = int(found["port"]) if found["port"] else PORTS[scheme]
    if port not in PORTS.values():
        raise _Refused("port")
    host = found["host"].lower()
    return (host if host.startswith("[") else _named(host)), port


def _named(host: str) -> str:
    """Return a host name without its root dot; numbers must be four plain decimal ones."""
    host = host.removesuffix(".")
    if not NAME.fullmatch(host):
        raise _Refused("host")
    if host == "localhost" or host.endswith((".localhost", ".localdomain")):
        raise _Refused("local_name")
    if NUMERIC.fullmatch(host):
        try:
            IPv4Address(host)
        except AddressValueError:
            raise _Refused("numeric_host") from None
    return host


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    if host.startswith("["):
        try:
            # a zone ("%25eth0") names an interface of this machine; IPv6Address would accept it
            return IPv6Address(host[1:-1] if "%" not in host else "")
        except AddressValueError:
            raise _Refused("host") from None
    return IPv4Address(host) if NUMERIC.fullmatch(host) else None


def _resolve(host: str, port: int, resolver: Resolver) -> tuple[str, ...]:
    try:
        addresses = tuple(dict.fromkeys(resolver(host, port)))
    except (OSError, UnicodeError):
        raise _Refused("unresolved") from None
    if not addresses:
        raise _Refused("unresolved")
    return addresses


def _system(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]


def _address(text: str) -> IPv4Address | IPv6Address:
    if ":" not in text:
        return IPv4Address(text)
    if "%" in text:
        raise ValueError("an address with a zone is local")
    return IPv6Address(text)


def _unwrapped(address: IPv4Address | IPv6Address) -> Iterator[IPv4Address | IPv6Address]:
    """Yield what must be global: the address, and the IPv4 address a translator would make of it.

    A mapped or NAT64 address is only another way to write the IPv4 one, so that alone is judged. Teredo (2001::/32) and
    the compatible form (::/96) lie outside of what is global, whatever they wrap.
    """
    if isinstance(address, IPv4Address):
        yield address
        return
    number = int(address)
    if address in MAPPED or address in NAT64:
        yield IPv4Address(number & 0xFFFFFFFF)
        return
    yield address
    if address in SIX_TO_FOUR:
        yield IPv4Address(number >> 80 & 0xFFFFFFFF)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not _within(address, CLOSED_V4)
    return address in GLOBAL_V6 and not _within(address, CLOSED_V6)


def _within(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network] | Iterable[IPv6Network]) -> bool:
    return any(address in network for network in networks)
