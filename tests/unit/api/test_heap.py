"""The heap of a serving process: what threads free is used again by others."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from kimera.cli.serve import serve_command
from kimera.settings import load_settings

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the arenas are those of glibc")

CHILD = """
import ctypes, sys, tempfile, threading
from kimera.api.heap import join_arenas
print(join_arenas() if sys.argv[1] == "join" else None)
together = threading.Barrier(12)
def work():
    together.wait()
    held = [bytearray(10_000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
c = ctypes.CDLL(None)
c.fopen.restype = ctypes.c_void_p
c.fclose.argtypes, c.malloc_info.argtypes = [ctypes.c_void_p], [ctypes.c_int, ctypes.c_void_p]
with tempfile.NamedTemporaryFile() as place:
    file = c.fopen(place.name.encode(), b"w")
    c.malloc_info(0, file)
    c.fclose(file)
    print(open(place.name).read().count("<heap nr="))
"""


def child(how: str, **env: str) -> tuple[str, int]:
    """Return what `join_arenas` answered in a process of its own, and on how many arenas its threads allocated."""
    clean = {name: value for name, value in os.environ.items() if name not in {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"}}
    command = [sys.executable, "-c", CHILD, how]
    done = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=True)
    answer, arenas = done.stdout.split()
    return answer, int(arenas)


def test_threads_share_two_arenas() -> None:
    """Promise: with the limit a dozen threads allocate from two arenas, without it from more."""
    assert ("True", 2) == child("join")
    assert child("leave")[1] > 2


def test_what_the_operator_has_set_stays() -> None:
    """Promise: a number of arenas given in the environment is left alone."""
    answer, arenas = child("join", MALLOC_ARENA_MAX="5")
    assert "False" == answer and 2 < arenas <= 5
    assert "False" == child("join", GLIBC_TUNABLES="glibc.malloc.arena_max=3")[0]


def test_the_server_joins_its_arenas_before_it_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Promise: `kimera serve` sets the limit, and does so before it opens its home."""
    seen: list[str] = []
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path))
    monkeypatch.setattr("kimera.api.heap.join_arenas", lambda: seen.append("arenas"))
    monkeypatch.setattr("kimera.api.serve.serve", lambda *_, **__: seen.append("serve") or 0)
    monkeypatch.setattr("kimera.cli.serve.load_settings", lambda real=load_settings: seen.append("settings") or real())
    CliRunner().invoke(serve_command, ["--port", "0", "--no-worker"])
    assert ["arenas", "settings", "serve"] == seen
