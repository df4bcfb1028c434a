"""The librarian reads the bundled example as docs/example.md promises."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from kimera.knowledge import build_library
from kimera.knowledge.contracts import Library
from kimera.storage import Blobs

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "penguins"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Return the example, read once."""
    return build_library(FOLDER, Blobs(tmp_path_factory.mktemp("blobs")), knowledge_space="example")


def test_every_file_but_the_damaged_one_is_read(library: Library) -> None:
    """Promise: thirteen files are found, one is unread, and its reason is given."""
    assert len(library.sources) == len([path for path in FOLDER.rglob("*") if path.is_file()])
    unread = [source for source in library.sources if source.status != "read"]
    assert ["scan-damaged.pdf"] == [source.name for source in unread]
    assert unread[0].reason


def test_tables_have_their_rows_and_types(library: Library) -> None:
    """Promise: five tables with all rows; mass is a number, and two of the birds have none."""
    rows = {table.name: table.rows for table in library.tables}
    assert {"blood": 344, "islands": 5, "nests": 172, "penguins": 344, "season_counts": 9} == rows
    mass = {column.name: column for column in library.table("penguins").columns}["body_mass_g"]
    assert ("integer", 2, 2700, 6300) == (mass.type, mass.nulls, mass.minimum, mass.maximum)


def test_the_european_export_is_read_through_its_title_and_commas(library: Library) -> None:
    """Promise: the title row is a title, semicolons separate, and 3696,43 is a number."""
    table = library.table("season_counts")
    assert ("Counts by season and species",) == table.recipe.title_lines
    assert (";", ",") == (table.recipe.delimiter, table.recipe.decimal)
    types = [column.type for column in table.columns]
    assert ["integer", "text", "integer", "integer", "real", "real"] == types


def test_tables_are_joined_by_their_ids(library: Library) -> None:
    """Promise: the librarian proposes the joins that the folder was split along."""
    joins = {f"{table.name}.{column.name}": column.joins for table in library.tables for column in table.columns}
    assert "blood.bird_id" in joins["penguins.bird_id"]
    assert "nests.nest_id" in joins["penguins.nest_id"]


def test_documents_carry_their_dates_and_the_old_one_is_archived(library: Library) -> None:
    """Promise: each document's date is the one at its top; only the summary in archive/ counts as archived."""
    dates = {source.name: source.dated for source in library.sources if source.kind == "document" and source.dated}
    assert date(2008, 3, 1) == dates["archive/summary-2008.md"]
    assert date(2010, 3, 1) == dates["field-notes-2010.md"]
    assert date(2014, 3, 5) == dates["dimorphism-brief.pdf"] == dates["species-overview.html"]
    assert date(2021, 9, 8) == dates["foraging-note.docx"]
    assert ["archive/summary-2008.md"] == [source.name for source in library.sources if source.archived]
