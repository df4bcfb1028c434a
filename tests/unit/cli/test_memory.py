"""`kimera memory` on a home: what it prints for people and programs, and how it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.databases import database_url

from kimera.cli.output import EXIT_NOT_HELD, EXIT_OK, EXIT_USAGE, show_error
from kimera.cli.root import kimera_command
from kimera.errors import KimeraError
from kimera.settings import load_settings

ABCD = "08765292ef1217264602ed4b06d2cddbe94fba09"
HOSTILE = ("it's", 'say "hi"', "100%", "a\\b", "two\nlines", "'; DROP TABLE memory_log; --", "ж" * 2_000)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.slow])])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make an empty home on each kind of database that the commands find."""
    monkeypatch.setenv("KIMERA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KIMERA_DATABASE_URL", raising=False)
    with database_url(request.param, tmp_path) as url:
        if request.param == "postgres":
            monkeypatch.setenv("KIMERA_DATABASE_URL", url)
        load_settings.cache_clear()
        yield tmp_path / "home"
    load_settings.cache_clear()


def run(*arguments: str) -> tuple[int, str]:
    """Run `kimera memory ...`; returns the exit code, as the main program gives it, and stdout."""
    done = CliRunner().invoke(kimera_command, ["memory", *arguments], standalone_mode=False)
    if isinstance(done.exception, KimeraError):
        return show_error(done.exception), done.stdout
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.stdout


def told(*arguments: str) -> Any:
    """Return what a command prints with --json."""
    code, text = run(*arguments, "--json")
    assert EXIT_OK == code, text
    return json.loads(text)


def teach(*events: str) -> dict[str, Any]:
    """Observe symbols one by one and learn them."""
    for event in events:
        told("observe", event)
    answer: dict[str, Any] = told("learn")
    return answer


def test_a_short_term_memory_outlives_the_command(home: Path) -> None:
    """Promise: four commands observe, a fifth learns; the pattern has the name the design fixes, and it is found."""
    assert ABCD == teach("a", "b", "c", "d")["name"]
    told("observe", "b")
    assert (EXIT_OK, "b\n") == run("stm")
    told("observe", "c")
    (one,) = told("predict")["predictions"]
    assert ([["a"]], [["d"]], 3.5) == (one["past"], one["future"], one["potential"])
    code, text = run("predict")
    assert EXIT_OK == code
    assert f"{ABCD[:12]}  similarity 0.67  potential 3.50  seen 1 times" == text.splitlines()[0]
    assert (EXIT_OK, "-\n") == run("stm", "--clear")


def test_questions_need_no_session(home: Path) -> None:
    """Promise: events given as JSON are compared, continued and explained without a short-term memory."""
    teach("a", "b", "c", "d")
    events = ("--events", '[["b"],["c"]]')
    assert 1 == len(told("predict", *events)["predictions"])
    assert [] == told("predict", *events, "-o", "recall_threshold=0.9")["predictions"]
    assert ["d"] == told("next", *events)["events"][0]["event"]
    code, text = run("why", f"PTRN|{ABCD}", *events)
    assert EXIT_OK == code and "similarity" in text
    assert run("guard")[0] == EXIT_OK
    assert {"stm": [], "length": 0} == told("stm")


def test_an_observation_says_what_it_is_part_of(home: Path) -> None:
    """Promise: metadata stays with the pattern, --predict answers at once, and what outlived its time is forgotten."""
    told("observe", "a", "--metadata", '{"room": 3}')
    told("observe", "b")
    name = told("learn", "--ttl-seconds", "60")["name"]
    assert {"room": [3]} == told("show", name)["metadata"]
    (one,) = told("observe", "a", "--predict")["predictions"]["predictions"]
    assert [["b"]] == one["future"]
    assert f"{name[:12]}  similarity" in run("observe", "b", "--predict")[1]
    assert (0, 1) == (told("expire")["episodes"], told("expire", "--now", "4e9")["episodes"])


def test_what_is_forgotten_comes_back_by_its_number(home: Path) -> None:
    """Promise: a dry run counts, forget removes, undo restores the same state, erase cannot be undone."""
    teach("a", "b")
    before = told("hash")["state_hash"]
    assert (1, True) == (told("forget", "--symbol", "a", "--dry-run")["episodes"], 1 == told("stats")["patterns"])
    gone = told("forget", "--symbol", "a")
    assert ([], 0) == (told("patterns")["patterns"], told("stats")["patterns"])
    told("undo", str(gone["seq"]))
    assert before == told("hash")["state_hash"]
    erased = told("erase", "--symbol", "a", "--yes")
    assert EXIT_USAGE == run("undo", str(erased["seq"]))[0]
    assert EXIT_OK == run("verify")[0]


