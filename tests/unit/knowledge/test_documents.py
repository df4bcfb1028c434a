"""Documents: text made uniform once, with titles, headings, pages and dates that stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import docx
import pptx
import pytest
from reportlab.pdfgen import canvas

from kimera.knowledge._child import Child
from kimera.knowledge._dates import archived_names, date_in_name, find_date, is_archived, parse_date
from kimera.knowledge._duck import Engine
from kimera.knowledge._read import Outcome, read
from kimera.knowledge._sniff import sniff
from kimera.knowledge._text import Block, from_blocks, from_markdown, from_pages, from_plain, normalise
from kimera.knowledge.limits import Limits


@pytest.fixture(scope="module")
def tools() -> Iterator[tuple[Engine, Child]]:
    """Yield one engine and one reading child for all documents of this module."""
    with Engine(Limits()) as engine, Child(Limits()) as child:
        yield engine, child


def outcome_of(path: Path, tools: tuple[Engine, Child]) -> Outcome:
    """Return what the reader finds in one file."""
    return read(path, path.name, sniff(path, path.name), *tools)


def test_text_is_made_uniform_once() -> None:
    """Promise: accents are composed, control and direction marks are gone, and a second time changes nothing."""
    text = normalise("Cafe\u0301 \r\nline\u202e two\x00\r\n\r\n\r\n\r\nend\xa0here\n")
    assert "Café\nline two\n\nend here" == text == normalise(text)


def test_markdown_headings_stand_where_they_say() -> None:
    """Promise: each heading's offset is the place of its line; code blocks hold none; front matter names the title."""
    raw = "---\ntitle: My notes\n---\n# One\n\nText.\n\nTwo\n---\n\n```\n# no heading\n```\n### Three ###\n"
    found = from_markdown(raw, "n.md")
    assert ("My notes", [("One", 1), ("Two", 2), ("Three", 3)]) == (
        found.title,
        [(h.text, h.level) for h in found.headings],
    )
    assert all(found.text[h.start :].lstrip("# ").startswith(h.text) for h in found.headings)


def test_plain_headings_are_numbered_or_in_capitals() -> None:
    """Promise: lines that look like headings are; sentences are not."""
    found = from_plain("ANNUAL REPORT\n\n1. What we did\nWe did things. 2 of 3 worked.\n\nIt was good.\n", "r.txt")
    assert ("ANNUAL REPORT", ["ANNUAL REPORT", "1. What we did"]) == (found.title, [h.text for h in found.headings])


def test_pages_join_where_a_sentence_runs_on() -> None:
    """Promise: page breaks are kept as offsets; a word parted at a line end is one word again."""
    found = from_pages(["The exam-\nple is long and", "runs on. End.", "Next page."], "untitled", "p.pdf")
    assert "The example is long and\nruns on. End.\n\nNext page." == found.text
    assert ["runs", "Next"] == [found.text[at : at + 4] for at in found.page_breaks]


def test_blocks_keep_headings_and_pages() -> None:
    """Promise: offsets of headings and slides point at their text."""
    found = from_blocks([Block("Title", 1, True), Block(" "), Block("Body."), Block("Second", 2, True)], "", "s.pptx")
    assert "Title\n\nBody.\n\nSecond" == found.text
    assert [(0, "Title"), (14, "Second")] == [(h.start, h.text) for h in found.headings]
    assert (14,) == found.page_breaks


def test_word_files_give_headings_lists_and_tables(tools: tuple[Engine, Child], tmp_path: Path) -> None:
    """Promise: a Word file keeps its order, its headings and the cells of its tables."""
    made = docx.Document()
    made.add_heading("Policy", 0)
    made.add_paragraph("Published: 3 March 2021")
    made.add_heading("Scope", 1)
    made.add_paragraph("It applies to all.", style="List Bullet")
    table = made.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    made.save(str(tmp_path / "d.docx"))
    (found,) = outcome_of(tmp_path / "d.docx", tools).documents
    assert "Policy\n\nPublished: 3 March 2021\n\nScope\n\n- It applies to all.\n\na | b" == found.text
    assert [("Policy", 1), ("Scope", 1)] == [(h.text, h.level) for h in found.headings]


