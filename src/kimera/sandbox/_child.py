"""What happens in the forked child: give up all rights, register the inputs, run the code, write down the result."""

from __future__ import annotations

import json
import linecache
import os
import resource
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kimera.sandbox import _harden
from kimera.sandbox.contracts import LEVELS, level_of

__all__ = ["open_database", "run_child"]

NAME = "<job>"
MAX_FRAMES = 6
MAX_TEXT = 4000

CLOSE_DOORS = (
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
ALLOW = "SET allowed_paths = $paths"
MEMORY = "SET memory_limit = $limit"
TEMPORARY = "SET temp_directory = $folder"
TEMPORARY_SIZE = "SET max_temp_directory_size = $limit"


def open_database() -> Any:
    """Return an in-memory DuckDB connection without any thread of its own, so that a fork of it is whole."""
    import duckdb

    quiet: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "async_threads": 0,  # DuckDB 2.0 starts eight I/O threads by default; a fork would lose them and hang
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",  # a misspelt table must not become a Python variable
    }
    return duckdb.connect(":memory:", config=quiet)


def _register(database: Any, inputs: Mapping[str, str], limits: Mapping[str, Any], scratch: Path) -> None:
    database.execute(ALLOW, {"paths": sorted(inputs.values())})
    database.execute(MEMORY, {"limit": f"{int(limits['database_memory'])}B"})
    database.execute(TEMPORARY, {"folder": str(scratch / ".duckdb")})
    database.execute(TEMPORARY_SIZE, {"limit": f"{int(limits['scratch']) // 2}B"})
    for name, path in sorted(inputs.items()):
        database.read_parquet(path).create_view(name)
    for statement in CLOSE_DOORS:
        database.execute(statement)


def _plain(value: Any) -> Any:
    """Turn what numpy, DuckDB and datetime return into JSON; what has no order or no JSON form is refused."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if type(value).__name__ == "Decimal":
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"result holds a {type(value).__name__}; use numbers, text, lists and dicts")


def _describe(error: BaseException) -> str:
    """Return the frames inside the job with their lines and the error itself; no path of this host."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"line {frame.lineno}, in {frame.name}: {frame.line}" for frame in frames if frame.filename == NAME]
    if isinstance(error, SyntaxError) and error.filename == NAME:
        lines.append(f"line {error.lineno}: {(error.text or '').strip()}")
    message = "".join(traceback.format_exception_only(error)).strip().rsplit("\n", 1)[-1]
    return "\n".join([*lines[-MAX_FRAMES:], message[:MAX_TEXT]])


def _execute(request: Mapping[str, Any], database: Any) -> dict[str, Any]:
    code = str(request["code"])
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    names: dict[str, Any] = {
        "__name__": "__main__",
        "db": database,
        "tables": {name: Path(path) for name, path in sorted(request["inputs"].items())},
        "parameters": request["parameters"],
    }
    exec(compile(code, NAME, "exec"), names)  # noqa: S102 - this is what a sandbox is for
    if "result" not in names:
        raise NameError("the code did not assign `result`")
    counts = {key: int(names.get(key) or 0) for key in ("rows_read", "rows_used")}
    # `result` is dumped with the rest so that one call finds NaN, sets and cycles in it.
    return {"status": "ok", "result": names["result"], **counts}


def _answer(request: Mapping[str, Any], database: Any, scratch: Path) -> str:
    try:
        _register(database, request["inputs"], request["limits"], scratch)
        return json.dumps(_execute(request, database), allow_nan=False, default=_plain)
    except BaseException as error:  # noqa: BLE001 - whatever the job's code raises is its result
        memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException"
        return json.dumps({"status": "error", "error": _describe(error), "memory": memory})


def _seed() -> None:
    """Give every job the same random numbers, so that the same code gives the same result."""
    import random

    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)


def _take_pipes(pipes: tuple[int, int, int]) -> None:
    """Put stdout, stderr and the result pipe at 1, 2 and 3, nothing on stdin, and close all else."""
    high = [os.dup2(fd, 100 + index, inheritable=False) for index, fd in enumerate(pipes)]
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    for target, fd in zip((1, 2, 3), high, strict=True):
        os.dup2(fd, target, inheritable=False)
    os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def run_child(
    request: Mapping[str, Any], database: Any, pipes: tuple[int, int, int], scratch: Path, parent: int
) -> None:
    """Run one job in this freshly forked process and leave it; never returns.

    The first line on the result pipe, written before any job code runs, says which mechanisms hold.
    """
    os.setpgid(0, 0)
    sys.dont_write_bytecode = True  # the worker may, a job may not
    _harden.prctl(_harden.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _take_pipes(pipes)
    os.chdir(scratch)
    readable = (*_harden.library_paths(), *map(Path, request["inputs"].values()))
    applied = _harden.harden(readable, scratch, request["limits"], request["ceiling"])
    level = level_of(applied)
    refused = not request["trusted"] and LEVELS.index(level) < LEVELS.index(request["minimum"])
    _write(json.dumps({"level": level, "mechanisms": applied, "refused": refused}) + "\n")
    if not refused:
        _seed()
        _write(_answer(request, database, scratch))
        _flush()
    os._exit(0)


def _write(text: str) -> None:
    view = memoryview(text.encode("utf-8", "replace"))
    while view:
        view = view[os.write(3, view) :]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # the job closed it