def test_a_pattern_is_shown_edited_and_judged(home: Path) -> None:
    """Promise: an edit gives other content, an outcome stays with the pattern, both stand in what is shown."""
    teach("a", "b")
    name = told("patterns")["patterns"][0]["name"]
    told("outcome", name, "--utility", "0.5", "--cost", "2")
    told("edit", name, "--events", '[["a"],["z"]]')
    (moved,) = told("patterns", "--contains", "z")["patterns"]
    shown = told("show", moved["name"])
    assert ([["a"], ["z"]], 1) == (shown["events"], shown["frequency"])
    assert f"PTRN|{moved['name']}" in run("show", moved["name"])[1]
    assert EXIT_USAGE == run("show", name)[0]


def test_an_export_brings_the_same_state_elsewhere(home: Path, tmp_path: Path) -> None:
    """Promise: export then import is identity, twice changes nothing; traces are learned from a file."""
    teach("a", "b")
    file = tmp_path / "log.jsonl"
    told("export", str(file))
    assert (1, 0) == tuple(told("import", str(file), "--memory", "other")["imported"] for _ in range(2))
    assert told("hash")["state_hash"] == told("hash", "--memory", "other")["state_hash"]
    file.write_text('{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n')
    assert EXIT_OK == run("ingest", str(file), "--format", "openai", "--dry-run")[0]
    file.write_text("{not json\n")
    assert EXIT_USAGE == run("ingest", str(file), "--format", "openai")[0]
    assert EXIT_USAGE == run("import", str(file))[0]


def test_a_changed_row_is_told_by_verify(home: Path) -> None:
    """Promise: verify ends with 1 when a stored pattern is not what the log says."""
    from kimera.storage.database import open_database

    teach("a", "b")
    settings = load_settings()
    url = settings.database_url
    address = url.get_secret_value() if url is not None else f"sqlite:///{home / 'kimera.db'}"
    database = open_database(address)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE memory_patterns SET frequency = 7")
    database.close()
    code, text = run("verify")
    assert EXIT_NOT_HELD == code
    assert text.startswith("the log and what is kept differ:")


ABSENT = [
    ("observe", "", "--memory", "new"),
    ("predict", "--events", '[["a"]]', "--memory", "new"),
    ("guard", "--memory", "new"),
    ("forget", "--symbol", "a", "--memory", "new"),
    ("patterns", "--memory", "new"),
]


def test_what_is_refused_makes_no_memory(home: Path) -> None:
    """Promise: only what is observed, ingested or imported makes a memory; asking for an absent one ends with 2."""
    teach("a", "b")
    for arguments in ABSENT:
        assert (EXIT_USAGE, "") == run(*arguments), arguments
        assert EXIT_USAGE == run("hash", "--memory", "new")[0], arguments


def test_odd_symbols_are_ordinary(home: Path) -> None:
    """Promise: quotes, percent signs, line ends and SQL are observed and learned like letters."""
    for symbol in HOSTILE:
        learned = teach(symbol, "b")
        assert [[symbol], ["b"]] == told("show", learned["name"])["events"]


BAD = [
    ("learn",),
    ("observe", ""),
    ("observe", "a", "--vector", "[]"),
    ("observe", "a", "--vector", "{"),
    ("observe", "a", "--emotive", "joy"),
    ("observe", "a", "--metadata", "{"),
    ("observe", "a", "--metadata", "[1]"),
    ("observe", "a", "--emotive", "joy=true"),
    ("predict", "--events", "b c"),
    ("predict", "--events", '[["b"]]', "-o", "recall_threshold"),
    ("predict", "--events", '[["b"]]', "-o", "recall_threshold=7"),
    ("predict", "--events", '[["b"]]', "-o", "no_such_option=1"),
    ("predict", "--mission", "no-such-mission"),
    ("why", "no-such-pattern", "--events", '[["b"]]'),
    ("show", "no-such-pattern"),
    ("forget",),
    ("undo", "99"),
    ("outcome", "no-such-pattern", "--utility", "1"),
    ("observe", "a", "--memory", "x" * 300),
    ("hash", "--memory", "never-made"),
]


def test_bad_input_is_refused_and_changes_nothing(home: Path) -> None:
    """Promise: bad input ends with 2, prints nothing on stdout, and the memory is as before."""
    told("observe", "kept")
    before = (told("hash"), told("stm"))
    for arguments in BAD:
        assert (EXIT_USAGE, "") == run(*arguments), arguments
        assert before == (told("hash"), told("stm")), arguments
