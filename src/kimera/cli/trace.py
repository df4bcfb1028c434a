"""`kimera trace`: what happened in a mission, from the first request to the last record."""

from __future__ import annotations

import json
from pathlib import Path

import click

from kimera.cli.output import EXIT_OK, json_option, print_json
from kimera.settings import load_settings

__all__ = ["trace_command"]


@click.command("trace")
@click.argument("mission", default="last")
@click.option(
    "--otlp",
    "otlp",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the spans to this file as OTLP/JSON, for a collector or a trace viewer.",
)
@json_option
def trace_command(mission: str, otlp: Path | None, as_json: bool) -> int:
    """Explain what happened in MISSION: the steps in their order, gaps, the chain from the first error, what is left.

    Reading only, from this home's store: it needs no server, and works while the mission runs and after a kill.
    """
    from kimera.cli.missions import find
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        mission_id = find(home, mission)
        if otlp is not None:
            otlp.write_text(json.dumps(control.export_trace(home, mission_id)), encoding="utf-8")
            click.echo(f"Wrote {otlp}", err=True)
            return EXIT_OK
        story = control.trace(home, mission_id)
    if as_json:
        print_json(story.as_json())
        return EXIT_OK
    from kimera.telemetry.reading.telling import tell

    for line in tell(story):
        click.echo(line)
    return EXIT_OK
