"""Starting, asking and ending one warm worker from the parent's side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kimera.errors import SandboxError
from kimera.sandbox import _processes
from kimera.sandbox._frames import Channel

__all__ = ["WarmWorker", "WorkerLost"]

BOOT = """import json, sys
read_fd, write_fd, scratch, sys.dont_write_bytecode, sys.path[:] = json.loads(sys.argv[1])
from kimera.sandbox._worker import main
main(read_fd, write_fd, scratch)
"""
"""The worker finds its modules where this process finds them, and may keep them compiled if this process may: where an
installer compiled nothing, SciPy would cost every worker a second. Nothing else of this process reaches it."""

GRACE, STOP_GRACE = 2.0, 0.5
"""Seconds a worker gets to end a job after its time-out, or when told to, before it is ended itself."""


class WorkerLost(Exception):
    """The worker ended without an answer; ``started`` tells whether the job had begun."""

    def __init__(self, started: bool) -> None:
        super().__init__(started)
        self.started = started


def clean_environment(home: str) -> dict[str, str]:
    """Return the whole environment of a worker: no variable of the host, one thread, a fixed hash seed."""
    single = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "HOME": home,
        "TMPDIR": home,
        "MPLCONFIGDIR": home,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(single, "1"),
    }


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="kimera-sandbox-"))
    except OSError as failure:
        raise SandboxError(
            f"There is no temporary folder for the sandbox ({failure.strerror}); free some space and run again."
        ) from failure


class WarmWorker:
    """A worker process with its scratch folder; started by the constructor, which does not wait for it."""

    def __init__(self) -> None:
        if not sys.executable:
            raise SandboxError("This Python does not know its own executable; run Kimera from a normal installation.")
        self.scratch = _new_folder()
        self.is_ready = False
        own_read, their_write = os.pipe()
        their_read, own_write = os.pipe()
        self._channel = Channel(own_read, own_write)
        path = [entry for entry in sys.path if entry]
        argument = json.dumps([their_read, their_write, str(self.scratch), sys.dont_write_bytecode, path])
        try:
            with (self.scratch / "start.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-s", "-P", "-c", BOOT, argument],
                    env=clean_environment(str(self.scratch / "job")),
                    cwd=self.scratch,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(their_read, their_write),
                    start_new_session=True,
                )
        except OSError as failure:
            self._channel.close()
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise SandboxError(
                f"The sandbox worker could not be started ({failure.strerror}); free memory or processes and run again."
            ) from failure
        finally:
            os.close(their_read)
            os.close(their_write)

    @property
    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def wait_ready(self, seconds: float, should_stop: Callable[[], bool]) -> bool:
        """Return True once the worker takes jobs, False when told to stop; SandboxError when it does not start."""
        if self.is_ready:
            return True
        try:
            frame = self._channel.receive(seconds, should_stop)
        except EOFError:
            raise SandboxError(
                "The sandbox worker did not start; run `kimera doctor`.", detail=self._log(), seconds=seconds
            ) from None
        if frame is None and not should_stop():
            raise SandboxError(f"The sandbox worker did not start within {seconds:g} s; run `kimera doctor`.")
        self.is_ready = frame is not None
        return self.is_ready

    def ask(self, request: Mapping[str, Any], startup: float, should_stop: Callable[[], bool]) -> dict[str, Any] | None:
        """Send one job and return the answer; None when told to stop, WorkerLost when the worker is gone or hangs.

        The worker itself ends the job at its ``timeout``, which counts from when it has imported what the job needs.
        """
        started = False
        try:
            self._channel.send(dict(request))
            answer = self._channel.receive(startup, should_stop)
            if answer is not None:
                started = True
                answer = self._channel.receive(float(request["timeout"]) + GRACE, should_stop)
            if answer is None and should_stop():
                self._stop_job(started)
                return None
        except (EOFError, BrokenPipeError):
            raise WorkerLost(started) from None
        if answer is None:
            raise WorkerLost(started)
        return dict(answer)

    def _stop_job(self, started: bool) -> None:
        """End the running job and keep the worker; one that still imports is ended itself, which is quicker."""
        if started:
            self._channel.send({"stop": True})
            if self._channel.receive(STOP_GRACE) is not None:
                return
        self.close()

    def close(self) -> None:
        """End the worker and everything below it at once, and remove its scratch folder."""
        with suppress(OSError):
            self._channel.close()
        if self.alive:
            below = _processes.descendants(self._process.pid)
            _processes.kill([self._process.pid, *below])
        self._process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _log(self) -> str:
        with suppress(OSError):
            return (self.scratch / "start.log").read_text(errors="replace")[-2000:]
        return ""
