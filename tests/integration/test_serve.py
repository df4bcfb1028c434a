"""The gateway as whole processes: what it refuses, how it ends, and what a kill leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from kimera.missions import control
from kimera.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "penguins"
SCRIPT = ROOT / "tests" / "integration" / "slow_gateway.py"
CLI = "from kimera.cli import main; main()"
QUESTION = "Which factors go with higher body mass in penguins?"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Site:
    """A home, and the processes begun in it; all of them are gone at the end."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.folder = place / "penguins"
        shutil.copytree(EXAMPLE, self.folder)
        self.running: list[Server] = []

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a process."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "KIMERA_HOME": str(self.home),
            "KIMERA_METRICS_PORT": "0",
            "LANG": "C.UTF-8",
            **more,
        }

    def kimera(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        return subprocess.run(
            [sys.executable, "-c", CLI, *arguments],
            capture_output=True,
            text=True,
            env=self.environment(**more),
            timeout=60,
            check=False,
        )

    def serve(self, *arguments: str, **more: str) -> Server:
        """Begin a gateway with the slow routes and wait until it answers."""
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(**more),
        )
        server = Server(process)
        self.running.append(server)
        server.begin()
        return server

    def open(self) -> control.Home:
        """Open the home in this process, to look at it."""
        return control.open_home(Settings(home=self.home, database_url=None))


