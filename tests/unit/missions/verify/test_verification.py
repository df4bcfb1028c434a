"""A report is checked against the files as they are now, and every kind of edit is found."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kimera.errors import MissionCancelled, NotFoundError, ValidationError
from kimera.knowledge import build_library, read_document_text
from kimera.knowledge.contracts import Library, Span
from kimera.missions.contracts import (
    Computation,
    ComputationInput,
    Finding,
    MissionOutcomePackage,
    NumberClaim,
    TextClaim,
    computation_id,
)
from kimera.missions.fusion import export_zip
from kimera.missions.verify import Verification, render_table, verify, verify_file
from kimera.sandbox import Session
from kimera.storage.blobs import Blobs, canonical_json, sha256_hex

START = datetime(2026, 1, 1, tzinfo=UTC)
CSV = "species,mass\nAdelie,3700\nAdelie,3800\nGentoo,5000\nGentoo,5200\nGentoo,5100\n"
NOTE = "# Field note\n\nThe survey counted 5 birds on the island. Gentoo birds were the heaviest of all.\n"
MEANS = (
    "rows = db.execute('select species, avg(mass), count(*) from birds group by 1 order by 1').fetchall()\n"
    "result = {name: {'mean': mean, 'n': n} for name, mean, n in rows}\nrows_read = rows_used = 5\n"
)


@dataclass
class Case:
    """A folder, what was read from it, and a report on it."""

    folder: Path
    library: Library
    outcome: MissionOutcomePackage
    blobs: Blobs
    session: Session

    def verify(self, **changes: Any) -> Verification:
        """Verify the report, with parts of it replaced."""
        outcome = self.outcome.model_copy(update=changes)
        return verify(outcome, library=self.library, blobs=self.blobs, folder=self.folder, session=self.session)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Return one worker for all tests; by default a verification starts its own."""
    with Session(minimum="none") as warm:
        yield warm


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Case:
    """Return a report with one number claim and one text claim, made as the tracks make them."""
    root = tmp_path_factory.mktemp("case")
    folder = root / "folder"
    folder.mkdir()
    (folder / "birds.csv").write_text(CSV)
    (folder / "note.md").write_text(NOTE)
    blobs = Blobs(root / "blobs")
    library = build_library(folder, blobs, knowledge_space="space")
    return Case(folder, library, _outcome(folder, library, blobs, session), blobs, session)


@pytest.fixture
def case(original: Case, tmp_path: Path) -> Case:
    """Return the report with a folder of its own to change."""
    folder = tmp_path / "folder"
    shutil.copytree(original.folder, folder)
    return Case(folder, original.library, original.outcome, original.blobs, original.session)


def _outcome(folder: Path, library: Library, blobs: Blobs, session: Session) -> MissionOutcomePackage:
    table = library.table("birds")
    inputs = (ComputationInput(name="birds", source_id=table.source_id, table="birds"),)
    answer = session.run(MEANS, {"birds": blobs.path(table.data)})
    computation = Computation(
        id=computation_id(MEANS, (table.source_id,), {}), title="mean mass", code=MEANS, inputs=inputs,
        result=answer.result, rows_read=answer.rows_read, rows_used=answer.rows_used,
    )  # fmt: skip
    number = NumberClaim(
        id="n_1", statement="Mean mass of Gentoo is 5,100 (n = 3).", value=5100.0, computation_id=computation.id,
        path=("Gentoo", "mean"), n=3, track="ds_star", created_at=START,
    )  # fmt: skip
    text = _text_claim(library, blobs, "The survey counted 5 birds on the island.")
    return MissionOutcomePackage(
        mission_id="m_1", session_id="s", knowledge_space="space", question="Which birds are heaviest?",
        folder=str(folder), version=1, created_at=START, claims=(number, text), computations=(computation,),
        sources=library.sources, library=blobs.put_json(library.as_json()),
        findings=(
            Finding(text=number.statement, claims=("n_1",)),
            Finding(text=text.statement, claims=(text.id,)),
        ),
    )  # fmt: skip


