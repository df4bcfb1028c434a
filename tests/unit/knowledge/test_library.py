"""Library: a folder of anything becomes sources, tables, documents and passages, the same ones every time."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kimera.errors import ValidationError
from kimera.knowledge import Limits, build_library, read_document_text, read_table_again, read_text_again, source_path
from kimera.knowledge.contracts import Library
from kimera.storage import Blobs, canonical_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two tables that join, two documents and one file of no use."""
    home = tmp_path / "data"
    (home / "archive").mkdir(parents=True)
    (home / "cities.csv").write_text('id,city,people\n1,Rome,"2,800,000"\n2,Oslo,700\n3,Bern,NA\n')
    (home / "visits.tsv").write_text("city\tday\nRome\t2020-01-02\nOslo\t2020-02-03\nBern\t2020-03-04\n")
    (home / "notes.md").write_text(
        "---\ndate: 2021-05-06\n---\n# Water\n\nThe river is long. It is deep.\n\n# Land\n\nFlat.\n"
    )
    (home / "archive" / "old.txt").write_text("The river was short then. Nobody measured it.\n")
    (home / "empty.csv").touch()
    return home


def built(folder: Path, blobs: Blobs, limits: Limits | None = None) -> Library:
    """Return the library of a folder."""
    return build_library(folder, blobs, knowledge_space="test", limits=limits)


def test_a_folder_becomes_tables_documents_and_passages(folder: Path, blobs: Blobs) -> None:
    """Promise: every file is a source, tables are typed and joined, documents dated, passages cut at headings."""
    library = built(folder, blobs)
    assert ["archive/old.txt", "cities.csv", "empty.csv", "notes.md", "visits.tsv"] == [s.name for s in library.sources]
    cities = library.table("cities")
    assert ["integer", "text", "integer"] == [c.type for c in cities.columns]
    assert (3, 1, 700, 2_800_000) == (
        cities.rows, cities.columns[2].nulls, cities.columns[2].minimum, cities.columns[2].maximum,
    )  # fmt: skip
    assert ("visits.city",) == cities.columns[1].joins
    assert ["", "Water", "Land"] == [p.heading for p in library.passages]
    notes = next(d for d in library.documents if d.title == "Water")
    text = read_document_text(blobs, notes)
    assert "The river is long. It is deep." == text[library.passages[1].start : library.passages[1].end]
    assert "2021-05-06" == str(notes.dated)
    assert {"archive/old.txt"} == {s.name for s in library.sources if s.archived}
    assert [("empty.csv", "The file is empty.")] == [
        (s.name, s.reason) for s in library.sources if s.status == "unread"
    ]


def test_what_a_folder_holds_is_known_before_it_is_read(folder: Path, blobs: Blobs) -> None:
    """Promise: ``found`` is told the kinds of the readable files once, and only then the first file is read."""
    told: list[str] = []
    build_library(
        folder,
        blobs,
        knowledge_space="test",
        progress=lambda line, done, total: told.append(line.partition(" ")[0]),
        found=lambda kinds: told.extend(sorted(kinds)),
    )
    assert ["document", "table"] == [word for word in told if word.islower()]
    assert told.index("Looking") < told.index("document") < told.index("Reading")


def test_the_same_folder_gives_the_same_library(folder: Path, blobs: Blobs, tmp_path: Path) -> None:
    """Promise: nothing of clock, inode or order reaches the library."""
    first = canonical_json(built(folder, blobs).as_json())
    os.utime(folder / "cities.csv", (1, 1))
    assert first == canonical_json(built(folder, Blobs(tmp_path / "other")).as_json())


def test_reading_again_gives_the_same_bytes(folder: Path, blobs: Blobs, tmp_path: Path) -> None:
    """Promise: an unchanged table or text read again is bit for bit the one in the library."""
    library = built(folder, blobs)
    for table in library.tables:
        path = source_path(folder, library.source(table.source_id).name)
        assert table == read_table_again(path, table, Blobs(tmp_path / "again"))
    for document in library.documents:
        source = library.source(document.source_id)
        again = read_text_again(source_path(folder, source.name), source)
        assert read_document_text(blobs, document) == again


