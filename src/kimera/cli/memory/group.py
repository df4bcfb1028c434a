"""The group, its common options, and how a command gets its memory and session."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kimera.cli.output import json_option, print_json
from kimera.errors import ValidationError

if TYPE_CHECKING:
    from kimera.memory import Memories, Memory, Session
    from kimera.memory.contracts import Record

__all__ = [
    "events_given",
    "events_option",
    "in_session",
    "memory_command",
    "option_values",
    "options_option",
    "print_record",
    "shared",
    "the_memories",
    "the_memory",
    "the_session",
    "words",
]

F = TypeVar("F", bound=Callable[..., Any])

memory_option = click.option("--memory", "memory", default="default", show_default=True, help="Name of the memory.")
session_option = click.option("--session", "session", default="default", show_default=True, help="Name of the session.")
events_option = click.option(
    "--events", "events", metavar="JSON", help='Events instead of a session: \'[["a"],["b","c"]]\'.'
)
options_option = click.option(
    "-o", "--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of recall; may be repeated."
)


class Group(click.Group):
    """Imports the commands when the group is entered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of a day's work."""
        _load()
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command."""
        _load()
        return super().get_command(ctx, cmd_name)


@click.group("memory", cls=Group)
def memory_command() -> None:
    """A memory of event sequences: what was seen before, what is missing, what comes next, and why.

    Start with: kimera memory observe a; kimera memory observe b; kimera memory learn
    """


def _load() -> None:
    for name in ("teaching", "asking", "keeping"):
        import_module(f"kimera.cli.memory.{name}")  # which adds its commands


def shared(command: F) -> F:
    """Add ``--memory`` and ``--json``."""
    return memory_option(json_option(command))


def in_session(command: F) -> F:
    """Add ``--memory``, ``--session`` and ``--json``."""
    return memory_option(session_option(json_option(command)))


@contextmanager
def the_memories() -> Iterator[Memories]:
    """Open the memories of the home; their short-term memories outlive the command."""
    from kimera.memory import Memories

    with closing(Memories.open(stm="served")) as memories:
        yield memories


@contextmanager
def the_memory(name: str, *, create: bool = False) -> Iterator[Memory]:
    """Open the memory of that name; raises `NotFoundError` when it is absent and not to be made."""
    with the_memories() as memories:
        yield memories.get(name, create=create)


@contextmanager
def the_session(memory: str, session: str) -> Iterator[Session]:
    """Open a session of a memory, the session made when absent."""
    with the_memory(memory) as found:
        yield found.session(session)


def option_values(given: tuple[str, ...]) -> dict[str, Any]:
    """Return ``NAME=VALUE`` pairs, values as JSON where they are; raises `ValidationError`."""
    options = {}
    for each in given:
        name, mark, text = each.partition("=")
        if not mark or not name.isidentifier():
            raise ValidationError(f"{each!r} is no option; write NAME=VALUE, e.g. recall_threshold=0.3.", "option")
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def events_given(text: str) -> list[Any]:
    """Return events written as JSON; raises `ValidationError`."""
    try:
        events = json.loads(text)
    except (ValueError, RecursionError):
        events = None
    if not isinstance(events, list):
        raise ValidationError('--events takes JSON, e.g. [["a"],["b","c"]].', "events")
    return events


def print_record(record: Record, as_json: bool, text: Callable[[], Iterator[str]]) -> None:
    """Print a record as JSON, or what a person wants to know of it."""
    if as_json:
        print_json(record.to_dict())
        return
    for line in text():
        click.echo(line)


def words(events: Any) -> str:
    """Return events as ``a (b c) d``."""
    return " ".join(event[0] if len(event) == 1 else f"({' '.join(event)})" for event in events) or "-"
