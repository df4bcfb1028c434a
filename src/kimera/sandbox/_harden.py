"""Everything a process gives up before it runs a job's code; shared by the forked child and by the probe."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kimera.sandbox import _landlock, _seccomp

__all__ = ["harden", "library_paths", "prctl"]

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 38, 36
SHARED = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/fonts")
DEVICES = ("/dev/urandom", "/dev/zero")
LINUX = sys.platform == "linux"


def prctl(option: int, value: int) -> bool:
    """Set a process attribute; False where the kernel does not know it."""
    if not LINUX:
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)


def library_paths(modules: Iterable[str] = ("numpy", "scipy", "duckdb")) -> tuple[Path, ...]:
    """Return the folders Python and the loaded libraries are read from: never a whole home, never /etc."""
    found = [Path(sysconfig.get_path(kind)) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    found.append(Path(sys.base_prefix) / "lib")
    for name in modules:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file:
            package = Path(file).parent
            found += [package, package.with_name(f"{name}.libs")]
    return tuple(dict.fromkeys([*found, *map(Path, SHARED), *map(Path, DEVICES)]))


def _limit(what: int, value: int, slack: int = 0) -> None:
    _, hard = resource.getrlimit(what)
    top = value + slack if hard == resource.RLIM_INFINITY else min(value + slack, hard)
    resource.setrlimit(what, (min(value, top), top))


def _set_limits(limits: Mapping[str, Any]) -> None:
    _limit(resource.RLIMIT_CPU, int(limits["cpu"]), slack=2)  # SIGXCPU first, SIGKILL two seconds later
    _limit(resource.RLIMIT_AS, int(limits["address_space"]))
    _limit(resource.RLIMIT_FSIZE, int(limits["file"]))
    _limit(resource.RLIMIT_NOFILE, int(limits["open_files"]))
    _limit(resource.RLIMIT_STACK, 8 * 1024**2)  # larger stacks let a few threads use up the address space
    _limit(resource.RLIMIT_CORE, 0)


def _drop_capabilities() -> bool:
    version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return bool(ctypes.CDLL(None, use_errno=True).capset(version_3, nothing) == 0)


def harden(readable: Iterable[Path], scratch: Path, limits: Mapping[str, Any], ceiling: str) -> list[str]:
    """Give up every right the kernel lets us give up and return the names of the mechanisms that hold.

    ``ceiling`` "none" leaves out Landlock and seccomp, as on a host that has neither.
    """
    os.umask(0o077)
    _set_limits(limits)
    applied = ["clean_environment", "own_process_group", "closed_fds", "rlimits"]
    if not LINUX:
        return applied
    if prctl(PR_SET_NO_NEW_PRIVS, 1):
        applied.append("no_new_privs")
    if _drop_capabilities():
        applied.append("no_capabilities")
    if ceiling == "none" or "no_new_privs" not in applied:
        return applied
    version = _landlock.restrict(readable, scratch)
    if version:
        applied.append("landlock")
        applied += ["landlock_tcp"] * (version >= 4) + ["landlock_scope"] * (version >= 6)
    if _seccomp.install():
        applied.append("seccomp")
    return applied