def _text_claim(library: Library, blobs: Blobs, quote: str) -> TextClaim:
    document = library.documents[0]
    start = read_document_text(blobs, document).index(quote)
    place = (document.source_id, start, start + len(quote))
    span = Span(source_id=place[0], start=place[1], end=place[2], quote=quote, quote_sha256=sha256_hex(quote.encode()))
    name = "t_" + sha256_hex(canonical_json([*place, quote]))[:20]
    return TextClaim(id=name, statement=quote, spans=(span,), track="deep_research", created_at=START)


def statuses(found: Verification) -> list[str]:
    """Return the status of the number claim and of the text claim."""
    return [check.status for check in found.claims]


def test_an_untouched_report_holds(case: Case) -> None:
    """Promise: same files, same report: every claim is ok and the exit code is 0."""
    found = case.verify()
    assert (["ok", "ok"], 0) == (statuses(found), found.exit_code), found.summary
    assert "everything holds" in found.summary
    assert ["same", "same"] == [source.status for source in found.sources]
    assert "same" == found.computations[0].status


def test_a_renamed_and_moved_file_is_found_by_its_bytes(case: Case) -> None:
    """Promise: a source under another name and folder is still the source, and the report holds."""
    (case.folder / "old").mkdir()
    (case.folder / "birds.csv").rename(case.folder / "old" / "vögel 2.csv")
    found = case.verify()
    assert (["ok", "ok"], 0) == (statuses(found), found.exit_code), found.summary
    assert [("moved", "old/vögel 2.csv")] == [(s.status, s.found) for s in found.sources if s.status != "same"]


def test_a_changed_file_names_exactly_the_claims_that_changed(case: Case) -> None:
    """Promise: one edited cell gives old and new value of the claim it touches; the other claims stay ok."""
    (case.folder / "birds.csv").write_text(CSV.replace("5200", "5500"))
    found = case.verify()
    assert (["different_value", "ok"], 1) == (statuses(found), found.exit_code)
    assert (5100.0, 5200.0) == (found.claims[0].old, found.claims[0].new)
    assert ["n_1"] == [check.id for check in found.affected]
    assert "birds.csv is changed" in found.summary


def test_a_changed_file_whose_claim_still_holds_is_said_to_have_changed(case: Case) -> None:
    """Promise: other bytes with the same value are reported as changed, not as wrong, and still exit 1."""
    (case.folder / "birds.csv").write_text(CSV.replace("3700", "3600"))
    (case.folder / "note.md").write_text("Foreword with more words.\n\n" + NOTE)
    found = case.verify()
    assert (["changed_source", "changed_source"], 1) == (statuses(found), found.exit_code)
    assert "another place" in found.claims[1].reason


def test_a_missing_file_and_a_missing_folder_are_missing_sources(case: Case) -> None:
    """Promise: nothing is guessed when the files are not there."""
    (case.folder / "note.md").unlink()
    assert ["ok", "missing_source"] == statuses(case.verify())
    without = verify(case.outcome, library=case.library, blobs=case.blobs, folder=None, session=case.session)
    assert (["missing_source", "missing_source"], 1) == (statuses(without), without.exit_code)
    assert all("--folder" in check.reason for check in without.claims)


def test_a_rewritten_sentence_is_a_different_text(case: Case) -> None:
    """Promise: a quotation that is gone is shown with what stands in its place."""
    (case.folder / "note.md").write_text(NOTE.replace("counted 5", "counted 7"))
    found = case.verify()
    assert ["ok", "different_text"] == statuses(found)
    assert "counted 7" in str(found.claims[1].new)


def test_a_column_that_is_gone_fails_its_claim(case: Case) -> None:
    """Promise: code that cannot run any more is failed, with its error, not ok."""
    (case.folder / "birds.csv").write_text(CSV.replace("mass", "weight"))
    found = case.verify()
    assert "failed" == found.claims[0].status
    assert "mass" in found.claims[0].reason


