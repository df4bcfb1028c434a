"""`kimera missions`, `show`, `watch`, `cancel`, `resume`, `retry`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kimera.cli.output import EXIT_FAILED, EXIT_OK, json_option, print_json, wants_lines
from kimera.errors import NotFoundError, ValidationError
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.missions.control import Home, MissionRow

__all__ = [
    "cancel_command",
    "find",
    "missions_command",
    "resume_command",
    "retry_command",
    "show_command",
    "watch_command",
]

POLL = 0.2


def find(home: Home, name: str) -> str:
    """Return the id of the mission meant by an id, an unambiguous beginning of one, or ``last``."""
    from kimera.missions import control

    known = [row.mission_id for row in control.missions(home, limit=10_000)]
    if name == "last" and known:
        return known[0]
    matches = [mission_id for mission_id in known if mission_id.startswith(name)]
    if name in known:
        return name
    if len(matches) == 1 and len(name) >= 3:
        return matches[0]
    if len(matches) > 1 and len(name) >= 3:
        raise ValidationError(f"{len(matches)} missions begin with {name!r}; give more of the id.", "mission")
    raise NotFoundError(f"There is no mission {name!r} in {home.path}; `kimera missions` lists those there are.")


@click.command("missions")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@click.option("--dead", is_flag=True, help="Only tracks that failed for good, with the reason.")
@json_option
def missions_command(limit: int, dead: bool, as_json: bool) -> int:
    """List the missions of this home, newest first."""
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        if dead:
            return _show_dead(home, as_json)
        rows = control.missions(home, limit=limit)
        questions = {name: brief.question for name, brief in control.briefs(home, rows).items()}
    if as_json:
        print_json([{**asdict(row), "question": questions[row.mission_id]} for row in rows])
        return EXIT_OK
    if not rows:
        click.echo('No missions yet. Start one with: kimera run "QUESTION" FOLDER', err=True)
    for row in rows:
        state = f"{row.state}{' partial' if row.partial else ''}"
        click.echo(f"{row.mission_id}  {_moment(row.created_at)}  {state:<16} {questions[row.mission_id]}")
    return EXIT_OK


def _show_dead(home: Home, as_json: bool) -> int:
    from kimera.missions import control

    letters = control.dead_letters(home)
    if as_json:
        print_json([asdict(letter) for letter in letters])
        return EXIT_OK
    if not letters:
        click.echo("No track has failed for good.", err=True)
    for letter in letters:
        click.echo(
            f"{letter.mission_id}  {letter.track} attempt {letter.attempt}: {letter.error_type} after {letter.tries} "
            f"tries at {letter.last_step}: {letter.error_text}\n"
            f"    try again with: kimera retry {letter.mission_id} --track {letter.track}"
        )
    return EXIT_OK


@click.command("show")
@click.argument("mission", default="last")
@json_option
def show_command(mission: str, as_json: bool) -> int:
    """Show where MISSION stands: state, tracks, versions of the report, cost. Default: the last one."""
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        row = control.get(home, find(home, mission))
        question = control.brief(home, row.mission_id).question
        versions = control.versions(home, row.mission_id)
    if as_json:
        print_json({**asdict(row), "question": question, "versions": [asdict(version) for version in versions]})
        return EXIT_OK
    for line in _lines(row, question):
        click.echo(line)
    for version in versions:
        partial = " (partial)" if version.partial else ""
        click.echo(
            f"  report {version.version}{partial}  {version.created_at[:19].replace('T', ' ')}  {version.reason}"
        )
    click.echo(_next_step(row), err=True)
    return EXIT_OK


def _moment(iso: str) -> str:
    return f"{iso[:10]} {iso[11:19]}"


def _lines(row: MissionRow, question: str) -> list[str]:
    lines = [f"mission {row.mission_id}", f"  question      {question}", f"  state         {row.state}"]
    for track, status in row.track_status.items():
        lines.append(f"  {track:<13} {status}")
    if row.error_text:
        lines.append(f"  error         {row.error_code}: {row.error_text}")
    lines += [f"  degraded      {text}" for _, text in row.degraded]
    lines.append(f"  cost          ${row.cost_usd} in {row.calls} model calls")
    return lines


def _next_step(row: MissionRow) -> str:
    if row.state == "DONE":
        return f"Read it: kimera export {row.mission_id}    check it: kimera verify {row.mission_id}"
    if row.state == "FAILED":
        return f"Try again: kimera retry {row.mission_id}"
    if row.state == "CANCELLED":
        return "Cancelled; ask again with kimera run."
    return f"Follow it: kimera watch {row.mission_id}    continue it here: kimera resume {row.mission_id}"


@click.command("watch")
@click.argument("mission", default="last")
@json_option
def watch_command(mission: str, as_json: bool) -> int:
    """Follow MISSION's events until it ends. Reading only: it needs no lock and changes nothing."""
    from kimera.cli.progress import open_progress
    from kimera.clock import SystemClock
    from kimera.missions import control

    clock, seq = SystemClock(), 0
    with control.open_home(load_settings()) as home:
        mission_id = find(home, mission)
        with open_progress(home, mission_id, as_json=as_json) as progress:
            while True:
                row = control.get(home, mission_id)
                for event in control.events(home, mission_id, after_seq=seq):
                    seq = event.seq
                    progress.event(event)
                if row.ended and seq >= row.seq:
                    break
                clock.pause(POLL)
    if not as_json:
        click.echo(f"{mission_id}: {row.state}. {_next_step(row)}", err=True)
    return EXIT_OK if row.state == "DONE" else EXIT_FAILED


