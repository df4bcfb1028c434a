"""What a log line says, where it goes, and what it never says."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kimera import telemetry
from kimera.errors import StorageFull
from kimera.settings import Settings
from kimera.telemetry.recording.lines import printer
from kimera.telemetry.recording.logs import get_logger
from kimera.telemetry.recording.redaction import HIDDEN, UNREADABLE, Redaction, configured_secrets

log = get_logger("missions")


def bodies(store: telemetry.MemoryStore, mission_id: str | None = "m1") -> list[dict[str, Any]]:
    """Return the lines that were kept of a mission."""
    telemetry.flush()
    return [record.body for record in store.logs(mission_id)]


def test_a_line_says_when_what_and_for_whom(recording: telemetry.MemoryStore) -> None:
    """Promise: a line has the fixed keys, then what is bound, then its own fields; time is UTC to the microsecond."""
    with telemetry.bind(request_id="r1", mission_id="m1", track="ds_star", attempt=1), telemetry.span("agent.step"):
        log.info("track.started", phases=3)
    (line,) = bodies(recording)
    assert ["ts", "level", "event", "logger", "request_id", "mission_id", "track", "attempt"] == list(line)[:8]
    assert ("INFO", "track.started", "missions", "r1", 3) == tuple(
        line[key] for key in ("level", "event", "logger", "request_id", "phases")
    )
    assert (32, 16) == (len(line["trace_id"]), len(line["span_id"]))
    assert line["ts"].endswith("Z") and 27 == len(line["ts"])


def test_an_error_gives_its_facts_and_places_without_values(recording: telemetry.MemoryStore) -> None:
    """Promise: code, type, room and recoverable always; frames at ERROR only, with places and no local values."""

    def fail(inner: str) -> None:
        raise StorageFull("No room.")

    with telemetry.bind(mission_id="m1"):
        try:
            fail("local-value")
        except StorageFull as error:
            log.warning("step.failed", error=error)
            log.error("step.failed", error=error)
    warned, failed = bodies(recording)
    assert ("STORAGE_FULL", "StorageFull", True) == tuple(
        warned[key] for key in ("error_code", "error_type", "recoverable")
    )
    assert "frames" not in warned
    assert failed["frames"][-1].endswith("fail")
    assert "local-value" not in json.dumps(failed)


def test_arguments_of_a_level_that_is_off_are_not_looked_at(recording: telemetry.MemoryStore) -> None:
    """Promise: with DEBUG off a function given as a value is never called."""
    called: list[int] = []
    log.debug("detail.seen", rows=lambda: called.append(1))
    assert [] == called
    with telemetry.bind(mission_id="m1"):
        log.info("detail.seen", rows=lambda: 7)
    assert 7 == bodies(recording)[0]["rows"]


def test_only_a_missions_lines_and_warnings_are_kept(recording: telemetry.MemoryStore) -> None:
    """Promise: outside a mission INFO is not kept, WARN and ERROR are."""
    log.info("server.started")
    log.warning("port.taken")
    log.error("port.lost")
    assert ["port.taken", "port.lost"] == [line["event"] for line in bodies(recording, None)]


def test_what_came_before_configure_waits_and_is_redacted(tmp_path: Path, store: telemetry.MemoryStore) -> None:
    """Promise: early lines are kept, and secrets known only later are gone from them."""
    telemetry.shutdown()
    with telemetry.bind(mission_id="m1"):
        log.warning("home.opened", text="at hunter2-secret")
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://u:hunter2-secret@db/x"))
    telemetry.configure(settings, store=store, lines=False, tracing=False)
    try:
        (line,) = bodies(store)
    finally:
        telemetry.shutdown()
    assert f"at {HIDDEN}" == line["text"]


def test_settings_secrets_are_found_in_every_form(tmp_path: Path) -> None:
    """Promise: the value, the password inside an address, and its unquoted form all count as secrets."""
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://u:p%40ssword@db/x"))
    redaction = Redaction(configured_secrets(settings))
    for leak in ("postgresql://u:p%40ssword@db/x", "p%40ssword", "p@ssword"):
        assert HIDDEN == redaction.text(leak)
        assert {"args": [{"deep": f"<{HIDDEN}>"}]} == redaction.fields({"args": [{"deep": f"<{leak}>"}]})


@pytest.mark.parametrize("name", ["password", "api_key", "Authorization", "db_passwd", "x-api-key", "set_cookie"])
def test_fields_named_like_credentials_are_hidden(name: str) -> None:
    """Promise: such a field loses its value whatever it is; counts of tokens stay."""
    assert {name: HIDDEN, "input_tokens": 7} == Redaction().fields({name: {"a": "b"}, "input_tokens": 7})


def test_what_is_remembered_of_a_name_holds_for_every_value() -> None:
    """Promise: a line with the same names gets the same care the second time; names from data do not pile up."""
    redaction = Redaction(["hunter22"])
    line = {"api_key": 7, "hunter22_x": "a hunter22", "route": "/hunter22", "status": 200, "ok": None}
    wanted = {"api_key": HIDDEN, f"{HIDDEN}_x": f"a {HIDDEN}", "route": f"/{HIDDEN}", "status": 200, "ok": None}
    assert [wanted, wanted] == [redaction.fields(line), redaction.fields(line)]
    for number in range(3_000):
        redaction.fields({f"n{number}": "hunter22"})
    assert wanted == redaction.fields(line)
    assert {"n2999": HIDDEN, "secret": HIDDEN} == redaction.fields({"n2999": "hunter22", "secret": 1})
    assert len(redaction._rules) <= 1_000


def test_a_registered_redactor_sees_every_text_and_may_fail() -> None:
    """Promise: text passes the redactor; when it raises, the text is withheld and counted, ids stay."""
    assert {"text": "A"} == Redaction(redactor=str.upper).fields({"text": "a"})

    def broken(text: str) -> str:
        raise RuntimeError(text)

    redaction = Redaction(redactor=broken)
    assert {"text": UNREADABLE, "mission_id": "m1"} == redaction.fields({"text": "a", "mission_id": "m1"})
    assert 1 == redaction.failed


def test_a_printed_line_is_one_json_object() -> None:
    """Promise: one object per line, in order, text as it is."""
    out = io.StringIO()
    write = printer(out)
    write({"ts": "t", "text": "ä\n{}"})
    write({"ts": "u"})
    assert [{"ts": "t", "text": "ä\n{}"}, {"ts": "u"}] == [json.loads(line) for line in out.getvalue().splitlines()]


def test_what_libraries_log_becomes_our_lines(
    tmp_path: Path, store: telemetry.MemoryStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Promise: a library's warning is printed as one of our lines and kept; its debug output is not."""
    telemetry.shutdown()
    telemetry.configure(Settings(home=tmp_path), store=store, tracing=False)
    try:
        logging.getLogger("somelib.part").warning("odd %s", "thing")
        logging.getLogger("somelib.part").info("chatter")
        telemetry.flush()
    finally:
        telemetry.shutdown()
    (line,) = [json.loads(text) for text in capsys.readouterr().err.splitlines()]
    assert ("WARN", "library.logged", "somelib", "odd thing") == tuple(
        line[key] for key in ("level", "event", "logger", "text")
    )
    assert [line] == [record.body for record in store.logs(None)]


def test_a_closed_stderr_is_counted(recording: telemetry.MemoryStore) -> None:
    """Promise: a printer that fails stops nothing; the line is kept and the loss counted."""

    def closed(line: dict[str, Any]) -> None:
        raise ValueError("I/O operation on closed file")

    telemetry.active().printer = closed
    with telemetry.bind(mission_id="m1"):
        log.info("track.started")
    assert 1 == telemetry.dropped()["log"]
    assert ["track.started"] == [line["event"] for line in bodies(recording)]
