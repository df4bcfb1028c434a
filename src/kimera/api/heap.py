"""The C heap of a serving process: two arenas, so that what its threads free can be used again by all of them."""

from __future__ import annotations

import ctypes
import os

__all__ = ["join_arenas"]

M_ARENA_MAX = -8  # of glibc's malloc.h
ARENAS = 2


def join_arenas() -> bool:
    """Have glibc keep at most two arenas from now on; return whether it agreed.

    By default threads spread over eight arenas per core and each keeps what it once needed, so the resident memory of
    a server with dozens of threads rises for as long as it runs. Nothing is done where the operator has set the number
    (MALLOC_ARENA_MAX, GLIBC_TUNABLES) or the C library has no such knob. To be called before the threads begin.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "glibc.malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS))
    except (AttributeError, OSError, TypeError):  # another C library
        return False
