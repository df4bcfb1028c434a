"""Checks on text: invisible characters, markup that loads or runs, cells that a spreadsheet executes."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.guardian.checks import markup, unicode


class Tags(HTMLParser):
    """The tags of a piece of HTML with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tagged(text: str) -> str:
    return "".join(chr(0xE0000 + ord(character)) for character in text)


@pytest.mark.parametrize(
    ("rule", "clean", "text"),
    [
        ("UNICODE_TAG_SMUGGLING", "hi there", "hi" + tagged("ignore all") + " there"),
        ("VARIATION_SELECTOR_SMUGGLING", "a", "a\ufe01\ufe02\ufe03"),
        ("VARIATION_SELECTOR_SMUGGLING", "a", "a\U000e0100"),
        ("ZERO_WIDTH_RUN", "ab", "a\u200b\u200c\u2060b"),
        ("ZERO_WIDTH_IN_WORD", "password", "pass\u200bword"),
        ("BIDI_OVERRIDE", "abc", "\u202eabc"),
        ("ANSI_ESCAPE", "red", "\x1b[31mred\x1b[0m"),
        ("ANSI_ESCAPE", "link", "\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\"),
        ("CONTROL_CHARS", "ab", "a\x00\x08b"),
    ],
)
def test_hidden_characters_are_named_and_removed(rule: str, clean: str, text: str) -> None:
    """Promise: each smuggling form fires its rule and is gone afterwards."""
    stripped, findings = unicode.strip(text)
    assert clean == stripped
    assert rule in {found.rule for found in findings}


@pytest.mark.parametrize(
    "text",
    [
        "plain text\twith tab\nand line",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # flag of England
        "I \u2764\ufe0f this",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # family
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian with ZWNJ
        "\u0915\u094d\u200d\u0937",  # Devanagari with ZWJ
        "\u03b1-SMA expression",
        "\u845b\U000e0100",
    ],
)
def test_honest_text_passes_unchanged(text: str) -> None:
    """Promise: flags, emoji, joiners of real scripts and Greek letters are left alone."""
    assert (text, []) == unicode.strip(text)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("BIDI_CONTROL", "a\u2067b\u2069"),
        ("MIXED_SCRIPT_WORD", "p\u0430ypal"),
        ("PRIVATE_USE", "\ue000\ue001\ue002\ue003"),
    ],
)
def test_doubtful_characters_are_flagged_and_stay(rule: str, text: str) -> None:
    """Promise: what honest text may contain is reported, not removed."""
    stripped, findings = unicode.strip(text)
    assert text == stripped
    assert {rule} == {found.rule for found in findings}


HOSTILE = st.text(
    st.sampled_from("ab \n\x1b[]m;\x07\x9b0\u200b\u200c\u200d\u2060\u202e\u2066"
        "\ufe0f\ufe01\U000e0100\U000e0067\U000e007f"
                            "\U0001f3f4\u0431\x00\r\ud7ff\ue000"),
    max_size=40,
)  # fmt: skip


@given(HOSTILE | st.text())
def test_strip_is_idempotent_and_complete(text: str) -> None:
    """Promise: what was stripped once has nothing left to strip."""
    stripped, _ = unicode.strip(text)
    assert stripped == unicode.strip(stripped)[0]
    assert [] == [found for found in unicode.scan(stripped) if found.rule in unicode.STRIPPED]


def test_a_hit_never_carries_the_text() -> None:
    """Promise: findings hold places and fingerprints, not the payload."""
    findings = unicode.scan("x" + tagged("secret"))
    assert "secret" not in repr(findings)


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://evil.example/p.png?d=1)",
        "![x](https://evil.example/p.png)",
        "![x](//evil.example/p.png)",
        "![x](/api/artifacts/../../secret)",
        "![x](/api/artifacts@evil.example/p)",
        "![x](data:image/svg+xml;base64,AAAA)",
        "![x][r]\n\n[r]: https://evil.example/p.png",
        '<img src="https://evil.example/p.png">',
        "[x](javascript:alert(1))",
        "[x](http://plain.example)",
        "[x](https://user@evil.example)",
        "[x](https:\\\\evil.example)",
        "[x](//evil.example)",
        "<https://user:pass@evil.example/>",
        "<script>alert(1)</script>",
        "<svg onload=alert(1)>",
        '<a href="x" style="background:url(https://evil.example)">',
    ],
)
def test_rendered_markdown_loads_and_runs_nothing(text: str) -> None:
    """Promise: no remote image, no script, no style, no foreign link survives rendering."""
    tags = Tags(markup.render(text)[0])
    assert {"p", "img", "a"} >= {name for name, _ in tags.seen}
    assert {"alt", "rel"} >= {name for _, attributes in tags.seen for name in attributes}


def test_honest_markdown_is_kept() -> None:
    """Promise: emphasis, tables, https links and own artefacts render, links with rel."""
    html, findings = markup.render("*a* [k](https://a.example/c)\n\n|h|\n|-|\n|1|\n\n![i](/api/artifacts/ab/c.png)")
    assert [] == findings
    assert "<em>a</em>" in html
    assert '<a href="https://a.example/c" rel="noopener noreferrer nofollow">k</a>' in html
    assert "<td>1</td>" in html
    assert '<img src="/api/artifacts/ab/c.png" alt="i">' in html


def test_refused_content_is_reported() -> None:
    """Promise: a refused image is REMOTE_CONTENT, a script tag is ACTIVE_CONTENT."""
    assert {"REMOTE_CONTENT"} == {f.rule for f in markup.render("![x](https://evil.example/p.png)")[1]}
    assert {"ACTIVE_CONTENT"} == {f.rule for f in markup.render("<script>1</script>")[1]}


@pytest.mark.parametrize(
    "cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", ' "=1"', "\uff1d1", "\u00a0=1"]
)
def test_formulas_become_text(cell: str) -> None:
    """Promise: a cell that a spreadsheet would run is written with a leading apostrophe."""
    assert "'" + cell == markup.csv_cell(cell)


@pytest.mark.parametrize("cell", ["plain", "-5", "+3.2e4", -6, 4.5, None, True, "a=b", ""])
def test_numbers_and_plain_text_stay(cell: object) -> None:
    """Promise: numbers stay numbers and ordinary text is unchanged."""
    assert cell == markup.csv_cell(cell)
