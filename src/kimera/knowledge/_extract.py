"""The reading child: opens PDF, Office and HTML files in a process of its own that may crash, hang or be killed.

Run as a script by `_child.py`, with an empty environment and without Kimera on its path. Takes one JSON request per
line (``kind``, ``path``, ``out``, limits), writes the result to ``out`` and answers ``ok`` or ``no``. It can neither
connect to anything nor start a process; a hostile document can at worst waste its own time and memory.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import resource
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.", "os.system", "os.exec", "os.posix_")
MISSING_READER = "The reader for this kind of file is not installed; install kimera[files]."
PASSWORD = "It is protected with a password; save a copy without one."  # noqa: S105 - a reason, not a secret
ENOUGH = 1_200  # characters of main text with which the rest of a page may be taken for its frame
NO_TEXT = "It holds no text, only pictures of pages; run text recognition (OCR) on it first."

Block = tuple[str, int, bool]


class Refused(Exception):
    """The document is not read, for the reason given to the person."""


# ---- PDF


def read_pdf(request: dict[str, Any]) -> dict[str, Any]:
    """Return the pages of a PDF as text, by pdfium, or by pypdf where pdfium gives up."""
    try:
        result = _by_pdfium(request)
    except (RuntimeError, ValueError, OSError) as broken:
        result = _by_pypdf(request, broken)
    if not any(page.strip() for page in result["pages"]):
        raise Refused(NO_TEXT)
    return result


def _by_pdfium(request: dict[str, Any]) -> dict[str, Any]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(request["path"])
    except pypdfium2.PdfiumError as broken:
        if "assword" in str(broken):
            raise Refused(PASSWORD) from broken
        raise
    pages, room = [], request["characters"]
    for index in range(min(len(document), request["pages"])):
        text = document[index].get_textpage().get_text_bounded()[:room]
        pages.append(text)
        room -= len(text)
        if room <= 0:
            break
    cut = len(pages) < len(document)
    return {"pages": pages, "title": document.get_metadata_value("Title") or "", "cut": cut, "reader": "pdfium"}


def _by_pypdf(request: dict[str, Any], broken: Exception) -> dict[str, Any]:
    try:
        import pypdf
    except ImportError:
        raise Refused("It is damaged and cannot be opened as a PDF.") from broken
    try:
        document = pypdf.PdfReader(request["path"], strict=False)
        if document.is_encrypted and not document.decrypt(""):
            raise Refused(PASSWORD)
        count = len(document.pages)
        pages = [document.pages[i].extract_text() or "" for i in range(min(count, request["pages"]))]
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as again:
        raise Refused("It is damaged and cannot be opened as a PDF.") from again
    return {"pages": pages, "title": "", "cut": len(pages) < count, "reader": "pypdf"}


# ---- Office files: zip archives of XML


def check_package(request: dict[str, Any]) -> None:
    """Refuse a package that unpacks to too much or that defines XML entities; sizes are counted, not believed."""
    total, packed = 0, max(1, Path(request["path"]).stat().st_size)
    with zipfile.ZipFile(request["path"]) as package:
        if len(package.infolist()) > 20_000:
            raise Refused("It holds too many parts to be a real document.")
        for info in package.infolist():
            with package.open(info) as part:
                while chunk := part.read(1 << 18):
                    total += len(chunk)
                    if total > request["unpacked"] or (total > 1 << 24 and total > 200 * packed):
                        raise Refused("It unpacks to far more than its size allows (a zip bomb); nothing was read.")
                    if b"<!ENTITY" in chunk:
                        raise Refused("It defines XML entities, which real documents do not; nothing was read.")


def read_docx(request: dict[str, Any]) -> dict[str, Any]:
    """Return the paragraphs, headings and tables of a Word file in their order."""
    check_package(request)
    import docx

    document = docx.Document(request["path"])
    blocks = list(_docx_blocks(document.iter_inner_content()))
    return {"blocks": blocks, "title": document.core_properties.title or "", "reader": "python-docx"}


def _docx_blocks(items: Iterable[Any]) -> Iterator[Block]:
    for item in items:
        if hasattr(item, "rows"):
            yield "\n".join(_row([cell.text for cell in row.cells]) for row in item.rows), 0, False
            continue
        style = (item.style.name or "") if item.style is not None else ""
        if style == "Title":
            yield item.text, 1, False
        elif style.startswith("Heading"):
            digits = style.removeprefix("Heading").strip()
            yield item.text, int(digits) if digits.isdigit() else 1, False
        else:
            yield ("- " if style.startswith("List") and item.text.strip() else "") + item.text, 0, False


def _row(cells: list[str]) -> str:
    # Merged cells repeat in python-docx; one mention is enough.
    kept = [c for i, c in enumerate(cells) if i == 0 or c != cells[i - 1]]
    return " | ".join(" ".join(cell.split()) for cell in kept)


def read_pptx(request: dict[str, Any]) -> dict[str, Any]:
    """Return the slides of a presentation: titles as headings, text, tables and notes."""
    check_package(request)
    import pptx

    show = pptx.Presentation(request["path"])
    blocks: list[Block] = []
    for slide in show.slides:
        title = slide.shapes.title
        blocks.append((title.text_frame.text if title is not None else "", 2, True))
        for shape in slide.shapes:
            if title is not None and shape.shape_id == title.shape_id:
                continue
            blocks.extend((text, 0, False) for text in _shape_texts(shape))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            blocks.append((slide.notes_slide.notes_text_frame.text, 0, False))
    return {"blocks": blocks, "title": show.core_properties.title or "", "reader": "python-pptx"}


def _shape_texts(shape: Any) -> Iterator[str]:
    if getattr(shape, "has_text_frame", False) and shape.has_text_frame:
        yield shape.text_frame.text
    if getattr(shape, "has_table", False) and shape.has_table:
        yield "\n".join(_row([cell.text for cell in row.cells]) for row in shape.table.rows)
    for inner in getattr(shape, "shapes", ()):
        yield from _shape_texts(inner)


# ---- HTML


class _Plain(HTMLParser):
    """Every visible text of a page, block by block: the reader of last resort."""

    HIDDEN = frozenset(
        {
            "script",
            "style",
            "noscript",
            "template",
            "svg",
            "iframe",
            "object",
            "nav",
            "footer",
            "aside",
            "form",
            "title",
        }
    )
    INLINE = frozenset({"a", "b", "i", "em", "strong", "span", "code", "sub", "sup", "u", "small", "abbr", "mark", "q"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self.title = ""
        self._parts: list[str] = []
        self._hidden: list[str] = []
        self._level = 0
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.HIDDEN:
            self._hidden.append(tag)
        elif tag in {"td", "th"}:
            self._parts.append(" | " if self._cell else "")
            self._cell = True
        elif tag not in self.INLINE:
            self._close()
            self._level = int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else 0
            if tag == "li":
                self._parts.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag == self._hidden[-1]:
            self._hidden.pop()
        elif tag not in self.INLINE and tag not in {"td", "th"}:
            self._close()

    def handle_data(self, data: str) -> None:
        if self._hidden:
            self.title += data if self._hidden[-1] == "title" else ""
        else:
            self._parts.append(data)

    def _close(self) -> None:
        text = " ".join("".join(self._parts).split())
        if text.strip("-| "):
            self.blocks.append((text, self._level, False))
        self._parts, self._level, self._cell = [], 0, False


def read_html(request: dict[str, Any]) -> dict[str, Any]:
    """Return the main text of a page by trafilatura; all visible text where that finds too little of it."""
    markup = Path(request["path"]).read_text(encoding="utf-8", errors="replace")[: request["characters"] * 4]
    plain = _Plain()
    plain.feed(markup)
    plain.close()
    whole = sum(len(text) for text, _, _ in plain.blocks)
    result: dict[str, Any] = {"blocks": plain.blocks, "title": plain.title, "date": "", "reader": "html.parser"}
    main = _by_trafilatura(markup)
    if main is not None:
        result["date"] = main["date"]
        result["title"] = result["title"].strip() or main["title"]
        found = sum(len(text) for text, _, _ in main["blocks"])
        if len(main["blocks"]) > 1 and (found >= ENOUGH or found >= 0.6 * whole):
            result.update(blocks=main["blocks"], reader="trafilatura")
    return result


def _by_trafilatura(markup: str) -> dict[str, Any] | None:
    try:
        import trafilatura
    except ImportError:
        return None
    found = trafilatura.bare_extraction(
        markup, include_comments=False, include_tables=True, favor_recall=True, with_metadata=True,
        date_extraction_params={"extensive_search": False, "original_date": False},
    )  # fmt: skip
    if found is None or isinstance(found, dict) or found.body is None:
        return None
    return {"blocks": list(_tree_blocks(found.body)), "title": found.title or "", "date": found.date or ""}


def _tree_blocks(body: Any) -> Iterator[Block]:
    for element in body:
        text = " ".join("".join(element.itertext()).split())
        if element.tag == "head":
            rank = str(element.get("rend") or "h2")[-1]
            yield text, int(rank) if rank.isdigit() else 2, False
        elif element.tag == "list":
            items = (" ".join("".join(item.itertext()).split()) for item in element)
            yield "\n".join(f"- {item}" for item in items if item), 0, False
        elif element.tag == "table":
            rows = ([" ".join("".join(cell.itertext()).split()) for cell in row] for row in element)
            yield "\n".join(" | ".join(row) for row in rows), 0, False
        elif text:
            yield text, 0, False


# ---- Workbooks


def read_excel(request: dict[str, Any]) -> dict[str, Any]:
    """Write each sheet of a workbook as CSV beside ``out``; return their names and sizes."""
    if zipfile.is_zipfile(request["path"]):
        check_package(request)
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(request["path"])
    except python_calamine.PasswordError as locked:
        raise Refused(PASSWORD) from locked
    except (python_calamine.CalamineError, OSError, ValueError) as broken:
        raise Refused("It is damaged and cannot be opened as a workbook.") from broken
    sheets = []
    for number, name in enumerate(book.sheet_names[: request["sheets"]]):
        sheet = book.get_sheet_by_name(name)
        rows = [[_cell(value) for value in row] for row in sheet.to_python(skip_empty_area=True)]
        _fill_down(rows, sheet)
        target = f"{request['out']}.{number}.csv"
        with Path(target).open("w", encoding="utf-8", newline="", errors="replace") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
        sheets.append({"name": name, "path": target, "rows": len(rows)})
    return {"sheets": sheets, "cut": len(book.sheet_names) > request["sheets"], "reader": "calamine"}


def _fill_down(rows: list[list[str]], sheet: Any) -> None:
    """Repeat the value of cells merged downwards; cells merged sideways are header spans and are treated as such."""
    start = sheet.start or (0, 0)
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
        column = left - start[1]
        if left != right or not 0 <= top - start[0] < len(rows) or column < 0:
            continue
        value = rows[top - start[0]][column]
        for row in range(top - start[0] + 1, min(bottom - start[0] + 1, len(rows))):
            rows[row][column] = value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value.total_seconds())
    return str(value)


# ---- the loop

READERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "pdf": read_pdf,
    "docx": read_docx,
    "pptx": read_pptx,
    "html": read_html,
    "excel": read_excel,
}
WARM = {"pdf": "pypdfium2", "docx": "docx", "pptx": "pptx", "html": "trafilatura", "excel": "python_calamine"}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what one file holds, or ``{"problem": reason}``."""
    try:
        return READERS[request["kind"]](request)
    except ImportError:
        return {"problem": MISSING_READER}
    except Refused as refused:
        return {"problem": str(refused)}
    except MemoryError:
        return {"problem": "Reading it needs more memory than a document may take."}
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt | SystemExit):
            raise
        return {"problem": f"It is damaged or not what it seems ({type(broken).__name__})."}


def confine(memory: int) -> None:
    """Bound the memory of this process, and refuse it the network and other processes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def watch(event: str, _: object) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(event)

    sys.addaudithook(watch)


def main() -> None:
    """Answer requests until the input ends."""
    confine(int(sys.argv[1]))
    # Native readers may print: answers get a pipe of their own, and the usual output goes nowhere.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if "warm" in request:
            for kind in request["warm"]:
                try:
                    importlib.import_module(WARM[kind])
                except ImportError:
                    continue
            continue
        result = answer(request)
        Path(request["out"]).write_text(json.dumps(result), encoding="utf-8")
        answers.write("done\n")
        answers.flush()


if __name__ == "__main__":
    main()
