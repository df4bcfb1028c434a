"""Observe, learn, look at the short-term memory, and teach from records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kimera.cli.memory.group import (
    in_session,
    memory_command,
    print_record,
    shared,
    the_memories,
    the_memory,
    the_session,
    words,
)
from kimera.cli.output import EXIT_OK, print_json
from kimera.errors import ValidationError

__all__ = ["ingest_command", "learn_command", "observe_command", "stm_command"]

number = click.FloatRange(min=0)


@memory_command.command("observe")
@click.argument("symbols", nargs=-1)
@click.option("--vector", "vectors", multiple=True, metavar="JSON", help="A vector, e.g. [1.0, 0.5]; may be repeated.")
@click.option("--emotive", "emotives", multiple=True, metavar="NAME=NUMBER", help="An emotive; may be repeated.")
@click.option("--metadata", metavar="JSON", help="Facts about it: '{\"room\": 3}'.")
@click.option("--unique-id", help="A name for this observation: the same again changes nothing.")
@click.option("--source", help="Where it comes from.")
@click.option("--predict", is_flag=True, help="Say what it is part of.")
@click.option("--guard", is_flag=True, help="Say whether it goes round in circles or is odd.")
@in_session
def observe_command(
    symbols: tuple[str, ...],
    vectors: tuple[str, ...],
    emotives: tuple[str, ...],
    metadata: str | None,
    unique_id: str | None,
    source: str | None,
    predict: bool,
    guard: bool,
    memory: str,
    session: str,
    as_json: bool,
) -> int:
    """Append one event, made of SYMBOLS, to the short-term memory of a session."""
    numbers = [_json(vector, "vector") for vector in vectors]
    named = dict(_pair(each) for each in emotives)
    what = {"strings": symbols, "vectors": numbers, "emotives": named, "unique_id": unique_id, "source": source}
    facts = None if metadata is None else _json(metadata, "metadata")
    asked = {"metadata": facts, "predict": predict, "guard": guard}
    with the_memories() as memories:
        seen = memories.observe(what | asked, memory=memory, session=session)

    def text() -> Iterator[str]:
        yield (
            f"event {seen.stm_length} of the short-term memory"
            if seen.event_added
            else "no event: nothing was observed"
        )
        if seen.auto_learned_pattern:
            yield f"learned PTRN|{seen.auto_learned_pattern}"
        if seen.guard is not None:
            yield f"guard: {seen.guard.verdict}"
        if seen.predictions is not None:
            from kimera.cli.memory.asking import prediction_lines

            yield from prediction_lines(seen.predictions)

    print_record(seen, as_json, text)
    return EXIT_OK


@memory_command.command("learn")
@click.option("--utility", type=click.FloatRange(0, 1), help="How well it turned out, 0 to 1.")
@click.option("--cost", type=number, help="What it cost.")
@click.option("--source", help="Where it comes from.")
@click.option("--ttl-seconds", type=number, help="Let `expire` forget it after that time.")
@in_session
def learn_command(
    utility: float | None,
    cost: float | None,
    source: str | None,
    ttl_seconds: float | None,
    memory: str,
    session: str,
    as_json: bool,
) -> int:
    """File the short-term memory as a pattern and clear it."""
    given = {"utility": utility, "cost": cost}
    outcome = {name: value for name, value in given.items() if value is not None}
    with the_session(memory, session) as found:
        learned = found.learn(outcome=outcome or None, source=source, ttl_seconds=ttl_seconds)

    def text() -> Iterator[str]:
        yield f"{'learned' if learned.new else 'learned again'} PTRN|{learned.name}"
        yield f"{learned.length} symbols, seen {learned.frequency} times, log record {learned.seq}"

    print_record(learned, as_json, text)
    return EXIT_OK


@memory_command.command("stm")
@click.option("--clear", is_flag=True, help="Drop the events; nothing is learned.")
@in_session
def stm_command(clear: bool, memory: str, session: str, as_json: bool) -> int:
    """Show the short-term memory of a session, oldest event first."""
    with the_session(memory, session) as found:
        if clear:
            found.clear_stm()
        events = found.stm
    if as_json:
        print_json({"stm": events, "length": len(events)})
    else:
        click.echo(words(events))
    return EXIT_OK


@memory_command.command("ingest")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["otlp", "openai", "anthropic", "mcp", "kimera"]),
    required=True,
    help="What FILE holds.",
)
@click.option("--source", default="", help="Where it comes from; default: the format.")
@click.option("--attribute", "attributes", multiple=True, help="A span attribute that becomes a symbol; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only say which patterns these are.")
@shared
def ingest_command(
    file: Path, form: str, source: str, attributes: tuple[str, ...], dry_run: bool, memory: str, as_json: bool
) -> int:
    """Learn the traces recorded in FILE (JSON or JSON Lines): one trace is one pattern, one call is one event."""
    records = _records(file)
    from kimera.memory.traces import lessons_of

    chosen = attributes or None
    lessons_of(records, form, source, chosen)
    with the_memory(memory, create=True) as found:
        done = found.ingest(records, form, source=source, learn=not dry_run, attributes=chosen)

    def text() -> Iterator[str]:
        for trace in done.traces:
            yield f"{trace.trace or '-'}  {trace.events} events  {trace.pattern or trace.reason}"
        yield f"{done.learned} of {len(done.traces)} traces learned"

    print_record(done, as_json, text)
    return EXIT_OK


def _records(file: Path) -> list[Any]:
    """Return a JSON list's items, one JSON value, or the values of JSON Lines."""
    text = file.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    except ValueError:
        return [_json(line, f"line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValidationError(f"{where} is no JSON; mend it and try again.", "json") from None


def _pair(text: str) -> tuple[str, Any]:
    name, mark, value = text.partition("=")
    if not mark:
        raise ValidationError(f"{text!r} is no emotive; write NAME=NUMBER.", "emotives")
    return name, _json(value, name)
