"""Prometheus and Alertmanager for tests: the Debian programs, skipped where missing, required in CI."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}
PACE = threading.Event()  # never set: waiting on it is how a poll paces itself


def program(name: str) -> str:
    """Return the path of a program; skips when it is missing, fails with KIMERA_REQUIRE_PROMETHEUS=1."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is missing: apt-get install {PACKAGES.get(name, name)}"
        if os.environ.get("KIMERA_REQUIRE_PROMETHEUS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run(name: str, *arguments: str, cwd: Path | None = None) -> str:
    """Run a program to its end and return all it said; fails the test when it fails."""
    done = subprocess.run([program(name), *arguments], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(question: Callable[[], Any], what: str, *, seconds: float = 15.0, every: float = 0.1) -> Any:
    """Return the first truthy answer; fails the test after ``seconds``."""
    for _ in range(int(seconds / every)):
        answer = question()
        if answer:
            return answer
        PACE.wait(every)
    return pytest.fail(f"{what}: not within {seconds:g} s")


def fetch(url: str) -> Any:
    """Return the JSON at an address, or None when nobody answers (yet)."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())
    except (urllib.error.URLError, ConnectionError, TimeoutError, ValueError):
        return None


@contextmanager
def process(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends."""
    with log.open("wb") as sink, subprocess.Popen(arguments, stdout=sink, stderr=sink) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()


@contextmanager
def prometheus(config: Path, place: Path) -> Iterator[str]:
    """Run Prometheus with a configuration and yield its address once it is ready."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={place / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    with process(arguments, place / "prometheus.log"):
        wait_for(lambda: fetch(f"{url}/api/v1/status/buildinfo"), "Prometheus")
        yield url


@contextmanager
def alertmanager(config: Path, place: Path) -> Iterator[str]:
    """Run Alertmanager with a configuration and yield its address once it is ready."""
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [
        program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={place / 'alerts'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with process(arguments, place / "alertmanager.log"):
        wait_for(lambda: fetch(f"{url}/api/v2/status"), "Alertmanager")
        yield url


def query(url: str, expr: str) -> list[dict[str, Any]]:
    """Return the series an expression gives now."""
    answer = fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
    assert answer is not None, f"Prometheus refused {expr}"
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


PLACE = Path(__file__).resolve().parents[1] / "deploy" / "observability"


def profile(name: str, place: Path, target: int, **changes: Any) -> Path:
    """Write a committed profile with its addresses replaced into ``place`` and return the file.

    ``alerts`` is Alertmanager's address, ``rules`` the files to load instead, ``interval`` another scrape interval.
    """
    config = yaml.safe_load((PLACE / name).read_text())
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    config["rule_files"] = changes.get("rules") or [str(PLACE / rules) for rules in config["rule_files"]]
    address = changes.get("alerts")
    if address is None:
        del config["alerting"]
    else:
        config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [address.removeprefix("http://")]
    if "interval" in changes:
        keys = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        config["global"] |= dict.fromkeys(keys, changes["interval"])
    made = place / name
    made.write_text(yaml.safe_dump(config))
    return made
