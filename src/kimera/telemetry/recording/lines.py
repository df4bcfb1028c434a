"""JSON lines on stderr, ours and those of libraries that use `logging`; imported only where lines are printed."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, TextIO

import structlog

from kimera.telemetry.recording.logs import error_facts, get_logger
from kimera.telemetry.recording.recorder import LEVELS, Sink

__all__ = ["Bridge", "printer"]


def printer(stream: TextIO | None = None) -> Sink:
    """Return the function that prints one line as one JSON object."""
    encode = json.JSONEncoder(ensure_ascii=False, default=str).encode  # made once: `dumps` would make one a line
    out = structlog.WriteLogger(stream or sys.stderr)

    def write(line: dict[str, Any]) -> None:
        out.msg(encode(line))

    return write


class Bridge(logging.Handler):
    """Gives what libraries log at WARNING and above to our lines, under the library's name."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; its level is ours, its message a field."""
        level = "ERROR" if record.levelno >= LEVELS["ERROR"] else "WARN"
        fields: dict[str, Any] = {"text": record.getMessage(), "library": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= error_facts(record.exc_info[1], frames=level == "ERROR")
        log = get_logger(record.name.split(".")[0])
        (log.error if level == "ERROR" else log.warning)("library.logged", **fields)
