"""Build the bundled example: real penguin measurements split over several files, and documents about them.

The data come from the installed ``palmerpenguins`` package (CC0), the words from ``examples/texts``, every number in
the words from the data. Same packages, same files; nothing is fetched.

    python examples/build_penguins.py [--out examples/penguins]
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Iterable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from penguin_figures import SPECIES, Bird, figures, mean  # noqa: E402 - the folder is no package

TEXTS = HERE / "texts"
FIRST_SEASON = 2007
ZIP_TIME = (2014, 3, 5, 0, 0, 0)
DAMAGED_SHARE = 0.55  # of the bytes of a good PDF: the page tree and the cross-reference table are lost


def read_birds() -> list[Bird]:
    """Read the raw table of the installed package; LookupError when the package is missing."""
    found = find_spec("palmerpenguins")
    if found is None or found.origin is None:
        raise LookupError("palmerpenguins is not installed; run: pip install palmerpenguins")
    raw = Path(found.origin).parent / "data" / "penguins-raw.csv"
    with raw.open(newline="", encoding="utf-8") as lines:
        return [_bird(row) for row in csv.DictReader(lines)]


def _bird(row: dict[str, str]) -> Bird:
    species = row["Species"].split()[0]
    nest = row["Individual ID"].partition("A")[0]
    season = row["studyName"]
    return Bird(
        bird_id=f"{species[0]}{int(row['Sample Number']):03d}",
        nest_id=f"{season}-{species[0]}-{nest}",
        species=species,
        island=row["Island"],
        year=2000 + int(season[3:5]),
        sex=None if row["Sex"] == "NA" else row["Sex"].lower(),
        bill_length_mm=_number(row["Culmen Length (mm)"]),
        bill_depth_mm=_number(row["Culmen Depth (mm)"]),
        flipper_length_mm=_number(row["Flipper Length (mm)"]),
        body_mass_g=_number(row["Body Mass (g)"]),
        egg_date=row["Date Egg"],
        full_clutch=row["Clutch Completion"].lower(),
        delta_15n=_number(row["Delta 15 N (o/oo)"]),
        delta_13c=_number(row["Delta 13 C (o/oo)"]),
        comment="" if row["Comments"] == "NA" else row["Comments"],
    )


def _number(cell: str) -> float | None:
    return None if cell == "NA" else float(cell)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


def as_csv(header: list[str], rows: Iterable[Iterable[object]], delimiter: str = ",") -> bytes:
    """Return rows as CSV bytes with plain newlines."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue().encode("utf-8")


def of_birds(birds: list[Bird], columns: list[str]) -> bytes:
    """Return one row a bird with the named columns."""
    return as_csv(columns, ([getattr(bird, column) for column in columns] for bird in birds))


def of_nests(birds: list[Bird]) -> bytes:
    """Return one row a nest; both birds of a nest share every column."""
    columns = ["nest_id", "species", "island", "year", "egg_date", "full_clutch"]
    nests = {bird.nest_id: [getattr(bird, column) for column in columns] for bird in birds}
    return as_csv(columns, nests.values())


def season_counts(birds: list[Bird]) -> bytes:
    """Return counts and means by season and species the way a European spreadsheet exports them."""
    header = ["Season", "Species", "Birds", "Birds weighed", "Mean body mass (g)", "Mean flipper length (mm)"]
    rows = []
    for year in sorted({bird.year for bird in birds}):
        for species in SPECIES:
            here = [bird for bird in birds if bird.year == year and bird.species == species]
            weighed = sum(bird.body_mass_g is not None for bird in here)
            means = [f"{mean(here, name):.2f}".replace(".", ",") for name in ("body_mass_g", "flipper_length_mm")]
            rows.append([year, species, len(here), weighed, *means])
    return b"Counts by season and species\n" + as_csv(header, rows, ";")


