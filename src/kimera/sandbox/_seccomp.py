"""A seccomp deny list: no sockets, no new processes, no programs, no other process's business.

Threads stay possible (clone with CLONE_THREAD), and a process may signal and limit itself, nobody else.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from kimera.sandbox._syscalls import AUDIT_ARCH, NEW_ALLOWED, NEW_FROM, TABLES

__all__ = ["install", "program"]

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_SET, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
CLONE_THREAD = 0x00010000
CLONE3 = 435
X32 = 0x40000000
PR_SET_PDEATHSIG = 1
ARGUMENT_DECIDES = frozenset({"clone", "kill", "tgkill", "prlimit64", "prctl"})
Instruction = tuple[int, int, int, int]


def program(machine: str, pid: int) -> list[Instruction] | None:
    """Return the filter for a process ``pid`` as (code, jump true, jump false, k); None for an unknown machine."""
    table = TABLES.get(machine)
    if table is None:
        return None
    refuse = (RETURN, 0, 0, ERRNO | errno.EPERM)
    absent = (RETURN, 0, 0, ERRNO | errno.ENOSYS)
    allow = (RETURN, 0, 0, ALLOW)
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (JUMP_AT_LEAST, 0, 1, X32),
        (RETURN, 0, 0, KILL),
    ]
    for name, number in table.items():
        if name not in ARGUMENT_DECIDES:
            lines += [(JUMP_EQUAL, 0, 1, number), refuse]
    lines += [(JUMP_EQUAL, 0, 1, CLONE3), absent]  # libc then falls back to clone, whose flags can be read
    for number in NEW_ALLOWED:
        lines += [(JUMP_EQUAL, 0, 1, number), allow]
    lines += [(JUMP_AT_LEAST, 0, 1, NEW_FROM), absent]
    first = (LOAD, 0, 0, FIRST_ARGUMENT)
    lines += [(JUMP_EQUAL, 0, 4, table["clone"]), first, (JUMP_SET, 1, 0, CLONE_THREAD), refuse, allow]
    for name in ("kill", "tgkill"):
        lines += [(JUMP_EQUAL, 0, 4, table[name]), first, (JUMP_EQUAL, 1, 0, pid), refuse, allow]
    own_limits = [first, (JUMP_EQUAL, 2, 0, 0), (JUMP_EQUAL, 1, 0, pid), refuse, allow]
    lines += [(JUMP_EQUAL, 0, 5, table["prlimit64"]), *own_limits]
    lines += [(JUMP_EQUAL, 0, 4, table["prctl"]), first, (JUMP_EQUAL, 0, 1, PR_SET_PDEATHSIG), refuse, allow]
    return [*lines, allow]


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install() -> bool:
    """Filter this process from now on (no_new_privs must be set); return False where there is no seccomp."""
    lines = program(platform.machine(), os.getpid())
    if lines is None:
        return False
    packed = b"".join(struct.pack("=HBBI", *line) for line in lines)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    filter_ = _Filter(len(lines), ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_seccomp, mode_filter = 22, 2
    return bool(libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(filter_), 0, 0) == 0)
