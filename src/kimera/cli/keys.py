"""`kimera keys`: who may call the gateway."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kimera.cli.output import EXIT_OK, json_option, print_json
from kimera.settings import load_settings

if TYPE_CHECKING:
    from kimera.storage.keys import ApiKey, NewKey

__all__ = ["keys_command"]

DAY = 86_400.0


@click.group("keys")
def keys_command() -> None:
    """Make, list, replace and revoke the keys of the gateway."""


@keys_command.command("create")
@click.argument("name")
@click.option("--tenant", default="local", show_default=True, help="Whose missions and memory the key opens.")
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="write",
    show_default=True,
    help="What it may do; write holds read, admin holds both.",
)
@click.option("--days", type=click.FloatRange(min=0, min_open=True), help="Days until it expires. Default: never.")
@json_option
def create_command(name: str, tenant: str, scope: str, days: float | None, as_json: bool) -> int:
    """Make a key and print it on stdout, this once; only its sha256 is stored."""
    from kimera.guardian.access import audited_keys
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        made = audited_keys(home.database, _actor()).create(
            name, tenant, scope, lifetime=None if days is None else days * DAY
        )
    return _show_new(made, as_json)


@keys_command.command("rotate")
@click.argument("key_id")
@click.option("--grace-days", type=click.FloatRange(min=0), default=0.0, help="Days the old key still works.")
@json_option
def rotate_command(key_id: str, grace_days: float, as_json: bool) -> int:
    """Make a successor of KEY_ID with the same name, tenant and scopes, and let the old one end."""
    from kimera.guardian.access import audited_keys
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        made = audited_keys(home.database, _actor()).rotate(key_id, grace=grace_days * DAY)
    return _show_new(made, as_json)


@keys_command.command("revoke")
@click.argument("key_id")
@json_option
def revoke_command(key_id: str, as_json: bool) -> int:
    """Let KEY_ID open nothing any more; running gateways notice within a second."""
    from kimera.guardian.access import audited_keys
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        key = audited_keys(home.database, _actor()).revoke(key_id)
    print_json(_row(key)) if as_json else click.echo(f"revoked {key.key_id} ({key.name})", err=True)
    return EXIT_OK


@keys_command.command("list")
@json_option
def list_command(as_json: bool) -> int:
    """List all keys with tenant, scopes and when they were last used; never the keys themselves."""
    from kimera.guardian.access import audited_keys
    from kimera.missions import control

    with control.open_home(load_settings()) as home:
        keys = audited_keys(home.database, _actor()).all()
        now = home.clock.now().timestamp()
    if as_json:
        print_json([_row(key) | {"active": key.active(now)} for key in keys])
        return EXIT_OK
    if not keys:
        click.echo("no keys; `kimera keys create NAME` makes one", err=True)
    for key in keys:
        click.echo(
            f"{key.key_id}  {_state(key, now):<8} {' '.join(sorted(key.scopes)):<18} tenant {key.tenant}  "
            f"used {_day(key.last_used_at)}  expires {_day(key.expires_at)}  {key.name}"
        )
    return EXIT_OK


def _actor() -> str:
    """Return who runs the command, for the record."""
    user = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"cli:{user}"


def _show_new(made: NewKey, as_json: bool) -> int:
    if as_json:
        print_json(_row(made.stored) | {"key": made.secret})
    else:
        click.echo(made.secret)
        click.echo(f"key {made.stored.key_id}: keep it now, it is not shown again", err=True)
    return EXIT_OK


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": sorted(key.scopes),
        "created_at": _day(key.created_at),
        "expires_at": _day(key.expires_at),
        "revoked_at": _day(key.revoked_at),
        "last_used_at": _day(key.last_used_at),
    }


def _state(key: ApiKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "active" if key.active(now) else "expired"


def _day(instant: float | None) -> str:
    return "never" if instant is None else datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds")
