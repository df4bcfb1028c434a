"""Which addresses may be fetched: public web servers only, judged on the address that is then connected to."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.guardian.checks import urls


def nobody(host: str, port: int) -> Sequence[str]:
    """A resolver for tests in which no name may be looked up."""
    raise AssertionError(f"{host} was looked up")


def knows(*addresses: str) -> urls.Resolver:
    return lambda host, port: addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0x7f.1", "127.0.0.1.", "1.2.3.4.5", "08.8.8.8",
        "[::]", "[::1]", "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[::8.8.8.8]",
        "[64:ff9b::7f00:1]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
        "[2001:0:a9fe:a9fe::1]", "[fc00::1]", "[fec0::1]", "[fe80::1%25eth0]", "[fe80::1]", "[ff02::1]",
        "[2001:db8::1]", "[3fff::1]", "[100::1]", "[5f00::1]",
        "169.254.169.254", "100.64.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "198.18.0.1",
        "198.19.255.255", "192.0.2.1", "192.0.0.192", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "0.0.0.0", "127.0.0.1",
        "LOCALHOST.", "localhost", "a.localhost", "\uff11\uff12\uff17.0.0.1", "\u2460.1.1.1",
        "", "a..b", "-a.example", "a b", "[::1", "::1", "[1.2.3.4]", "ex%61mple.com", "a.example:22", "8.8.8.8:22",
        "8.8.8.8:", "8.8.8.8:080", "8.8.8.8:+80", "8.8.8.8:99999",
        "user@8.8.8.8", "user:pw@8.8.8.8", "8.8.8.8\\@127.0.0.1", "8.8.8.8\\.example", "8.8.8.8\t", "8.8.8.8\r\n",
    ],
)  # fmt: skip
def test_whatever_is_not_a_public_server_is_refused_without_a_lookup(host: str) -> None:
    """Promise: private, local, odd and wrapped addresses are refused for http and https, whatever their spelling."""
    verdicts = [urls.check(f"{scheme}://{host}/", nobody) for scheme in ("http", "https")]
    assert [False, False] == [verdict.allowed for verdict in verdicts]
    assert "ok" not in {verdict.reason for verdict in verdicts}


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/", "javascript:1", "data:text/html,x", "//8.8.8.8/",
        "8.8.8.8", "http:8.8.8.8", "http:/8.8.8.8", "http:///8.8.8.8", "", "http://", "http://8.8.8.8/" + "a" * 2048,
        "http://8.8.8.8/\u00e9", " http://8.8.8.8/", "http://8.8.8.8/a b",
    ],
)  # fmt: skip
def test_other_schemes_and_malformed_addresses_are_refused(url: str) -> None:
    """Promise: only well-formed absolute http and https addresses pass the parser."""
    assert not urls.check(url, nobody).allowed


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://8.8.8.8/", ("8.8.8.8", 80, "/")),
        ("https://1.1.1.1/", ("1.1.1.1", 443, "/")),
        ("http://[2606:4700::1111]/", ("2606:4700::1111", 80, "/")),
        ("HTTPS://8.8.8.8:443/a@b?c=http://127.0.0.1/#d", ("8.8.8.8", 443, "/a@b?c=http://127.0.0.1/")),
        ("http://8.8.8.8", ("8.8.8.8", 80, "/")),
        ("http://[::ffff:8.8.8.8]/", ("::ffff:808:808", 80, "/")),
    ],
)
def test_public_addresses_pass_and_say_what_to_connect_to(url: str, expected: tuple[str, int, str]) -> None:
    """Promise: a public literal is allowed without a lookup; the verdict holds address, port and request target."""
    verdict = urls.check(url, nobody)
    assert expected == (verdict.addresses[0], verdict.port, verdict.target)
    assert verdict.allowed


@pytest.mark.parametrize(
    ("addresses", "reason"),
    [
        (["93.184.215.14"], "ok"),
        (["93.184.215.14", "2606:4700::1111"], "ok"),
        (["64:ff9b::808:808"], "ok"),
        (["93.184.215.14", "10.0.0.1"], "not_public"),
        (["2606:4700::1111", "::ffff:127.0.0.1"], "not_public"),
        (["fe80::1%eth0"], "not_public"),
        (["not an address"], "not_public"),
        ([], "unresolved"),
    ],
)
def test_every_address_of_a_name_must_be_public(addresses: list[str], reason: str) -> None:
    """Promise: one private address among many refuses the name; no address at all does too."""
    assert reason == urls.check("https://a.example/", knows(*addresses)).reason


def test_a_name_that_cannot_be_looked_up_is_refused() -> None:
    """Promise: a resolver's failure is a refusal, not an exception."""

    def fails(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert "unresolved" == urls.check("https://a.example/", fails).reason


def test_rebinding_changes_nothing_after_the_check() -> None:
    """Promise: a name is looked up once per check, the verdict keeps what was judged, the next hop is judged anew."""
    answers = iter([("93.184.215.14",), ("169.254.169.254",)])
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return next(answers)

    first = urls.check("http://Rebind.Example./latest/", rebinding)
    assert (True, ("93.184.215.14",), "rebind.example") == (first.allowed, first.addresses, first.host)
    second = urls.check("http://rebind.example/latest/", rebinding)
    assert (False, "not_public") == (second.allowed, second.reason)
    assert 2 == len(asked)


@given(st.ip_addresses(v=4))
def test_no_spelling_of_a_closed_address_is_public(address: IPv4Address) -> None:
    """Promise: an IPv4 address is judged alike as itself, mapped and by NAT64; never public as Teredo or compatible."""
    expected = urls.is_public(str(address))
    number = int(address)
    assert [expected] * 2 == [
        urls.is_public(str(IPv6Address(prefix << 32 | number))) for prefix in (0xFFFF, 0x64FF9B << 64)
    ]
    teredo = IPv6Address(0x20010000 << 96 | (number ^ 0xFFFFFFFF))
    assert [False, False] == [urls.is_public(str(teredo)), urls.is_public(str(IPv6Address(number)))]
    assert expected or not urls.is_public(str(IPv6Address(0x2002 << 112 | number << 80)))


@given(st.text(max_size=60) | st.from_regex(r"https?://[^\s]{0,40}"))
def test_any_text_gets_an_answer(text: str) -> None:
    """Promise: no input raises; what is allowed has at least one public address."""
    verdict = urls.check(text, knows("93.184.215.14"))
    assert verdict.allowed == (verdict.reason == "ok")
    assert not verdict.allowed or all(urls.is_public(address) for address in verdict.addresses)
