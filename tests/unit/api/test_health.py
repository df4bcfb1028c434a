"""Health: each dependency by name, whatever it does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.unit.api.conftest import Caller, make_app

from kimera.api import health
from kimera.errors import StorageError
from kimera.missions import control


async def test_ready_names_every_dependency(home: control.Home, caller: Caller) -> None:
    """Promise: database, blobs, disk, sandbox and encoder stand there with status, time and note."""
    answer = await caller(make_app(home)).get("/health/ready")
    found = answer.json()["dependencies"]
    assert {"database", "blobs", "disk", "sandbox", "encoder"} <= found.keys()
    assert {"status", "ms", "note"} == set(found["database"])
    assert ("ok", 200) == (found["database"]["status"], answer.status_code)
    assert [] == [path for path in home.blobs.root.iterdir() if path.name.startswith(".health-")]


FINDINGS = {
    "ok": (200, "ok", "ok"),
    "off": (200, "ok", "ok"),
    "degraded": (200, "degraded", "degraded"),
    "down": (503, "down", "degraded"),
}


@pytest.mark.parametrize("status", FINDINGS)
async def test_the_worst_dependency_decides(home: control.Home, caller: Caller, status: str) -> None:
    """Promise: down is 503, degraded is 200 but said in the body and in the header of every answer."""
    app = make_app(home)
    app.state.gate.health.probes = {"a": lambda: ("ok", ""), "b": lambda: (status, "words")}
    ready = await caller(app).get("/health/ready")
    other = await caller(app).get("/api/probe/read/x")
    assert FINDINGS[status] == (ready.status_code, ready.json()["status"], other.headers["x-kaldra-status"])


@pytest.mark.parametrize(
    ("error", "note"),
    [(StorageError("gone"), "STORAGE"), (OSError(13, "denied"), "denied"), (KeyError("x"), "KeyError")],
)
async def test_a_probe_that_fails_is_down(home: control.Home, caller: Caller, error: Exception, note: str) -> None:
    """Promise: a dependency that raises is down with a code, never a 500."""
    app = make_app(home)

    def probe() -> health.Finding:
        raise error

    app.state.gate.health.probes = {"it": probe}
    answer = await caller(app).get("/health/ready")
    assert (503, {"status": "down", "note": note}) == (
        answer.status_code,
        {name: answer.json()["dependencies"]["it"][name] for name in ("status", "note")},
    )


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Yield an event that is set at the end whatever happens."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_probe_that_hangs_is_down_and_not_started_again(
    monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> None:
    """Promise: a hanging dependency costs one thread, and ready answers in time, again and again."""
    monkeypatch.setattr(health, "PROBE_SECONDS", 0.02)
    begun: list[int] = []

    def probe() -> health.Finding:
        begun.append(1)
        released.wait(5)
        return "ok", ""

    found = health.Health({"it": probe})
    for _ in range(3):
        await found.refresh(older_than=0.0)
        assert "down" == found.answers["it"].status
    assert [1] == begun
    released.set()
    while found.answers["it"].status == "down":
        await found.refresh(older_than=0.0)
    assert found.ready


async def test_a_draining_gateway_is_not_ready(home: control.Home, caller: Caller) -> None:
    """Promise: once told to end, ready is 503 and live is still 200."""
    app = make_app(home)
    app.state.gate.drain()
    client = caller(app)
    assert (503, 200) == (
        (await client.get("/health/ready")).status_code,
        (await client.get("/health/live")).status_code,
    )


async def test_health_needs_no_key_even_off_loopback(home: control.Home, caller: Caller) -> None:
    """Promise: a balancer without a key and with any Host learns whether the gateway is well, and nothing else."""
    client = caller(make_app(home, host="0.0.0.0", allowed_hosts="kimera.test"), host="10.0.0.7:8000")
    assert 200 == (await client.get("/health/live")).status_code
    assert 401 == (await caller(make_app(home, host="0.0.0.0")).get("/api/probe/read/x")).status_code
