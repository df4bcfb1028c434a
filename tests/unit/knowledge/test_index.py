"""The segment: what is built once is found again, the same way, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.knowledge.corpus import TEXTS, WordEncoder, library, passages

from kimera.errors import NotFoundError, StorageError
from kimera.knowledge.index import build_segment, open_encoder, open_segment
from kimera.knowledge.retrieval import Segment
from kimera.storage import Blobs


def test_a_word_finds_the_passages_that_hold_it_in_any_form(blobs: Blobs) -> None:
    """Promise: words match by stem and case-blind, and passages without the word are not returned."""
    with open_segment(blobs, library(blobs), None) as segment:
        assert {0, 3} == {hit.number for hit in segment.search("What does a FROG do?")}


def test_the_same_passages_give_the_same_segment(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: a segment is named by its content, whatever the order of its passages and wherever it is built."""
    other = Blobs(tmp_path / "elsewhere")
    assert build_segment(passages(), blobs) == build_segment(reversed(passages()), other)


def test_another_text_gives_another_segment(blobs: Blobs) -> None:
    """Promise: a changed passage changes the name."""
    assert build_segment(passages(), blobs) != build_segment(passages((*TEXTS[:-1], "Changed.")), blobs)


def test_titles_are_searched_with_the_text(blobs: Blobs) -> None:
    """Promise: a passage is found by its document's title even if its text does not say it."""
    with open_segment(blobs, library(blobs, titles={"source2": "Nuclear power"}), None) as segment:
        assert [2] == [hit.number for hit in segment.search("nuclear")]


@pytest.mark.parametrize("question", ["", "   ", "?!", "\x00", "the of and", '"', "*", "NEAR(", "a OR", "-", "title:x"])
def test_questions_without_findable_words_find_nothing(blobs: Blobs, question: str) -> None:
    """Promise: a question of no words, or of words that stand nowhere, is an empty answer and no error."""
    with open_segment(blobs, library(blobs, ("heron", "frog")), None) as segment:
        assert [] == segment.search(question)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Segment]:
    """Return one open segment with vectors for all examples of the property below."""
    blobs = Blobs(tmp_path_factory.mktemp("shared"))
    with open_segment(blobs, library(blobs), WordEncoder()) as segment:
        yield segment


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_no_question_breaks_the_search(shared: Segment, question: str) -> None:
    """Promise: whatever the text of a question, with or without a known word, search answers and keeps its order."""
    for mode in ("lexical", "dense", "hybrid"):
        hits = shared.search(question + " frog", mode=mode)
        assert sorted(hits, key=lambda hit: (-hit.score, hit.number)) == hits
        assert {0, 3} <= {hit.number for hit in hits}
    assert len(TEXTS) == len(shared.rank_sentences(question, TEXTS))


@pytest.mark.parametrize("question", ["CAFÉ", "cafe\u0301", "Cafe", "İSTANBUL", "istanbul"])
def test_case_and_accents_do_not_hide_a_word(blobs: Blobs, question: str) -> None:
    """Promise: a word is found in any case, with composed, decomposed or no accents."""
    with open_segment(blobs, library(blobs, ["A café in İstanbul."]), None) as segment:
        assert [0] == [hit.number for hit in segment.search(question)]


def test_a_very_long_question_keeps_its_rare_words(blobs: Blobs) -> None:
    """Promise: two thousand words are cut to the rarest that occur, so the telling one still finds its passage."""
    question = " ".join(f"noise{n}" for n in range(1_999)) + " uranium"
    with open_segment(blobs, library(blobs), None) as segment:
        assert [2] == [hit.number for hit in segment.search(question)]


def test_equal_scores_come_in_order_of_number(blobs: Blobs) -> None:
    """Promise: ties are broken by passage number in every mode."""
    with open_segment(blobs, library(blobs, ["same words here"] * 5), WordEncoder()) as segment:
        for mode in ("lexical", "dense", "hybrid"):
            assert [0, 1, 2] == [hit.number for hit in segment.search("same words", 3, mode=mode)]


def test_k_limits_the_hits(blobs: Blobs) -> None:
    """Promise: never more than k, and none for k of zero."""
    with open_segment(blobs, library(blobs), None) as segment:
        assert 1 == len(segment.search("frog", 1))
        assert [] == segment.search("frog", 0)


def test_a_library_without_passages_answers_nothing(blobs: Blobs) -> None:
    """Promise: no documents means empty answers in all modes, with an encoder too."""
    bare = library(blobs).model_copy(update={"segment": None, "passages": ()})
    with open_segment(blobs, bare, WordEncoder()) as segment:
        assert [] == segment.search("frog")
        assert 0 == len(segment)
    with open_segment(blobs, library(blobs, ()), WordEncoder()) as segment:
        assert [] == segment.search("frog", mode="dense")


def test_a_missing_segment_says_what_to_do(blobs: Blobs, tmp_path: Path) -> None:
    """Promise: a library whose segment blob is gone raises NotFoundError with the next action."""
    with pytest.raises(NotFoundError, match="restore the home folder or run the mission again"):
        open_segment(Blobs(tmp_path / "empty"), library(blobs), None)


def test_a_damaged_segment_says_what_to_do(blobs: Blobs) -> None:
    """Promise: a segment that is no database raises StorageError that names the file to delete."""
    shelf = library(blobs)
    path = blobs.path(str(shelf.segment))
    path.write_bytes(b"\0" * 5000)
    with pytest.raises(StorageError, match=f"delete {path}"):
        open_segment(blobs, shelf, None)


def test_lone_surrogates_are_stored(blobs: Blobs) -> None:
    """Promise: text that is no valid Unicode is indexed with the bad code points replaced."""
    with open_segment(blobs, library(blobs, ["a \ud800 heron"]), None) as segment:
        assert [0] == [hit.number for hit in segment.search("heron \udfff")]


def test_no_weights_is_a_degraded_cause(tmp_path: Path) -> None:
    """Promise: without weights there is no encoder, and the cause is one the packages can carry."""
    encoder, degraded = open_encoder(tmp_path, tmp_path / "cache")
    assert encoder is None
    assert degraded is not None
    assert "encoder" == degraded.cause
