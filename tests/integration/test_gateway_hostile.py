"""A running gateway and those who mean it no good: the right 4xx, no 5xx, and memory that stays where it was."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.gateway import Gateway, gateway

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MEBIBYTE = 1 << 20
GROWTH = 48 * MEBIBYTE
FAST = {"KIMERA_RATE_PER_KEY": "5000", "KIMERA_RATE_PER_ADDRESS": "5000", "KIMERA_BODY_TIMEOUT": "2"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a gateway without a worker's work, warmed up."""
    with gateway("sqlite", tmp_path_factory.mktemp("hostile"), **FAST) as running:
        for _ in range(20):
            assert 422 == running.ask("POST", "/api/missions", {}).status
        yield running


JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\nx\r\n'
HOSTILE: dict[str, tuple[bytes, dict[str, str], set[int]]] = {
    "depth 10^5 of lists": (b"[" * 100_000 + b"]" * 100_000, JSON, {422}),
    "depth 10^5 of objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, JSON, {422}),
    "depth 10^5, not closed": (b"[" * 100_000, JSON, {422}),
    "NaN": (b'{"question": "Q?", "folder": "birds", "deadline": NaN}', JSON, {422}),
    "Infinity": (b'{"question": "Q?", "folder": "birds", "deadline": Infinity}', JSON, {422}),
    "1e400": (b'{"question": "Q?", "folder": "birds", "deadline": 1e400}', JSON, {422}),
    "a number of 10^5 digits": (b'{"deadline": ' + b"9" * 100_000 + b"}", JSON, {422}),
    "half a surrogate pair": (b'{"question": "\\ud800", "folder": "birds"}', JSON, {422}),
    "not UTF-8": (b'{"question": "\xff", "folder": "birds"}', JSON, {422}),
    "a key twice": (b'{"question": "Q?", "question": "R?", "folder": "birds"}', JSON, {422}),
    "10^5 fields": (json.dumps({f"f{n}": n for n in range(70_000)}).encode(), JSON, {413, 422}),
    "a zero character": (b'{"question": "a\\u0000b", "folder": "birds"}', JSON, {422}),
    "a megabyte of text": (json.dumps({"question": "x" * MEBIBYTE, "folder": "birds"}).encode(), JSON, {413}),
    "a list": (b"[]", JSON, {422}),
    "nothing": (b"", JSON, {422}),
    "another type": (b"<x/>", {"content-type": "text/xml"}, {415}),
    "JSON said to be a form": (b"{}", {"content-type": "application/x-www-form-urlencoded"}, {415}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bodies_get_their_4xx(server: Gateway, name: str) -> None:
    """Promise: each gets a problem with the right status, sent whole or in chunks without a length."""
    body, headers, statuses = HOSTILE[name]
    answer = server.ask("POST", "/api/missions", body, headers)
    assert answer.status in statuses, answer.body[:300]
    assert "application/problem+json" == answer.headers["content-type"]
    assert answer.json["next_step"]
    status, _ = chunked(server, body, headers)
    assert status in statuses


def chunked(server: Gateway, body: bytes, headers: dict[str, str], path: str = "/api/missions") -> tuple[int, bytes]:
    """Send a body in chunks, without a length, and return status and the answer's beginning."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(server.address, timeout=30) as line:
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{fields}\r\n".encode())
        try:
            for at in range(0, len(body), 65_536):
                piece = body[at : at + 65_536]
                line.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            line.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # answered and hung up before the end: the answer is there to be read
        return int(line.recv(12).split()[1]), line.recv(4_096)


def test_endless_and_crowded_uploads_leave_memory_where_it_was(server: Gateway) -> None:
    """Promise: 10^5 fields, 100 MB in chunks and deep bodies are refused; resident memory grows by less than 48 MB."""
    before = server.resident()
    many = b"".join(PART % str(n).encode() for n in range(100_000)) + b"--b--\r\n"
    assert server.ask("POST", "/api/missions/upload", many, FORM).status in {400, 413}
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.csv"\r\n\r\n'
    assert 413 == chunked(server, head + b"a,b\n" * (25 * MEBIBYTE), FORM, "/api/missions/upload")[0]
    deep = b"[" * 500_000
    statuses = [server.ask("POST", "/api/missions", deep, JSON).status for _ in range(50)]
    after = server.resident()
    print(f"\nresident memory: {before // MEBIBYTE} MiB before, {after // MEBIBYTE} MiB after")
    assert {422} == set(statuses)
    assert after - before < GROWTH
    assert not list((server.place / "home" / "uploads").rglob("*.csv"))


def test_slow_senders_are_cut_off_and_hold_nobody_up(server: Gateway) -> None:
    """Promise: bodies that do not come get 408, heads that never end are cut, others are served meanwhile."""
    lines = [socket.create_connection(server.address, timeout=30) for _ in range(40)]
    fields = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 900"
    head = b"POST /api/missions HTTP/1.1\r\n%s\r\n\r\n{" % fields
    for line in lines[:20]:
        line.sendall(head)
    for line in lines[20:]:
        line.sendall(b"GET /api/missions HTTP/1.1\r\nHost: local")
    assert all(200 == server.ask("GET", "/api/missions", seconds=5).status for _ in range(20))
    assert {b"408"} == {line.recv(4_096).split()[1] for line in lines[:20]}
    assert {b"", b"HTTP/1.1 4"} >= {line.recv(10) for line in lines[20:]}
    for line in lines:
        line.close()


def test_viewers_that_do_not_read_hold_nobody_up(server: Gateway) -> None:
    """Promise: thirty streams that nobody reads leave requests answered and memory where it was."""
    from tests.integration.test_gateway import idle_mission

    path = f"/api/missions/{idle_mission(server)}/events"
    before = server.resident()
    lines = [socket.create_connection(server.address, timeout=30) for _ in range(30)]
    for line in lines:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert all(200 == server.ask("GET", "/api/missions", seconds=5).status for _ in range(50))
    assert server.resident() - before < GROWTH
    for line in lines:
        line.close()
    threading.Event().wait(0.2)
    assert 200 == server.ask("GET", "/health/live").status


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=2_000),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.sampled_from(["/api/missions", "/api/missions/upload", "/api/missions/m1m7wc8y7nf4ccff2d/retry"]),
    st.sampled_from([JSON, FORM]),
)
def test_any_bytes_get_a_4xx(server: Gateway, body: bytes, path: str, headers: dict[str, str]) -> None:
    """Promise: whatever is sent where a mission is asked for, the answer is a problem of the 400s."""
    answer = server.ask("POST", path, body, headers)
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.json["request_id"] == answer.headers["x-request-id"]
