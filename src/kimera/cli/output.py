"""What every command shares: exit codes, errors as one sentence, JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
from typing import Any

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
