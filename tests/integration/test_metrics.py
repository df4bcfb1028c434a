"""A worker as Prometheus sees it: a whole process, a real mission, a scrape, and its history afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kimera.missions import control
from kimera.settings import Settings
from kimera.storage.rollups import Rollups
from kimera.telemetry.reading.series import History

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def start(home: Path, port: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a command of the command line in a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "KIMERA_HOME": str(home),
        "KIMERA_METRICS_PORT": str(port),
        "LANG": "C.UTF-8",
    }
    command = [sys.executable, "-c", "from kimera.cli import main; main()", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def scraped(port: int) -> dict[tuple[str, ...], float]:
    """Return every sample by name and label values, in order of the labels' names; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    return {
        (sample.name, *(text for _, text in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def until(port: int, key: tuple[str, ...], value: float, seconds: float = 60.0) -> dict[tuple[str, ...], float]:
    """Return the first scrape in which a sample has this value."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    found: dict[tuple[str, ...], float] = {}
    while time.monotonic() < end:
        found = scraped(port)
        if found.get(key) == value:
            return found
        pause.wait(0.5)
    raise AssertionError(f"{key} never became {value}; last seen {found.get(key)}")


def test_a_worker_is_scraped_while_it_works_and_remembered_when_it_has_ended(tmp_path: Path) -> None:
    """Promise: a worker shows its mission at /metrics, and after SIGTERM the home still knows what it did."""
    home, port = tmp_path / "home", free_port()
    began = time.time()
    with control.open_home(Settings(home=home)) as opened:
        control.submit(opened, "Which factors go with higher body mass in penguins?", ROOT / "examples" / "penguins")
    worker = start(home, port, "worker")
    try:
        done = until(port, ("kimera_queue_depth", "missions", "running"), 0.0)
        done = until(port, ("kimera_missions_total", "none", "degraded"), 1.0)
        assert 1.0 == done["kimera_mission_phase_duration_seconds_count", "explore", "deep_research"]
        assert 1.0 <= done["kimera_mission_phase_duration_seconds_count", "align", "fusion"]
        assert 1.0 <= done["kimera_mission_phase_duration_seconds_count", "persist", "fusion"]
        assert 1.0 <= done["kimera_storage_operations_total", "sqlite", "event_append", "ok"]
        assert 1.0 <= done["kimera_retrieval_duration_seconds_count", "keyword"]
        assert (
            1.0 <= done["kimera_sandbox_runs_total", "reduced", "ok"] + done["kimera_sandbox_runs_total", "none", "ok"]
        )
        assert 0.0 == done["kimera_telemetry_dropped_total", "store"]
    finally:
        worker.terminate()
        worker.communicate(timeout=30)
    with control.open_home(Settings(home=home)) as opened:
        ended = History(Rollups(opened.database)).total(
            "kimera_missions_total", ("outcome",), began - 60, time.time() + 60
        )
    assert {("degraded",): 1.0} == ended


def test_a_second_worker_on_the_same_port_works_and_says_which_setting_to_change(tmp_path: Path) -> None:
    """Promise: a taken port costs the second process its metrics, not its work, and the warning names the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        worker = start(tmp_path / "home", taken.getsockname()[1], "worker")
        assert worker.stderr is not None
        line = next(line for line in worker.stderr if "telemetry.metrics_not_served" in line)
        assert worker.poll() is None
        worker.terminate()
        worker.communicate(timeout=30)
    assert "KIMERA_METRICS_PORT" in line
    assert f"process {os.getpid()}" in line
