"""The C heap of a serving process: few arenas, so that what one thread frees is used again by the others."""

from __future__ import annotations

import ctypes

__all__ = ["limit_arenas"]

M_ARENA_MAX = -8  # of glibc's malloc.h


def limit_arenas(most: int) -> bool:
    """Have glibc keep at most ``most`` arenas from now on; return whether it will. 0 changes nothing.

    By default threads spread over eight arenas per core and each keeps what it once needed, so the resident memory of
    a server with dozens of threads rises for as long as it runs. To be called before the threads begin. Another C
    library has no such knob; nothing happens there.
    """
    if not most:
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(M_ARENA_MAX, most))
    except (AttributeError, OSError, TypeError):
        return False