class Server:
    """A running gateway. ``lines`` is what it said so far on stdout, ``log`` on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.log: list[str] = []
        self._said = threading.Condition()
        self.url, self.port = "", 0
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((process.stdout, self.lines), (process.stderr, self.log))
        ]
        for reader in self._readers:
            reader.start()

    def begin(self) -> None:
        """Wait until it says where it answers."""
        welcome = self.wait_for("kimera answers on ")
        found = re.search(r"http://\S+:(\d+)", welcome)
        assert found is not None, welcome
        self.url, self.port = found[0], int(found[1])

    def _read(self, stream: Iterator[str], into: list[str]) -> None:
        for line in stream:
            with self._said:
                into.append(line)
                self._said.notify_all()

    def close(self) -> None:
        """Kill the process if it runs, and read what it said to the end."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def wait_for(self, words: str, seconds: float = 60.0) -> str:
        """Return the first line on stdout that holds ``words``."""

        def said() -> str | None:
            return next((line for line in self.lines if words in line), None)

        with self._said:
            found = self._said.wait_for(said, seconds)
        assert found, "".join([*self.lines, *self.log])
        return found

    def ask(self, path: str, method: str = "GET", **options: object) -> httpx.Response:
        """Send one request."""
        return httpx.request(method, f"{self.url}{path}", timeout=30, **options)  # type: ignore[arg-type]

    def end(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(seconds)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Yield a site."""
    made = Site(tmp_path)
    yield made
    for server in made.running:
        server.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come true")


@contextmanager
def connection(server: Server) -> Iterator[socket.socket]:
    """Open a plain connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as opened:
        yield opened


def read_answer(line: socket.socket) -> bytes:
    """Return one whole answer."""
    answer = b""
    with suppress(ConnectionResetError):
        while piece := line.recv(65_536):
            answer += piece
            head, _, body = answer.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            if length and len(body) >= int(length[1]):
                break
    return answer


def test_off_loopback_nothing_listens_without_a_key(site: Site) -> None:
    """Promise: a gateway that others can reach does not start without an active key, and says how to make one."""
    for variables in ({"KIMERA_HOST": "0.0.0.0"}, {"KIMERA_KEYS": "required"}):
        done = site.kimera("serve", "--port", "0", **variables)
        assert (2, "") == (done.returncode, done.stdout)
        assert "kimera keys create" in done.stderr
    made = site.kimera("keys", "create", "old", "--json")
    key = json.loads(made.stdout)
    site.kimera("keys", "revoke", key["key_id"])
    assert 2 == site.kimera("serve", "--port", "0", KIMERA_HOST="0.0.0.0").returncode


def test_off_loopback_a_key_opens_and_nothing_else_does(site: Site) -> None:
    """Promise: with a key the same process answers, to that key only; the key was printed once and works."""
    key = site.kimera("keys", "create", "laptop", "--scope", "read").stdout.strip()
    server = site.serve("--no-worker", KIMERA_HOST="0.0.0.0")
    server.url = f"http://127.0.0.1:{server.port}"
    bearer = {"authorization": f"Bearer {key}"}
    assert 401 == server.ask("/api/slow").status_code
    assert 200 == server.ask("/api/slow", headers=bearer).status_code
    assert 404 == server.ask("/api/nothing", headers=bearer).status_code
    key_id = json.loads(site.kimera("keys", "list", "--json").stdout)[0]["key_id"]
    site.kimera("keys", "revoke", key_id)
    until(lambda: server.ask("/api/nothing", headers=bearer).status_code == 401, 3)
    assert 0 == server.end()
    assert "never" != json.loads(site.kimera("keys", "list", "--json").stdout)[0]["last_used_at"]


def test_a_taken_port_is_one_sentence(site: Site) -> None:
    """Promise: when the port is taken nothing starts, and the message says what to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = site.kimera("serve", "--port", str(taken.getsockname()[1]))
    assert 2 == done.returncode
    assert "--port" in done.stderr


def test_a_drain_under_load_loses_nothing(site: Site) -> None:
    """Promise: after SIGTERM ready is 503, requests end with 200, streams with a hint, and the exit code is 0."""
    server = site.serve("--no-worker", KIMERA_DRAIN_DELAY="0.8")
    streamed: list[str] = []
    begun = threading.Event()

    def stream() -> None:
        with httpx.stream("GET", f"{server.url}/api/stream", timeout=30) as answer:
            for line in answer.iter_lines():
                streamed.append(line)
                begun.set()

    with ThreadPoolExecutor(24) as pool:
        reading = pool.submit(stream)
        slow = [pool.submit(server.ask, "/api/slow") for _ in range(20)]
        assert begun.wait(10)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("ending")
        ready = server.ask("/health/ready")
        assert (503, "draining") == (ready.status_code, ready.json()["status"])
        assert [200] * 20 == [one.result().status_code for one in slow]
        reading.result(10)
    assert "retry: 2000" in streamed
    assert 0 == server.process.wait(15)
    with pytest.raises(httpx.TransportError):
        server.ask("/health/live")


def test_a_request_that_never_ends_does_not_hold_the_process(site: Site) -> None:
    """Promise: after KIMERA_DRAIN_TIMEOUT what still runs is given up, and the exit code is 0."""
    server = site.serve("--no-worker", KIMERA_DRAIN_TIMEOUT="1")
    with connection(server) as line:
        line.sendall(b"GET /api/stuck HTTP/1.1\r\nhost: localhost\r\n\r\n")
        until(lambda: server.ask("/health/live").status_code == 200)
        assert 0 == server.end(seconds=10)


def test_an_idle_gateway_ends_at_once(site: Site) -> None:
    """Promise: with nothing running, SIGTERM and Ctrl-C both end the process with exit code 0 within seconds."""
    for number in (signal.SIGTERM, signal.SIGINT):
        server = site.serve()
        server.wait_for("takes missions")
        assert 0 == server.end(number, 10)


def test_kill_9_loses_no_mission(site: Site) -> None:
    """Promise: a gateway killed in the middle of a mission is started again and the mission ends whole."""
    with site.open() as home:
        mission_id = control.submit(home, QUESTION, site.folder)
        first = site.serve()
        until(lambda: any(event.type == "track.started" for event in control.events(home, mission_id)))
        first.process.kill()
        first.process.wait()
        assert not control.get(home, mission_id).ended
        second = site.serve()
        until(lambda: control.get(home, mission_id).ended, 90)
        assert "DONE" == control.get(home, mission_id).state
        assert 0 == second.end()


def test_on_sigterm_steps_under_way_are_given_back(site: Site) -> None:
    """Promise: a polite end in the middle of a mission is quick, and the next process continues it."""
    with site.open() as home:
        mission_id = control.submit(home, QUESTION, site.folder)
        first = site.serve()
        until(lambda: any(event.type == "track.started" for event in control.events(home, mission_id)))
        assert 0 == first.end()
        second = site.serve()
        until(lambda: control.get(home, mission_id).ended, 90)
        assert "DONE" == control.get(home, mission_id).state
        assert 0 == second.end()


def test_a_second_gateway_of_a_home_answers_and_queues(site: Site) -> None:
    """Promise: while another process works in the home, a gateway still answers, says so, and takes over afterwards."""
    first = site.serve()
    first.wait_for("takes missions")
    second = site.serve()
    second.wait_for("home busy")
    health = second.ask("/health/ready").json()
    assert "another process" in health["dependencies"]["worker"]["note"]
    assert 0 == first.end()
    second.wait_for("takes missions")
    assert 0 == second.end()


def test_a_slow_sender_is_cut_off(site: Site) -> None:
    """Promise: a body that stops coming is a 408 and a closed line, while others are answered."""
    server = site.serve("--no-worker", KIMERA_BODY_TIMEOUT="1")
    with connection(server) as slow:
        slow.sendall(
            b"POST /api/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        assert 200 == server.ask("/health/live").status_code
        answer = read_answer(slow)
        assert b"" == slow.recv(1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "TOO_SLOW"' in answer


HOSTILE = {
    "chunked over the cap": (
        b"POST /api/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"transfer-encoding: chunked\r\n\r\n" + b"".join(b"10000\r\n" + b" " * 65_536 + b"\r\n" for _ in range(20)),
        413,
    ),
    "a hundred thousand fields": (
        b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(100_000)),
        400,
    ),
    "two hundred fields": (
        b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n"
        + b"".join(b"x-%d: 1\r\n" % n for n in range(200))
        + b"\r\n",
        431,
    ),
    "a hundred thousand levels": (
        b"POST /api/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n"
        + b"[" * 100_000,
        422,
    ),
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "two lengths": (
        b"POST /api/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        400,
    ),
    "length and chunks": (
        b"POST /api/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n"
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        415,
    ),
    "a form of a hundred thousand fields": (
        b"POST /api/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        b"content-length: 400000\r\n\r\n" + b"a=1&" * 100_000,
        415,
    ),
    "a hundred thousand parameters": (
        b"GET /health/live?" + b"a=1&" * 5_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        400,
    ),
}


def test_hostile_bytes_get_a_problem_and_others_an_answer(site: Site) -> None:
    """Promise: whatever comes over the wire is refused as problem+json, and the process answers the next caller."""
    server = site.serve("--no-worker")
    for name, (sent, status) in HOSTILE.items():
        with connection(server) as line:
            with suppress(BrokenPipeError, ConnectionResetError):  # it was refused before everything was sent
                line.sendall(sent)
            answer = read_answer(line)
        assert answer.startswith(b"HTTP/1.1 %d " % status), (name, answer[:200])
        assert b"application/problem+json" in answer, name
        assert b"x-request-id: " in answer, name
        assert 200 == server.ask("/health/live").status_code, name
    assert 0 == server.end()
    assert not [line for line in server.log if '"ERROR"' in line]
