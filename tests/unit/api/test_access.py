"""Who gets in: keys, scopes, hosts and origins."""

from __future__ import annotations

import re

import pytest
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from tests.unit.api.conftest import Caller, make_app

from kimera.clock import FakeClock
from kimera.errors import ConfigurationError
from kimera.missions import control
from kimera.storage.keys import Keys

REMOTE = {"host": "0.0.0.0"}
SAMPLES = {"mission_id": "m1m7wc8y7nf4ccff2d", "sha256": "0" * 64}


async def test_every_route_denies_by_default(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: a route that is not public answers 401 or 403 to no key, a wrong, expired, revoked or weaker one."""
    app = make_app(home, **REMOTE)
    clock_now = home.clock.now().timestamp()
    weak = keys.create("weak", "a", "read").secret
    expired = keys.create("expired", "a", "admin", lifetime=1e-6).secret
    revoked = keys.create("revoked", "a", "admin")
    keys.revoke(revoked.stored.key_id)
    assert clock_now < home.clock.now().timestamp()
    wrong = weak[:-4] + ("AAAA" if not weak.endswith("AAAA") else "BBBB")
    walked = 0
    for route in iter_route_contexts(app.routes):
        path = re.sub(r"\{(\w+)\}", lambda found: SAMPLES.get(found[1], "x"), route.path_format or "")
        if path in app.state.gate.board.public:
            continue
        for method in route.methods or ():
            for key in (None, wrong, expired, revoked.secret, "kimera_x.y", "nonsense"):
                answer = await caller(app, key).request(method, path)
                assert 401 == answer.status_code, (path, method, key)
                assert answer.headers["www-authenticate"].startswith("Bearer")
            if method not in {"GET", "HEAD"} and app.state.gate.board.scopes[method, route.path or ""] != "read":
                assert 403 == (await caller(app, weak).request(method, path, json={"text": "x"})).status_code
            walked += 1
    assert walked >= 4


async def test_a_path_that_does_not_exist_is_not_told_without_a_key(home: control.Home, caller: Caller) -> None:
    """Promise: without a key, unknown addresses look like known ones."""
    assert 401 == (await caller(make_app(home, **REMOTE)).get("/api/nothing")).status_code


async def test_scopes_hold_the_ones_below(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: an admin key reads and writes, a write key reads, a read key only reads."""
    app = make_app(home, **REMOTE)
    expected = {"read": (200, 403, 403), "write": (200, 200, 403), "admin": (200, 200, 200)}
    for scope, statuses in expected.items():
        client = caller(app, keys.create("k", "t", scope).secret)
        found = (
            (await client.get("/api/probe/read/x")).status_code,
            (await client.post("/api/probe/write", json={"text": "x"})).status_code,
            (await client.delete("/api/probe/admin")).status_code,
        )
        assert statuses == found, scope


async def test_a_revoked_key_stops_within_a_second(home: control.Home, keys: Keys, caller: Caller) -> None:
    """Promise: a key works at once when made, and no longer than a second after it was revoked."""
    clock = FakeClock()
    app = make_app(home, **REMOTE)
    app.state.gate.ring._clock = clock
    made = keys.create("k", "t", "read", lifetime=None)
    client = caller(app, made.secret)
    assert 200 == (await client.get("/api/probe/read/x")).status_code
    keys.revoke(made.stored.key_id)
    await clock.advance(1.01)
    assert 401 == (await client.get("/api/probe/read/x")).status_code


async def test_loopback_needs_no_key_but_refuses_a_bad_one(home: control.Home, caller: Caller) -> None:
    """Promise: on loopback the person at the machine gets in; a key that is sent must still be valid."""
    app = make_app(home)
    assert 200 == (await caller(app).get("/api/probe/read/x")).status_code
    assert 401 == (await caller(app, "kimera_bad.key").get("/api/probe/read/x")).status_code
    assert 401 == (await caller(make_app(home, keys="required")).get("/api/probe/read/x")).status_code


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-host"])
async def test_what_was_forwarded_needs_a_key(home: control.Home, caller: Caller, name: str) -> None:
    """Promise: a proxy on this machine does not make the whole network the person at the machine."""
    assert 401 == (await caller(make_app(home)).get("/api/probe/read/x", headers={name: "203.0.113.9"})).status_code


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::2]:80"])
async def test_a_rebound_name_is_refused(home: control.Home, caller: Caller, host: str) -> None:
    """Promise: on loopback only loopback's names are answered to, so DNS rebinding reaches nothing."""
    answer = await caller(make_app(home)).get("/api/probe/read/x", headers={"host": host})
    assert (403, "HOST_REFUSED") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1", "[::1]:8000", "kimera.test:1"])
async def test_own_names_are_answered_to(home: control.Home, caller: Caller, host: str) -> None:
    """Promise: loopback's names with any port, and the names in KIMERA_ALLOWED_HOSTS, are ours."""
    app = make_app(home, allowed_hosts="kimera.test")
    assert 200 == (await caller(app).get("/api/probe/read/x", headers={"host": host})).status_code


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:8000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:8000"},
]


@pytest.mark.parametrize("fields", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_pages_of_other_origins_are_refused(
    home: control.Home, caller: Caller, method: str, fields: dict[str, str]
) -> None:
    """Promise: no page of another origin reads or changes anything, not even one on another port of this machine."""
    asking = {"access-control-request-method": "POST"} if method == "OPTIONS" else {}
    answer = await caller(make_app(home)).request(method, "/api/probe/write", headers=fields | asking)
    assert (403, "ORIGIN_REFUSED") == (answer.status_code, answer.json()["code"])
    assert "access-control-allow-origin" not in answer.headers


async def test_our_own_pages_and_plain_links_are_let_in(home: control.Home, caller: Caller) -> None:
    """Promise: same-origin requests pass, and so does following a link from elsewhere to a page."""
    client = caller(make_app(home))
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert 200 == (await client.post("/api/probe/write", json={"text": "x"}, headers=own)).status_code
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert 200 == (await client.get("/api/probe/read/x", headers=link)).status_code


async def test_a_listed_origin_gets_exactly_its_own_name_back(home: control.Home, caller: Caller) -> None:
    """Promise: CORS answers name the one origin that asked, never a star, and preflights need no key."""
    app = make_app(home, cors_origins="https://a.example, https://b.example", **REMOTE)
    asking = {"origin": "https://b.example", "access-control-request-method": "POST"}
    answer = await caller(app).options("/api/probe/write", headers=asking)
    assert (204, "https://b.example", "Origin") == (
        answer.status_code,
        answer.headers["access-control-allow-origin"],
        answer.headers["vary"],
    )
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origins", ["*", "https://a.example/", "a.example", "https://*.example"])
def test_origins_are_exact(home: control.Home, origins: str) -> None:
    """Promise: a pattern where an origin belongs is refused at the start."""
    with pytest.raises(ConfigurationError, match="CORS_ORIGINS"):
        make_app(home, cors_origins=origins)


def test_a_route_that_says_nothing_does_not_start(home: control.Home) -> None:
    """Promise: forgetting to say which scope a route needs is found when the process starts."""
    app = make_app(home)
    forgotten = APIRouter()

    @forgotten.get("/api/forgotten")
    async def read() -> dict[str, str]:
        return {}

    app.include_router(forgotten)
    with pytest.raises(ConfigurationError, match="/api/forgotten"):
        app.state.gate.board.survey()