def test_a_changed_table_is_read_again_as_it_is_now(folder: Path, blobs: Blobs) -> None:
    """Promise: reading again after a change gives the new rows under the old name."""
    table = built(folder, blobs).table("visits")
    (folder / "visits.tsv").write_text("city\tday\nRome\t2020-01-02\n")
    again = read_table_again(folder / "visits.tsv", table, blobs)
    assert ("visits", 1) == (again.name, again.rows)
    assert table.data != again.data


def test_identical_files_are_one_source(folder: Path, blobs: Blobs) -> None:
    """Promise: the same bytes under two names are read once and named twice."""
    (folder / "copy.csv").write_bytes((folder / "cities.csv").read_bytes())
    library = built(folder, blobs)
    assert [("cities.csv", ("copy.csv",))] == [(s.name, s.also_named) for s in library.sources if s.also_named]
    assert {"cities", "visits"} == {t.name for t in library.tables}


def test_members_of_archives_are_sources(folder: Path, blobs: Blobs, tmp_path: Path) -> None:
    """Promise: a table inside a zip file is read, named through the archive, and can be read again."""
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("in/side.csv", "a,b\n1,2\n3,4\n")
        archive.writestr("../out.csv", "a,b\n1,2\n")
    library = built(folder, blobs)
    assert {"z.zip": "read", "z.zip/in/side.csv": "read", "z.zip/../out.csv": "unread"} == {
        s.name: s.status for s in library.sources if s.name.startswith("z.zip")
    }
    path = source_path(folder, "z.zip/in/side.csv")
    assert folder / "z.zip" == path
    assert library.table("side") == read_table_again(path, library.table("side"), Blobs(tmp_path / "again"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "There is no folder"),
        (lambda p: p.write_text("x"), "not a folder"),
        (lambda p: p.mkdir(), "is empty"),
        (lambda p: (p.mkdir(), (p / ".hidden").touch()), "only hidden files"),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_with_the_next_step(
    tmp_path: Path, blobs: Blobs, make: Callable[[Path], object], words: str
) -> None:
    """Promise: a missing, empty or wrong folder is an error that says what to do."""
    make(tmp_path / "here")
    with pytest.raises(ValidationError, match=words):
        built(tmp_path / "here", blobs)


def test_progress_tells_each_file_and_stopping_lists_the_rest(folder: Path, blobs: Blobs) -> None:
    """Promise: a person sees every file go by; once stopped, what was not read says so."""
    lines: list[str] = []
    library = build_library(
        folder, blobs, knowledge_space="test", progress=lambda line, done, total: lines.append(line),
        should_stop=lambda: "Reading cities.csv" in lines,
    )  # fmt: skip
    assert {"Reading notes.md", "Looking at visits.tsv"} <= set(lines)
    assert {"archive/old.txt"} == {s.name for s in library.sources if s.status == "read"}


def test_limits_list_what_lies_beyond_them(folder: Path, blobs: Blobs) -> None:
    """Promise: files over a limit are named with the reason and the setting that would let them in."""
    library = built(folder, blobs, Limits(files=4, file_bytes=60))
    reasons = {s.name: s.reason or "" for s in library.sources if s.status == "unread"}
    assert {"empty.csv", "notes.md", "visits.tsv"} == set(reasons)
    assert "KIMERA_MAX_FILES" in reasons["visits.tsv"]
    assert "KIMERA_MAX_FILE_BYTES" in reasons["notes.md"]


def test_a_digest_stays_short_and_names_what_it_leaves_out(folder: Path, blobs: Blobs) -> None:
    """Promise: however wide a table, its digest has at most 400 tokens and names columns it leaves out."""
    names = [f"measure_{number}_of_things" for number in range(120)]
    (folder / "wide.csv").write_text(",".join(names) + "\n" + "\n".join(",".join(["1.5"] * 120) for _ in range(3)))
    digest = built(folder, blobs).table("wide").digest
    assert 400 >= len(re.findall(r"[A-Za-z]{1,5}|[0-9]{1,3}|[^\sA-Za-z0-9]", digest))
    assert "3 rows, 120 columns" in digest
    assert re.search(r"and \d+ more: measure_", digest)