def edit(outcome: MissionOutcomePackage, path: str, value: Any) -> MissionOutcomePackage:
    """Return the report as somebody with an editor would have left it."""
    data = outcome.model_dump(mode="json")
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    target: Any = data
    for step in steps:
        target = target[step]
    target[last] = value
    return MissionOutcomePackage.model_validate(data)


@pytest.mark.parametrize(
    ("path", "value", "number", "text"),
    [
        ("claims.0.value", 5300.0, "different_value", "ok"),
        ("claims.0.value", "5100", "different_value", "ok"),
        ("claims.0.value", True, "different_value", "ok"),
        ("claims.0.n", 30, "different_value", "ok"),
        ("claims.0.interval", [1.0, 2.0], "different_value", "ok"),
        ("claims.0.p_value", 0.04, "different_value", "ok"),
        ("claims.0.p_adjusted", 1.04, "different_value", "ok"),
        ("claims.0.path", ["Gentoo", "median"], "different_value", "ok"),
        ("claims.0.path", ["Adelie", "mean"], "different_value", "ok"),
        ("claims.0.computation_id", "c_0", "failed", "ok"),
        ("claims.0.statement", "Mean mass of Gentoo is 5,900 (n = 3).", "different_value", "ok"),
        ("computations.0.result.Gentoo.mean", 5101.0, "different_value", "ok"),
        ("computations.0.result.Adelie.n", 9, "different_value", "ok"),
        ("computations.0.rows_used", 7, "different_value", "ok"),
        ("computations.0.code", MEANS.replace("avg", "max"), "failed", "ok"),
        ("computations.0.parameters", {"k": 1}, "failed", "ok"),
        ("computations.0.inputs.0.source_id", "0" * 64, "failed", "ok"),
        ("claims.1.spans.0.quote", "The survey counted 9 birds on the island.", "ok", "different_text"),
        ("claims.1.spans.0.start", 0, "ok", "different_text"),
        ("claims.1.spans.0.source_id", "0" * 64, "ok", "failed"),
        ("claims.1.statement", "The survey counted 6 birds on the island.", "ok", "different_text"),
    ],
)
def test_an_edited_report_is_caught(case: Case, path: str, value: Any, number: str, text: str) -> None:
    """Promise: an edited number, path, code, quotation or sentence never verifies, and its neighbour still does."""
    outcome = edit(case.outcome, path, value)
    found = verify(outcome, library=case.library, folder=case.folder, session=case.session)
    assert ([number, text], 1) == (statuses(found), found.exit_code), found.summary
    assert all(check.reason for check in found.affected)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("findings.0.text", "Mean mass of Gentoo is 6,100.", "The number 6,100"),
        ("findings.0.claims", ["n_9"], "n_9"),
        ("findings.1.claims", ["n_1"], "The number 5 "),
        ("agreements", [{"claims": ["n_1", "n_7"], "text": "x"}], "n_7"),
    ],
)
def test_a_sentence_without_its_claim_is_a_fault_of_the_report(case: Case, path: str, value: Any, said: str) -> None:
    """Promise: sentences, agreements and conflicts may only speak of claims that are there, with their numbers."""
    outcome = edit(case.outcome, path, value)
    found = verify(outcome, library=case.library, folder=case.folder, session=case.session)
    assert 1 == found.exit_code
    assert said in " ".join(found.problems)


def test_an_edited_computation_with_a_fitting_id_is_judged_by_what_it_computes(case: Case) -> None:
    """Promise: code and id forged together still have to give the stated value on the real files."""
    code = MEANS.replace("avg(mass)", "avg(mass) + 1")
    forged = case.outcome.computations[0].model_copy(
        update={"code": code, "id": computation_id(code, (case.outcome.computations[0].inputs[0].source_id,), {})}
    )
    claim = case.outcome.claims[0].model_copy(update={"computation_id": forged.id})
    found = case.verify(computations=(forged,), claims=(claim, case.outcome.claims[1]))
    assert ("different_value", 5101.0) == (found.claims[0].status, found.claims[0].new)


