"""A real `kimera serve` process for the tests, on either database, and a small way to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.databases import database_url
from tests.integration.test_workers import until

from kimera.missions import control
from kimera.settings import Settings
from kimera.storage.keys import SCOPES, Keys

ROOT = Path(__file__).resolve().parents[2]
RUN = "from kimera.cli import main; main()"


@dataclass
class Gateway:
    """One home and the server process in it; it can be killed and started again."""

    place: Path
    database: str | None
    changes: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    address: tuple[str, int] = ("127.0.0.1", 0)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Return the file with what the server says."""
        return self.place / "log"

    @property
    def url(self) -> str:
        """Return where the server answers."""
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def settings(self) -> Settings:
        """Return the settings of the server's home."""
        return Settings(home=self.place / "home", database_url=self.database)  # type: ignore[arg-type]

    def start(self) -> None:
        """Start the server and wait until it answers."""
        known = {name: value for name, value in os.environ.items() if not name.startswith("KIMERA_")}
        ours = {
            "KIMERA_HOME": str(self.place / "home"),
            "KIMERA_PORT": "0",
            "KIMERA_FOLDERS": str(self.place / "shelf"),
            "KIMERA_EMBEDDINGS": "off",
            "PYTHONPATH": str(ROOT / "src"),
        }
        if self.database is not None:
            ours["KIMERA_DATABASE_URL"] = self.database
        # a file, not a pipe: a server whose log nobody reads would stand still when the pipe is full
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN, "serve"], stderr=log, env=known | ours | self.changes
            )
        until(lambda: self.process is None or self.process.poll() is not None or "answers on" in self.log.read_text())
        found = re.search(r"answers on http://([\d.]+):(\d+)", self.log.read_text())
        assert found, self.log.read_text()
        self.address = found[1], int(found[2])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(40)

    def key(self, tenant: str = "local", scope: str = "admin") -> str:
        """Return a new key of a tenant; `keys` holds one of each scope of the tenant local."""
        with control.open_home(self.settings) as home:
            return Keys(home.database).create("test", tenant, scope).secret

    def resident(self) -> int:
        """Return the server's resident memory in bytes."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, seconds: float = 60.0
    ) -> Answer:
        """Send one request on a connection of its own and return the whole answer; a body that is no bytes is JSON."""
        connection = http.client.HTTPConnection(*self.address, timeout=seconds)
        fields = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body, fields = json.dumps(body).encode(), {"content-type": "application/json"} | fields
        with contextlib.closing(connection):
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    @contextlib.contextmanager
    def stream(self, path: str, headers: dict[str, str] | None = None) -> Iterator[Iterator[dict[str, str]]]:
        """Open an event stream and give its events as they come; leaving hangs up."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            assert 200 == answer.status, answer.read()
            yield _events(answer)


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as data."""
        return json.loads(self.body)


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    while line := answer.readline().decode():
        name, _, value = line.rstrip("\n").partition(": ")
        if not line.strip():
            if event:
                yield event
            event = {}
        elif name:
            event[name] = value


@contextlib.contextmanager
def gateway(kind: str, place: Path, **changes: str) -> Iterator[Gateway]:
    """Yield a running gateway with a shelf of one small folder, on a database of this kind."""
    folder = place / "shelf" / "birds"
    folder.mkdir(parents=True)
    (folder / "birds.csv").write_text("species,mass\n" + "".join(f"{'ab'[n % 2]},{n % 7 + n % 2}\n" for n in range(60)))
    (folder / "note.txt").write_text("The mean mass of species b was higher in 2009. Species a was lighter.\n")
    with database_url(kind, place) as address:
        one = Gateway(place, None if kind == "sqlite" else address, changes)
        one.keys = {scope: one.key(scope=scope) for scope in SCOPES}
        one.start()
        try:
            yield one
        finally:
            if one.process is not None and one.process.poll() is None:
                one.end()
