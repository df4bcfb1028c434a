"""A realistic pair of packages, made by hand: penguins in a table, a field guide, and an old handbook that is stale."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime
from typing import Any

from kimera.knowledge.contracts import Column, Document, Library, Passage, ReadRecipe, Source, Span, Table
from kimera.missions.analysis import charts
from kimera.missions.contracts import (
    About,
    AnalyticalReportPackage,
    Computation,
    ComputationInput,
    Gap,
    NumberClaim,
    ResearchEvidencePackage,
    SubQuestion,
    TextClaim,
    computation_id,
)
from kimera.missions.fusion.facts import MissionFacts
from kimera.storage import Blobs

STARTED = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
QUESTION = "Which factors go with higher body mass in the Palmer penguins?"
VERSIONS = {"duckdb": "2.0.1", "kimera": "0.1.0", "python": "3.11.7", "scipy": "1.17.0"}

GUIDE = (
    "Field guide to the Palmer penguins\n\nBody mass\n\nPenguins were weighed with a spring scale on the way to the "
    "nest. The mean body mass of the penguins is 4,200 g. Gentoo penguins are the heaviest of the three species, with "
    "a mean body mass of about 5.08 kg. Heavier birds tend to have longer flippers.\n\nDiet\n\nKrill is the main prey "
    "of all three species. Birds that return from longer trips carry more food."
)
HANDBOOK = (
    "Station handbook, 2003\n\nPenguins near the station\n\nThe mean body mass of the penguins is 4,500 g. Weights "
    "were estimated by eye on most days.\n\nColonies are visited once a week."
)


GENTOO = "Gentoo penguins are the heaviest of the three species, with a mean body mass of about 5.08 kg."


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


TABLE_ID, GUIDE_ID, HANDBOOK_ID, SCAN_ID = (sha(name) for name in ("penguins", "guide", "handbook", "scan"))


def span_of(source_id: str, text: str, quote: str, page: int | None = None) -> Span:
    """Return the span of a quotation that occurs in ``text``."""
    start = text.index(quote)
    return Span(
        source_id=source_id, start=start, end=start + len(quote), quote=quote, quote_sha256=sha(quote), page=page
    )


def text_claim(name: str, text: str, quote: str, source_id: str, page: int | None = None, **fields: Any) -> TextClaim:
    """Return a claim that quotes one sentence of ``text``."""
    return TextClaim(
        id=f"t_{name}",
        statement=fields.pop("statement", quote),
        track="deep_research",
        created_at=STARTED,
        spans=(span_of(source_id, text, quote, page),),
        **fields,
    )


def computation(title: str, code: str, result: Any, rows: tuple[int, int] = (344, 342)) -> Computation:
    """Return a computation on the penguin table."""
    return Computation(
        id=computation_id(code, (TABLE_ID,), {}),
        title=title,
        code=code,
        inputs=(ComputationInput(name="penguins", source_id=TABLE_ID, table="penguins"),),
        result=result,
        rows_read=rows[0],
        rows_used=rows[1],
        sandbox_level="reduced",
        seconds=0.02,
        reproduced=True,
    )


def number_claim(name: str, statement: str, value: Any, made_by: Computation, path: Any, **fields: Any) -> NumberClaim:
    """Return a claim on a value at ``path`` of a computation's result."""
    return NumberClaim(
        id=f"n_{name}",
        statement=statement,
        value=value,
        track="ds_star",
        created_at=STARTED,
        computation_id=made_by.id,
        path=path,
        **fields,
    )


