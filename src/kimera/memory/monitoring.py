"""Figures about the memories of a process: statements, connections, and what Prometheus is told."""

from __future__ import annotations

import resource
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kimera.errors import NotFoundError
from kimera.memory.meters import spread
from kimera.storage import memory as sql
from kimera.storage.rows import Named, Statement

if TYPE_CHECKING:
    from kimera.memory.memories import Memories

__all__ = ["connections", "plan", "process", "statements"]

STATM = Path("/proc/self/statm")


def statements(memories: Memories) -> dict[str, Any]:
    """Return per named statement its runs, rows and quantiles in milliseconds."""
    names = {statement: name for name, statement in _named().items()}
    shown = {}
    for times in (memories.times, getattr(memories.stm_store, "times", None)):
        for key, (runs, rows, seconds) in (times.by_statement() if times is not None else {}).items():
            name = key if isinstance(key, str) else names.get(key)
            if name is not None:
                shown[name.lower()] = {"count": runs, "rows": rows, **spread(seconds)}
    return dict(sorted(shown.items()))


def plan(memories: Memories, name: str) -> list[str]:
    """Return how the database would run a named statement, line by line; raises `NotFoundError`."""
    statement = _named().get(name.upper())
    if statement is None:
        raise NotFoundError(f"There is no SQL statement {name!r}; the list without `explain` names them.")
    return memories.transactions.read(lambda rows: rows.explain(statement))


def connections(memories: Memories) -> dict[str, Any]:
    """Return how many connections of the database rest and work, and where short-term memories are kept."""
    use = memories.database.stats()
    return {"database": use._asdict(), "stm": {"store": memories.stm_store.kind}}


def process() -> dict[str, float | None]:
    """Return the process's resident bytes (None where the system does not tell), their peak, and CPU seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = int(STATM.read_text().split()[1]) * resource.getpagesize() if STATM.exists() else None
    peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"rss_bytes": resident, "peak_rss_bytes": peak, "cpu_seconds": used.ru_utime + used.ru_stime}


@cache
def _named() -> dict[str, Statement]:
    return {name: each for name, each in vars(sql).items() if isinstance(each, sa.Executable | Named)}
