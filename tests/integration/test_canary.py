"""Secrets planted everywhere must not come out in logs, spans, events, or on stderr."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from tests.databases import database_url

from kimera import telemetry
from kimera.errors import ServiceError
from kimera.missions import control
from kimera.missions.control.playbook import Playbook, find_playbook
from kimera.missions.track import Phase, State, Track, TrackContext
from kimera.settings import Settings
from kimera.storage.schema import events, logs, spans

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(120)]

PASSWORD = "canary-Pw-7f3e9a51c2"
KEY = "sk-ant-api03-" + "Zq8Wm2Xv5Kt1Rn7Bh4Lp9Sd6Yc3Fg0Ja" * 2 + "uE5iOo7PxT3yQb1NkD8wMAA"
CLOUD = "AKIAQ7CANARY5ZP2LXK3"
MAIL = "canary.person@leaks-here.org"
PLANTED = (PASSWORD, KEY, CLOUD, MAIL)


class Leaky:
    """The real analysis track with a phase in front that says every secret in every way it can, and fails."""

    def __init__(self, real: Track) -> None:
        self.real, self.name, self.shows_after = real, real.name, real.shows_after
        self.phases = (Phase("leak", self.leak), *real.phases)

    def leak(self, context: TrackContext, state: State) -> State:
        """Log, emit, span and raise the secrets."""
        log = telemetry.get_logger("test")
        text = f"could not reach postgresql://postgres:{PASSWORD}@db/x with {KEY} and {CLOUD} for {MAIL}"
        log.info("test.leaked", text=text, api_key=KEY, nested={"deep": [text]}, **{f"odd {PASSWORD}": 1})
        context.emit("plan.step", {"step": "leak", "kind": "test", "goal": text})
        context.emit("degraded", {"cause": "other", "text": text})
        with telemetry.span("tool.call", why=text):
            log.warning("test.leaked", error=ServiceError(text, "provider", 503), password=PASSWORD)
        raise ServiceError(text, "provider", 503, recoverable=False)

    def partial(self, context: TrackContext, state: State) -> Any:
        """Return the real track's."""
        return self.real.partial(context, state)

    def outbox(self, state: State) -> Any:
        """Return the real track's."""
        return self.real.outbox(state)


def leaky_playbook() -> None:
    """Register the real playbook with the leak in its analysis."""
    real = find_playbook("default")
    leaky = Leaky(real.track("ds_star"))
    control.register_playbook(
        Playbook("leaky", lambda name: leaky if name == "ds_star" else real.track(name), real.ingest, real.fuse)
    )


def test_no_planted_secret_comes_out(tmp_path: Path) -> None:
    """Promise: secrets in settings, question, files and errors are in no log, span, event or line on stderr."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "notes.md").write_text(f"# Notes {KEY}\n\nThe key {KEY} of {CLOUD} was sent to {MAIL}. Mass is 4 kg.\n")
    (folder / "table.csv").write_text(f"name,mass\n{KEY},4\n{PASSWORD},5\n{MAIL},6\n")
    leaky_playbook()
    printing = io.StringIO()  # never closed: the durable engine keeps writing to the stderr it saw first
    with database_url("postgres", tmp_path) as plain:
        url = sa.make_url(plain).set(password=PASSWORD).render_as_string(hide_password=False)
        settings = Settings(home=tmp_path / "home", database_url=SecretStr(url))
        with control.open_home(settings) as home:
            with redirect_stderr(printing), control.recording(home, "run"):
                question = f"What is the mean mass? My key is {KEY}, mail {MAIL}, cloud {CLOUD}, password {PASSWORD}"
                mission_id = control.submit(home, question, folder, playbook="leaky")
                row = control.run(home, mission_id)
            story = json.dumps(control.trace(home, mission_id).as_json(), default=str)
            tables = (logs, spans, events)
            kept = [str(rows(home, table)) for table in tables]
            letters = str(control.dead_letters(home))
    assert (True, "failed") == (row.ended, row.ds_star)
    assert "ServiceError" in letters
    assert all(len(text) > 1_000 for text in kept)
    printed = printing.getvalue()
    assert "test.leaked" in printed
    places = dict(zip(("logs", "spans", "events"), kept, strict=True)) | {"stderr": printed, "dead letters": letters}
    for secret in PLANTED:
        for where, text in places.items():
            assert secret not in text, (secret, where, text[max(0, text.index(secret) - 200) : text.index(secret) + 80])
        # the trace shows the mission's row and records; nothing of it may say more than they do
        assert secret not in story, secret


def rows(home: control.Home, table: sa.Table) -> list[tuple[Any, ...]]:
    """Return every row of a table."""
    return home.database.read(lambda connection: [tuple(row) for row in connection.execute(sa.select(table))])