MEAN = computation(
    "Mean body mass",
    "row = db.sql('select avg(body_mass_g), count(body_mass_g), count(*) from penguins').fetchall()[0]\n"
    "result = {'mean': row[0]}\nrows_used, rows_read = row[1], row[2]",
    {"mean": 4201.754385964912},
)
BY_SPECIES = computation(
    "Body mass by species",
    "rows = db.sql('''\n    select species, avg(body_mass_g) as mean, count(body_mass_g) as n\n    from penguins\n"
    "    where body_mass_g is not null\n    group by species\n    order by species\n''').fetchall()\n"
    "result = {species: {'mean': mean, 'n': n} for species, mean, n in rows}",
    {
        "Adelie": {"mean": 3700.662251655629, "n": 151},
        "Chinstrap": {"mean": 3733.0882352941176, "n": 68},
        "Gentoo": {"mean": 5076.016260162602, "n": 123},
    },
)
CORRELATION = computation(
    "Flipper length and body mass",
    "import numpy as np\nfrom scipy import stats\nx, y = columns('flipper_length_mm', 'body_mass_g')\n"
    "r, p = stats.pearsonr(x, y)\nresult = {'r': r, 'p': p, 'n': len(x)}",
    {"r": 0.8712017673060113, "p": 4.370681e-107, "n": 342},
)


def source(source_id: str, name: str, kind: Any, **fields: Any) -> Source:
    """Return a source of the folder."""
    return Source(id=source_id, name=name, kind=kind, size=fields.pop("size", 4_096), **fields)


def library(blobs: Blobs | None = None) -> Library:
    """Return the folder as read: one table, a current guide, an archived handbook, one file that could not be read."""
    texts = {GUIDE_ID: GUIDE, HANDBOOK_ID: HANDBOOK}
    named = {key: blobs.put(text.encode()) if blobs else sha(text) for key, text in texts.items()}
    columns = (
        Column(
            name="species", source_name="species", type="text", unique=3, examples=("Adelie", "Chinstrap", "Gentoo")
        ),
        Column(name="sex", source_name="sex", type="text", unique=2, nulls=11, examples=("female", "male")),
        Column(name="body_mass_g", source_name="body_mass_g", type="integer", unit="g", nulls=2),
        Column(name="flipper_length_mm", source_name="flipper_length_mm", type="integer", unit="mm", nulls=2),
        Column(
            name="year", source_name="year", type="integer", minimum=2007, maximum=2009, examples=(2007, 2008, 2009)
        ),
    )
    table = Table(
        name="penguins",
        source_id=TABLE_ID,
        title="penguins",
        rows=344,
        columns=columns,
        data=sha("parquet"),
        recipe=ReadRecipe(rung="duckdb", encoding="utf-8", delimiter=",", header_row=0, rows_read=346, rows_dropped=2),
        digest="penguins",
    )
    return Library(
        knowledge_space="ks_penguins",
        folder="penguins",
        sources=(
            source(
                TABLE_ID,
                "penguins.csv",
                "table",
                reader="duckdb",
                dated=date(2014, 3, 5),
                warnings=("2 rows had a field too many",),
            ),
            source(GUIDE_ID, "guide.pdf", "document", reader="pypdfium2", dated=date(2021, 6, 1)),
            source(
                HANDBOOK_ID,
                "archive/handbook-2003.md",
                "document",
                reader="text",
                dated=date(2003, 5, 1),
                archived=True,
            ),
            source(SCAN_ID, "scan.pdf", "document", status="unread", reason="no text layer; run OCR on it first"),
        ),
        tables=(table,),
        documents=(
            Document(source_id=GUIDE_ID, title="Field guide", text=named[GUIDE_ID], length=len(GUIDE)),
            Document(source_id=HANDBOOK_ID, title="Handbook", text=named[HANDBOOK_ID], length=len(HANDBOOK)),
        ),
        passages=(Passage(number=0, source_id=GUIDE_ID, start=0, end=len(GUIDE)),),
    )


