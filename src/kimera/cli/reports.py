"""`kimera verify` and `kimera export`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kimera.cli.output import EXIT_OK, json_option, print_json
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.missions.contracts import MissionOutcomePackage
    from kimera.missions.control import Home

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
            fresh.write_text(render(outcome, form), encoding="utf-8")  # type: ignore[arg-type]
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
            click.echo(render(outcome, form))  # type: ignore[arg-type]
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
            verification = _verify_mission(home, report, folder, version)
    if as_json:
        print_json(verification.as_json())
    else:
        show_verification(verification)
    code: int = verification.exit_code
    return code


def _verify_mission(home: Home, mission: str, folder: Path | None, version: int | None) -> Any:
    from kimera.cli.missions import find
    from kimera.knowledge.contracts import Library
    from kimera.missions import control
    from kimera.missions.verify import verify

    outcome = control.outcome(home, find(home, mission), version)
    library = Library.model_validate(home.blobs.get_json(outcome.library)) if outcome.library else None
    return verify(outcome, library=library, blobs=home.blobs, folder=folder or Path(outcome.folder))


def _verify_file(home: Home, place: Path, folder: Path | None, allow_code: bool) -> Any:
    from kimera.missions.verify import verify_file

    return verify_file(place, folder=folder, blobs=home.blobs, allow_code=allow_code)


def show_verification(verification: Any) -> None:
    """Print the table of what holds and what does not."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from kimera.missions.verify import render_table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows = render_table(verification)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    styles = {"ok": "green", "changed_source": "yellow"}
    for row in rows[1:]:
        table.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    console.print(table)
    console.print(Text(verification.summary, style="bold green" if verification.exit_code == 0 else "bold red"))
