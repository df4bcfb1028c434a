"""What isolation this host offers: tried out in a process of its own, not read from version numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from kimera.sandbox._warm import clean_environment
from kimera.sandbox.contracts import Isolation, level_of

__all__ = ["probe"]

BOOT = "import json,sys; sys.path[:]=json.loads(sys.argv[1]); from kimera.sandbox._trial import main; main(sys.argv[2])"
ALWAYS_MISSING = (
    "own user, network, pid and mount namespaces (level full)",
    "a quota on scratch space by the kernel (it is watched every 0.2 s)",
    "a memory cgroup over all processes (resident memory is watched every 0.05 s)",
    "hiding file metadata: whether a path exists can be seen (stat), its content and listings cannot",
)
CGROUP = Path("/sys/fs/cgroup")


@cache
def probe() -> Isolation:
    """Return what a job of this installation really gets; takes about 0.1 s once per process."""
    tried = _try_out()
    mechanisms = tuple(tried["mechanisms"])
    return Isolation(
        level=level_of(mechanisms),
        mechanisms=mechanisms,
        missing=(*_not_applied(tried), *ALWAYS_MISSING),
        landlock_abi=tried["landlock_abi"],
        userns=tried["userns"],
        cgroup=_writable_cgroup(),
        bubblewrap=shutil.which("bwrap") is not None,
        reason=_reason(tried),
    )


def _try_out() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kimera-sandbox-") as scratch:
        path = json.dumps([entry for entry in sys.path if entry])
        done = subprocess.run(
            [sys.executable, "-s", "-P", "-c", BOOT, path, scratch],
            env=clean_environment(scratch),
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    if done.returncode:
        return {"mechanisms": [], "landlock_abi": 0, "userns": False, "leaks": ["the trial process failed"]}
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def _not_applied(tried: dict[str, Any]) -> list[str]:
    wanted = {
        "landlock": "Landlock (files of this user can be read and written)",
        "landlock_tcp": "Landlock TCP rules (seccomp refuses sockets instead)",
        "landlock_scope": "Landlock signal scope (seccomp refuses signals to others instead)",
        "seccomp": "seccomp filter (sockets and new processes are possible)",
        "no_new_privs": "no_new_privs",
    }
    return [text for name, text in wanted.items() if name not in tried["mechanisms"]] + list(tried["leaks"])


def _reason(tried: dict[str, Any]) -> str:
    if level_of(tried["mechanisms"]) == "reduced":
        return f"Landlock version {tried['landlock_abi']} and seccomp hold; namespaces are not used."
    if not tried["landlock_abi"]:
        return "The kernel offers no Landlock (needs 5.13 and `landlock` in its list of security modules)."
    return f"Not every mechanism held when tried: {'; '.join(_not_applied(tried))}."


def _writable_cgroup() -> bool:
    return (CGROUP / "cgroup.controllers").is_file() and os.access(CGROUP, os.W_OK)
