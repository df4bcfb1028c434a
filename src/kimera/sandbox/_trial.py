"""Run in a process of its own by `probe`: give everything up as a job does, then see whether it holds."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from dataclasses import asdict
from pathlib import Path

from kimera.sandbox import _harden, _landlock
from kimera.sandbox.contracts import Limits

__all__ = ["main"]

CLONE_NEWUSER = 0x10000000


def _can_make_user_namespace() -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0 else 1)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


def _succeeds(attempt: object, *arguments: object) -> bool:
    try:
        attempt(*arguments)  # type: ignore[operator]
    except OSError:
        return False
    return True


def _write_outside(folder: Path) -> None:
    (folder.parent / f"{folder.name}.outside").touch()


def main(scratch: str) -> None:
    """Print one JSON object: the mechanisms that held, and what got through all the same."""
    userns = _harden.LINUX and _can_make_user_namespace()
    version = _landlock.abi() if _harden.LINUX else 0
    applied = _harden.harden(_harden.library_paths(), Path(scratch), asdict(Limits()), "reduced")
    leaks = []
    if "landlock" in applied and (
        _succeeds(os.listdir, "/")
        or _succeeds(Path("/etc/passwd").read_bytes)
        or _succeeds(_write_outside, Path(scratch))
    ):
        applied.remove("landlock")
        leaks.append("Landlock reports success but files outside can be opened")
    if "seccomp" in applied and (_succeeds(socket.socket) or _succeeds(os.fork)):
        applied.remove("seccomp")
        leaks.append("seccomp reports success but a socket or a process can be made")
    report = {"mechanisms": applied, "landlock_abi": version, "userns": userns, "leaks": leaks}
    sys.stdout.write(json.dumps(report))
