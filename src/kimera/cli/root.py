"""The root command; a subcommand's module is imported when it is called or listed."""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module

import click

import kimera
from kimera.cli.output import EXIT_ERROR, EXIT_INTERRUPTED, show_error
from kimera.errors import KimeraError

__all__ = ["COMMANDS", "kimera_command", "run"]

COMMANDS = {
    "run": "kimera.cli.run:run_command",
    "missions": "kimera.cli.missions:missions_command",
    "show": "kimera.cli.missions:show_command",
    "watch": "kimera.cli.missions:watch_command",
    "cancel": "kimera.cli.missions:cancel_command",
    "resume": "kimera.cli.missions:resume_command",
    "retry": "kimera.cli.missions:retry_command",
    "verify": "kimera.cli.reports:verify_command",
    "export": "kimera.cli.reports:export_command",
    "trace": "kimera.cli.trace:trace_command",
    "worker": "kimera.cli.operate:worker_command",
    "serve": "kimera.cli.serve:serve_command",
    "keys": "kimera.cli.keys:keys_command",
    "audit": "kimera.cli.audit:audit_command",
    "slo": "kimera.cli.slo:slo_command",
    "telemetry": "kimera.cli.telemetry:telemetry_command",
    "memory": "kimera.cli.memory:memory_command",
    "doctor": "kimera.cli.operate:doctor_command",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, name = place.split(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(kimera.__version__, prog_name="kimera")
def kimera_command() -> None:
    """Research missions with memory: a question and a folder become one checked report.

    Start with: kimera run "QUESTION" FOLDER
    """


def run() -> None:
    """Run the command line; every failure ends with one sentence on stderr and a documented exit code."""
    code = _run()
    sys.stdout.flush()
    sys.stderr.flush()
    if any(thread.name.startswith("dbos-executor") for thread in threading.enumerate()):
        # the engine is still trying to reach a database that is away; everything that was recorded is safe
        os._exit(code)
    sys.exit(code)


def _run() -> int:
    try:
        code = kimera_command(prog_name="kimera", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except KimeraError as error:
        return show_error(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return code if isinstance(code, int) else 0
