"""The heap of a serving process: what threads free is used again by others."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from kimera.cli.root import kimera_command
from kimera.settings import load_settings

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the arenas are those of glibc")

CHILD = """
import ctypes, sys, tempfile, threading
from kimera.api.heap import limit_arenas
print(limit_arenas(int(sys.argv[1])))
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


def child(most: int, **env: str) -> tuple[str, int]:
    """Return what `limit_arenas` answered in a process of its own, and how many arenas its threads allocated from."""
    clean = {name: value for name, value in os.environ.items() if name not in {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"}}
    command = [sys.executable, "-c", CHILD, str(most)]
    done = subprocess.run(command, env={**clean, **env}, capture_output=True, text=True, timeout=60, check=True)
    answer, arenas = done.stdout.split()
    return answer, int(arenas)


def test_threads_share_two_arenas() -> None:
    """Promise: with the limit a dozen threads allocate from two arenas, without it from more."""
    assert ("True", 2) == child(2)
    answer, arenas = child(0)
    assert "False" == answer and arenas > 2


def test_the_c_library_s_own_variable_holds_when_no_limit_is_set() -> None:
    """Promise: 0 leaves the number to MALLOC_ARENA_MAX."""
    assert ("False", 3) == child(0, MALLOC_ARENA_MAX="3")


@pytest.mark.parametrize(("given", "expected"), [(None, 2), ("0", 0)])
def test_the_server_limits_its_arenas_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, given: str | None, expected: int
) -> None:
    """Promise: `kimera serve` sets the limit of the settings before it opens its home."""
    seen: list[Any] = []
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path))
    if given is not None:
        monkeypatch.setenv("KIMERA_HEAP_ARENAS", given)
    load_settings.cache_clear()
    monkeypatch.setattr("kimera.api.heap.limit_arenas", seen.append)
    monkeypatch.setattr("kimera.missions.control.open_home", lambda *_: seen.append("home"))
    CliRunner().invoke(kimera_command, ["serve", "--port", "0", "--no-worker"])
    load_settings.cache_clear()
    assert [expected, "home"] == seen
