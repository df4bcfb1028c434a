"""`kimera slo`: what was promised and what was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, json_option, print_json
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.telemetry.reading.slo import ServiceLevel

__all__ = ["slo_command"]

COLOURS = {"met": "green", "violated": "red", "no_data": "yellow"}


@click.command("slo")
@click.option("--window", default="30d", show_default=True, help="How far back: 30d, 12h or 90m; at most 365d.")
@json_option
def slo_command(window: str, as_json: bool) -> int:
    """Say whether the service levels are met, from the store alone. Exit code 1 when one is violated."""
    from kimera.missions import control
    from kimera.storage.levels import service_levels

    with control.open_home(load_settings()) as home:
        levels = service_levels(home.database).read(window)
    if as_json:
        print_json({"window": window, "levels": [level.as_json() for level in levels]})
    else:
        for level in levels:
            _show(level)
    return EXIT_NOT_HELD if any(level.status == "violated" for level in levels) else EXIT_OK


def _show(level: ServiceLevel) -> None:
    status = click.style(level.status.replace("_", " "), fg=COLOURS[level.status])
    promised = f"p95 < {level.target:g} s" if level.unit == "seconds" else f">= {level.target:.1%}"
    click.echo(f"{level.name:<22} {status}  {_value(level)}  ({promised})")
    if level.valid:
        low, high = level.interval or (0.0, 1.0)
        click.echo(f"  {level.good} good of {level.valid}, 95 % interval of the share {low:.2%} to {high:.2%}")
        burn = ", ".join(f"{hours} {'-' if rate is None else f'{rate:.1f}x'}" for hours, rate in level.burn.items())
        click.echo(f"  error budget left {level.budget:.0%}; burn {burn}")
    for reason, count in level.excluded.items():
        click.echo(f"  left out: {count} {reason.replace('_', ' ')}")
    for name, value in level.beside.items():
        if value is not None:
            click.echo(f"  beside: {name} {value:.2f}")


def _value(level: ServiceLevel) -> str:
    if level.value is None:
        return "nothing to measure yet"
    return f"{level.value:.3f} s" if level.unit == "seconds" else f"{level.value:.2%}"