def test_a_relative_path_leads_to_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise: the child works elsewhere, yet finds a file and its answer by paths relative to here."""
    made = docx.Document()
    made.add_paragraph("Words.")
    made.save(str(tmp_path / "d.docx"))
    monkeypatch.chdir(tmp_path)
    with Child(Limits()) as child:
        assert [["Words.", 0, False]] == child.extract("docx", Path("d.docx"), Path("out"))["blocks"]


def test_slides_are_pages(tools: tuple[Engine, Child], tmp_path: Path) -> None:
    """Promise: each slide starts a page under its title; speaker notes are kept."""
    made = pptx.Presentation()
    for number in (1, 2):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
        slide.placeholders[1].text = f"Point {number}"
    slide.notes_slide.notes_text_frame.text = "Say this."
    made.save(str(tmp_path / "p.pptx"))
    (found,) = outcome_of(tmp_path / "p.pptx", tools).documents
    assert "Slide 1\n\nPoint 1\n\nSlide 2\n\nPoint 2\n\nSay this." == found.text
    assert 1 == len(found.page_breaks)


def test_pdf_pages_are_read(tools: tuple[Engine, Child], tmp_path: Path) -> None:
    """Promise: the text of a PDF is read page by page; a PDF of pictures says that it has no text."""
    sheet = canvas.Canvas(str(tmp_path / "p.pdf"))
    for line in ("First page words.", "Second page words."):
        sheet.drawString(72, 700, line)
        sheet.showPage()
    sheet.save()
    outcome = outcome_of(tmp_path / "p.pdf", tools)
    assert ("pdfium", "First page words.\n\nSecond page words.") == (outcome.reader, outcome.documents[0].text)
    empty = canvas.Canvas(str(tmp_path / "e.pdf"))
    empty.rect(10, 10, 50, 50)
    empty.showPage()
    empty.save()
    assert "no text" in (outcome_of(tmp_path / "e.pdf", tools).problem or "")


def test_html_gives_its_words_and_nothing_runs(tools: tuple[Engine, Child], tmp_path: Path) -> None:
    """Promise: menus, scripts and styles stay out; headings, lists and tables stay in; the charset is believed."""
    page = tmp_path / "p.html"
    page.write_bytes(
        "<html><head><meta charset='iso-8859-1'><title>Café</title><style>p{}</style></head><body><nav>menu</nav>"
        "<h1>Rivers</h1><p>The Rhône is long.</p><ul><li>one</li></ul><table><tr><td>x</td><td>1</td></tr></table>"
        "<script>alert(1)</script></body></html>".encode("latin-1")
    )
    (found,) = outcome_of(page, tools).documents
    assert ("Café", "Rivers\n\nThe Rhône is long.\n\n- one\n\nx | 1") == (found.title, found.text)
    assert ["Rivers"] == [h.text for h in found.headings]


def test_a_reader_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """Promise: a document that keeps its reader busy is given up, and the next one is read by a new reader."""
    made = docx.Document()
    made.add_paragraph("Words.")
    made.save(str(tmp_path / "d.docx"))
    with Child(Limits(reader_seconds=0.0)) as child:
        assert "took longer" in child.extract("docx", tmp_path / "d.docx", tmp_path / "out")["problem"]
        child.limits = Limits()
        assert "blocks" in child.extract("docx", tmp_path / "d.docx", tmp_path / "out")


@pytest.mark.parametrize(
    ("expected", "name", "title", "text"),
    [
        (date(2021, 3, 5), "a.txt", "", "Title\nPublished: 5 March 2021\nIt was 1999-01-01 then."),
        (date(2021, 3, 5), "a.txt", "", "**Last updated:** March 5, 2021"),
        (date(2021, 3, 5), "a.md", "", "---\ntitle: x\ndate: 2021-03-05\n---\n"),
        (date(2019, 3, 1), "report-2019-03.md", "", "No date in it, but 2001-02-03 in a sentence of some length."),
        (date(2019, 3, 4), "memo 20190304.txt", "", ""),
        (date(2020, 6, 1), "a.txt", "", "Quarterly letter\nJune 2020\n\nDear all, we met on 3 May 2019."),
        (date(2018, 1, 1), "a.txt", "Annual report 2018", "Words."),
        (None, "a.txt", "Rivers", "In 1999-05-06 the river rose, and many people left their houses."),
        (None, "a12345678.txt", "", ""),
    ],
)
def test_a_document_is_dated_by_what_it_says(expected: date | None, name: str, title: str, text: str) -> None:
    """Promise: a stated date comes before the name, the name before a lone line, a date in a sentence never counts."""
    assert expected == find_date(name, title, text)


def test_dates_in_many_forms_are_one_date() -> None:
    """Promise: usual ways to write a day give that day; impossible days give none."""
    forms = [
        "2021-03-05",
        "5 March 2021",
        "March 5th, 2021",
        "05.03.2021",
        "03/05/2021",
        "5th of March 2021",
        "2021/3/5",
    ]
    assert {date(2021, 3, 5)} == {parse_date(form) for form in forms}
    assert parse_date("2021-02-31") is None
    assert date(2020, 5, 1) == date_in_name("x/2019/data_2020_05.csv")


@pytest.mark.parametrize(
    ("expected", "name", "title", "text"),
    [
        (True, "archive/report.md", "", ""),
        (True, "old/report.md", "", ""),
        (True, "report_old.md", "", ""),
        (True, "a.md", "Guide (superseded)", "This guide has been superseded."),
        (True, "a.md", "", "Status: deprecated\n\nWords."),
        (True, "a.md", "", "This document is no longer valid."),
        (False, "goldfish.md", "Old trees", "The old forest was replaced in parts."),
        (False, "threshold.md", "", "The archive of the city holds letters."),
    ],
)
def test_archived_documents_say_so(expected: bool, name: str, title: str, text: str) -> None:
    """Promise: folders, names and opening lines that call a document outdated are believed; mere words are not."""
    assert expected == is_archived(name, title, text)


def test_a_lower_version_beside_a_higher_one_is_archived() -> None:
    """Promise: of files with the same name but for the version, only the highest is current."""
    names = ["a/guide-v1.md", "a/guide-v2.md", "a/guide-v10.md", "b/guide-v1.md", "a/other v1.md"]
    assert {"a/guide-v1.md", "a/guide-v2.md"} == archived_names(names)
