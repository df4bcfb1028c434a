"""The root command; subcommands are imported when they are called."""

from __future__ import annotations

import click

import kimera

__all__ = ["run"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(kimera.__version__, prog_name="kimera")
def kimera_command() -> None:
    """Research missions with memory: a question and a folder become one checked report."""


def run() -> None:
    """Run the command line."""
    kimera_command(prog_name="kimera")