def test_a_stated_rounding_is_accepted_and_a_wrong_one_is_not(case: Case) -> None:
    """Promise: 3.67 stands for 3.6667, 3.66 does not, and a whole number must be exact."""
    code = "result = {'x': 11 / 3}"
    computation = Computation(id=computation_id(code, (), {}), code=code, inputs=(), result={"x": 11 / 3})
    claims = tuple(
        NumberClaim(
            id=f"n_{i}", statement="About.", value=value, computation_id=computation.id, path=("x",), track="ds_star",
            created_at=START,
        )
        for i, value in enumerate([11 / 3, 3.67, 3.7, 3.66, 4, 3.8])
    )  # fmt: skip
    found = case.verify(computations=(computation,), claims=claims, findings=())
    assert ["ok", "ok", "ok", *["different_value"] * 3] == statuses(found)


def test_a_set_marked_as_such_may_come_in_any_order(case: Case) -> None:
    """Promise: with `unordered` lists compare as sets, without it their order counts."""
    checks = []
    for parameters in ({"unordered": True}, {}):
        code = "result = [3, 1, 2]"
        made = Computation(
            id=computation_id(code, (), parameters), code=code, inputs=(), parameters=parameters, result=[1, 2, 3]
        )
        found = case.verify(computations=(made,), claims=(), findings=())
        checks += [check.status for check in found.computations]
    assert ["same", "different"] == checks


def test_hostile_source_names_open_nothing_outside_the_folder(case: Case, tmp_path: Path) -> None:
    """Promise: names with `..`, absolute names and links lead to missing, never to a file outside."""
    secret = tmp_path / "secret.csv"
    secret.write_text(CSV)
    (case.folder / "birds.csv").unlink()
    (case.folder / "link.csv").symlink_to(secret)
    for name in ("../secret.csv", str(secret), "link.csv", "folder/../../secret.csv"):
        sources = tuple(
            source.model_copy(update={"name": name}) if source.name == "birds.csv" else source
            for source in case.outcome.sources
        )
        assert "missing_source" == case.verify(sources=sources).claims[0].status, name


def test_without_a_list_of_what_was_read_the_folder_is_read_again(case: Case, tmp_path: Path) -> None:
    """Promise: a bare report.json and the folder are enough."""
    report = tmp_path / "report.json"
    report.write_bytes(canonical_json(case.outcome.model_dump(mode="json")))
    found = verify_file(report, case.folder, session=case.session)
    assert (["ok", "ok"], 0) == (statuses(found), found.exit_code), found.summary


def zipped(case: Case, target: Path, with_sources: bool = False) -> Path:
    """Export the report as the product does."""
    outcome = case.outcome.model_copy(update={"folder": str(case.folder)})
    return export_zip(outcome, case.blobs, target, with_sources)


def test_an_exported_zip_verifies_on_another_machine(case: Case, tmp_path: Path) -> None:
    """Promise: zip plus folder is enough, and so is a zip that holds its sources."""
    assert 0 == verify_file(zipped(case, tmp_path / "a.zip"), case.folder, session=case.session).exit_code
    full = zipped(case, tmp_path / "b.zip", with_sources=True)
    shutil.rmtree(case.folder)
    assert 0 == verify_file(full, session=case.session).exit_code
    assert 1 == verify_file(tmp_path / "a.zip", session=case.session).exit_code


