"""`kimera run`: a question and a folder in, the report out."""

from __future__ import annotations

import re
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kimera.cli.interrupt import polite_stop
from kimera.cli.output import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, json_option, print_json, wants_lines
from kimera.errors import ValidationError
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.cli.progress import Progress
    from kimera.missions.contracts import MissionOptions, MissionOutcomePackage
    from kimera.missions.control import Home, MissionRow

__all__ = ["drive", "run_command"]

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@click.command("run")
@click.argument("question")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--deadline", metavar="TIME", help="How long it may take, e.g. 90s, 10m, 1h. Default: KIMERA_DEADLINE.")
@click.option("--budget", metavar="USD", help="Most money it may spend. Offline missions spend none.")
@click.option("--model", metavar="NAME", help="Model to use. Default: KIMERA_MODEL; none means offline mode.")
@click.option(
    "--track", "tracks", multiple=True, type=click.Choice(["deep_research", "ds_star"]), help="Only this track."
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the report here (.html .md .json .zip)."
)
@click.option("--no-wait", is_flag=True, help="Fail at once when another process works in this home.")
@click.option("--detach", is_flag=True, help="Only store the mission and print its id; a `kimera worker` executes it.")
@json_option
def run_command(
    question: str,
    folder: Path,
    deadline: str | None,
    budget: str | None,
    model: str | None,
    tracks: tuple[str, ...],
    out: Path | None,
    no_wait: bool,
    detach: bool,
    as_json: bool,
) -> int:
    """Answer QUESTION from the tables and documents in FOLDER and print the report.

    Progress goes to stderr, the report to stdout. Ctrl-C once ends politely with what there is.

    \b
    kimera run "Which factors go with higher body mass?" ./folder
    kimera run "mean of fare where class = 1" ./tables --out report.html
    """
    from kimera.missions import control

    settings = load_settings()
    options = _options(deadline, budget, model or settings.model, tracks)
    if out is not None:
        check_target(out)
    lines = wants_lines(settings, as_json=as_json)
    with control.open_home(settings) as home, control.recording(home, "run", lines=lines):
        mission_id = control.submit(home, question, folder, options)
        if detach:
            print_json({"mission_id": mission_id}) if as_json else click.echo(mission_id)
            return EXIT_OK
        return drive(home, mission_id, out=out, wait=not no_wait, as_json=as_json)


def drive(home: Home, mission_id: str, *, out: Path | None, wait: bool, as_json: bool) -> int:
    """Run a stored mission to its end with progress on the screen, then print its report; return the exit code."""
    from kimera.cli.progress import open_progress
    from kimera.missions import control

    with open_progress(home, mission_id, as_json=as_json) as progress, polite_stop(progress.say) as stop:
        row = control.run(home, mission_id, progress.event, stop, wait=wait, notice=progress.say)
        interrupted = stop.is_set()
    return finish(home, row, out, as_json=as_json, interrupted=interrupted, progress=progress)


def finish(
    home: Home, row: MissionRow, out: Path | None, *, as_json: bool, interrupted: bool, progress: Progress
) -> int:
    """Print the newest report and where it lies; return the exit code."""
    from kimera.missions import control
    from kimera.missions.fusion.report import render

    outcome = control.outcome(home, row.mission_id) if row.version else None
    place = keep_report(home, outcome, out) if outcome else None
    if as_json:
        print_json(_result(row, outcome, place))
    elif outcome is not None:
        progress.report(render(outcome, "md"))
    if not as_json:
        _last_words(row, place, interrupted=interrupted)
    if interrupted and not row.ended:
        return EXIT_INTERRUPTED
    return EXIT_OK if row.state == "DONE" else EXIT_FAILED


def keep_report(home: Home, outcome: MissionOutcomePackage, out: Path | None) -> Path:
    """Write the report to ``out`` or to the mission's folder in the home, in place, and return the path."""
    from kimera.cli.reports import write_report

    place = out or home.path / "reports" / outcome.mission_id / "report.html"
    write_report(home, outcome, place)
    return place


def check_target(out: Path) -> None:
    """Refuse a place for the report that cannot be written, before any work is done."""
    if out.suffix.lower() not in {".html", ".md", ".json", ".zip"}:
        raise ValidationError(f"Cannot tell the format of {out}; end it in .html, .md, .json or .zip.", "out")
    parent = out.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ValidationError(f"{parent} is not a folder; choose another place for --out.", "out")


def _options(deadline: str | None, budget: str | None, model: str | None, tracks: tuple[Any, ...]) -> MissionOptions:
    from kimera.missions.contracts import MissionOptions

    settings = load_settings()
    if model:
        raise ValidationError(
            f"Model {model!r} is set, but missions with a model are not built yet; unset KIMERA_MODEL and leave out "
            "--model to run offline.",
            "model",
        )
    return MissionOptions(
        deadline=_seconds(deadline) if deadline else settings.deadline,
        budget_usd=_money(budget if budget is not None else settings.budget_usd),
        tracks=tuple(dict.fromkeys(tracks)) or ("deep_research", "ds_star"),
    )


def _seconds(text: str) -> float:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text.lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0 < seconds < 7 * 86_400:
        raise ValidationError(f"Cannot read the deadline {text!r}; write e.g. 90s, 10m or 1h.", "deadline")
    return seconds


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ValidationError(f"Cannot read the budget {text!r}; write an amount in US dollars, e.g. 0.50.", "budget")
    return amount


def _result(row: MissionRow, outcome: MissionOutcomePackage | None, place: Path | None) -> dict[str, Any]:
    return {
        "type": "result",
        "mission_id": row.mission_id,
        "state": row.state,
        "version": row.version,
        "partial": row.partial,
        "report": str(place) if place else None,
        "error": {"code": row.error_code, "text": row.error_text} if row.error_code else None,
        "outcome": outcome.model_dump(mode="json") if outcome else None,
    }


def _last_words(row: MissionRow, place: Path | None, *, interrupted: bool) -> None:
    def say(text: str) -> None:
        click.echo(text, err=True)

    if row.state == "FAILED":
        say(f"The mission failed: {row.error_text or 'no track delivered anything.'}")
        say(f"See what happened with: kimera show {row.mission_id}   try again with: kimera retry {row.mission_id}")
    if row.state == "CANCELLED":
        say("The mission was cancelled.")
    if interrupted and not row.ended:
        say(f"Stopped. Go on with: kimera resume {row.mission_id}")
    if place is not None:
        say(f"Report:  {place}")
        say(f"Check:   kimera verify {row.mission_id}")
    sys.stderr.flush()
