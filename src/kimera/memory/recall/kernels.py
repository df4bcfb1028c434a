"""Where the compiled kernels come from, and when: numba is an extra, costs a second to load and more to compile.

Without it, and until it pays, the same numbers come from numpy and the standard library.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from kimera.memory.contracts import MemoryTuning
from kimera.telemetry import get_logger

__all__ = ["available", "kernels", "warm"]

WORTH = 256  # alignments in one query from which it gains by kernels at all
LOAD_AFTER = 40_000  # alignments done plainly before loading: by then they have cost what loading costs

_REHEARSE = """
import sys
from kimera.memory.contracts import MemoryTuning
from kimera.memory.recall.rehearsal import rehearse
rehearse(MemoryTuning(cache_dir=sys.argv[1]))
"""

_log = get_logger("memory")
_lock = threading.Lock()
_module: ModuleType | None = None
_missing = False
_plain_work = 0
_loading: threading.Thread | None = None


def kernels(tuning: MemoryTuning, work: int = 0) -> ModuleType | None:
    """Return the compiled kernels if they are wanted and loaded, None for the plain way.

    ``work`` is the number of alignments about to be made; when enough have been made plainly, the kernels are loaded,
    provided there is a folder to keep them compiled in.
    """
    global _plain_work
    if not tuning.accelerate or _missing:
        return None
    if _module is None:
        _plain_work += work if work >= WORTH else 0
        if _plain_work >= LOAD_AFTER and tuning.cache_dir is not None:  # compiling anew in every process never pays
            _load_beside(tuning.cache_dir)
    return _module


def warm(tuning: MemoryTuning) -> bool:
    """Load the kernels now, as a server does when it starts; return whether there are any."""
    global _module, _missing
    with _lock:
        if _module is None and not _missing and tuning.accelerate:
            try:
                import numba
            except ImportError:
                _missing = True
                return False
            if tuning.cache_dir is not None:
                config: Any = numba.config
                config.CACHE_DIR = tuning.cache_dir
            from kimera.memory.recall import _native

            _module = _native
    return _module is not None


def _load_beside(cache_dir: str) -> None:
    """Begin, once, to load the kernels in a thread; nobody's query waits the 15 s that compiling them may take."""
    global _loading
    with _lock:
        if _loading is None:
            _loading = threading.Thread(target=_load, args=(cache_dir,), name="memory-kernels", daemon=True)
            _loading.start()


def _load(cache_dir: str) -> None:
    global _missing
    if find_spec("numba") is None:
        _missing = True
        return
    command = [sys.executable, "-c", _REHEARSE, cache_dir]  # in a process of its own: compiling holds the interpreter
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        warm(MemoryTuning(cache_dir=cache_dir))
    else:
        _missing = True
        _log.warning("memory.kernels_not_compiled", cause=done.stderr[-500:])


def available() -> bool:
    """Return whether the kernels are loaded."""
    return _module is not None
