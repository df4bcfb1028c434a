"""A PostgreSQL server that goes away in the middle and comes back: the mission waits and goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_workers import Site, make_site, until

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(180)]


class Cluster:
    """A PostgreSQL server of its own, on its own port."""

    def __init__(self, place: Path, tools: Path, user: str | None) -> None:
        self.place, self.tools, self.user = place, tools, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.tool("initdb", "-D", str(place / "data"), "-U", "postgres", "-A", "trust", "--no-sync")

    def tool(self, name: str, *arguments: str) -> None:
        """Run one of the server's tools as the server's user."""
        subprocess.run(
            [str(self.tools / name), *arguments], check=True, user=self.user, cwd=self.place, stdout=subprocess.DEVNULL
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.place}"
        log = str(self.place / "log")
        self.tool("pg_ctl", "-D", str(self.place / "data"), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self.tool("pg_ctl", "-D", str(self.place / "data"), "-w", "-m", "immediate", "stop")

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Yield a running server; skips where PostgreSQL's tools are missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    tools = found[-1].parent if found else None
    if tools is None and (plain := shutil.which("initdb")):
        tools = Path(plain).parent
    if tools is None:
        pytest.skip("no PostgreSQL tools (initdb, pg_ctl)")
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="kimera-cluster-") as name:
        place = Path(name)
        place.chmod(0o755)
        if user:
            shutil.chown(place, user)
        made = Cluster(place, tools, user)
        made.start()
        yield made
        made.stop()


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    """Yield a site on that server."""
    yield from make_site(tmp_path, cluster.url)


def test_a_mission_outlives_a_crash_of_its_database(site: Site, cluster: Cluster) -> None:
    """Promise: the server is stopped at once and started again while a step runs; the mission ends whole."""
    site.hold("ds_star:code")
    site.start("one")
    mission_id = site.submit()
    until(lambda: site.at("ds_star:code") is not None)
    cluster.stop()
    site.hold(None)
    cluster.start()
    row = site.ended(mission_id)
    assert ("DONE", False) == (row.state, row.partial)
    assert ["analyze", "code", "verify", "finalize"] == site.records(mission_id)
