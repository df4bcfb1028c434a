"""The end of a served process, whoever still listens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_server_whose_reader_has_gone_ends_when_told(tmp_path: Path) -> None:
    """Promise: with its output closed on the other side, one SIGTERM ends it in order, with exit code 0."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", "from kimera.cli import main; main()", "serve", "--port", "0", "--no-worker"]
    env = {**os.environ, "KIMERA_HOME": str(tmp_path / "home"), "KIMERA_METRICS_PORT": "0"}
    with log.open("w") as said, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=env) as server:
        try:
            assert server.stdout is not None
            assert b"kimera answers on" in server.stdout.readline()
            server.stdout.close()
            server.send_signal(signal.SIGTERM)
            assert 0 == server.wait(30)
        finally:
            server.kill()
    assert "BrokenPipeError" not in log.read_text()
