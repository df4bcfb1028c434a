"""`kimera serve`: the gateway, with a worker in the same process."""

from __future__ import annotations

import os
import sys

import click

from kimera.settings import load_settings

__all__ = ["serve_command"]


@click.command("serve")
@click.option("--host", help="Address to listen on. Default: KIMERA_HOST; all but loopback need a key.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="Port to listen on, 0 for a free one. Default: KIMERA_PORT."
)
@click.option("--no-worker", is_flag=True, help="Only answer and queue; a `kimera worker` elsewhere executes missions.")
@click.option("--kato", is_flag=True, help="Mount the memory's routes at the root as well, for KATO's clients.")
def serve_command(host: str | None, port: int | None, no_worker: bool, kato: bool) -> int:
    """Answer HTTP requests until told to end, and execute missions in the same process.

    On SIGTERM or Ctrl-C it is not ready any more, lets running requests finish, gives steps under way back and ends
    with exit code 0. A second signal ends it at once.
    """
    from kimera import telemetry
    from kimera.api.heap import limit_arenas
    from kimera.api.serve import serve
    from kimera.missions import control

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = load_settings().model_copy(update=given)
    limit_arenas(settings.heap_arenas)
    log = telemetry.get_logger("serve")

    def say(words: str) -> None:
        try:
            click.echo(words)
        except BrokenPipeError:  # who read along has gone; the server and its end do not depend on that
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        log.info("serve.notice", text=words)

    with control.open_home(settings) as home, control.recording(home, "serve") as running:
        return serve(home, say, with_worker=not no_worker, metrics=running.port, kato=kato)
