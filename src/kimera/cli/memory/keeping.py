"""Look at what is kept, correct it, forget it, move it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kimera.cli.memory.group import events_given, memory_command, print_record, shared, the_memory, words
from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, print_json

if TYPE_CHECKING:
    from kimera.memory import Changed

__all__: list[str] = []

F = TypeVar("F", bound=Callable[..., Any])

number = click.FloatRange(min=0)
place = click.Path(dir_okay=False, path_type=Path)


def selectors(command: F) -> F:
    """Add the options that say which episodes are meant."""
    wanted = (
        ("--pattern", "an id or a name"),
        ("--source", "where they come from"),
        ("--from-session", "the session that learned them"),
        ("--symbol", "a symbol they hold"),
        ("--before", "an instant, ISO 8601 or seconds since 1970"),
    )
    for name, help_text in reversed(wanted):
        command = click.option(name, help=f"Episodes by: {help_text}.")(command)
    return click.option("--episode", "episodes", type=int, multiple=True, help="Episodes by: their log number.")(
        command
    )


def _selected(chosen: dict[str, Any]) -> dict[str, Any]:
    given = {"session" if name == "from_session" else name: value for name, value in chosen.items()}
    return {name: value for name, value in given.items() if value not in (None, ())}


def _changed(done: Changed, as_json: bool) -> int:
    def text() -> Iterator[str]:
        would = "would touch" if done.dry_run else "touched"
        yield f"{done.kind}: {would} {done.episodes} episodes, {done.patterns} patterns"
        if done.seq is not None:
            yield f"log record {done.seq}"

    print_record(done, as_json, text)
    return EXIT_OK


@memory_command.command("patterns")
@click.option("--source", help="Those with an episode from there.")
@click.option("--contains", help="Those that hold this symbol.")
@click.option("--after", help="Go on after this id.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@shared
def patterns_command(
    source: str | None, contains: str | None, after: str | None, limit: int, memory: str, as_json: bool
) -> int:
    """List learned patterns by id."""
    with the_memory(memory) as found:
        page = found.patterns(source, contains, after, limit)

    def text() -> Iterator[str]:
        for one in page.patterns:
            yield f"{one.name}  {one.frequency:>4} times  {words(one.events)[:90]}"
        if page.after is not None:
            yield f"more: --after {page.after}"

    print_record(page, as_json, text)
    return EXIT_OK


@memory_command.command("show")
@click.argument("pattern")
@shared
def show_command(pattern: str, memory: str, as_json: bool) -> int:
    """Show PATTERN with what came with it and the episodes that taught it."""
    with the_memory(memory) as found:
        one = found.pattern(pattern)

    def text() -> Iterator[str]:
        yield f"PTRN|{one.name}  ({one.id})"
        yield f"  {words(one.events)}"
        yield f"  {one.length} symbols, seen {one.frequency} times"
        for name, value in sorted(one.emotives.items()):
            yield f"  {name} {value:g}"
        for episode in one.episodes:
            yield f"  record {episode.seq}  {episode.at}  {episode.source or '-'}"

    print_record(one, as_json, text)
    return EXIT_OK


@memory_command.command("edit")
@click.argument("pattern")
@click.option("--events", required=True, metavar="JSON", help='The new content: \'[["a"],["b","c"]]\'.')
@shared
def edit_command(pattern: str, events: str, memory: str, as_json: bool) -> int:
    """Give PATTERN other content; its episodes move there."""
    with the_memory(memory) as found:
        return _changed(found.edit(pattern, events_given(events)), as_json)


@memory_command.command("forget")
@selectors
@click.option("--dry-run", is_flag=True, help="Only count.")
@shared
def forget_command(dry_run: bool, memory: str, as_json: bool, **chosen: Any) -> int:
    """Forget the episodes that match every selector; `undo` brings them back."""
    with the_memory(memory) as found:
        return _changed(found.forget(**_selected(chosen), dry_run=dry_run), as_json)


@memory_command.command("erase")
@selectors
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def erase_command(yes: bool, memory: str, as_json: bool, **chosen: Any) -> int:
    """Forget, and overwrite what was stored. This cannot be undone."""
    if not yes:
        click.confirm("Erasing cannot be undone. Go on?", abort=True, err=True)
    with the_memory(memory) as found:
        return _changed(found.erase(**_selected(chosen)), as_json)


@memory_command.command("undo")
@click.argument("seq", type=int)
@shared
def undo_command(seq: int, memory: str, as_json: bool) -> int:
    """Void log record SEQ: the state becomes that of a log without it."""
    with the_memory(memory) as found:
        return _changed(found.undo(seq), as_json)


@memory_command.command("expire")
@click.option("--now", type=number, help="As of then, in seconds since 1970; default: now.")
@shared
def expire_command(now: float | None, memory: str, as_json: bool) -> int:
    """Forget the episodes whose time to live has passed."""
    with the_memory(memory) as found:
        return _changed(found.expire(now), as_json)


@memory_command.command("outcome")
@click.argument("pattern")
@click.option("--utility", type=click.FloatRange(0, 1), help="How well it turned out, 0 to 1.")
@click.option("--cost", type=number, help="What it cost.")
@shared
def outcome_command(pattern: str, utility: float | None, cost: float | None, memory: str, as_json: bool) -> int:
    """Note how the newest episode of PATTERN turned out."""
    with the_memory(memory) as found:
        return _changed(found.record_outcome(pattern, utility, cost), as_json)


@memory_command.command("export")
@click.argument("file", type=place)
@shared
def export_command(file: Path, memory: str, as_json: bool) -> int:
    """Write the whole log to FILE as JSON Lines."""
    with the_memory(memory) as found:
        done = found.export(file)
    print_record(done, as_json, lambda: iter([f"{done.records} records, state {done.state_hash}"]))
    return EXIT_OK


@memory_command.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@shared
def import_command(file: Path, memory: str, as_json: bool) -> int:
    """Append the records of an export, all or none; twice changes nothing."""
    from kimera.memory.keeping.transfer import check_file

    check_file(file)
    with the_memory(memory, create=True) as found:
        done = found.import_(file)
    print_record(done, as_json, lambda: iter([f"{done.imported} of {done.records} records were new here"]))
    return EXIT_OK


@memory_command.command("snapshot")
@click.argument("file", type=place)
@shared
def snapshot_command(file: Path, memory: str, as_json: bool) -> int:
    """Copy the database file consistently to FILE while others go on writing (SQLite)."""
    with the_memory(memory) as found:
        found.snapshot(file)
    click.echo(f"Wrote {file}", err=True)
    return EXIT_OK


@memory_command.command("hash")
@shared
def hash_command(memory: str, as_json: bool) -> int:
    """Name what is learned: equal states have equal names."""
    with the_memory(memory) as found:
        name, seq = found.state_hash(), found.seq
    if as_json:
        print_json({"state_hash": name, "seq": seq})
    else:
        click.echo(name)
    return EXIT_OK


@memory_command.command("verify")
@shared
def verify_command(memory: str, as_json: bool) -> int:
    """Replay the log, check its chain, and compare tables and index with it. Exit code 1 when they differ."""
    with the_memory(memory) as found:
        done = found.verify()

    def text() -> Iterator[str]:
        yield (
            f"everything agrees with the log up to record {done.seq}" if done.ok else "the log and what is kept differ:"
        )
        yield from (f"  {problem}" for problem in done.problems)

    print_record(done, as_json, text)
    return EXIT_OK if done.ok else EXIT_NOT_HELD


@memory_command.command("stats")
@shared
def stats_command(memory: str, as_json: bool) -> int:
    """Show how much is learned."""
    with the_memory(memory) as found:
        done = found.stats()

    def text() -> Iterator[str]:
        yield f"{done.patterns} patterns of {done.symbols} symbols, learned {done.total_frequency} times"
        yield f"{done.sessions} sessions, log record {done.seq}, index {done.index_bytes / 1024:.0f} KiB"

    print_record(done, as_json, text)
    return EXIT_OK