def rezip(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy a zip, changing or leaving out members."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = change(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.mark.parametrize(
    ("member", "old", "new", "said"),
    [
        ("computations/", b"avg", b"max", "is not the code"),
        ("spans/", b"counted 5", b"counted 6", "does not hold the quotations"),
        ("library.json", b'"rows":5', b'"rows":6', "library.json is not the one"),
        ("sources/birds.csv", b"5200", b"5900", "birds.csv is changed"),
        ("report.json", b"5100.0", b"5200.0", "different value"),
    ],
)
def test_an_edited_zip_is_caught(case: Case, tmp_path: Path, member: str, old: bytes, new: bytes, said: str) -> None:
    """Promise: code, quotations, reading notes, sources and numbers inside a zip cannot be edited unseen."""
    good = zipped(case, tmp_path / "good.zip", with_sources=True)
    bad = rezip(good, tmp_path / "bad.zip", lambda n, d: d.replace(old, new) if n.startswith(member) else d)
    found = verify_file(bad, session=case.session)
    assert 1 == found.exit_code
    assert said in found.summary + " ".join(found.problems)


def _bomb(archive: zipfile.ZipFile) -> None:
    archive.writestr("report.json", b"{" + b" " * 80_000_000)


def _traversal(archive: zipfile.ZipFile) -> None:
    archive.writestr("report.json", b"{}")
    archive.writestr("sources/../../escaped.txt", b"x")


def _link(archive: zipfile.ZipFile) -> None:
    entry = zipfile.ZipInfo("sources/link")
    entry.external_attr = 0o120777 << 16
    archive.writestr("report.json", b"{}")
    archive.writestr(entry, b"/etc/passwd")


def _nothing(archive: zipfile.ZipFile) -> None:
    archive.writestr("other.txt", b"x")


@pytest.mark.parametrize("fill", [_bomb, _traversal, _link, _nothing])
def test_a_hostile_zip_is_refused_as_a_whole(tmp_path: Path, fill: Callable[[zipfile.ZipFile], None]) -> None:
    """Promise: bombs, names that climb, links and zips without a report are refused before anything is unpacked."""
    path = tmp_path / "in" / "bad.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    with pytest.raises(ValidationError):
        verify_file(path)
    assert ["in"] == [entry.name for entry in tmp_path.iterdir()]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b"PK\x03\x04rest"])
def test_something_that_is_no_report_is_refused_with_advice(tmp_path: Path, data: bytes) -> None:
    """Promise: any other file is a validation error that says what to give instead."""
    path = tmp_path / "report.json"
    path.write_bytes(data)
    with pytest.raises(ValidationError, match="kimera export"):
        verify_file(path)
    with pytest.raises(NotFoundError):
        verify_file(tmp_path / "nothing.json")


def test_a_strangers_code_is_refused_below_the_minimum(case: Case, tmp_path: Path) -> None:
    """Promise: code from a file runs only isolated, or when a person allows it; what ran here at none may again."""
    from kimera.missions.verify.verification import _may_run

    ours = case.outcome.computations[0].model_copy(update={"sandbox_level": "none"})
    isolated = ours.model_copy(update={"sandbox_level": "reduced"})
    assert [False, True, False, True] == [
        _may_run(ours, from_home=False, allow_code=False),
        _may_run(ours, from_home=True, allow_code=False),
        _may_run(isolated, from_home=True, allow_code=False),
        _may_run(isolated, from_home=False, allow_code=True),
    ]


def test_stopping_raises(case: Case) -> None:
    """Promise: a verification that is told to stop stops."""
    with pytest.raises(MissionCancelled):
        verify(case.outcome, library=case.library, folder=case.folder, should_stop=lambda: True)


def test_the_table_shows_what_does_not_hold_first(case: Case) -> None:
    """Promise: titles, bad claims, then faults and files, then what is ok; the JSON holds the verdict."""
    (case.folder / "note.md").unlink()
    found = case.verify(findings=(Finding(text="Nothing.", claims=("n_9",)),))
    rows = render_table(found)
    assert ["status", "missing source", "fault", "file missing", "ok"] == [row.status for row in rows]
    data = json.loads(json.dumps(found.as_json()))
    assert (False, 1, found.summary) == (data["holds"], data["exit_code"], data["summary"])