def research(**changes: Any) -> ResearchEvidencePackage:
    """Return what the research track found in the guide and the handbook."""
    claims = (
        text_claim(
            "mean",
            GUIDE,
            "The mean body mass of the penguins is 4,200 g.",
            GUIDE_ID,
            2,
            relevance=0.9,
            sub_question="q1",
            about=About(entity="penguins", attribute="body mass", value=4200.0, unit="g"),
        ),
        text_claim("gentoo", GUIDE, GENTOO, GUIDE_ID, 2, relevance=0.8, sub_question="q1"),
        text_claim(
            "flippers",
            GUIDE,
            "Heavier birds tend to have longer flippers.",
            GUIDE_ID,
            2,
            relevance=0.85,
            sub_question="q2",
            stance="supports",
        ),
        text_claim(
            "old",
            HANDBOOK,
            "The mean body mass of the penguins is 4,500 g.",
            HANDBOOK_ID,
            relevance=0.7,
            sub_question="q1",
        ),
        text_claim(
            "krill", GUIDE, "Krill is the main prey of all three species.", GUIDE_ID, 3, relevance=0.1, role="context"
        ),
    )
    values: dict[str, Any] = {
        "question": QUESTION,
        "sub_questions": (
            SubQuestion(
                id="q1", text="How heavy are the penguins?", coverage=1.0, claims=("t_mean", "t_gentoo", "t_old")
            ),
            SubQuestion(id="q2", text="What goes with body mass?", coverage=0.75, claims=("t_flippers",)),
            SubQuestion(id="q3", text="Does diet change body mass?", coverage=0.2),
        ),
        "claims": claims,
        "notes": ("Sentences were ranked by keywords and vectors.",),
    }
    return ResearchEvidencePackage(**{**values, **changes})


def analysis(**changes: Any) -> AnalyticalReportPackage:
    """Return what the analysis track computed on the table."""
    mass = {"attribute": "body_mass_g", "unit": "g"}
    species = [
        number_claim(
            name.lower(),
            f"{name} penguins have a mean body mass of {round(values['mean']):,} g.",
            values["mean"],
            BY_SPECIES,
            (name, "mean"),
            unit="g",
            n=values["n"],
            relevance=relevance,
            about=About(**{**mass, "attribute": "mean body_mass_g"}, entity="penguins", scope={"species": name}),
        )
        for relevance, (name, values) in zip((0.6, 0.5, 0.8), BY_SPECIES.result.items(), strict=True)  # type: ignore[union-attr]
    ]
    claims = (
        number_claim(
            "flipper",
            "Body mass rises with flipper length (Pearson r = 0.871, n = 342).",
            0.8712017673060113,
            CORRELATION,
            ("r",),
            role="answer",
            relevance=0.95,
            n=342,
            interval=(0.843, 0.895),
            p_value=4.370681e-107,
            p_adjusted=1.3e-106,
            about=About(attribute="correlation flipper_length_mm body_mass_g"),
        ),
        number_claim(
            "mean",
            "The mean body mass is 4,201.75 g.",
            4201.754385964912,
            MEAN,
            ("mean",),
            unit="g",
            n=342,
            relevance=0.7,
            about=About(**{**mass, "attribute": "mean body_mass_g"}),
        ),
        *species,
    )
    chart = charts.bar(
        "n_gentoo",
        "Mean body mass by species",
        ["Adelie", "Chinstrap", "Gentoo"],
        [3700.66, 3733.09, 5076.02],
        x_label="species",
        y_label="body mass",
        unit="g",
    )
    points = [(172 + i * 0.4 + (i * 37 % 11), 2900 + i * 19 + (i * 53 % 17) * 60) for i in range(130)]
    cloud = charts.scatter(
        "n_flipper",
        "Body mass against flipper length",
        points,
        x_label="flipper length",
        x_unit="mm",
        y_label="body mass",
        y_unit="g",
        trend=(49.7, -5781),
    )
    values: dict[str, Any] = {
        "question": QUESTION,
        "tables": ("penguins",),
        "claims": claims,
        "computations": (MEAN, BY_SPECIES, CORRELATION),
        "charts": (chart, cloud),
        "tests_run": 14,
        "verification": ("3 of 3 computations gave the same result in a second run.",),
        "limitations": ("Birds were measured in three seasons at one archipelago.",),
        "gaps": (Gap(kind="unanswered", text="The tables have no column on diet."),),
    }
    return AnalyticalReportPackage(**{**values, **changes})


def facts(**changes: Any) -> MissionFacts:
    """Return the facts of the mission that asked about the penguins."""
    values: dict[str, Any] = {
        "mission_id": "m_penguins",
        "session_id": "s_1",
        "knowledge_space": "ks_penguins",
        "question": QUESTION,
        "folder": "penguins",
        "created_at": STARTED,
        "versions": VERSIONS,
    }
    return MissionFacts(**{**values, **changes})
