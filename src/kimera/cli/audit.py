"""`kimera audit`: the chain of decisions, and whether it still holds."""

from __future__ import annotations

import re

import click

from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, json_option, print_json
from kimera.errors import ValidationError
from kimera.settings import load_settings

__all__ = ["audit_command"]

ANCHOR = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")


@click.group("audit")
def audit_command() -> None:
    """Who did what: a chain of rows that cannot be changed unseen."""


@audit_command.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Newest rows shown.")
@json_option
def list_command(limit: int, as_json: bool) -> int:
    """List the newest rows first."""
    from kimera.missions import control
    from kimera.storage.audit import AuditRows

    with control.open_home(load_settings()) as home:
        rows = AuditRows(home.database).newest(limit)
    if as_json:
        print_json(rows)
        return EXIT_OK
    for row in rows:
        what = " ".join(row[name] for name in ("decision", "rule", "tool", "subject") if row[name])
        click.echo(f"{row['seq']:>8}  {row['at']}  {row['actor']:<16} {row['action']:<16} {what}")
    if not rows:
        click.echo("nothing was recorded yet", err=True)
    return EXIT_OK


@audit_command.command("verify")
@click.option("--anchor", help="SEQ:HASH noted elsewhere; with it a cut or rewritten chain is seen too.")
@json_option
def verify_command(anchor: str | None, as_json: bool) -> int:
    """Read the chain from the beginning. Exit code 1 when a row is changed, missing or out of place."""
    from kimera.guardian.audit import Anchor, AuditLog
    from kimera.missions import control
    from kimera.storage.audit import AuditRows

    noted = ANCHOR.fullmatch(anchor) if anchor else None
    if anchor and noted is None:
        raise ValidationError("An anchor is a number, a colon and 64 hex digits, as the log wrote it.", field="anchor")
    with control.open_home(load_settings()) as home:
        report = AuditLog(AuditRows(home.database)).verify(Anchor(int(noted[1]), noted[2]) if noted else None)
    last = f"{report.last.seq}:{report.last.hash}" if report.last else None
    if as_json:
        print_json({"ok": report.ok, "count": report.count, "first_bad": report.first_bad, "anchor": last})
    elif report.ok:
        click.echo(f"the chain holds: {report.count} rows" + (f", anchor {last}" if last else ""))
    else:
        click.echo(f"the chain is broken at row {report.first_bad}; rows before it hold", err=True)
    return EXIT_OK if report.ok else EXIT_NOT_HELD
