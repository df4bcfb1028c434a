"""The parent's side of the reading child: one warm process, killed and replaced when it dies or takes too long."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from kimera.knowledge.limits import Limits

__all__ = ["Child"]

SCRIPT = Path(__file__).with_name("_extract.py")


class Child:
    """Reads documents and workbooks in another process. Use as a context manager; starts on first use."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def warm(self, kinds: Sequence[str]) -> None:
        """Let the child import the readers for ``kinds`` while the parent does something else."""
        if kinds:
            self._send({"warm": list(kinds)})

    def extract(self, kind: str, path: Path, out: Path) -> dict[str, Any]:
        """Return what the child found in ``path``; ``{"problem": reason}`` when it crashed or took too long.

        ``out`` names the file for its answer; sheets of a workbook are written beside it.
        """
        limits = self.limits
        request = {
            "kind": kind, "path": str(path.absolute()), "out": str(out.absolute()), "pages": limits.pages,
            "characters": limits.characters, "unpacked": limits.archive_bytes, "sheets": limits.sheets,
        }  # fmt: skip
        if not self._send(request) or not self._wait(limits.reader_seconds):
            dead = self._stop()
            if dead:
                return {"problem": "Its reader crashed on it; the file is damaged or hostile. Save it again to retry."}
            return {"problem": f"Reading it took longer than {limits.reader_seconds:g} s; split it or save it as text."}
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found

    def _send(self, request: dict[str, Any]) -> bool:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(SCRIPT), str(self.limits.reader_bytes)],
                bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/",
            )  # fmt: skip
        pipe = self._process.stdin
        try:
            assert pipe is not None
            pipe.write(json.dumps(request).encode() + b"\n")
            pipe.flush()
        except BrokenPipeError:
            return False
        return True

    def _wait(self, seconds: float) -> bool:
        """Return whether the child answered in time."""
        process = self._process
        assert process is not None and process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return False
        return process.stdout.readline() == b"done\n"

    def _stop(self) -> bool:
        """End the child and return whether it had died by itself."""
        process, self._process = self._process, None
        if process is None:
            return False
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            died = process.wait(0.2) != 0
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            died = False
        process.stdout.close()
        return died
