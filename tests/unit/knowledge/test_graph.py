"""The entity graph: it helps where passages name each other, and its gate keeps it out elsewhere."""

from __future__ import annotations

import pytest
from tests.unit.knowledge.corpus import WordEncoder, library

from kimera.knowledge._fts import Row
from kimera.knowledge._pagerank import EntityGraph, carry
from kimera.knowledge.graph import RICH_DENSITY, decide, name_density
from kimera.knowledge.index import open_segment
from kimera.storage import Blobs

WORDS = [f"{a}{b}l{c}" for a in "BDFGHKLMNPRSTVWZ" for b in "aeiou" for c in "ao"]
PEOPLE = [f"{first} {last}" for first, last in zip(WORDS[:40], WORDS[40:80], strict=True)]
FILMS = [f"{first} {last}" for first, last in zip(WORDS[80:120], WORDS[120:160], strict=True)]
FLAT = [
    f"the {noun} of the {adjective} sample was measured at {n} degrees while the pressure stayed constant"
    for n, (noun, adjective) in enumerate(
        (noun, adjective)
        for noun in ("density", "viscosity", "mass", "strain", "flow", "heat", "noise", "colour")
        for adjective in ("first", "thin", "porous", "cold", "alloyed")
    )
]


def encyclopedia() -> tuple[list[str], dict[str, str]]:
    """Return articles on 40 films and on their 40 directors, and their titles."""
    texts, titles = [], []
    for n, (person, film) in enumerate(zip(PEOPLE, FILMS, strict=True)):
        texts.append(f"This was a picture directed by {person} and shown at the Festival of Lakes.")
        titles.append(film)
        texts.append(f"Born near Port Anna, {person} studied law and kept bees for year {n}.")
        titles.append(person)
    return texts, {f"source{n}": title for n, title in enumerate(titles)}


def test_a_passage_two_steps_away_is_found(blobs: Blobs) -> None:
    """Promise: the director's article, which shares no rare word with the question, rises into the first five."""
    texts, titles = encyclopedia()
    question = f"What pets did the person who made {FILMS[17]} like?"
    with open_segment(blobs, library(blobs, texts, titles), WordEncoder()) as segment:
        assert segment.gate(question).used
        plain = [hit.number for hit in segment.search(question, 5, graph=False)]
        helped = [hit.number for hit in segment.search(question, 5)]
    assert 34 == plain[0] == helped[0]
    assert 35 not in plain
    assert 35 in helped


def test_a_flat_corpus_is_ranked_as_without_the_graph(blobs: Blobs) -> None:
    """Promise: where passages name nothing the gate is shut, says why, and changes no hit of any question."""
    with open_segment(blobs, library(blobs, FLAT), WordEncoder()) as segment:
        decision = segment.gate("Which Thin Sample did Ada Arden measure at the Port of Cole?")
        assert not decision.used
        assert f"rich in names from {RICH_DENSITY}" in decision.reason
        for question in FLAT:
            assert segment.search(question, graph=False) == segment.search(question)


@pytest.mark.parametrize(
    ("question", "used", "reason"),
    [
        ("Who wrote Silver Arden?", False, "one name directly"),
        ("which bees?", False, "names nothing"),
        ("Which law did the director of Silver Arden study?", False, "one name directly"),
        ("Where was the person who directed Silver Arden born?", True, "1 in the question"),
        ("Are Ada Arden and Bela Arden both directors?", True, "2 in the question"),
        ("", False, "names nothing"),
    ],
)
def test_the_gate_opens_for_questions_of_several_steps(question: str, used: bool, reason: str) -> None:
    """Promise: two names, or one name and a relative clause or comparison, open the gate of a corpus rich in names."""
    decision = decide(question, 1000, lambda: 2 * RICH_DENSITY)
    assert used == decision.used
    assert reason in decision.reason


@pytest.mark.parametrize("passages", [0, 5, 10**6])
def test_small_and_huge_corpora_do_without(passages: int) -> None:
    """Promise: the graph is not built where it cannot pay."""
    assert not decide("Are Ada Arden and Bela Arden both directors?", passages, lambda: 9.0).used


def test_the_first_hit_stays_first_and_scores_stay_in_range() -> None:
    """Promise: whatever the walk brings, the best base row leads and every score lies in 0..1."""
    texts, titles = encyclopedia()
    rows = [Row(n, str(n), titles[f"source{n}"], "", text) for n, text in enumerate(texts)]
    graph = EntityGraph(rows)
    for lead in (0, 13, 79):
        base = {row: 0.5 for row in range(0, 80, 3)} | {lead: 0.6}
        ranked = carry(graph, base, f"{PEOPLE[3]} and {PEOPLE[4]}")
        assert lead == ranked[0][0]
        assert all(0 <= score <= 1 for _, score in ranked)
        assert ranked == carry(EntityGraph(rows), base, f"{PEOPLE[3]} and {PEOPLE[4]}")


def test_density_tells_articles_from_flat_text() -> None:
    """Promise: the measure behind the gate is zero without names, high with them, and defined for no passages."""
    texts, _ = encyclopedia()
    assert 0.0 == name_density([Row(n, "", "", "", text) for n, text in enumerate(FLAT)])
    assert name_density([Row(n, "", "", "", text) for n, text in enumerate(texts)]) > RICH_DENSITY
    assert 0.0 == name_density([])