def islands(birds: list[Bird]) -> bytes:
    """Return a workbook with one row for each island and species: birds, nests, first egg, mean body mass."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    book.set_properties({"created": datetime(*ZIP_TIME)})  # noqa: DTZ001 - the format has no zone
    sheet = book.add_worksheet("islands")
    sheet.write_row(0, 0, ["island", "species", "birds", "nests", "first_egg_date", "mean_body_mass_g"])
    groups = sorted({(bird.island, bird.species) for bird in birds})
    for line, (island, species) in enumerate(groups, start=1):
        here = [bird for bird in birds if (bird.island, bird.species) == (island, species)]
        first = min(bird.egg_date for bird in here)
        nests = len({bird.nest_id for bird in here})
        sheet.write_row(line, 0, [island, species, len(here), nests, first, round(mean(here, "body_mass_g"), 1)])
    book.close()
    return out.getvalue()


def fill(name: str, facts: dict[str, str]) -> str:
    """Return the named text with its figures put in; KeyError for a figure that does not exist."""
    return Template((TEXTS / name).read_text(encoding="utf-8")).substitute(facts)


def paragraphs(text: str) -> list[tuple[str, str]]:
    """Split a text into (style, paragraph): the first is the title, ``#`` marks a heading."""
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    styled = [("heading", block[2:]) if block.startswith("# ") else ("text", block) for block in blocks[1:]]
    return [("title", blocks[0]), *styled]


def as_pdf(text: str) -> bytes:
    """Return the text as a PDF whose bytes depend on the text alone."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    sheet = getSampleStyleSheet()
    styles = {"title": sheet["Title"], "heading": sheet["Heading2"], "text": sheet["BodyText"]}
    out = io.BytesIO()
    parts = paragraphs(text)
    story = [piece for style, part in parts for piece in (Paragraph(part, styles[style]), Spacer(1, 6))]
    SimpleDocTemplate(out, pagesize=A4, title=parts[0][1], invariant=1, pageCompression=0).build(story)
    return out.getvalue()


def as_docx(text: str) -> bytes:
    """Return the text as a Word document whose parts carry a fixed time."""
    import docx

    document = docx.Document()
    document.core_properties.created = document.core_properties.modified = datetime(*ZIP_TIME)  # noqa: DTZ001
    document.core_properties.author = ""
    for style, part in paragraphs(text):
        if style == "text":
            document.add_paragraph(part)
        else:
            document.add_heading(part, level=0 if style == "title" else 1)
    fresh, fixed = io.BytesIO(), io.BytesIO()
    document.save(fresh)
    with zipfile.ZipFile(fresh) as old, zipfile.ZipFile(fixed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in sorted(old.namelist(), key=lambda n: (n != "[Content_Types].xml", n)):
            new.writestr(zipfile.ZipInfo(name, ZIP_TIME), old.read(name), zipfile.ZIP_DEFLATED)
    return fixed.getvalue()


def damaged(good: bytes) -> bytes:
    """Return the first part of a PDF, as a broken download would leave it."""
    return good[: int(len(good) * DAMAGED_SHARE)]


def build() -> dict[str, bytes]:
    """Return every generated file of the example by its path inside the folder."""
    birds = read_birds()
    now = figures(birds)
    early = figures([bird for bird in birds if bird.year == FIRST_SEASON])
    measured = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    brief = as_pdf(fill("dimorphism-brief.txt", now))
    return {
        "penguins.csv": of_birds(birds, ["bird_id", "nest_id", "species", "island", "year", "sex", *measured]),
        "nests.csv": of_nests(birds),
        "blood.csv": of_birds(birds, ["bird_id", "delta_15n", "delta_13c", "comment"]),
        "season_counts.csv": season_counts(birds),
        "islands.xlsx": islands(birds),
        "field-notes-2010.md": fill("field-notes-2010.md", now).encode("utf-8"),
        "species-overview.html": fill("species-overview.html", now).encode("utf-8"),
        "measuring-protocol.txt": fill("measuring-protocol.txt", now).encode("utf-8"),
        "dimorphism-brief.pdf": brief,
        "foraging-note.docx": as_docx(fill("foraging-note.txt", now)),
        "archive/summary-2008.md": fill("summary-2008.md", early).encode("utf-8"),
        "scan-damaged.pdf": damaged(as_pdf(fill("measuring-protocol.txt", now))),
    }


def main() -> None:
    """Write the files of the example."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "penguins", help="folder to write to")
    out: Path = parser.parse_args().out
    for name, content in build().items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        print(f"{len(content):7,d}  {name}")


if __name__ == "__main__":
    main()
