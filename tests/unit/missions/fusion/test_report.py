"""The report: everything shown is inert, complete, and the same every time."""

from __future__ import annotations

import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.missions.fusion import packages

from kimera.errors import ValidationError
from kimera.guardian.checks import markup
from kimera.missions.contracts import Conflict, Finding, MissionOutcomePackage, NumberClaim, TextClaim
from kimera.missions.fusion import export_zip, fuse, render
from kimera.missions.fusion.report import Format
from kimera.missions.fusion.report._drawing import safe_svg
from kimera.missions.fusion.report._markdown import escape
from kimera.storage import Blobs, sha256_hex

HOSTILE = (
    "<script>alert(1)</script> ![x](http://evil.example/p.png) [y](javascript:alert(1)) \x1b[31mred\x1b[0m "
    "\u202egnp.exe <img src=x onerror=alert(1)> | a | `b` | {{ 7*7 }} \U000e0041\U000e0042 </style> \"'> http://evil.example"
)
VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})


class Page(HTMLParser):
    """Tags, ids, targets and text of a page; the tags must nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def attributes(self, name: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(name)) is not None]


@pytest.fixture
def outcome(blobs: Blobs) -> MissionOutcomePackage:
    """Return the fused penguin mission, version 1."""
    library = packages.library(blobs)
    return fuse(
        packages.facts(),
        packages.research(),
        packages.analysis(),
        track_status={"deep_research": "done", "ds_star": "done"},
        library=library,
        library_blob=blobs.put_json(library.as_json()),
        blobs=blobs,
    )


def poisoned(outcome: MissionOutcomePackage, text: str = HOSTILE) -> MissionOutcomePackage:
    """Return the outcome with ``text`` in every place that a file or a model can reach."""
    data = outcome.model_dump(mode="json")
    data["question"] = data["mission_id"] = text
    for claim in data["claims"]:
        claim["statement"] = text
        for span in claim.get("spans", ()):
            span["quote"] = text
    for key in ("assumptions", "limitations", "method"):
        data[key] = [text]
    for finding in (*data["summary"], *data["findings"]):
        finding["text"] = finding["label"] = text
    for item in (*data["conflicts"], *data["agreements"], *data["gaps"]):
        item["text"] = text
    for source in data["sources"]:
        source.update(name=text, reader=text, warnings=[text])
    for item in data["computations"]:
        item.update(title=text, code=text + "\n``` \n# heading", result={text: text})
    for chart in data["charts"]:
        chart["title"] = text
    data["degraded"] = [{"cause": "other", "text": text}]
    return MissionOutcomePackage.model_validate(data)


def test_html_is_one_file_that_asks_for_nothing(outcome: MissionOutcomePackage, blobs: Blobs) -> None:
    """Promise: no script, no request, a strict policy, well nested, unique ids, no dead link within the page."""
    html = render(outcome, "html", blobs)
    page = Page(html)
    names = {tag for tag, _ in page.tags}
    assert set() == names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert [] == page.attributes("src")
    assert [] == [value for value in page.attributes("href") if not value.startswith("#")]
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    targets = {*(value[1:] for value in page.attributes("href")), *page.attributes("aria-describedby")}
    assert set() == targets - set(ids)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert not re.search(r"url\(|@import", html)
    assert [] == page.open


def test_html_shows_what_is_needed_to_check_each_claim(outcome: MissionOutcomePackage, blobs: Blobs) -> None:
    """Promise: quotation with context, source and page, code and result are in the page, reachable by keyboard."""
    page = Page(render(outcome, "html", blobs))
    text = " ".join("".join(page.text).split())
    assert "Penguins were weighed with a spring scale on the way to the nest. The mean body mass" in text
    assert "guide.pdf, page 2" in text
    assert "select species, avg(body_mass_g) as mean" in text
    assert "4201.754385964912" in text
    cited = {value for tag, attrs in page.tags if tag == "a" and (value := attrs.get("href") or "").startswith("#c")}
    assert {f"#c{number}" for number in range(1, len(outcome.claims) + 1)} <= cited


def test_sections_stand_in_the_order_of_the_design(outcome: MissionOutcomePackage) -> None:
    """Promise: answer, findings, conflicts, not known, assumptions, method, sources, computations, in both forms."""
    order = [
        "Answer",
        "Findings",
        "Conflicts",
        "What is not known",
        "Assumptions and limits",
        "Method",
        "Sources",
        "Computations",
    ]
    assert order == [h for h in re.findall(r"^## (.*)$", render(outcome, "md"), re.M) if h in order]
    assert order == [h for h in re.findall(r"<h2[^>]*>([^<]*)", render(outcome, "html")) if h in order]


def test_hostile_text_is_inert_in_html(outcome: MissionOutcomePackage) -> None:
    """Promise: tags, handlers, addresses, escapes and overrides from files appear as text or not at all."""
    html = render(poisoned(outcome), "html")
    page = Page(html)
    plain = Page(render(outcome, "html"))
    assert {tag for tag, _ in plain.tags} >= {tag for tag, _ in page.tags}
    assert [] == [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert [] == [value for value in page.attributes("href") if not value.startswith("#")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert not set(html) & set("\x1b\u202e\U000e0041")


def test_hostile_text_is_inert_in_markdown(outcome: MissionOutcomePackage) -> None:
    """Promise: rendered by any CommonMark viewer, the Markdown report has no link, image or foreign markup."""
    text = render(poisoned(outcome), "md")
    html, _ = markup.render(text)
    names = {tag for tag, _ in Page(html.replace("<hr>", "").replace("<br>", "")).tags}
    assert set() == names & {"a", "img", "script"}
    assert not set(text) & set("\x1b\u202e\U000e0041")
    headings = re.findall(r"<h2>([^<]*)", html)
    assert 9 == len(headings)
    assert [] == [line for line in re.findall(r"<h1>(.*?)</h1>", html)[1:]]


def test_code_fences_cannot_be_closed_from_inside(outcome: MissionOutcomePackage) -> None:
    """Promise: back-ticks in code make the fence longer."""
    code = "x = '''\n```\n# not a heading\n````\n'''"
    item = outcome.computations[0].model_copy(update={"code": code})
    text = render(outcome.model_copy(update={"computations": (item,)}), "md")
    assert f"`````python\n{code}\n`````\n" in text


@pytest.mark.parametrize("form", get_args(Format))
def test_rendering_is_deterministic(outcome: MissionOutcomePackage, form: Format) -> None:
    """Promise: the same outcome gives the same text, also after a round trip through JSON."""
    again = MissionOutcomePackage.model_validate_json(render(outcome, "json"))
    assert render(outcome, form) == render(again, form)


def test_json_is_canonical_and_validates_back(outcome: MissionOutcomePackage) -> None:
    """Promise: the JSON report is the outcome, sorted and without spaces."""
    text = render(outcome, "json")
    assert outcome == MissionOutcomePackage.model_validate_json(text)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


@settings(max_examples=40, deadline=None)
@given(
    WORDS,
    WORDS,
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53) | WORDS | st.booleans(),
)
def test_any_outcome_survives_the_round_trip(question: str, statement: str, value: Any) -> None:
    """Promise: whatever the text and the value, JSON gives the outcome back, and the other forms render."""
    made = packages.computation("t", "result = 1", {"v": value})
    claim = packages.number_claim("any", statement, value, made, ("v",))
    facts = packages.facts(question=question)
    package = packages.analysis(claims=(claim,), computations=(made,), charts=())
    library = packages.library()
    status: Any = {"ds_star": "done"}
    outcome = fuse(facts, None, package, track_status=status, library=library, library_blob="0" * 64)
    assert outcome == MissionOutcomePackage.model_validate_json(render(outcome, "json"))
    Page(render(outcome, "html"))
    assert render(outcome, "md").startswith("# ")


def test_an_unknown_format_is_refused(outcome: MissionOutcomePackage) -> None:
    """Promise: a format that does not exist is named, with those that do."""
    with pytest.raises(ValidationError, match="use md, html or json"):
        render(outcome, "docx")  # type: ignore[arg-type]


def test_an_empty_report_says_so() -> None:
    """Promise: with no claim at all the report opens with that, in plain words."""
    status: Any = {"deep_research": "failed", "ds_star": "failed"}
    outcome = fuse(packages.facts(), None, None, track_status=status, library=packages.library(), library_blob="0" * 64)
    for text in (render(outcome, "md"), render(outcome, "html")):
        assert "No answer: no claim could be supported by the files." in text
        assert "The research track failed" in text


def test_states_are_said_in_plain_words(outcome: MissionOutcomePackage) -> None:
    """Promise: offline, partial and updated reports say so before the answer."""
    partial = outcome.model_copy(update={"partial": True})
    for text in (render(partial, "md"), render(partial, "html")):
        opening = text.split("## Answer")[0].split('id="answer"')[0]
        assert "No model configured" in opening
        assert "This version was made before everything was done" in opening


@pytest.mark.parametrize(
    "svg",
    [
        "<svg><script>alert(1)</script></svg>",
        "<svg><a href='https://evil.example'><text>x</text></a></svg>",
        "<svg><image href='https://evil.example/p.png'/></svg>",
        "<svg onload='alert(1)'><foreignObject><p>x</p></foreignObject></svg>",
        "<svg><rect fill='url(https://evil.example)'/><style>*{fill:red}</style></svg>",
        "<svg><use href='#x'/><animate attributeName='href' to='javascript:1'/></svg>",
    ],
)
def test_drawings_keep_ink_only(svg: str) -> None:
    """Promise: scripts, links, images, styles and addresses are gone from a drawing."""
    kept = safe_svg(svg)
    assert kept.startswith("<svg")
    assert not re.search(r"script|href|image|foreign|url|style|use|onload|animate|evil", kept)


@pytest.mark.parametrize(
    "svg", ["", "<p>x</p>", "<svg>", "<!DOCTYPE svg [<!ENTITY a 'b'>]><svg>&a;</svg>", "<?xml?><svg/>"]
)
def test_what_is_no_drawing_is_left_out(svg: str) -> None:
    """Promise: anything else than a plain well-formed SVG draws nothing."""
    assert "" == safe_svg(svg)


def test_the_zip_holds_everything_needed_to_check(outcome: MissionOutcomePackage, blobs: Blobs, tmp_path: Path) -> None:
    """Promise: report in three forms, code, spans, library, hashes and instructions; no source bytes unless asked."""
    export_zip(outcome, blobs, tmp_path / "a" / "report.zip")
    with zipfile.ZipFile(tmp_path / "a" / "report.zip") as archive:
        names = set(archive.namelist())
        assert {"README.txt", "report.json", "report.md", "report.html", "library.json", "sources.json"} <= names
        assert {f"computations/{item.id}.py" for item in outcome.computations} <= names
        assert {f"spans/{claim.id}.json" for claim in outcome.claims if isinstance(claim, TextClaim)} <= names
        assert outcome == MissionOutcomePackage.model_validate_json(archive.read("report.json"))
        assert outcome.library == sha256_hex(archive.read("library.json"))
        listed = json.loads(archive.read("sources.json"))
        assert [(s.name, s.id, s.size) for s in outcome.sources] == [
            (i["name"], i["sha256"], i["size"]) for i in listed
        ]
        assert not any(name.startswith("sources/") for name in names)


def test_the_same_outcome_gives_the_same_zip(outcome: MissionOutcomePackage, blobs: Blobs, tmp_path: Path) -> None:
    """Promise: no time stamp and no machine in the archive's bytes."""
    one, two = (export_zip(outcome, blobs, tmp_path / name).read_bytes() for name in ("one.zip", "two.zip"))
    assert one == two


