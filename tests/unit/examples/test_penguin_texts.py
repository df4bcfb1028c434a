"""Every number in the example's documents is recomputed here from the example's tables, by other code."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest
from examples import build_penguins

FOLDER = Path(build_penguins.__file__).parent / "penguins"
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
# numbers that are no figures of the data: dates, seasons, the citation, names of isotopes, primers, nests and lists
NOT_FIGURES = re.compile(
    r"^Date: 20[-0-9]* \([^)]*\)|Fraser \(2014\)|Fraser \(2014, PLOS ONE 9\(3\): e\d+\)|others, 2021"
    r"|seasons that began in 2007, 2008 and 2009|in 20\d\d\b|P2|P8|1 Egg|N1A1|N1A2|N1\b|^\d\. .*$"
    r"|steps of 25 g|A with 1 or 2|delta-15N|delta-13C",
    re.MULTILINE,
)
MASS = "SELECT avg(body_mass_g) FROM birds"


class Words(HTMLParser):
    """Collects the text of a page, a line for each element."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        """Keep a run of text."""
        self.parts.append(data)


def text_of(name: str) -> str:
    """Return the words of one document of the example."""
    path = FOLDER / name
    if path.suffix == ".pdf":
        import pypdfium2

        with pypdfium2.PdfDocument(path) as document:
            raw = document[0].get_textpage().get_text_range()
        return re.sub(r"\n(?!Date)", " ", raw.replace("\r\n", "\n"))
    if path.suffix == ".docx":
        import docx

        return "\n".join(paragraph.text for paragraph in docx.Document(io.BytesIO(path.read_bytes())).paragraphs)
    if path.suffix == ".html":
        words = Words()
        words.feed(path.read_text())
        return "\n".join(words.parts)
    return path.read_text()


def numbers_of(name: str) -> list[str]:
    """Return the figures of a document in their order."""
    return NUMBER.findall(NOT_FIGURES.sub("", text_of(name)))


@pytest.fixture(scope="module")
def ask() -> Callable[..., str]:
    """Return a function that answers one SQL question over the example's tables as written text."""
    database = duckdb.connect()
    database.execute(
        f"CREATE VIEW birds AS SELECT p.*, b.*, n.egg_date, n.full_clutch FROM '{FOLDER}/penguins.csv' p "
        f"JOIN '{FOLDER}/blood.csv' b USING (bird_id) JOIN '{FOLDER}/nests.csv' n USING (nest_id)"
    )

    def answer(sql: str, style: str = ",.0f") -> str:
        row = database.execute(sql).fetchone()
        assert row is not None
        return format(row[0], style)

    return answer


def mass(where: str) -> str:
    """Return the question for a mean body mass."""
    return f"{MASS} WHERE {where}"


def related(column: str, where: str = "true") -> str:
    """Return the question for a correlation with body mass."""
    return f"SELECT corr({column}, body_mass_g) FROM birds WHERE {where}"


def pairs(where: str, condition: str) -> str:
    """Return the question for nests with both birds weighed and sexed that meet a condition."""
    return (
        "SELECT count(*) FROM (SELECT max(body_mass_g) FILTER (sex = 'male') AS male, "
        "max(body_mass_g) FILTER (sex = 'female') AS female "
        f"FROM birds WHERE {where} GROUP BY nest_id) WHERE male IS NOT NULL AND female IS NOT NULL AND {condition}"
    )


def season_block(ask: Callable[..., str], where: str) -> list[str]:
    """Return birds, nests, weighed birds and their mean mass, as both summaries give them."""
    weighed = ask(f"SELECT count(body_mass_g) FROM birds WHERE {where}")
    birds = ask(f"SELECT count(*) FROM birds WHERE {where}")
    nests = ask(f"SELECT count(DISTINCT nest_id) FROM birds WHERE {where}")
    return [birds, nests, weighed, ask(mass(where))]


def species_block(ask: Callable[..., str], names: list[str], where: str) -> list[str]:
    """Return the mean mass of each species."""
    return [ask(mass(f"species = '{name}' AND {where}")) for name in names]


def pair_block(ask: Callable[..., str], where: str) -> list[str]:
    """Return in how many pairs the male is the heavier bird, and of how many."""
    return [ask(pairs(where, "male > female")), ask(pairs(where, "true"))]


def sex_block(ask: Callable[..., str]) -> list[str]:
    """Return the mean mass of males and of females."""
    return [ask(mass(f"sex = '{sex}'")) for sex in ("male", "female")]


