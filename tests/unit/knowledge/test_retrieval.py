"""Hybrid search: vectors are computed once, cached, and summed with words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.unit.knowledge.corpus import TEXTS, WordEncoder, library

from kimera.knowledge._fts import Row
from kimera.knowledge._vectors import windows_of
from kimera.knowledge.index import open_segment
from kimera.storage import Blobs


def test_vectors_are_computed_once_for_a_segment(blobs: Blobs) -> None:
    """Promise: the second opening maps the cached matrix and encodes nothing but the question."""
    shelf = library(blobs)
    with open_segment(blobs, shelf, WordEncoder()) as first:
        hits = first.search("frogs at night")
    again = WordEncoder()
    with open_segment(blobs, shelf, again) as second:
        assert second.dense_ready
        assert hits == second.search("frogs at night")
    assert 1 == again.encoded


def test_lexical_search_computes_no_vectors(blobs: Blobs) -> None:
    """Promise: a first answer by words is there without encoding a passage."""
    encoder = WordEncoder()
    with open_segment(blobs, library(blobs), encoder) as segment:
        assert segment.search("frog", mode="lexical")
        assert not segment.dense_ready
    assert 0 == encoder.encoded


def test_a_stopped_encoding_falls_back_to_words(blobs: Blobs) -> None:
    """Promise: when told to stop, hybrid answers by words, and no half matrix is left behind."""
    with open_segment(blobs, library(blobs), WordEncoder(), should_stop=lambda: True) as segment:
        hits = segment.search("frog")
        assert [None, None] == [hit.dense for hit in hits]
        assert not segment.warm()
    assert [] == list((blobs.root / "vectors").iterdir())


def test_a_damaged_cache_is_computed_again(blobs: Blobs) -> None:
    """Promise: a vector file that cannot be read is replaced, not trusted."""
    shelf = library(blobs)
    with open_segment(blobs, shelf, WordEncoder()) as segment:
        expected = segment.search("frogs")
    (cached,) = (blobs.root / "vectors").iterdir()
    (cached / "matrix.npy").write_bytes(b"not a matrix")
    with open_segment(blobs, shelf, WordEncoder()) as segment:
        assert expected == segment.search("frogs")


def test_hybrid_is_the_sum_of_both_halves_scaled_to_one(blobs: Blobs) -> None:
    """Promise: the best passage of both halves scores 1, and every score lies in 0..1."""
    with open_segment(blobs, library(blobs), WordEncoder()) as segment:
        hits = segment.search(TEXTS[2])
    assert (2, 1.0) == (hits[0].number, hits[0].score)
    assert all(0 <= hit.score <= 1 for hit in hits)


def test_progress_ends_at_the_total(blobs: Blobs) -> None:
    """Promise: warming reports how many passages are done of how many."""
    seen: list[tuple[int, int]] = []
    with open_segment(blobs, library(blobs), WordEncoder()) as segment:
        assert segment.warm(lambda done, total: seen.append((done, total)))
    assert [(5, 5)] == seen


@pytest.mark.parametrize("encoder", [None, WordEncoder()])
def test_the_sentence_that_answers_ranks_first(blobs: Blobs, encoder: WordEncoder | None) -> None:
    """Promise: with and without an encoder, the sentence that shares the rare words scores highest."""
    with open_segment(blobs, library(blobs), encoder) as segment:
        scores = segment.rank_sentences("Which reactor uses uranium?", TEXTS)
    assert 2 == max(range(len(TEXTS)), key=scores.__getitem__)


def test_ranking_no_sentences_gives_no_scores(blobs: Blobs) -> None:
    """Promise: an empty list stays empty."""
    with open_segment(blobs, library(blobs), WordEncoder()) as segment:
        assert [] == segment.rank_sentences("frog", [])


def test_threads_share_a_segment(blobs: Blobs) -> None:
    """Promise: eight threads searching one segment at once all get the answers of a single one."""
    questions = [text for text in TEXTS for _ in range(8)]
    with open_segment(blobs, library(blobs), WordEncoder()) as segment:
        expected = [(segment.search(q), segment.rank_sentences(q, TEXTS)) for q in questions]
    with open_segment(blobs, library(blobs), WordEncoder()) as segment, ThreadPoolExecutor(8) as pool:
        assert expected == list(pool.map(lambda q: (segment.search(q), segment.rank_sentences(q, TEXTS)), questions))


def test_a_long_passage_is_found_by_what_its_end_says(blobs: Blobs) -> None:
    """Promise: a passage has windows of whole sentences, like in size, and is as near as its nearest one."""
    filler = [f"Line {n} tells of the quiet harbour and its many idle boats." for n in range(60)]
    row = Row(0, "s", "Harbour", "North", " ".join([*filler, "A comet passed."]))
    windows = windows_of(row)
    assert len(windows) > 5
    assert all(window.startswith("Harbour. North. ") for window in windows)
    assert row.body == " ".join(window.removeprefix("Harbour. North. ") for window in windows)
    sizes = [len(window.split()) for window in windows]
    assert max(sizes) - min(sizes) <= 2 * len(filler[0].split())
    with open_segment(blobs, library(blobs, [row.body, " ".join(filler)]), WordEncoder()) as segment:
        assert 0 == segment.search("a comet passed", mode="dense")[0].number
