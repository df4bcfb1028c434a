"""`kimera verify` and `kimera export`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kimera.cli.output import EXIT_OK, json_option, print_json
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.missions.contracts import MissionOutcomePackage
    from kimera.missions.control import Home
    from kimera.missions.verify import Verification

__all__ = ["export_command", "verify_command", "write_report"]

FORMATS = ("md", "html", "json", "zip")


def write_report(home: Home, outcome: MissionOutcomePackage, place: Path, *, with_sources: bool = False) -> None:
    """Write a report in the format of the file's ending; readers see the old one or the new one, never half."""
    from kimera.missions.fusion.report import render
    from kimera.storage.blobs import disk_errors

    form = place.suffix.lower().lstrip(".")
    with disk_errors():
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_name(f".{place.name}.{os.getpid()}")
        if form == "zip":
            from kimera.missions.fusion.report import export_zip

            export_zip(outcome, home.blobs, fresh, with_sources=with_sources)
        else:
            fresh.write_text(render(outcome, form, home.blobs), encoding="utf-8")  # type: ignore[arg-type]
        fresh.replace(place)


@click.command("export")
@click.argument("mission")
@click.option("--format", "form", type=click.Choice(FORMATS), default="md", show_default=True, help="What to write.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Where to; default: stdout (zip: MISSION.zip)."
)
@click.option("--version", "version", type=click.IntRange(min=1), help="Which version; default: the newest.")
@click.option("--with-sources", is_flag=True, help="zip: put the files themselves in as well.")
def export_command(mission: str, form: str, out: Path | None, version: int | None, with_sources: bool) -> int:
    """Write the report of MISSION (an id, its beginning, or "last") as Markdown, HTML, JSON or zip.

    The zip holds the report, the code of every number, every quotation and the hashes of the sources: enough for
    `kimera verify` on another machine that has the folder.
    """
    from kimera.cli.missions import find
    from kimera.missions import control
    from kimera.missions.fusion.report import render

    with control.open_home(load_settings()) as home:
        outcome = control.outcome(home, find(home, mission), version)
        if out is None and form != "zip":
            click.echo(render(outcome, form, home.blobs))  # type: ignore[arg-type]
            return EXIT_OK
        place = out or Path(f"{outcome.mission_id}.zip")
        target = place if place.suffix.lower() == f".{form}" else place.with_name(f"{place.name}.{form}")
        write_report(home, outcome, target, with_sources=with_sources)
        click.echo(f"Wrote {target}", err=True)
    return EXIT_OK


@click.command("verify")
@click.argument("report")
@click.option("--folder", type=click.Path(path_type=Path), help="Where the files are now; default: where they were.")
@click.option("--version", "version", type=click.IntRange(min=1), help="Which version; default: the newest.")
@click.option("--allow-code", is_flag=True, help="Run the code of a report that was not made in this home.")
@json_option
def verify_command(report: str, folder: Path | None, version: int | None, allow_code: bool, as_json: bool) -> int:
    """Check REPORT: re-run every number, re-read every quotation.

    REPORT is a mission (an id, its beginning, or "last"), a report.json, or an exported zip. Exit code 0 only if
    everything holds; 1 names what does not.
    """
    from kimera.missions import control

    place = Path(report)
    with control.open_home(load_settings()) as home:
        if place.suffix.lower() in {".json", ".zip"}:
            verification = _verify_file(home, place, folder, allow_code)
        else:
            verification = _verify_mission(home, report, folder, version, allow_code)
    if as_json:
        print_json(verification.as_json())
    else:
        show_verification(verification)
    return verification.exit_code


def _verify_mission(
    home: Home, mission: str, folder: Path | None, version: int | None, allow_code: bool
) -> Verification:
    from kimera.cli.missions import find
    from kimera.missions import control
    from kimera.missions.verify import verify

    outcome = control.outcome(home, find(home, mission), version)
    place = folder or Path(outcome.folder)
    return verify(outcome, blobs=home.blobs, folder=place, from_home=True, allow_code=allow_code)


def _verify_file(home: Home, place: Path, folder: Path | None, allow_code: bool) -> Verification:
    from kimera.missions.verify import verify_file

    return verify_file(place, folder=folder, blobs=home.blobs, allow_code=allow_code)


def show_verification(verification: Verification) -> None:
    """Print what does not hold in full, then one line for each claim that does, then the verdict."""
    from kimera.missions.verify import render_table

    for row in render_table(verification)[1:]:
        if row.status == "ok":
            click.echo(f"{click.style('ok', fg='green')}  {row.id}  {_short(row.claim)}")
            continue
        colour = "yellow" if row.status in {"changed source", "file changed", "file moved"} else "red"
        click.echo(f"{click.style(row.status, fg=colour, bold=True)}  {row.id}".rstrip())
        for line in (row.claim, row.change, row.why):
            if line:
                click.echo(f"    {line}")
    colour = "green" if verification.exit_code == 0 else "red"
    click.echo(click.style(verification.summary, fg=colour, bold=True))


def _short(text: str) -> str:
    return text if len(text) <= 96 else f"{text[:95]}…"
