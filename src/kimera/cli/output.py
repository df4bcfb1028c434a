"""What every command shares: exit codes, errors as one sentence, JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from kimera.errors import (
    ConfigurationError,
    ConflictError,
    HomeBusy,
    KimeraError,
    NotFoundError,
    StorageError,
    ValidationError,
)

if TYPE_CHECKING:
    from kimera.settings import Settings

__all__ = [
    "EXIT_BUSY",
    "EXIT_ERROR",
    "EXIT_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_NOT_HELD",
    "EXIT_OK",
    "EXIT_STORAGE",
    "EXIT_USAGE",
    "json_option",
    "print_json",
    "show_error",
    "wants_json",
    "wants_lines",
]

EXIT_OK = 0  # done; verify: everything holds
EXIT_NOT_HELD = 1  # verify: something in the report no longer holds
EXIT_USAGE = 2  # bad input
EXIT_FAILED = 3  # the mission failed: no track delivered anything
EXIT_BUSY = 4  # another process works in this home
EXIT_STORAGE = 5  # the home or database cannot be used
EXIT_ERROR = 70  # anything else
EXIT_INTERRUPTED = 130  # Ctrl-C: what there is was put together, the mission can be resumed

_CODES: tuple[tuple[type[KimeraError], int], ...] = (
    (HomeBusy, EXIT_BUSY),
    (StorageError, EXIT_STORAGE),
    (ValidationError, EXIT_USAGE),
    (NotFoundError, EXIT_USAGE),
    (ConflictError, EXIT_USAGE),
    (ConfigurationError, EXIT_USAGE),
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def wants_json() -> bool:
    """Return whether the running command was called with ``--json``."""
    context = click.get_current_context(silent=True)
    return bool(context and context.params.get("as_json"))


def wants_lines(settings: Settings, *, as_json: bool) -> bool:
    """Return whether a command with a progress display also prints log lines on stderr.

    They would ruin the display, so only when the level was set on purpose, or when nobody is looking.
    """
    return "log_level" in settings.model_fields_set or (as_json and not sys.stderr.isatty())


def print_json(value: Any) -> None:
    """Print one JSON value on stdout, on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def show_error(error: KimeraError) -> int:
    """Print the error for a person on stderr and return the exit code that goes with it."""
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    click.echo(click.style(f"       code {error.code}", dim=True), err=True)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return EXIT_ERROR
