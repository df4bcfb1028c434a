"""Sentences: offsets into the text, whatever the text looks like."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.knowledge.sentences import LONGEST, split


def pieces(text: str) -> list[str]:
    """Return the sentences themselves."""
    return [text[start:end] for start, end in split(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "We stayed in."],
        ["Smith et al. (2010) found 3.5 mg/l in Fig. 2.", "This was confirmed by Dr. J. R. Brown."],
        ["Costs rose, e.g. for U.S. firms.", "However, sales fell to $1.2 m vs. 3.4 m."],
        ["We met Mr. Jones at Acme Inc.", "The firm is small."],
        ['"Stop!" he said.', "Did she?", "No."],
        ["The level was low.[12]", "mTOR was inhibited.", "p53 was not."],
        ["Deficiency of vitamin C.", "The cause is known."],
        ["Results for 2019.", "25 patients left."],
        ["No. 5 is alive.", "The answer is no.", "It stays."],
    ],
)
def test_points_that_end_nothing_are_told_from_those_that_do(expected: list[str]) -> None:
    """Promise: abbreviations, initials, decimals, citations and quotes do not cut a sentence in two."""
    assert expected == pieces(" ".join(expected))


def test_wrapped_lines_stay_together_and_listed_lines_do_not() -> None:
    """Promise: a hard-wrapped paragraph is one text; headings, bullets and fields stand alone."""
    text = (
        "# Title here\nThe first sentence is long enough that it was wrapped by\n"
        "the editor. Second one.\n\nAuthor: A. Bee\nDate: 2020-01-02\n- one item\n- two items\n1. Intro text"
    )
    expected = [
        "# Title here",
        "The first sentence is long enough that it was wrapped by\nthe editor.",
        "Second one.",
        "Author: A. Bee",
        "Date: 2020-01-02",
        "- one item",
        "- two items",
        "1. Intro text",
    ]
    assert expected == pieces(text)


def test_sentences_glued_by_extraction_are_parted() -> None:
    """Promise: "end.The next" is two sentences, "Node.js" is one word."""
    assert ["We ran it in Node.Js mode.", "The end."] == pieces("We ran it in Node.Js mode.The end.")


@given(st.text(alphabet=st.sampled_from("aB1.!? \n\t\"'()-#。é"), max_size=300))
def test_every_visible_character_is_in_exactly_one_sentence(text: str) -> None:
    """Promise: spans are ordered, disjoint, trimmed, and together hold everything but white space."""
    spans = split(text)
    assert [c for c in text if not c.isspace()] == [c for a, b in spans for c in text[a:b] if not c.isspace()]
    assert all(b <= c for (_, b), (c, _) in itertools.pairwise(spans))
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in spans)


def test_a_run_without_terminator_is_cut() -> None:
    """Promise: no sentence is longer than the bound, and nothing is lost."""
    text = "word " * 2_000
    assert len(split(text)) > 5
    assert LONGEST >= max(b - a for a, b in split(text))
