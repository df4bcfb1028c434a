"""Ask a memory: predictions, what comes next, the guard, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from kimera.cli.memory.group import (
    events_given,
    events_option,
    in_session,
    memory_command,
    option_values,
    options_option,
    print_record,
    the_memory,
    the_session,
    words,
)
from kimera.cli.output import EXIT_OK, print_json

if TYPE_CHECKING:
    from kimera.memory import NextEvents, Predictions

__all__ = ["guard_command", "next_command", "predict_command", "prediction_lines", "why_command"]

SHOWN = 10
LEAST = 0.005  # what is less likely is not worth a line


@memory_command.command("predict")
@events_option
@click.option(
    "--mission", metavar="MISSION", help='Ask about the steps of a mission (an id, its beginning, or "last").'
)
@options_option
@in_session
def predict_command(
    events: str | None, mission: str | None, options: tuple[str, ...], memory: str, session: str, as_json: bool
) -> int:
    """Say which learned sequences the events are part of: what matched, what is missing, what comes next.

    With --mission, the steps of its tracks so far are compared with those of earlier missions.
    """
    asked = option_values(options)
    if mission is not None:
        return _about_mission(mission, asked, as_json)
    if events is not None:
        with the_memory(memory) as found:
            answer = found.predict(events_given(events), **asked)
    else:
        with the_session(memory, session) as here:
            answer = here.predictions(**asked)
    print_record(answer, as_json, lambda: prediction_lines(answer))
    return EXIT_OK


@memory_command.command("next")
@events_option
@options_option
@in_session
def next_command(events: str | None, options: tuple[str, ...], memory: str, session: str, as_json: bool) -> int:
    """Show how likely each next event is, and how much is not known."""
    asked = option_values(options)
    if events is not None:
        with the_memory(memory) as found:
            answer = found.next(events_given(events), **asked)
    else:
        with the_session(memory, session) as here:
            answer = here.next(**asked)
    print_record(answer, as_json, lambda: _next(answer))
    return EXIT_OK


@memory_command.command("guard")
@options_option
@in_session
def guard_command(options: tuple[str, ...], memory: str, session: str, as_json: bool) -> int:
    """Judge the newest event of a session: loop, anomaly, unknown or ok."""
    with the_session(memory, session) as found:
        verdict = found.guard(**option_values(options))

    def text() -> Iterator[str]:
        yield verdict.verdict
        if verdict.loop is not None:
            yield f"the last {verdict.loop.period} events repeat {verdict.loop.repeats} times"
        if verdict.surprise is not None:
            yield f"surprise {verdict.surprise:.2f} bits, from {verdict.count:g} earlier cases"

    print_record(verdict, as_json, text)
    return EXIT_OK


@memory_command.command("why")
@click.argument("pattern")
@events_option
@options_option
@in_session
def why_command(
    pattern: str, events: str | None, options: tuple[str, ...], memory: str, session: str, as_json: bool
) -> int:
    """Explain PATTERN (an id or a name) against the events: every figure with its formula and its inputs."""
    asked = option_values(options)
    if events is not None:
        with the_memory(memory) as found:
            answer = found.why(events_given(events), pattern, **asked)
    else:
        with the_session(memory, session) as here:
            answer = here.why(pattern, **asked)
    print_record(answer, as_json, lambda: iter([answer.text]))
    return EXIT_OK


def _about_mission(name: str, asked: dict[str, Any], as_json: bool) -> int:
    from kimera.cli.missions import find
    from kimera.missions import control
    from kimera.missions.control import habits
    from kimera.settings import load_settings

    with control.open_home(load_settings()) as home:
        told = habits.compare(home, find(home, name), **asked)
    if as_json:
        print_json([one.to_dict() for one in told])
        return EXIT_OK
    for one in told:
        click.echo(click.style(one.trace, bold=True))
        click.echo(f"  so far     {words(one.events)}")
        for line in (*_next(one.next), *prediction_lines(one.predictions)):
            click.echo(f"  {line}")
    if not told:
        click.echo("This mission has taken no steps yet.")
    return EXIT_OK


def prediction_lines(answer: Predictions) -> Iterator[str]:
    """Return what a person wants to know of predictions."""
    if not answer.predictions:
        yield f"nothing like it among {answer.statistics.patterns} patterns"
    for one in answer.predictions[:SHOWN]:
        figures = f"similarity {one.similarity:.2f}  potential {one.potential:.2f}"
        yield f"{one.name[:12]}  {figures}  seen {one.frequency} times"
        yield f"    matched  {' '.join(one.matches) or '-'}"
        if any(one.missing):
            yield f"    missing  {words([event for event in one.missing if event])}"
        yield f"    next     {words(one.future)}"
        if one.outcomes:
            cost = "" if one.cost is None else f", cost {one.cost:.3g}"
            yield f"    outcome  utility {one.utility:.2f}{cost} over {one.outcomes}"
    if len(answer.predictions) > SHOWN:
        yield f"and {len(answer.predictions) - SHOWN} more (--json shows all)"


def _next(answer: NextEvents) -> Iterator[str]:
    if answer.answer is None:
        reasons = {
            "empty": "nothing was learned yet",
            "no_context": "the last event was never seen",
            "too_few": "this was seen too few times",
            "too_uncertain": "several ways are about as likely",
        }
        yield f"next: I don't know, {reasons.get(str(answer.reason), answer.reason)}"
    elif answer.answer == ():
        yield f"next: the end ({answer.end:.0%})"
    else:
        yield f"next: {words([answer.answer])}"
    for one in [each for each in answer.events[:SHOWN] if each.probability >= LEAST]:
        yield f"  {one.probability:6.1%}  {words([one.event])}"
    yield f"  {answer.end:6.1%}  the end"
    yield f"  {answer.unknown:6.1%}  something never seen"