@click.command("cancel")
@click.argument("mission")
@json_option
def cancel_command(mission: str, as_json: bool) -> int:
    """Cancel MISSION; a running computation is killed at once, what was reported stays readable."""
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        row = control.cancel(home, find(home, mission))
    _acknowledge(row, as_json, f"{row.mission_id}: cancellation asked for; state {row.state}.")
    return EXIT_OK


def _acknowledge(row: MissionRow, as_json: bool, text: str) -> None:
    if as_json:
        print_json(asdict(row))
    else:
        click.echo(text, err=True)


@click.command("resume")
@click.argument("mission", default="last")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
@click.option("--no-wait", is_flag=True, help="Fail at once when another process works in this home.")
@json_option
def resume_command(mission: str, out: Path | None, no_wait: bool, as_json: bool) -> int:
    """Continue MISSION from its last recorded step, in this process."""
    from kimera.cli.run import check_target, drive
    from kimera.missions import control

    if out is not None:
        check_target(out)
    settings = load_settings()
    lines = wants_lines(settings, as_json=as_json)
    with control.open_home(settings) as home, control.recording(home, "resume", lines=lines):
        row = control.resume(home, find(home, mission))
        return drive(home, row.mission_id, out=out, wait=not no_wait, as_json=as_json)


@click.command("retry")
@click.argument("mission")
@click.option("--track", type=click.Choice(["deep_research", "ds_star"]), help="Which one; default: what failed.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here.")
@click.option("--no-wait", is_flag=True, help="Fail at once when another process works in this home.")
@json_option
def retry_command(mission: str, track: Any, out: Path | None, no_wait: bool, as_json: bool) -> int:
    """Run a track of a finished MISSION again and report what changed."""
    from kimera.cli.run import check_target, drive
    from kimera.missions import control

    if out is not None:
        check_target(out)
    settings = load_settings()
    lines = wants_lines(settings, as_json=as_json)
    with control.open_home(settings) as home, control.recording(home, "retry", lines=lines):
        mission_id = find(home, mission)
        control.retry(home, mission_id, track)
        return drive(home, mission_id, out=out, wait=not no_wait, as_json=as_json)
