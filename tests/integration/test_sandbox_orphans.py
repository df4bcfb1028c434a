"""What is left of a sandbox when Kimera itself is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PARENT = """
import sys
from kimera.sandbox import Session
session = Session(minimum="none", ceiling=sys.argv[1])
session.run("result = 1")
print(session.worker_pid, session._worker.scratch, flush=True)
session.run("import os, time\\nif parameters['fork'] and os.fork() == 0:\\n    os.setsid()\\nwhile True: pass",
            parameters={"fork": sys.argv[1] == "none"})
"""


def ended(pid: int, seconds: float) -> bool:
    """Return whether the process ends within the time (as a zombie it has ended)."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    poll = select.poll()
    poll.register(watch, select.POLLIN)
    found = bool(poll.poll(seconds * 1000))
    os.close(watch)
    return found


def in_session(leader: int) -> list[int]:
    """Return the living processes below or in the session of a process."""
    from kimera.sandbox._processes import descendants

    return descendants(leader)


@pytest.mark.slow
@pytest.mark.parametrize("ceiling", ["reduced", "none"])
def test_nothing_survives_the_death_of_kimera(ceiling: str) -> None:
    """Promise: after kill -9 of the parent, worker, job and what the job started are gone, and so is the scratch."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, ceiling], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker, scratch = parent.stdout.readline().split()
    below: list[int] = []
    while len(below) < (2 if ceiling == "none" else 1):
        below = in_session(int(worker))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert [] == [pid for pid in (*below, int(worker)) if not ended(pid, 5.0)]
    assert not Path(scratch).exists()