def test_field_notes_say_what_the_tables_give(ask: Callable[..., str]) -> None:
    """Promise: each number of the field notes is the one computed from all rows."""
    species = ["Adelie", "Chinstrap", "Gentoo"]
    adelie_gap = "SELECT avg(body_mass_g) FILTER (species = 'Gentoo') - avg(body_mass_g) FILTER (species = 'Adelie')"
    expected = [
        *season_block(ask, "true"),
        ask(f"{adelie_gap} FROM birds"),
        *species_block(ask, ["Gentoo", "Adelie", "Chinstrap"], "true"),
        *sex_block(ask),
        *pair_block(ask, "true"),
        ask(related("flipper_length_mm"), ".2f"),
        *(ask(related("flipper_length_mm", f"species = '{name}'"), ".2f") for name in species),
        ask(related("bill_depth_mm"), ".2f"),
        min(ask(related("bill_depth_mm", f"species = '{name}'"), ".2f") for name in species),
        max(ask(related("bill_depth_mm", f"species = '{name}'"), ".2f") for name in species),
        *(ask(mass(f"species = 'Adelie' AND island = '{name}'")) for name in ("Biscoe", "Dream", "Torgersen")),
        *(ask(mass(f"year = {year}")) for year in (2007, 2008, 2009)),
    ]
    assert expected == numbers_of("field-notes-2010.md")


def test_the_old_summary_says_what_the_first_season_gives(ask: Callable[..., str]) -> None:
    """Promise: the stale figures are honest: they are computed from the rows of 2007 alone."""
    where = "year = 2007"
    expected = [
        *season_block(ask, where),
        *species_block(ask, ["Gentoo", "Chinstrap", "Adelie"], where),
        *pair_block(ask, where),
        *(ask(pairs(f"{where} AND species = '{name}'", "true")) for name in build_penguins.SPECIES),
        ask(related("flipper_length_mm", where), ".2f"),
        ask(f"SELECT avg(flipper_length_mm) FROM birds WHERE {where}", ".1f"),
        *(ask(f"SELECT count(*) FROM birds WHERE {where} AND species = '{name}'") for name in ("Chinstrap", "Adelie")),
    ]
    assert expected == numbers_of("archive/summary-2008.md")


def test_the_old_summary_disagrees_with_the_full_data(ask: Callable[..., str]) -> None:
    """Promise: the trap is one: the mean and the lightest species of 2007 are not those of all seasons."""

    def lightest(where: str) -> str:
        sql = (
            f"SELECT arg_min(species, m) FROM (SELECT species, avg(body_mass_g) m FROM birds WHERE {where} GROUP BY 1)"
        )
        return ask(sql, "s")

    assert ("Chinstrap", "Adelie") == (lightest("year = 2007"), lightest("true"))
    assert ask(mass("year = 2007")) != ask(MASS)


def test_the_overview_says_what_the_tables_give(ask: Callable[..., str]) -> None:
    """Promise: each number of the species overview is computed, in its prose and in its table."""

    def of(name: str, column: str, style: str = ".1f") -> str:
        return ask(f"SELECT avg({column}) FROM birds WHERE species = '{name}'", style)

    def count(name: str) -> str:
        return ask(f"SELECT count(*) FROM birds WHERE species = '{name}'")

    size = {name: [of(name, "body_mass_g", ",.0f"), of(name, "flipper_length_mm")] for name in build_penguins.SPECIES}
    expected = [
        ask(MASS),
        *size["Adelie"],
        count("Chinstrap"),
        *size["Chinstrap"],
        of("Chinstrap", "bill_length_mm"),
        of("Adelie", "bill_length_mm"),
        count("Gentoo"),
        *size["Gentoo"],
        of("Gentoo", "bill_depth_mm"),
        *(number for name in build_penguins.SPECIES for number in size[name]),
    ]
    assert expected == numbers_of("species-overview.html")


def test_the_brief_says_what_the_tables_give(ask: Callable[..., str]) -> None:
    """Promise: each number of the brief on the sexes is computed; its order of the species follows from them."""

    def both(name: str) -> list[str]:
        return [ask(mass(f"species = '{name}' AND sex = '{sex}'")) for sex in ("male", "female")]

    gap = "avg(body_mass_g) FILTER (sex = 'male') - avg(body_mass_g) FILTER (sex = 'female')"
    share = f"100 * ({gap}) / avg(body_mass_g) FILTER (sex = 'female')"

    def by(formula: str, name: str, style: str) -> str:
        return ask(f"SELECT {formula} FROM birds WHERE species = '{name}'", style)

    expected = [
        *sex_block(ask),
        *both("Gentoo"),
        *both("Adelie"),
        *both("Chinstrap"),
        *(by(gap, name, ",.0f") for name in ("Gentoo", "Adelie", "Chinstrap")),
        *(by(share, name, ".1f") for name in ("Adelie", "Gentoo", "Chinstrap")),
        *(ask(f"SELECT avg(flipper_length_mm) FROM birds WHERE sex = '{sex}'", ".1f") for sex in ("male", "female")),
        ask("SELECT count(*) FROM birds WHERE sex IS NULL"),
        ask("SELECT count(*) FROM birds"),
    ]
    assert expected == numbers_of("dimorphism-brief.pdf")


