"""Looking at and ending the processes of a job through /proc."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["descendants", "end_children", "kill", "resident", "usage"]

PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


def kill(pids: Iterable[int]) -> None:
    """Send SIGKILL to each process and to the group it leads, if any."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _parents() -> Iterator[tuple[int, int, int]]:
    """Yield (pid, parent, session) of every process."""
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in brackets may hold spaces and brackets itself: split after the last one.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(fields[1]), int(fields[3])


def descendants(root: int) -> list[int]:
    """Return all processes below ``root`` and those in its session, without ``root`` itself."""
    rows = sorted(_parents())
    found = {pid for pid, _, session in rows if session == root} | {root}
    while True:
        more = {pid for pid, parent, _ in rows if parent in found} - found
        if not more:
            return sorted(found - {root})
        found |= more


def resident(pids: Iterable[int]) -> int:
    """Return the resident bytes of the processes together; those that are gone count nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError, IndexError):
            total += int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE
    return total


def usage(folder: Path, stop_at: int) -> tuple[int, int]:
    """Return (bytes, entries) below a folder; counting ends after ``stop_at`` entries."""
    size = entries = 0
    folders = [folder]
    while folders and entries <= stop_at:
        with suppress(OSError), os.scandir(folders.pop()) as rows:
            for row in rows:
                entries += 1
                if row.is_dir(follow_symlinks=False):
                    folders.append(Path(row.path))
                else:
                    with suppress(OSError):
                        size += row.stat(follow_symlinks=False).st_blocks * 512
    return size, entries


def end_children(seconds: float = 5.0) -> None:
    """Kill and reap every child of this process, including orphans handed to it; gives up after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            kill(descendants(os.getpid()))
            time.sleep(0.005)
