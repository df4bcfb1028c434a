"""Logs: one flat line per fact, with who it is for; ``event`` is ``room.verb``.

INFO is the high-level flow, WARN a fallback or a non-critical failure, ERROR one line per failure where it is
handled, DEBUG everything else; with DEBUG off its arguments are not looked at, and a value may be a function that is
only called when the line is written.
"""

from __future__ import annotations

import traceback
from typing import Any

from kimera.errors import KimeraError, is_recoverable
from kimera.telemetry.recording.context import utc
from kimera.telemetry.recording.recorder import LEVELS, active, stamp

__all__ = ["Logger", "code_of", "error_facts", "frames_of", "get_logger", "room_of"]

FRAMES = 12
TEXT_LIMIT = 280
RESERVED = frozenset({"ts", "level", "event", "logger", "request_id", "trace_id", "span_id"})


class Logger:
    """The log of one room. An exception given as ``error`` becomes its code, type, room and whether it may pass."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log a detail."""
        if active().level <= LEVELS["DEBUG"]:
            self._log("DEBUG", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log a step of the high-level flow."""
        if active().level <= LEVELS["INFO"]:
            self._log("INFO", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log a fallback or a failure that the work survives."""
        if active().level <= LEVELS["WARN"]:
            self._log("WARN", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log a failure, once, where it is handled."""
        self._log("ERROR", event, fields)

    def _log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        at, known = stamp()
        line: dict[str, Any] = {"ts": utc(at), "level": level, "event": event, "logger": self.name, **known}
        failure = fields.pop("error", None)
        for name, value in fields.items():
            if value is not None:
                line[f"field_{name}" if name in RESERVED else name] = _value(value)
        if isinstance(failure, BaseException):
            line |= error_facts(failure, frames=level == "ERROR")
        elif failure is not None:
            line["error"] = failure
        active().log(level, line, at)


def get_logger(room: str) -> Logger:
    """Return the log of a room; cheap enough for module level."""
    return Logger(room)


def error_facts(error: BaseException, *, frames: bool = False) -> dict[str, Any]:
    """Return what a line says of an error; frames are places only, never values."""
    facts: dict[str, Any] = {"error_code": code_of(error), "error_type": type(error).__name__}
    facts |= {"module": room_of(error), "recoverable": is_recoverable(error)}
    facts["error_text"] = (error.message if isinstance(error, KimeraError) else str(error))[:TEXT_LIMIT]
    if frames:
        facts["frames"] = list(frames_of(error))
    return facts


def code_of(error: BaseException) -> str:
    """Return an error's code; for those that are not ours the name of their class."""
    return error.code if isinstance(error, KimeraError) else type(error).__name__.upper()


def frames_of(error: BaseException) -> tuple[str, ...]:
    """Return the last places on the way to an error, without values."""
    return tuple(
        f"{_module(frame.filename)}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)[-FRAMES:]
    )


def room_of(error: BaseException) -> str:
    """Return the room whose code raised the error: of its frames the innermost in Kimera; "other" when none is."""
    found = "other"
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        # the kernel only passes errors on, unless the error is its own
        if name.startswith("kimera.") and not name.startswith("kimera.telemetry"):
            found = name.split(".")[1]
        trace = trace.tb_next
    return found


def _module(filename: str) -> str:
    """Return a source path without the part that only says where this machine keeps its files."""
    parts = filename.replace("\\", "/").split("/")
    for anchor in ("kimera", "site-packages"):
        if anchor in parts:
            place = len(parts) - 1 - parts[::-1].index(anchor)
            return "/".join(parts[place if anchor == "kimera" else place + 1 :])
    return parts[-1]


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= TEXT_LIMIT else value[: TEXT_LIMIT - 1] + "…"
    return _value(value()) if callable(value) else value
