"""Landlock: the files a job may see and the folder it may write to, by raw system calls (no library needed)."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

__all__ = ["abi", "restrict"]

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every machine
VERSION_FLAG = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, TRUNCATE = 1 << 7, 1 << 8, 1 << 14
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
SCRATCH = READ_FILE | READ_DIR | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | TRUNCATE
TCP = 0b11
SIGNALS_AND_ABSTRACT_SOCKETS = 0b11


def _call(*arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(*arguments))


def abi() -> int:
    """Return the Landlock version of this kernel; 0 where there is none."""
    return max(0, _call(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG))


def _handled(version: int) -> int:
    """Return every file right this version knows: what is handled and not granted is denied."""
    bits = 13
    bits += version >= 2  # REFER
    bits += version >= 3  # TRUNCATE
    bits += version >= 5  # IOCTL_DEV
    return (1 << bits) - 1


def _ruleset(version: int) -> int:
    attributes = struct.pack("=Q", _handled(version))
    if version >= 4:
        attributes += struct.pack("=Q", TCP)
    if version >= 6:
        attributes += struct.pack("=Q", SIGNALS_AND_ABSTRACT_SOCKETS)
    return _call(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)


def _grant(ruleset: int, path: Path, rights: int) -> bool:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False  # what is not there needs no right
    try:
        if not path.is_dir():
            rights &= FILE_RIGHTS
        rule = struct.pack("=Qi", rights, handle)
        return _call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0) == 0
    finally:
        os.close(handle)


def restrict(readable: Iterable[Path], scratch: Path) -> int:
    """Confine this process (no_new_privs must be set) and return the version applied; 0 means not confined.

    ``readable`` files and folders can be read, ``scratch`` also written; everything else cannot be opened, listed,
    made, renamed or removed. From version 4 TCP is refused, from 6 signals and abstract sockets to outsiders.
    """
    version = abi()
    if not version:
        return 0
    ruleset = _ruleset(version)
    if ruleset < 0:
        return 0
    try:
        mask = _handled(version)
        for path in readable:
            _grant(ruleset, path, READ_FILE | READ_DIR)
        _grant(ruleset, Path("/dev/null"), READ_FILE | WRITE_FILE)
        if not _grant(ruleset, scratch, SCRATCH & mask):
            return 0
        return version if _call(RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)
