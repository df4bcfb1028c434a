"""The command line as a person or a script uses it: whole processes, real folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "penguins"
QUESTION = "Which factors go with higher body mass in penguins?"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

Kimera = Callable[..., "subprocess.CompletedProcess[str]"]


def make_kimera(home: Path, **more: str) -> Kimera:
    """Return a function that runs the command line in its own process with its own home."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "KIMERA_HOME": str(home),
        "LANG": "C.UTF-8",
        **more,
    }

    def kimera(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from kimera.cli import main; main()", *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=timeout,
            check=False,
        )

    return kimera


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a private copy of the bundled example."""
    place = tmp_path_factory.mktemp("example") / "penguins"
    shutil.copytree(EXAMPLE, place)
    return place


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    """Return a home in which the example question was answered once."""
    place = tmp_path_factory.mktemp("home")
    done = make_kimera(place)("run", QUESTION, str(folder), "--json")
    assert done.returncode == 0, done.stderr
    (place / "events.jsonl").write_text(done.stdout)
    return place


def last_line(home: Path) -> dict[str, object]:
    """Return the result object of the run."""
    result: dict[str, object] = json.loads((home / "events.jsonl").read_text().splitlines()[-1])
    return result


def test_run_gives_one_json_object_per_line_and_the_outcome_last(home: Path) -> None:
    """Promise: `run --json` is machine-readable to the last line, partial version first, final version complete."""
    lines = [json.loads(line) for line in (home / "events.jsonl").read_text().splitlines()]
    assert {"event", "result"} == {line["type"] for line in lines}
    versions = [line["payload"] for line in lines if line.get("event") == "report.version"]
    assert [True, False] == [versions[0]["partial"], versions[-1]["partial"]]
    assert "DONE" == lines[-1]["state"]
    assert lines[-1]["outcome"]["claims"]


def test_every_sentence_of_the_report_rests_on_a_claim_that_exists(home: Path) -> None:
    """Promise: no finding without a claim, no claim without a span or a computation."""
    outcome = last_line(home)["outcome"]
    assert isinstance(outcome, dict)
    claims = {claim["id"]: claim for claim in outcome["claims"]}
    computations = {computation["id"] for computation in outcome["computations"]}
    for finding in [*outcome["summary"], *outcome["findings"]]:
        assert finding["claims"]
        assert set(finding["claims"]) <= set(claims)
    for claim in claims.values():
        assert claim.get("spans") or claim["computation_id"] in computations


def test_the_report_names_the_traps_of_the_example(home: Path) -> None:
    """Promise: the unreadable file and the stale figure are named, and the newer figure is the current one."""
    outcome = last_line(home)["outcome"]
    assert isinstance(outcome, dict)
    names = {source["id"]: source["name"] for source in outcome["sources"]}
    unread = {names[gap["source_id"]] for gap in outcome["gaps"] if gap["kind"] == "unread_source"}
    assert "scan-damaged.pdf" in unread
    claims = {claim["id"]: claim for claim in outcome["claims"]}
    sides = [
        {names[span["source_id"]] for claim in conflict["claims"] for span in claims[claim].get("spans", ())}
        for conflict in outcome["conflicts"]
    ]
    assert any("archive/summary-2008.md" in side for side in sides)


def test_verify_holds_and_names_exactly_what_a_changed_cell_affects(home: Path, folder: Path) -> None:
    """Promise: every claim verifies; after one changed cell exit 1 and only claims resting on that file are named."""
    kimera = make_kimera(home)
    before = kimera("verify", "last", "--json")
    assert 0 == before.returncode, before.stdout[-2000:] + before.stderr
    assert {"ok"} == {claim["status"] for claim in json.loads(before.stdout)["claims"]}

    table = folder / "penguins.csv"
    original = table.read_text()
    lines = original.splitlines(keepends=True)
    mass = lines[0].strip().split(",").index("body_mass_g")
    cells = lines[1].rstrip("\n").split(",")
    cells[mass] = "9999"
    lines[1] = ",".join(cells) + "\n"
    table.write_text("".join(lines))
    try:
        after = kimera("verify", "last", "--json")
    finally:
        table.write_text(original)
    assert 1 == after.returncode
    statuses = {claim["id"]: claim["status"] for claim in json.loads(after.stdout)["claims"]}
    assert "different_value" in statuses.values()
    outcome = last_line(home)["outcome"]
    assert isinstance(outcome, dict)
    changed = {source["id"] for source in outcome["sources"] if source["name"] == "penguins.csv"}
    on_it = {
        computation["id"]
        for computation in outcome["computations"]
        if {part["source_id"] for part in computation["inputs"]} & changed
    }
    affected = {claim["id"] for claim in outcome["claims"] if claim.get("computation_id") in on_it}
    assert affected == {claim for claim, status in statuses.items() if status != "ok"}


def test_an_exported_zip_verifies_elsewhere(home: Path, folder: Path, tmp_path: Path) -> None:
    """Promise: the zip and the folder are enough on another machine with an empty home."""
    target = tmp_path / "report.zip"
    assert 0 == make_kimera(home)("export", "last", "--format", "zip", "--out", str(target)).returncode
    elsewhere = make_kimera(tmp_path / "other-home")
    done = elsewhere("verify", str(target), "--folder", str(folder), "--json")
    assert 0 == done.returncode, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize("form", ["md", "html", "json"])
def test_export_writes_each_format_to_stdout(home: Path, form: str) -> None:
    """Promise: `export --format` prints the report; the same mission gives the same bytes each time."""
    kimera = make_kimera(home)
    first, second = kimera("export", "last", "--format", form), kimera("export", "last", "--format", form)
    assert 0 == first.returncode, first.stderr
    assert first.stdout == second.stdout
    assert len(first.stdout) > 1000


def test_a_mission_imports_only_what_its_folder_asks_for(tmp_path: Path) -> None:
    """Promise: what other folders, other doors and other processes need is not imported on the way to a report."""
    tables = tmp_path / "tables"
    tables.mkdir()
    shutil.copy(EXAMPLE / "penguins.csv", tables)
    code = "import sys; from kimera.cli import main\ntry: main()\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "KIMERA_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", code, "run", QUESTION, str(tables), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    imported = {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}
    assert {"dbos", "duckdb"} <= imported
    assert set() == imported & {"alembic", "docx", "fastapi", "matplotlib", "numba", "polars", "pypdfium2", "scipy"}


def test_missions_show_and_doctor_answer_in_text_and_json(home: Path) -> None:
    """Promise: the read-only commands work on a finished home, in both forms."""
    kimera = make_kimera(home)
    for command in (["missions"], ["show", "last"], ["doctor"], ["missions", "--dead"]):
        assert 0 == kimera(*command).returncode
        json.loads(kimera(*command, "--json").stdout)


def test_bad_input_is_refused_with_exit_2_and_the_next_step(home: Path, tmp_path: Path) -> None:
    """Promise: an empty question, a missing, empty or file folder, an unknown mission: exit 2, one clear sentence."""
    kimera = make_kimera(home)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for arguments, words in (
        (["run", "  ", str(EXAMPLE)], "question"),
        (["run", QUESTION, str(tmp_path / "missing")], "folder"),
        (["run", QUESTION, str(tmp_path / "file")], "folder"),
        (["run", QUESTION, str(EXAMPLE), "--deadline", "soon"], "10m"),
        (["run", QUESTION, str(EXAMPLE), "--out", "report.docx"], ".html"),
        (["show", "nosuch"], "kimera missions"),
        (["export", "nosuch"], "kimera missions"),
        (["verify", "nosuch"], "kimera missions"),
        (["retry", "last"], "--track"),
    ):
        done = kimera(*arguments)
        assert 2 == done.returncode, (arguments, done.stderr)
        assert words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert 2 == kimera("run", QUESTION, str(tmp_path / "empty")).returncode


def test_a_second_run_in_the_same_home_waits_or_says_so(tmp_path: Path, folder: Path) -> None:
    """Promise: two runs at once in one home both end with a report; --no-wait fails at once with exit 4."""
    home = tmp_path / "home"
    command = [sys.executable, "-c", "from kimera.cli import main; main()", "run", QUESTION, str(folder)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "KIMERA_HOME": str(home)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert first.stderr is not None
        while "started" not in first.stderr.readline():
            assert first.poll() is None
        impatient = make_kimera(home)("run", QUESTION, str(folder), "--no-wait")
        assert 4 == impatient.returncode, impatient.stderr
        patient = make_kimera(home)("run", QUESTION, str(folder))
        assert 0 == patient.returncode, patient.stderr
        assert "busy" in patient.stderr
    finally:
        first.communicate(timeout=60)
    assert 0 == first.returncode
