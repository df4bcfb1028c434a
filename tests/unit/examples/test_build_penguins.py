"""The bundled example is what its script builds, and is small."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from examples import build_penguins

FOLDER = Path(build_penguins.__file__).parent / "penguins"
PLAIN = {".csv", ".md", ".html", ".txt"}


@pytest.fixture(scope="module")
def built() -> dict[str, bytes]:
    """Build the example once for this module."""
    return build_penguins.build()


def pdf_text(content: bytes) -> str:
    """Return the text of a PDF's pages."""
    import pypdfium2

    with pypdfium2.PdfDocument(content) as document:
        return "".join(page.get_textpage().get_text_range() for page in document)


def docx_text(content: bytes) -> list[str]:
    """Return the paragraphs of a Word document."""
    import docx

    return [paragraph.text for paragraph in docx.Document(io.BytesIO(content)).paragraphs]


def cells(content: bytes) -> list[list[object]]:
    """Return the first sheet of a workbook."""
    from python_calamine import CalamineWorkbook

    return CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()


def test_the_committed_files_are_the_built_ones(built: dict[str, bytes]) -> None:
    """Promise: every file of the example except its README is written by the script, and no other file lies there."""
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert there == {*built, "README.md"}


def test_plain_files_match_byte_for_byte(built: dict[str, bytes]) -> None:
    """Promise: tables and texts in the repository are exactly what the script gives."""
    plain = [name for name in built if Path(name).suffix in PLAIN]
    assert [] == [name for name in plain if (FOLDER / name).read_bytes() != built[name]]


def test_office_files_match_in_content(built: dict[str, bytes]) -> None:
    """Promise: workbook, Word and PDF files say what the script gives, whichever version wrote them."""
    assert cells((FOLDER / "islands.xlsx").read_bytes()) == cells(built["islands.xlsx"])
    assert docx_text((FOLDER / "foraging-note.docx").read_bytes()) == docx_text(built["foraging-note.docx"])
    assert pdf_text((FOLDER / "dimorphism-brief.pdf").read_bytes()) == pdf_text(built["dimorphism-brief.pdf"])


def test_building_twice_gives_the_same_bytes(built: dict[str, bytes]) -> None:
    """Promise: no clock and no chance gets into the files."""
    assert built == build_penguins.build()


def test_the_damaged_file_cannot_be_opened() -> None:
    """Promise: the unreadable file of the example is unreadable, and looks like a PDF at its start."""
    import pypdfium2

    content = (FOLDER / "scan-damaged.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(content)


def test_the_example_is_small() -> None:
    """Promise: the example stays below 400 kB."""
    assert 400_000 > sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
