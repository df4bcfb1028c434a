"""Many sessions, threads and processes on one memory; and a Redis that goes down and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.databases import BOTH, database_url
from tests.integration.memory_worker import work
from tests.unit.memory.stores import short_term

from kimera.errors import MemoryFault
from kimera.memory import Memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WORKER = Path(__file__).with_name("memory_worker.py")
ROOT = Path(__file__).resolve().parents[2]


def serial(names: list[str]) -> tuple[str, dict[str, list[list[str]]]]:
    """Return state and short-term memories after the same sessions one after the other."""
    with Memory.open(":memory:") as memory:
        for name in names:
            work(memory, name)
        return memory.state_hash(), {name: memory.session(name).stm for name in names}


@pytest.mark.parametrize("sessions", [2, 16, 64])
def test_sessions_in_threads_equal_the_serial_run(sessions: int, tmp_path: Path) -> None:
    """Promise: however sessions interleave, each learns what it would alone, and nothing is lost or doubled."""
    names = [f"session-{number}" for number in range(sessions)]
    state, stms = serial(names)
    with Memory.open(tmp_path / "m.db", stm="sql") as memory:
        threads = [threading.Thread(target=work, args=(memory, name)) for name in names]
        for thread in threads:
            thread.start()
        answers = [memory.predict([["shared"]]).memory_seq for _ in range(20)]
        for thread in threads:
            thread.join()
        assert answers == sorted(answers)
        assert (state, stms) == (memory.state_hash(), {name: memory.session(name).stm for name in names})
        assert () == memory.verify().problems
        one = memory.predict([["shared"]]).to_dict()
        with Memory.open(tmp_path / "m.db") as other:
            assert one == other.predict([["shared"]]).to_dict()


@pytest.mark.parametrize("store", ["sql", pytest.param("redis", marks=pytest.mark.redis)])
@pytest.mark.parametrize("kind", BOTH)
def test_processes_on_one_memory_equal_the_serial_run(kind: str, store: str, tmp_path: Path) -> None:
    """Promise: two processes with eight sessions each on one database learn what one after the other would."""
    names = [f"session-{number}" for number in range(16)]
    state, stms = serial(names)
    memory_name = f"m-{uuid.uuid4().hex[:8]}"
    with (
        database_url(kind, tmp_path) as url,
        short_term(store) as stm,
        Memory.open(url, memory_name, stm=stm) as memory,
    ):
        halves = [names[:8], names[8:]]
        commands = [[sys.executable, str(WORKER), url, memory_name, stm, *half] for half in halves]
        processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]
        assert [0, 0] == [process.wait() for process in processes]
        assert (state, stms) == (memory.state_hash(), {name: memory.session(name).stm for name in names})
        assert () == memory.verify().problems


@contextmanager
def redis_server(place: Path, port: int) -> Iterator[None]:
    """Run a Redis of our own that keeps what it is told."""
    command = ["redis-server", "--port", str(port), "--dir", str(place), "--appendonly", "yes"]
    command += ["--appendfsync", "always", "--save", "", "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if "Ready to accept connections" in line:
            break
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.redis
def test_a_restart_of_redis_loses_nothing_learned(tmp_path: Path) -> None:
    """Promise: while Redis is away, observing fails cleanly; afterwards all is there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"redis://127.0.0.1:{port}/0"
    with redis_server(tmp_path, port):
        memory = Memory.open(tmp_path / "m.db", stm=url)
        session = memory.session("s", max_pattern_length=3)
        for number in range(8):
            session.observe([f"e{number}", "x"])
        state, seq = memory.state_hash(), memory.seq
    with pytest.raises(MemoryFault) as away:
        session.observe(["lost"])
    assert ("STORE_UNAVAILABLE", 503) == (away.value.code, away.value.http_status)
    assert (state, seq) == (memory.state_hash(), memory.seq)
    assert memory.predict([["e0", "x"]]).predictions
    with redis_server(tmp_path, port):
        assert [["e6", "x"], ["e7", "x"]] == session.stm
        assert session.observe(["e8", "x"]).auto_learned_id is not None
        assert [] == session.stm
        assert seq + 1 == memory.seq
        assert () == memory.verify().problems
        memory.close()
