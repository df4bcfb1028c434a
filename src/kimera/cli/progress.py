"""What a person sees while a mission runs: two live lines on a terminal, one line per event in a pipe, or JSON."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from kimera.cli.output import print_json

if TYPE_CHECKING:
    from kimera.missions.control import Home, MissionEvent

__all__ = ["Progress", "describe", "open_progress"]

TRACKS = {"deep_research": "Deep Research", "ds_star": "DS-STAR"}


class Progress(Protocol):
    """Takes events and notices, and prints the report at the end."""

    def event(self, event: MissionEvent) -> None:
        """Show one event."""

    def say(self, text: str) -> None:
        """Show a notice."""

    def report(self, markdown: str) -> None:
        """Print the report on stdout."""


@contextmanager
def open_progress(home: Home, mission_id: str, *, as_json: bool) -> Iterator[Progress]:
    """Choose the way to show progress that fits where stderr goes."""
    if as_json:
        yield JsonProgress()
    elif sys.stderr.isatty():
        screen = LiveProgress(home, mission_id)
        with screen.shown():
            yield screen
    else:
        yield PlainProgress(home, mission_id)


class JsonProgress:
    """One JSON object per event on stdout."""

    def event(self, event: MissionEvent) -> None:
        """Print the event."""
        print_json({**event.model_dump(mode="json"), "event": event.type, "type": "event"})

    def say(self, text: str) -> None:
        """Print the notice."""
        print_json({"type": "notice", "text": text})

    def report(self, markdown: str) -> None:
        """Print nothing: the result object holds the report."""


class PlainProgress:
    """One plain line per event on stderr."""

    def __init__(self, home: Home, mission_id: str) -> None:
        self._home, self._mission_id = home, mission_id
        self._started = time.monotonic()
        click.echo(f"mission {mission_id}", err=True)

    def event(self, event: MissionEvent) -> None:
        """Print the event with the seconds since the start."""
        words = describe(event)
        if words:
            track = TRACKS.get(event.track or "", "mission")
            click.echo(f"[{time.monotonic() - self._started:6.1f} s] {track}: {words}", err=True)
        keep_partial(self._home, event)

    def say(self, text: str) -> None:
        """Print the notice."""
        click.echo(text, err=True)

    def report(self, markdown: str) -> None:
        """Print the report as Markdown."""
        click.echo(markdown)


class LiveProgress:
    """A few lines on a terminal that change in place."""

    def __init__(self, home: Home, mission_id: str) -> None:
        from rich.console import Console
        from rich.live import Live

        self._home, self._mission_id = home, mission_id
        self._started = time.monotonic()
        self._lines = dict.fromkeys(TRACKS.values(), "waiting")
        self._phase = dict.fromkeys(TRACKS.values(), "")
        self._reading = "opening the home"
        self._report = ""
        self._notice = ""
        self._spent = "0 tokens, $0"
        self._live = Live(self, console=Console(stderr=True), refresh_per_second=8, transient=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the block runs."""
        with self._live:
            yield

    def __rich__(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        elapsed = time.monotonic() - self._started
        grid = Table.grid(padding=(0, 2))
        grid.add_row(Text("mission", style="bold"), Text(self._mission_id), Text(f"{elapsed:5.1f} s · {self._spent}"))
        grid.add_row(Text("Librarian", style="bold"), Text("reads"), Text(self._reading))
        for name, line in self._lines.items():
            grid.add_row(Text(name, style="bold"), Text(self._phase[name], style="cyan"), Text(line))
        if self._report:
            grid.add_row(Text("Report", style="bold green"), Text(""), Text(self._report))
        if self._notice:
            grid.add_row(Text(""), Text(""), Text(self._notice, style="yellow"))
        return grid

    def event(self, event: MissionEvent) -> None:
        """Put the event on its line."""
        payload, words = event.payload, describe(event)
        track = TRACKS.get(event.track or "")
        if track is None and payload.get("step") == "ingest":
            self._reading = words or self._reading
        elif track is not None and words:
            if payload.get("kind") == "phase":
                self._phase[track] = words
            else:
                self._lines[track] = words
        if event.type == "budget.settle":
            self._spent = f"{payload['input_tokens'] + payload['output_tokens']} tokens, ${payload['usd']}"
        place = keep_partial(self._home, event)
        if place:
            kind = "first, partial" if payload.get("partial") else "upgraded"
            self._report = f"version {payload['version']} ({kind}): {place}"

    def say(self, text: str) -> None:
        """Show the notice below the lines."""
        self._notice = text

    def report(self, markdown: str) -> None:
        """Print the report, drawn when stdout is a terminal."""
        if not sys.stdout.isatty():
            click.echo(markdown)
            return
        from rich.console import Console
        from rich.markdown import Markdown

        Console().print(Markdown(markdown, hyperlinks=False))


def keep_partial(home: Home, event: MissionEvent) -> str | None:
    """Write the HTML of a new report version into the mission's folder; return its path."""
    if event.type != "report.version":
        return None
    from kimera.cli.run import keep_report
    from kimera.missions import control

    outcome = control.outcome(home, event.mission_id, int(event.payload["version"]))
    return str(keep_report(home, outcome, None))


def describe(event: MissionEvent) -> str:
    """Return one event in a person's words; empty when it says nothing to a person."""
    say = _WORDS.get(event.type)
    return say(event.payload) if say is not None else ""


def _plan(payload: dict[str, Any]) -> str:
    if payload.get("kind") == "phase":
        return f"{payload.get('step')} ({payload.get('goal')})"
    return str(payload.get("goal") or payload.get("step") or "")


def _failed(payload: dict[str, Any]) -> str:
    return f"{payload.get('status')}: {payload.get('text') or payload.get('error_type')}"


_WORDS: dict[str, Any] = {
    "mission.state": lambda p: f"{p['old']} -> {p['new']}",
    "track.started": lambda p: "started",
    "track.retry": lambda p: f"{p['phase']} failed ({p['error_code']}), again in {p['delay']:.1f} s",
    "track.finished": lambda p: f"done, {p['claims']} claims",
    "track.failed": _failed,
    "plan.step": _plan,
    "code.attempt": lambda p: f"computed {p['step']} ({p['status']})",
    "evidence.found": lambda p: f"found {p['count']} passages" if p["count"] > 1 else "",
    "conflict.found": lambda p: f"conflict ({p['kind']})",
    "handoff.offered": lambda p: "offers a table to the other track",
    "handoff.requested": lambda p: "asks the other track for a number",
    "report.version": lambda p: f"report version {p['version']}{' (partial)' if p['partial'] else ''}",
    "degraded": lambda p: f"degraded: {p['text'] or p['cause']}",
    "human.decision": lambda p: f"{p['action']} asked for",
    "mission.finished": lambda p: f"finished: {p['state']}",
}