def test_the_foraging_note_says_what_the_tables_give(ask: Callable[..., str]) -> None:
    """Promise: each number of the note on food is computed over the joined tables."""
    species = ["Adelie", "Chinstrap", "Gentoo"]
    expected = [
        ask(related("delta_15n"), ".2f"),
        *(ask(related("delta_15n", f"species = '{name}'"), ".2f") for name in species),
        *(
            ask(f"SELECT avg(delta_15n) FROM birds WHERE species = '{name}'", ".2f")
            for name in ("Gentoo", "Adelie", "Chinstrap")
        ),
        ask("SELECT count(DISTINCT nest_id) FROM birds"),
        ask("SELECT count(DISTINCT nest_id) FROM birds WHERE NOT full_clutch"),
        ask(mass("full_clutch")),
        ask(mass("NOT full_clutch")),
    ]
    assert expected == numbers_of("foraging-note.docx")


def test_the_protocol_states_no_results(ask: Callable[..., str]) -> None:
    """Promise: the protocol quotes no figure, and its step of 25 g is the step of the data."""
    assert [] == numbers_of("measuring-protocol.txt")
    assert "0" == ask("SELECT count(*) FROM birds WHERE body_mass_g % 25 <> 0")
    assert "0" == ask("SELECT count(*) FROM birds WHERE abs(bill_length_mm * 10 - round(bill_length_mm * 10)) > 1e-9")


def test_what_the_words_say_without_numbers_holds(ask: Callable[..., str]) -> None:
    """Promise: statements without a number are true of the data too: sexes, islands, and who nests where."""
    for name in build_penguins.SPECIES:
        male, female = (float(ask(mass(f"species = '{name}' AND sex = '{s}'"), "f")) for s in ("male", "female"))
        assert male > female
    assert "3" == ask("SELECT count(DISTINCT island) FROM birds WHERE species = 'Adelie'")
    assert "Dream" == ask("SELECT string_agg(DISTINCT island) FROM birds WHERE species = 'Chinstrap'", "s")
    assert "Biscoe" == ask("SELECT string_agg(DISTINCT island) FROM birds WHERE species = 'Gentoo'", "s")
    assert "0" == ask("SELECT count(*) FROM birds WHERE (flipper_length_mm IS NULL) <> (body_mass_g IS NULL)")
    gentoo = "avg(CASE WHEN species = 'Gentoo' THEN 1 ELSE 0 END)"
    share = f"SELECT {gentoo} FILTER (NOT full_clutch) < {gentoo} FILTER (full_clutch) FROM birds"
    assert "True" == ask(share, "")


def test_documents_have_the_promised_length() -> None:
    """Promise: each document has between 200 and 500 words."""
    names = ["field-notes-2010.md", "species-overview.html", "measuring-protocol.txt", "dimorphism-brief.pdf"]
    names += ["foraging-note.docx", "archive/summary-2008.md"]
    assert {} == {name: n for name in names if not 200 <= (n := len(text_of(name).split())) <= 500}


def test_the_page_about_the_example_quotes_the_data(ask: Callable[..., str]) -> None:
    """Promise: the figures in docs/example.md are those of the tables."""
    page = (FOLDER.parent.parent / "docs" / "example.md").read_text()
    chinstrap = "species = 'Chinstrap'"
    expected = [
        ask(mass("species = 'Gentoo'")) + " g on average",
        "correlation " + ask(related("flipper_length_mm"), ".2f"),
        "over all birds (" + ask(related("bill_depth_mm"), ".2f") + ")",
        "over all birds (" + ask(related("delta_15n"), ".2f") + ")",
        ask(mass(f"year = 2007 AND {chinstrap}")) + f" g instead of {ask(mass(chinstrap))} g for chinstrap penguins",
        "measurements of " + ask("SELECT count(*) FROM birds") + " penguins",
        ask("SELECT count(body_mass_g) FROM birds") + " of 344 birds have a mass",
        ask("SELECT count(sex) FROM birds") + " a sex",
    ]
    assert [] == [words for words in expected if words not in page]
