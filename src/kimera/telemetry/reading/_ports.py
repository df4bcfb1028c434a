"""Who holds a port, so that a warning can name the process that should move."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["holder_of"]

LISTENING = "0A"


def holder_of(port: int, proc: Path = Path("/proc")) -> str:
    """Return ``process 12 (kimera serve)`` for a listening TCP port, ``unknown`` when that cannot be seen."""
    sockets = _listening(port, proc)
    if not sockets:
        return "unknown"
    for process in sorted(proc.iterdir()):
        if process.name.isdigit() and _holds(process, sockets):
            return f"process {process.name} ({_command(process)})"
    return "unknown"


def _listening(port: int, proc: Path) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENING and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, sockets: set[str]) -> bool:
    with suppress(OSError):
        for handle in (process / "fd").iterdir():
            with suppress(OSError):
                if str(handle.readlink()) in sockets:
                    return True
    return False


def _command(process: Path) -> str:
    with suppress(OSError):
        words = (process / "cmdline").read_bytes().split(b"\0")
        return " ".join(Path(word.decode(errors="replace")).name for word in words[:3] if word)[:80] or "unnamed"
    return "unnamed"
