"""`kimera worker` and `kimera doctor`."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata, util
from typing import Any

import click

import kimera
from kimera.cli.interrupt import polite_stop
from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, json_option, print_json
from kimera.errors import KimeraError
from kimera.settings import Settings, load_settings

__all__ = ["doctor_command", "worker_command"]

Finding = tuple[str, str, str]  # subject, ok | note | bad, words


@click.command("worker")
@click.option("--until-idle", is_flag=True, help="End when no mission is left to work on.")
@json_option
def worker_command(until_idle: bool, as_json: bool) -> int:
    """Execute queued missions until told to stop (SIGTERM or Ctrl-C: steps under way are given back).

    KIMERA_WORKERS says how many missions at once. With KIMERA_DATABASE_URL=postgresql://... any number of workers
    share one queue; each needs its own KIMERA_WORKER.
    """
    from kimera import telemetry
    from kimera.missions import control

    log = telemetry.get_logger("worker")

    def say(text: str) -> None:
        if as_json:
            print_json({"type": "notice", "text": text})
        elif sys.stderr.isatty():
            click.echo(text, err=True)
        log.info("worker.notice", text=text)

    with (
        control.open_home(load_settings()) as home,
        control.recording(home, "worker"),
        polite_stop(say) as stop,
    ):

        def idle() -> bool:
            return until_idle and all(row.ended for row in control.missions(home, limit=10_000))

        control.work(home, stop, notice=say, until=idle)
    return EXIT_OK


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Say what works here, what is missing, and what to do about it. Exit code 1 when something is broken."""
    settings = load_settings()
    findings = [
        ("kimera", "ok", f"{kimera.__version__} on Python {platform.python_version()}, {platform.system()}"),
        *_home(settings),
        *_engines(),
        _encoder(settings),
        _sandbox(settings),
        ("model", "note", "none: offline mode (missions with a model are not built yet)"),
    ]
    if as_json:
        print_json([{"subject": subject, "status": status, "text": text} for subject, status, text in findings])
    else:
        marks = {
            "ok": click.style("ok  ", fg="green"),
            "note": click.style("note", fg="yellow"),
            "bad": click.style("BAD ", fg="red", bold=True),
        }
        for subject, status, text in findings:
            click.echo(f"{marks[status]}  {subject:<12} {text}")
    return EXIT_NOT_HELD if any(status == "bad" for _, status, _ in findings) else EXIT_OK


def _home(settings: Settings) -> list[Finding]:
    from kimera.missions import control

    place = "PostgreSQL" if settings.database_url else "SQLite"
    try:
        with control.open_home(settings) as home:
            lock = control.HomeLock(home)
            holder = None if lock.try_take() else lock.holder()
            lock.release()
            rows = control.missions(home, limit=10_000)
    except KimeraError as error:
        return [("home", "bad", f"{settings.home_path}: {error.message}")]
    open_missions = sum(not row.ended for row in rows)
    free = shutil.disk_usage(settings.home_path).free
    findings: list[Finding] = [
        ("home", "ok", f"{settings.home_path} ({place}, {len(rows)} missions, {open_missions} unfinished)"),
        ("disk", "ok" if free > 1 << 30 else "note", f"{free / (1 << 30):.1f} GiB free"),
    ]
    findings += _trail(settings)
    if holder is not None:
        findings.append(("worker", "note", f"process {holder} works in this home now"))
    return findings


def _trail(settings: Settings) -> list[Finding]:
    """Return whether logs and spans can be written now, and what was lost lately."""
    from kimera.missions import control

    with control.open_home(settings) as home:
        trail = control.check_trail(home)
    if trail.error is not None:
        return [("telemetry", "bad", f"logs and spans are not kept ({trail.error.code}): {trail.error.message}")]
    if trail.lost:
        words = f"{trail.lost} records were lost up to {trail.lost_at} ({trail.cause}); work itself is not affected"
        return [("telemetry", "note", words)]
    return [("telemetry", "ok", "logs and spans are kept for 15 days (kimera trace)")]


def _engines() -> list[Finding]:
    findings: list[Finding] = []
    for name in ("dbos", "duckdb", "polars", "scipy", "onnxruntime", "pypdfium2"):
        try:
            findings.append((name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            findings.append((name, "bad", "not installed; install kimera again"))
    extras = {"python_calamine": "XLSX", "docx": "DOCX", "pptx": "PPTX", "trafilatura": "HTML"}
    missing = [kind for module, kind in extras.items() if util.find_spec(module) is None]
    words = f"cannot read {', '.join(missing)}: pip install 'kimera[files]'" if missing else "XLSX, DOCX, PPTX, HTML"
    findings.append(("files", "note" if missing else "ok", words))
    return findings


def _encoder(settings: Settings) -> Finding:
    if settings.embeddings == "off":
        return ("encoder", "note", "switched off (KIMERA_EMBEDDINGS=off): keyword search only")
    from kimera.llm.embeddings import load_encoder

    encoder, degraded = load_encoder(settings.encoder_path, settings.home_path / "cache")
    if encoder is None:
        return ("encoder", "note", degraded.text if degraded else "absent: keyword search only")
    return ("encoder", "ok", encoder.id)


def _sandbox(settings: Settings) -> Finding:
    from kimera.sandbox import probe

    isolation: Any = probe()
    words = f"level {isolation.level} ({', '.join(isolation.mechanisms) or 'no mechanism'})"
    if isolation.reason:
        words += f"; {isolation.reason}"
    order = ["none", "reduced", "full"]
    low = order.index(isolation.level) < order.index(settings.sandbox_minimum)
    if low:
        words += f"; generated code needs {settings.sandbox_minimum} and is refused, templates still run"
    return ("sandbox", "note" if low else "ok", words)
