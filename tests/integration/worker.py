"""A worker process for the tests: ``python worker.py HOME DATABASE SLOT LEASE SIGNS``.

Each phase leaves a file ``<process id>-<track>-<phase>`` in the folder SIGNS; the phase named in the file ``hold``
waits there as long as that file exists. SIGTERM ends the worker in order.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.small_missions import playbook  # noqa: E402

from kimera.missions import control  # noqa: E402
from kimera.settings import Settings  # noqa: E402


def main() -> None:
    """Work until SIGTERM."""
    home, database, slot, lease, signs = sys.argv[1:]
    stop, place = threading.Event(), Path(signs)

    def hook(moment: str, mission_id: str, step: str, attempt: int) -> None:
        if moment != "begin":
            return
        (place / f"{os.getpid()}-{step.replace(':', '-')}").touch()
        hold = place / "hold"
        while hold.exists() and hold.read_text() == step:
            threading.Event().wait(0.02)

    playbook("small", hook)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    opened = control.open_home(
        Settings(home=Path(home), database_url=None if database == "-" else database, worker=slot)  # type: ignore[arg-type]
    )
    print("open", flush=True)
    control.work(opened, stop, lease=float(lease), notice=lambda words: print(words, flush=True))
    opened.close()


if __name__ == "__main__":
    main()
