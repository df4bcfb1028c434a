"""A real `kimera serve`: missions from request to report, streams that survive breaks, keys that end them."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.databases import BOTH
from tests.integration.gateway import Gateway, gateway
from tests.integration.test_workers import until

from kimera.missions import control
from kimera.missions.verify import verify_file
from kimera.storage.keys import Keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ASKED = {"question": "Which species is heavier?", "folder": "birds"}


@pytest.fixture(params=BOTH)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """Yield a running gateway on each database; a key is needed."""
    with gateway(request.param, tmp_path, KIMERA_KEYS="required") as running:
        yield running


def bearer(server: Gateway, scope: str = "admin") -> dict[str, str]:
    """Return the header of a key of the tenant local."""
    return {"authorization": f"Bearer {server.keys[scope]}"}


def numbers(events: list[dict[str, str]]) -> list[int]:
    """Return the ids of the events that have one."""
    return [int(one["id"]) for one in events if "id" in one]


def test_a_mission_from_request_to_checked_report(server: Gateway, tmp_path: Path) -> None:
    """Promise: start, follow live, read, verify and export give a report that verifies elsewhere."""
    started = server.ask("POST", "/api/missions", ASKED, bearer(server, "write"))
    path = started.headers["location"]
    with server.stream(f"{path}/events", bearer(server, "read")) as stream:
        events = list(stream)
    shown = server.ask("GET", path, headers=bearer(server, "read")).json
    assert ("DONE", list(range(1, shown["events"] + 1))) == (shown["state"], numbers(events))
    assert {"state": "DONE", "version": shown["version"]} == json.loads(events[-1]["data"])
    report = server.ask("GET", f"{path}/report", headers=bearer(server, "read") | {"accept": "text/markdown"})
    assert b"Which species is heavier?" in report.body
    again = server.ask(
        "GET", f"{path}/report?format=md", headers=bearer(server) | {"if-none-match": report.headers["etag"]}
    )
    assert (304, b"") == (again.status, again.body)
    verified = server.ask("POST", f"{path}/verify", headers=bearer(server))
    assert verified.json["holds"], verified.json["summary"]
    place = tmp_path / "elsewhere.zip"
    place.write_bytes(server.ask("GET", f"{path}/export?with_sources=true", headers=bearer(server)).body)
    assert verify_file(place, allow_code=True).holds
    theirs = {"authorization": f"Bearer {server.key('other')}"}
    assert {404} == {
        server.ask("GET", one, headers=theirs).status for one in (path, f"{path}/report", f"{path}/events")
    }
    assert 401 == server.ask("GET", path).status


def test_uploaded_files_are_read_and_kept(server: Gateway) -> None:
    """Promise: a multipart upload becomes a mission over exactly these files, zip members too, and it ends DONE."""
    boundary = b"----kimera"
    table = b"species,mass\n" + b"".join(b"%d,%d\n" % (n % 2, n) for n in range(20_000))
    parts = {b'name="question"': b"What is the mean of mass?", b'name="files"; filename="../../m.csv"': table}
    body = b"".join(
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (boundary, name, data)
        for name, data in parts.items()
    )
    headers = bearer(server) | {"content-type": f"multipart/form-data; boundary={boundary.decode()}"}
    started = server.ask("POST", "/api/missions/upload", body + b"--%s--\r\n" % boundary, headers)
    assert 201 == started.status, started.body
    with server.stream(f"{started.headers['location']}/events", bearer(server)) as stream:
        assert "DONE" == json.loads(list(stream)[-1]["data"])["state"]
    report = server.ask("GET", f"{started.headers['location']}/report", headers=bearer(server)).json
    assert ["m.csv"] == [one["name"] for one in report["sources"]]
    assert any(claim.get("value") == pytest.approx(9999.5) for claim in report["claims"]), report["summary"]


def test_a_broken_stream_goes_on_without_loss(server: Gateway) -> None:
    """Promise: hanging up every few events and coming back with Last-Event-ID gives each event once, to the end."""
    path = server.ask("POST", "/api/missions", ASKED, bearer(server)).headers["location"]
    seen: list[int] = []
    for _ in range(100):
        with server.stream(
            f"{path}/events", bearer(server) | {"last-event-id": str(seen[-1] if seen else 0)}
        ) as stream:
            part = list(itertools.islice(stream, 6))
        seen += numbers(part)
        if part[-1].get("event") == "end":
            break
    assert list(range(1, len(seen) + 1)) == seen
    assert server.ask("GET", path, headers=bearer(server)).json["events"] == len(seen)
    end = server.ask("GET", f"{path}/events", headers=bearer(server) | {"last-event-id": str(seen[-1])})
    assert (204, b"") == (end.status, end.body)


def idle_mission(server: Gateway, tenant: str = "local") -> str:
    """Store a mission that no worker of this server knows how to do, and return its id."""
    with control.open_home(server.settings) as home:
        folder = server.place / "shelf" / "birds"
        return control.submit(home, "Never done?", folder, playbook="of nobody", tenant=tenant)


def test_a_revoked_key_ends_its_stream(server: Gateway) -> None:
    """Promise: soon after the revocation the streams of a key and of its ticket end; it opens nothing more."""
    secret = server.key("local", "read")
    headers = {"authorization": f"Bearer {secret}"}
    path = f"/api/missions/{idle_mission(server)}/events"
    ticket = server.ask("POST", f"{path}/ticket", headers=headers).json
    with server.stream(path, headers) as stream, server.stream(ticket["url"]) as guest:
        assert "2000" == next(stream)["retry"] == next(guest)["retry"]
        with control.open_home(server.settings) as home:
            Keys(home.database).revoke(secret.split("_")[1].split(".")[0])
        ends = [threading.Thread(target=list, args=(one,), daemon=True) for one in (stream, guest)]
        for end in ends:
            end.start()
        for end in ends:
            end.join(10)
            assert not end.is_alive()
    assert (401, 401) == (server.ask("GET", path, headers=headers).status, server.ask("GET", ticket["url"]).status)


def test_a_server_that_ends_says_goodbye_to_its_viewers(server: Gateway) -> None:
    """Promise: SIGTERM ends streams with a hint when to come back, and the process with exit code 0."""
    with server.stream(f"/api/missions/{idle_mission(server)}/events", bearer(server)) as stream:
        next(stream)
        asked = threading.Thread(target=server.end, daemon=True)
        asked.start()
        assert "bye" == list(stream)[-1]["event"]
        asked.join(30)
    assert server.process is not None
    assert 0 == server.process.returncode


def test_a_killed_server_loses_neither_mission_nor_place(server: Gateway) -> None:
    """Promise: kill -9 in the middle; started again, the mission ends and the viewer gets what is missing, once."""
    path = server.ask("POST", "/api/missions", ASKED, bearer(server)).headers["location"]
    with server.stream(f"{path}/events", bearer(server)) as stream:
        seen = numbers(list(itertools.islice(stream, 5)))
        server.end(signal.SIGKILL)
    server.start()
    until(lambda: server.ask("GET", "/health/live").status == 200)
    with server.stream(f"{path}/events?after={seen[-1]}", bearer(server)) as stream:
        events = list(stream)
    assert "DONE" == json.loads(events[-1]["data"])["state"]
    seen += numbers(events)
    assert list(range(1, len(seen) + 1)) == seen
