"""`kimera telemetry`: what is seen from outside, and where it is sent."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, json_option, print_json
from kimera.settings import load_settings

__all__ = ["telemetry_command"]


@click.group("telemetry")
def telemetry_command() -> None:
    """Boards for Grafana, and what is told to other systems."""


@telemetry_command.group("dashboards")
def dashboards_group() -> None:
    """Make, check and push the Grafana boards that come with Kimera."""


from_option = click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with boards (default: those that come with Kimera).",
)


@dashboards_group.command("render")
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to (default: where the boards come from).",
)
def render_command(target: Path | None) -> int:
    """Make all boards anew; the same bytes every time. Needs a checkout with the development dependencies."""
    from kimera.telemetry import dashboards

    folder = target or dashboards.observability_folder() / "grafana"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards.render_boards().items():
        (folder / name).write_text(text, encoding="utf-8")
        click.echo(folder / name)
    return EXIT_OK


@dashboards_group.command("check")
@from_option
@json_option
def check_command(source: Path | None, as_json: bool) -> int:
    """Hold boards against this version's metrics: every name known, every panel complete. Exit code 1 when not."""
    from kimera.telemetry import dashboards

    folder = source or dashboards.observability_folder() / "grafana"
    # boards of one's own use our recorded series too, whatever stands beside their folder
    recorded = dashboards.recorded_names(dashboards.observability_folder() / "grafana") | dashboards.recorded_names(
        folder
    )
    found = {name: dashboards.check_board(board, recorded) for name, board in dashboards.read_boards(folder).items()}
    if as_json:
        print_json(found)
    else:
        for name, faults in found.items():
            click.echo(f"{name}: {len(faults) or 'no'} faults")
            for fault in faults:
                click.echo(f"  {fault}")
    return EXIT_NOT_HELD if any(found.values()) else EXIT_OK


@dashboards_group.command("push")
@from_option
@click.option("--plain", is_flag=True, help="Send the key over http to another machine all the same.")
def push_command(source: Path | None, plain: bool) -> int:
    """Create or replace all boards in the Grafana of GRAFANA_URL with the token of GRAFANA_API_KEY."""
    from kimera.settings import load_grafana
    from kimera.telemetry import dashboards

    grafana = load_grafana()
    folder = source or dashboards.observability_folder() / "grafana"
    for name, board in dashboards.read_boards(folder).items():
        click.echo(f"{name} -> {dashboards.push_board(grafana, board, plain=plain)}")
    return EXIT_OK


day_option = click.DateTime(["%Y-%m-%d"])


@telemetry_command.command("export")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; the same one each time.",
)
@click.option("--since", type=day_option, help="First UTC day (default: where the last run stopped).")
@click.option("--until", type=day_option, help="Last UTC day (default: yesterday, the last one that is over).")
@click.option("--tables", help="Names with commas (default: all without text).")
@click.option("--with-text", is_flag=True, help="Also write questions and messages, as table texts.")
@click.option("--text-days", type=click.IntRange(min=0), help="Delete exported texts of days older than this.")
@json_option
def export_command(
    target: Path,
    since: datetime | None,
    until: datetime | None,
    tables: str | None,
    with_text: bool,
    text_days: int | None,
    as_json: bool,
) -> int:
    """Write closed days as Parquet for a warehouse; run again, it goes on where it stopped."""
    from kimera.missions import control
    from kimera.storage.warehouse import Warehouse
    from kimera.telemetry.reading import warehouse

    with control.open_home(load_settings()) as home:
        done = warehouse.export(
            Warehouse(home.database),
            target,
            since=since.date() if since else None,
            until=until.date() if until else None,
            tables=[name.strip() for name in tables.split(",")] if tables else None,
            with_text=with_text,
            clock=home.clock,
        )
        if text_days is not None:
            done.forgotten = warehouse.forget_texts(target, text_days, home.clock)
    if as_json:
        print_json(done.as_json())
        return EXIT_OK
    for name, rows in done.files.items():
        click.echo(f"{rows:>9}  {name}")
    for name in done.forgotten:
        click.echo(f"  deleted  {name}")
    click.echo(f"{done.rows} rows in {len(done.files)} files below {target}")
    return EXIT_OK
