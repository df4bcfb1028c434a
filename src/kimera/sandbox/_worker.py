"""The warm worker: imports the data stack once, forks one child per job and watches over it.

It runs no job code itself. It is the subreaper of whatever a job leaves behind, and ends with its parent: the end of
the request pipe means that nobody is waiting any more.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kimera.sandbox import _child, _harden, _processes
from kimera.sandbox._frames import Channel

__all__ = ["main"]

SCIPY = ("special", "linalg", "sparse", "spatial", "optimize", "interpolate", "integrate", "stats")
TICK_MS = 50
PATIENCE_MS = 5
"""A parent that was only waiting for the worker sends its job within this time; SciPy can wait so long."""
SCRATCH_EVERY = 4
"""The scratch folder is measured every so many ticks."""


class Watch:
    """One running child: its pipes, what it has written, and why it was ended."""

    def __init__(self, pid: int, pipes: tuple[int, int, int], limits: Mapping[str, Any], scratch: Path) -> None:
        self.pid = pid
        self.limits = limits
        self.scratch = scratch
        self.started = time.monotonic()
        self.cause: str | None = None
        self.mechanisms: list[str] = []
        self._names = dict(zip(pipes, ("stdout", "stderr", "result"), strict=True))
        self.written = {name: bytearray() for name in self._names.values()}
        self._poll = select.poll()
        for fd in pipes:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        self._ticks = 0

    def wait(self, channel: Channel, wall: float) -> tuple[int, Any]:
        """Return (wait status, resource usage) once the child has ended, by itself or by us."""
        self._poll.register(channel.read_fd, select.POLLIN)
        exited = os.pidfd_open(self.pid)
        self._poll.register(exited, select.POLLIN)
        try:
            while True:
                ready = {fd for fd, _ in self._poll.poll(TICK_MS)}
                for fd in ready & set(self._names):
                    self._read(fd)
                pid, status, used = os.wait4(self.pid, os.WNOHANG)
                if pid:
                    return status, used
                cause = self._reason_to_end(ready, channel, wall)
                if cause:
                    self.cause = cause
                    _processes.kill([self.pid])
                    _, status, used = os.wait4(self.pid, 0)
                    return status, used
        finally:
            os.close(exited)

    def _reason_to_end(self, ready: set[int], channel: Channel, wall: float) -> str | None:
        if channel.read_fd in ready or channel.ready():
            return "stop"  # a stop frame (perhaps read together with the job), or the end of the parent
        if time.monotonic() - self.started > wall:
            return "wall"
        if len(self.written["stdout"]) + len(self.written["stderr"]) > self.limits["output"]:
            return "output"
        if len(self.written["result"]) > self.limits["result"]:
            return "result"
        return self._over_host_limits()

    def _over_host_limits(self) -> str | None:
        self._ticks += 1
        pids = [self.pid]
        if "seccomp" not in self.mechanisms:  # with the filter a job cannot fork, and one look is enough
            pids += _processes.descendants(self.pid)
            if len(pids) > self.limits["processes"]:
                return "processes"
        if _processes.resident(pids) > self.limits["memory"]:
            return "memory"
        if self._ticks % SCRATCH_EVERY == 0:
            size, entries = _processes.usage(self.scratch, self.limits["scratch_files"])
            if size > self.limits["scratch"]:
                return "scratch"
            if entries > self.limits["scratch_files"]:
                return "files"
        return None

    def _read(self, fd: int) -> None:
        kept = self.written[self._names[fd]]
        try:
            chunk = os.read(fd, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._poll.unregister(fd)
        kept += chunk
        if self._names[fd] == "result" and not self.mechanisms and b"\n" in kept:
            self.mechanisms = _first_line(kept).get("mechanisms", [])

    def drain(self) -> None:
        """Read what is still in the pipes, without waiting for whoever may hold the other end."""
        most = self.limits["output"] + self.limits["result"] + (1 << 20)
        for fd, name in self._names.items():
            while len(self.written[name]) < most:
                try:
                    chunk = os.read(fd, 1 << 16)
                except BlockingIOError:
                    break
                if not chunk:
                    break
                self.written[name] += chunk


def _first_line(data: bytes | bytearray) -> dict[str, Any]:
    import json

    line, _, _ = bytes(data).partition(b"\n")
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _run_job(request: Mapping[str, Any], channel: Channel, database: Any, scratch: Path) -> dict[str, Any]:
    job = scratch / "job"
    job.mkdir(mode=0o700, exist_ok=True)
    ends = [os.pipe() for _ in range(3)]
    readers = (ends[0][0], ends[1][0], ends[2][0])
    own = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            _child.run_child(request, database, (ends[0][1], ends[1][1], ends[2][1]), job, own)
        finally:
            os._exit(70)  # an error on the way in must never come back into the worker's own loop
    for _, writer in ends:
        os.close(writer)
    try:
        watch = Watch(pid, readers, request["limits"], job)
        status, used = watch.wait(channel, float(request["timeout"]))
        seconds = time.monotonic() - watch.started
        _processes.kill([pid])  # the rest of its group
        _processes.end_children()
        watch.drain()
        return _reply(watch, status, used, seconds)
    finally:
        for fd in readers:
            os.close(fd)
        shutil.rmtree(job, ignore_errors=True)


def _reply(watch: Watch, status: int, used: Any, seconds: float) -> dict[str, Any]:
    head = _first_line(watch.written["result"])
    body = bytes(watch.written["result"]).partition(b"\n")[2]
    out, err, most = watch.written["stdout"], watch.written["stderr"], watch.limits["output"]
    cause = watch.cause
    if not cause and len(body) > watch.limits["result"]:
        cause = "result"
    if not cause and len(out) + len(err) > most:
        cause = "output"
    if not cause and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
        cause = "cpu"
    return {
        "cause": cause,
        "exit_code": os.waitstatus_to_exitcode(status),
        "level": head.get("level", "none"),
        "mechanisms": head.get("mechanisms", []),
        "refused": bool(head.get("refused")),
        "body": body[: watch.limits["result"]].decode("utf-8", "replace"),
        "stdout": out[:most].decode("utf-8", "replace"),
        "stderr": err[: max(0, most - len(out))].decode("utf-8", "replace"),
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_rss": used.ru_maxrss * 1024,
    }


def _import(module: str) -> None:
    """Import without looking for garbage meanwhile: modules stay, and the looks cost a seventh of the time."""
    gc.disable()
    try:
        importlib.import_module(module)
    finally:
        gc.enable()


def _import_next(waiting: list[str]) -> None:
    _import(f"scipy.{waiting.pop(0)}")
    if not waiting:
        gc.freeze()  # a fork then shares the pages of everything imported so far


def _serve(channel: Channel, scratch: Path) -> None:
    _import("numpy")
    _import("duckdb")
    database = _child.open_database()
    database.execute("SELECT 1").fetchall()  # the first query builds the catalogue; children inherit it
    channel.send({"ready": True})
    waiting = list(SCIPY)
    while True:
        while waiting and not channel.ready(PATIENCE_MS):
            _import_next(waiting)  # while nobody waits for us
        request = channel.receive()
        if "code" not in request:
            continue  # a stop that came after its job had ended
        while waiting and "scipy" in request["code"]:
            _import_next(waiting)
        channel.send({"started": request["number"]})  # from here on a lost worker is the doing of this job
        channel.send({"number": request["number"], **_run_job(request, channel, database, scratch)})


def main(read_fd: int, write_fd: int, scratch: str) -> None:
    """Serve jobs from ``read_fd`` until it ends; nothing of a job outlives this call."""
    _harden.prctl(_harden.PR_SET_CHILD_SUBREAPER, 1)
    _harden.prctl(_harden.PR_SET_NO_NEW_PRIVS, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the parent, which then closes the pipe
    channel = Channel(read_fd, write_fd)
    try:
        _serve(channel, Path(scratch))
    except (EOFError, BrokenPipeError):
        pass
    finally:
        _processes.end_children()
        shutil.rmtree(scratch, ignore_errors=True)
