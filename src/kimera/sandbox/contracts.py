"""What goes into the sandbox and what comes out of it. Sizes are bytes, durations seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["LEVELS", "Isolation", "Job", "JobResult", "Level", "Limits", "Status", "level_of"]

Level = Literal["none", "reduced", "full"]
Status = Literal["ok", "error", "timeout", "killed", "refused"]

LEVELS: tuple[Level, ...] = ("none", "reduced", "full")
MIB = 1024**2

REDUCED = frozenset({"landlock", "seccomp", "no_new_privs", "rlimits"})
"""Mechanisms without which a job may not be called reduced (guardian.md, section 11)."""


def level_of(mechanisms: tuple[str, ...] | list[str]) -> Level:
    """Return the isolation level that these applied mechanisms amount to; `full` is not offered by this launcher."""
    return "reduced" if set(mechanisms) >= REDUCED else "none"


@dataclass(frozen=True)
class Limits:
    """What one job may use. The defaults are those of guardian.md, section 11.

    ``memory`` is resident memory summed over the job's processes, ``address_space`` per process; ``output`` is stdout
    plus stderr; ``result`` the JSON text; ``startup`` how long a cold worker may take to import its libraries.
    """

    wall: float = 60.0
    cpu: int = 30
    address_space: int = 4096 * MIB
    memory: int = 2048 * MIB
    database_memory: int = 1024 * MIB
    processes: int = 64
    open_files: int = 256
    file: int = 64 * MIB
    scratch: int = 256 * MIB
    scratch_files: int = 2048
    output: int = MIB
    result: int = 8 * MIB
    startup: float = 60.0


@dataclass(frozen=True)
class Job:
    """Python code with the Parquet files it reads.

    ``trusted`` means that the code was produced by our own templates; anything a model or a stranger wrote is not.
    """

    code: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()
    trusted: bool = False


@dataclass(frozen=True)
class JobResult:
    """How a job ended.

    ``status``: ok; error (the code raised, or its result is not plain JSON); timeout (wall or CPU time); killed (told
    to stop, or a limit was passed); refused (less isolation than the minimum for code that is not ours). ``limit_hit``
    names the limit: wall, cpu, memory, output, scratch, files, processes, result, stop, worker. ``peak_rss`` counts the
    interpreter and its libraries (about 130 MB).
    """

    status: Status
    result: Any = None
    rows_read: int = 0
    rows_used: int = 0
    stdout: str = ""
    stderr: str = ""
    error: str | None = None
    level: Level = "none"
    mechanisms: tuple[str, ...] = ()
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss: int = 0
    limit_hit: str | None = None
    exit_code: int | None = None

    @property
    def ok(self) -> bool:
        """Return whether there is a result."""
        return self.status == "ok"


@dataclass(frozen=True)
class Isolation:
    """What this host offers and what a job really gets. ``missing`` lists what an attacker could still do."""

    level: Level
    mechanisms: tuple[str, ...]
    missing: tuple[str, ...]
    landlock_abi: int
    userns: bool
    cgroup: bool
    bubblewrap: bool
    reason: str
