"""What a person gets from the bundled example: both tracks and fusion, without a model and without weights."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kimera import settings
from kimera.knowledge import build_library
from kimera.missions import fusion
from kimera.missions.analysis import TRACK as ANALYSIS
from kimera.missions.contracts import (
    AnalyticalReportPackage,
    MissionOptions,
    MissionOutcomePackage,
    NumberClaim,
    ResearchEvidencePackage,
    TextClaim,
)
from kimera.missions.research import reading
from kimera.missions.research.track import TRACK as RESEARCH
from kimera.missions.track import TrackContext
from kimera.storage import Blobs

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "penguins"
QUESTION = "Which factors go with higher body mass in penguins?"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MissionOutcomePackage]:
    """Return the outcome of the example, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIMERA_EMBEDDINGS", "off")
        settings.load_settings.cache_clear()
        reading.load_sentence_encoder.clear()
        yield report(Blobs(tmp_path_factory.mktemp("blobs")))
    settings.load_settings.cache_clear()
    reading.load_sentence_encoder.clear()


def report(blobs: Blobs) -> MissionOutcomePackage:
    """Run both tracks over the example and fuse what they deliver."""
    library = build_library(FOLDER, blobs, knowledge_space="example")
    context = TrackContext(
        mission_id="m1",
        session_id="s1",
        knowledge_space="example",
        attempt=1,
        question=QUESTION,
        options=MissionOptions(),
        library=library,
        blobs=blobs,
        started_at=NOW,
    )
    packages = []
    for track in (RESEARCH, ANALYSIS):
        state: dict[str, Any] = {}
        for phase in track.phases:
            state = phase.run(context, state)
        packages.append(state["package"])
    facts = fusion.MissionFacts(
        mission_id="m1",
        session_id="s1",
        knowledge_space="example",
        question=QUESTION,
        folder=str(FOLDER),
        created_at=NOW,
        options=MissionOptions(),
    )
    return fusion.fuse(
        facts,
        ResearchEvidencePackage.model_validate(packages[0]),
        AnalyticalReportPackage.model_validate(packages[1]),
        track_status={"deep_research": "done", "ds_star": "done"},
        library=library,
        library_blob=blobs.put(library.model_dump_json().encode()),
        blobs=blobs,
    )


def names_of(outcome: MissionOutcomePackage, claim_id: str) -> set[str]:
    """Return the names of the files a text claim quotes; empty for a computed one."""
    claim = outcome.claim(claim_id)
    if not isinstance(claim, TextClaim):
        return set()
    names = {source.id: source.name for source in outcome.sources}
    return {names[span.source_id] for span in claim.spans}


def test_the_main_factors_are_quoted_from_the_documents(outcome: MissionOutcomePackage) -> None:
    """Promise: species, sex and flipper length are named as factors, in sentences that stand in the documents."""
    said = " ".join(claim.statement for claim in outcome.claims if isinstance(claim, TextClaim))
    assert "Species is the factor that goes most strongly with body mass" in said
    assert "Male penguins have a higher body mass than female penguins" in said
    assert "Penguins with longer flippers have a higher body mass" in said


def test_the_main_factors_are_computed_from_the_tables(outcome: MissionOutcomePackage) -> None:
    """Promise: the mass of each species and the correlation with flipper length are among the computed values."""
    values = [float(c.value) for c in outcome.claims if isinstance(c, NumberClaim) and isinstance(c.value, int | float)]
    for expected in (5076.016, 3733.088, 3700.662, 0.8712):
        assert any(abs(value - expected) < 0.001 for value in values), expected


def test_the_answer_leads_with_the_computed_factors_in_plain_words(outcome: MissionOutcomePackage) -> None:
    """Promise: the strongest relation opens the report, with names in words and one p-value that is not zero."""
    first = outcome.summary[0]
    assert "Body mass rises with flipper length (Pearson r = 0.87, n = 342, adjusted p < 0.001)." == first.text
    assert "Body mass differs by species: the mean is 5,076 g for Gentoo" in outcome.summary[1].text
    assert any(isinstance(outcome.claim(claim), TextClaim) for claim in first.claims)


def test_a_factor_in_another_table_is_found_over_the_key(outcome: MissionOutcomePackage) -> None:
    """Promise: isotopes are in another file than body mass; their relation is computed over both, and agrees."""
    (claim,) = [c for c in outcome.claims if isinstance(c, NumberClaim) and "falls with delta_15n" in c.statement]
    assert isinstance(claim.value, float)
    assert -0.54 == round(claim.value, 2)
    made = {c.id: c for c in outcome.computations}[claim.computation_id]
    assert {"penguins", "blood"} == {item.table for item in made.inputs}
    assert any(claim.id in agreement.claims for agreement in outcome.agreements)


def test_stale_figures_are_conflicts_and_the_newer_side_is_current(outcome: MissionOutcomePackage) -> None:
    """Promise: the figures of the first season are set against the later ones, and the archived side is not current."""
    stale = [c for c in outcome.conflicts if any("archive/summary-2008.md" in names_of(outcome, i) for i in c.claims)]
    assert len(stale) >= 2
    for conflict in stale:
        assert conflict.current is not None
        assert "archive/summary-2008.md" not in names_of(outcome, conflict.current)


def test_nothing_else_is_called_a_conflict(outcome: MissionOutcomePackage) -> None:
    """Promise: no conflict without the stale file: different species are different things, not different opinions."""
    false = [
        [outcome.claim(claim).statement for claim in conflict.claims]
        for conflict in outcome.conflicts
        if not any("archive/summary-2008.md" in names_of(outcome, claim) for claim in conflict.claims)
    ]
    assert [] == false
    assert [] == [c.text for c in outcome.conflicts if len(c.claims) > 4]


def test_documents_and_tables_agree(outcome: MissionOutcomePackage) -> None:
    """Promise: a mean that a document states and the tables give is reported as agreement."""
    agreed = [{type(outcome.claim(claim)) for claim in agreement.claims} for agreement in outcome.agreements]
    assert {TextClaim, NumberClaim} in agreed


def test_the_damaged_file_is_named_as_a_gap(outcome: MissionOutcomePackage) -> None:
    """Promise: the report says which file could not be read."""
    assert any(gap.kind == "unread_source" and "scan-damaged.pdf" in gap.text for gap in outcome.gaps)


def test_the_protocol_answers_nothing(outcome: MissionOutcomePackage) -> None:
    """Promise: the document off the question is not part of the answer."""
    answers = {claim for finding in outcome.summary for claim in finding.claims}
    assert not any("measuring-protocol.txt" in names_of(outcome, claim) for claim in answers)