def test_sources_are_included_only_when_they_are_still_the_same(
    outcome: MissionOutcomePackage, blobs: Blobs, tmp_path: Path
) -> None:
    """Promise: with_sources adds files whose hash still matches, and never one from outside the folder."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "same.md").write_text("same")
    (folder / "changed.md").write_text("changed")
    (tmp_path / "secret.md").write_text("secret")
    given = (
        packages.source(packages.sha("same"), "sub/same.md", "document"),
        packages.source(packages.sha("before"), "changed.md", "document"),
        packages.source(packages.sha("secret"), "../secret.md", "document"),
    )
    changed = outcome.model_copy(update={"folder": str(folder), "sources": given})
    export_zip(changed, blobs, tmp_path / "full.zip", with_sources=True)
    with zipfile.ZipFile(tmp_path / "full.zip") as archive:
        assert ["sources/sub/same.md"] == [name for name in archive.namelist() if name.startswith("sources/")]
        assert [True, False, False] == [item["included"] for item in json.loads(archive.read("sources.json"))]


def test_both_sides_of_a_conflict_are_shown(outcome: MissionOutcomePackage) -> None:
    """Promise: the conflicts table names sources, dates and tau of each side and which is current."""
    text = render(outcome, "md")
    (table,) = re.findall(r"\| Said.*?\n\n", text, re.S)
    old, current = table.strip().splitlines()[2:]
    assert "4,500 g" in old
    assert "2003-05-01, archived" in old
    assert old.endswith("| replaced |")
    assert "4,201.75 g" in current
    assert current.endswith("| current |")


def test_references_are_numbered_by_first_appearance(outcome: MissionOutcomePackage) -> None:
    """Promise: [1], [2], … are consecutive in the order of reading, and each is listed."""
    text = render(outcome, "md")
    body, _, listing = text.partition("## References")
    first = list(
        dict.fromkeys(int(number) for number in re.findall(r" \[(\d+)\]", body.partition("## What is not")[0]))
    )
    assert list(range(1, len(outcome.claims) + 1)) == first
    assert first == [int(number) for number in re.findall(r"^(\d+)\. ", listing, re.M)]


def test_what_a_sentence_says_is_not_said_again(outcome: MissionOutcomePackage) -> None:
    """Promise: n and p are added to a computed finding only where its own sentence leaves them out."""
    text = render(outcome, "md")
    assert "Body mass rises with flipper length (Pearson r = 0.871, n = 342). [1]" in text
    assert "The mean body mass is 4,201.75 g. (n = 342; 342 of 344 rows used)" in text


def test_long_code_stands_once(outcome: MissionOutcomePackage) -> None:
    """Promise: code too long for a card stands under its computation, evidence shows the result around the value."""
    long = "# " + "x" * 2_000
    items = tuple(item.model_copy(update={"code": item.code + "\n" + long}) for item in outcome.computations)
    html = render(outcome.model_copy(update={"computations": items}), "html")
    assert len(items) == html.count(long)


def test_a_conflict_without_a_winner_is_open(outcome: MissionOutcomePackage) -> None:
    """Promise: where nothing says which side is newer, both are called open."""
    conflict = Conflict(id="k_1", kind="factual", claims=("t_mean", "t_old"), text="They differ.")
    text = render(outcome.model_copy(update={"conflicts": (conflict,)}), "md")
    assert 2 == text.count("| open |")


def test_findings_are_claims(outcome: MissionOutcomePackage) -> None:
    """Promise: each sentence of the report is the statement of a claim or introduces one it names."""
    claims = {claim.id: claim for claim in outcome.claims}
    for finding in (*outcome.summary, *outcome.findings):
        assert isinstance(finding, Finding)
        leading = claims[finding.claims[0]]
        assert isinstance(leading, TextClaim | NumberClaim)
        assert leading.statement in finding.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("body_mass_g", "body_mass_g"),
        ("_so_ *so*", "\\_so\\_ \\*so\\*"),
        ("p < 0.001 & n > 3", "p < 0.001 & n > 3"),
        ("<b>&amp;", "\\<b>\\&amp;"),
        ("> quoted", "\\> quoted"),
        ("-0.54", "-0.54"),
        ("- item", "\\- item"),
    ],
)
def test_only_what_markdown_would_read_is_escaped(text: str, shown: str) -> None:
    """Promise: words and comparisons stay as they are, what would become markup gets a backslash."""
    assert shown == escape(text)
