"""Every failure is a problem a caller can act on, and every answer has the same headers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.unit.api.conftest import Caller, make_app

from kimera.missions import control

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id", "next_step"}
EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def check_headers(answer: httpx.Response) -> None:
    """Assert what holds for every answer."""
    assert EVERYWHERE == {name: answer.headers.get(name) for name in EVERYWHERE}
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-kaldra-status"] in {"ok", "degraded"}
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers


FAILURES: list[tuple[int, str, str, dict[str, Any]]] = [
    (404, "NOT_FOUND", "GET /api/nothing", {}),
    (405, "METHOD_NOT_ALLOWED", "PUT /api/probe/write", {"json": {}}),
    (413, "TOO_LARGE", "POST /api/probe/write", {"json": {"text": "x" * 2_000_000}}),
    (415, "UNSUPPORTED_MEDIA", "POST /api/probe/write", {"content": "text", "headers": {"content-type": "text/plain"}}),
    (422, "BODY_INVALID", "POST /api/probe/write", {"json": {"text": 3, "other": 1}}),
    (422, "BODY_INVALID", "POST /api/probe/write", {}),
    (422, "BODY_INVALID", "POST /api/probe/write", {"content": "{", "headers": {"content-type": "application/json"}}),
    (400, "BAD_REQUEST", "GET /api/probe/read/x?" + "&".join("a=1" for _ in range(300)), {}),
    (431, "HEADERS_TOO_LARGE", "GET /api/probe/read/x", {"headers": [(f"x-{n}", "1") for n in range(120)]}),
    (500, "INTERNAL", "GET /api/probe/broken", {}),
]


@pytest.mark.parametrize(("status", "code", "line", "options"), FAILURES)
async def test_each_failure_is_a_problem(
    home: control.Home, caller: Caller, status: int, code: str, line: str, options: dict[str, Any]
) -> None:
    """Promise: status, code, request id and next step stand in every failure, and nothing from inside the process."""
    method, _, path = line.partition(" ")
    answer = await caller(make_app(home)).request(method, path, **options)
    body = answer.json()
    assert (status, code, "application/problem+json") == (
        answer.status_code,
        body["code"],
        answer.headers["content-type"],
    )
    assert body.keys() >= MEMBERS
    assert (path.partition("?")[0], status) == (body["instance"], body["status"])
    assert answer.headers["x-request-id"] == body["request_id"]
    assert "canary-detail" not in answer.text
    check_headers(answer)


async def test_wrong_fields_are_named_without_their_values(home: control.Home, caller: Caller) -> None:
    """Promise: errors[] says where and what, one entry per field, and does not repeat what was sent."""
    sent = {"text": ["canary-value"], "number": "no", "other": 1}
    answer = await caller(make_app(home)).post("/api/probe/write", json=sent)
    assert ["body.number", "body.other", "body.text"] == sorted(one["location"] for one in answer.json()["errors"])
    assert "canary-value" not in answer.text


@pytest.mark.parametrize("given", ["abc.DEF_1-2", "a" * 64])
async def test_a_good_request_id_is_kept(home: control.Home, caller: Caller, given: str) -> None:
    """Promise: the caller's request id comes back when it has the right form."""
    answer = await caller(make_app(home)).get("/api/probe/read/x", headers={"x-request-id": given})
    assert given == answer.headers["x-request-id"]
    check_headers(answer)


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "a\u00e9", "../x", "a\tb"])
async def test_a_bad_request_id_is_replaced(home: control.Home, caller: Caller, given: str) -> None:
    """Promise: what does not match [A-Za-z0-9._-]{1,64} never reaches a log or an answer."""
    headers = {"x-request-id": given.encode("latin-1")}
    answer = await caller(make_app(home)).get("/api/probe/read/x", headers=headers)
    assert given != answer.headers["x-request-id"]
    assert 26 == len(answer.headers["x-request-id"])


async def test_hsts_only_behind_tls(home: control.Home, caller: Caller) -> None:
    """Promise: HSTS is sent when the gateway is said to be behind TLS, and only then."""
    plain = await caller(make_app(home)).get("/health/live")
    secure = await caller(make_app(home, behind_tls=True)).get("/health/live")
    assert (None, "max-age=31536000") == tuple(one.headers.get("strict-transport-security") for one in (plain, secure))
