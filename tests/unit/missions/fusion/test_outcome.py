"""Fusion: claims lined up, judged, chosen; the same packages give the same bytes."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tests.unit.missions.fusion import packages

from kimera.errors import ValidationError
from kimera.knowledge.contracts import Degraded, Library
from kimera.missions.contracts import (
    About,
    AnalyticalReportPackage,
    Conflict,
    Finding,
    MissionOutcomePackage,
    ResearchEvidencePackage,
)
from kimera.missions.fusion import fuse
from kimera.missions.fusion.summary import checked
from kimera.storage import Blobs, canonical_json

DONE: dict[Any, Any] = {"ds_star": "done", "deep_research": "done"}


def fused(
    research: ResearchEvidencePackage | None = None,
    analysis: AnalyticalReportPackage | None = None,
    *,
    library: Library | None = None,
    blobs: Blobs | None = None,
    **options: Any,
) -> MissionOutcomePackage:
    """Fuse with the penguin folder."""
    return fuse(
        packages.facts(),
        research,
        analysis,
        track_status=options.pop("track_status", DONE),
        library=library or packages.library(blobs),
        library_blob="0" * 64,
        blobs=blobs,
        **options,
    )


def both(**options: Any) -> MissionOutcomePackage:
    return fused(packages.research(), packages.analysis(), **options)


def sentence(text: str, name: str = "probe", **fields: Any) -> ResearchEvidencePackage:
    """Return a research package with one quoted sentence."""
    claim = packages.text_claim(name, text, text, fields.pop("source_id", packages.GUIDE_ID), **fields)
    return packages.research(claims=(claim,), sub_questions=())


def test_the_same_packages_give_the_same_bytes(blobs: Blobs) -> None:
    """Promise: fusion has no clock and no chance; claim order in a package does not matter."""
    again = fused(
        packages.research(claims=packages.research().claims[::-1]),
        packages.analysis(claims=packages.analysis().claims[::-1], computations=packages.analysis().computations[::-1]),
        blobs=blobs,
    )
    first = both(blobs=blobs)
    assert canonical_json(first.model_dump(mode="json")) == canonical_json(again.model_dump(mode="json"))


def test_a_document_that_rounds_to_the_computed_value_agrees() -> None:
    """Promise: 4,200 g in a guide and 4201.75 g computed are an agreement, and so are 5.08 kg and 5076.02 g."""
    pairs = {agreement.claims for agreement in both().agreements}
    assert {("n_mean", "t_mean"), ("n_gentoo", "t_gentoo")} == pairs


def test_a_stale_figure_is_a_conflict_with_both_sides_and_the_newer_one_current() -> None:
    """Promise: the archived handbook's 4,500 g stands beside the computed value, which is current."""
    outcome = both()
    (conflict,) = outcome.conflicts
    assert ("temporal", ("t_old", "n_mean"), "n_mean") == (conflict.kind, conflict.claims, conflict.current)
    assert {"t_old", "n_mean"} <= {claim.id for claim in outcome.claims}


def test_an_undated_difference_has_no_winner() -> None:
    """Promise: where nothing tells which is newer, the conflict is numeric and stays open."""
    bare = packages.library()
    undated = bare.model_copy(
        update={"sources": tuple(s.model_copy(update={"dated": None, "archived": False}) for s in bare.sources)}
    )
    (conflict,) = fused(packages.research(), packages.analysis(), library=undated).conflicts
    assert ("numeric", None) == (conflict.kind, conflict.current)


def test_tracks_that_disagree_share_the_smaller_tau() -> None:
    """Promise: no averaging; both sides of a conflict between tracks get the lower tau and are marked."""
    outcome = both()
    sides = [outcome.claim("t_old").tau, outcome.claim("n_mean").tau]
    assert [0.8, 0.8] == [tau.value for tau in sides if tau]
    assert all("TRACK_CONFLICT" in tau.caps for tau in sides if tau)


@pytest.mark.parametrize(
    ("why", "text"),
    [
        ("groups", "Female penguins have a mean body mass of 3,862 g."),
        ("groups", "The mean body mass of Adelie and Gentoo penguins is 4,300 g."),
        ("periods", "In 2008 the mean body mass of the penguins was 4,267 g."),
    ],
)
def test_other_groups_and_periods_are_not_conflicts(why: str, text: str) -> None:
    """Promise: a figure on another group or year is never set against the overall one; the reason is kept."""
    number = packages.analysis(claims=[c for c in packages.analysis().claims if c.id == "n_mean"])
    outcome = fused(sentence(text), number)
    assert ((), ()) == (outcome.conflicts, outcome.agreements)
    assert [f"They speak of different {why}."] == [item.reason for item in outcome.not_comparable]


@pytest.mark.parametrize(
    "text",
    [
        "The median body mass of the penguins is 4,050 g.",
        "The mean body mass of the penguins is more than 4,000 g.",
        "The mean flipper length of the penguins is 201 mm.",
        "Penguins have a body mass between 2,700 and 6,300 g.",
        "The mean body mass was taken from 344 penguins.",
        "The maximum body mass is 6,300 g.",
    ],
)
def test_other_statistics_bounds_and_attributes_are_neither(text: str) -> None:
    """Promise: a median, a bound, another attribute or a count is not compared with a mean."""
    outcome = fused(sentence(text), packages.analysis())
    assert ((), ()) == (outcome.conflicts, outcome.agreements)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.4883, "About 49% of the penguins on file are female."),
        (48.83, "The share of female penguins is 48.8 percent."),
    ],
)
def test_percent_and_share_are_one_dimension(share: float, text: str) -> None:
    """Promise: 48.8 percent agrees with a computed share of .4883 and with a computed 48.83 %."""
    unit = "%" if share > 1 else None
    made = packages.computation("Share", "result = 1", {"share": share})
    claim = packages.number_claim(
        "share",
        "Female share.",
        share,
        made,
        ("share",),
        unit=unit,
        about=About(attribute="share of penguins", scope={"sex": "female"}),
    )
    outcome = fused(sentence(text), packages.analysis(claims=(claim,), computations=(made,), charts=()))
    assert [("n_share", "t_probe")] == [agreement.claims for agreement in outcome.agreements]


@pytest.mark.parametrize(
    "about",
    [
        About(attribute="mean mean_body_mass_g", unit="g"),
        About(attribute="mean body_mass_g", unit="g", scope={"nests": "28"}),
        About(attribute="mean body_mass_g", unit="g", scope={"year": "2007"}),
    ],
    ids=["a mean of means", "a group named by a number", "another year"],
)
def test_values_that_only_look_alike_are_not_set_against_a_sentence(about: About) -> None:
    """Promise: an aggregate of aggregates, a numbered group and a single year never contradict an overall figure."""
    claim = packages.number_claim("odd", "The value is 3,688.4 g.", 3688.4, packages.MEAN, (), unit="g", about=about)
    outcome = fused(
        sentence("The mean body mass of the penguins is 4,200 g."), packages.analysis(claims=(claim,), charts=())
    )
    assert ((), ()) == (outcome.conflicts, outcome.agreements)


def test_a_sentence_that_two_tables_contradict_is_one_conflict() -> None:
    """Promise: one row for one stale sentence, with every computed value beside it."""
    twice = [c.model_copy(update={"id": f"n_mean{i}"}) for i, c in enumerate([packages.analysis().claims[1]] * 2)]
    text = "The mean body mass of the penguins is 4,900 g."
    (conflict,) = fused(sentence(text), packages.analysis(claims=twice, charts=())).conflicts
    assert ("t_probe", "n_mean0", "n_mean1") == conflict.claims


def test_a_conflict_of_the_research_track_is_joined_not_doubled() -> None:
    """Promise: a table that sides with one document joins that document's conflict, under its id."""
    given = Conflict(
        id="k_given", kind="temporal", claims=("t_mean", "t_old"), text="4,200 or 4,500.", current="t_mean"
    )
    outcome = fused(packages.research(conflicts=(given,)), packages.analysis())
    (conflict,) = outcome.conflicts
    assert ("k_given", ("t_mean", "t_old", "n_mean")) == (conflict.id, conflict.claims)


def test_a_conflict_with_unknown_sides_is_not_taken_over() -> None:
    """Promise: sides that are no claims of the mission are left out, and one side alone is no conflict."""
    stray = Conflict(id="k_stray", kind="factual", claims=("t_krill", "t_gone"), text="?", current="t_gone")
    half = Conflict(id="k_half", kind="factual", claims=("t_krill", "t_flippers", "t_gone"), text="?", current="t_gone")
    outcome = fused(packages.research(conflicts=(stray, half)), None)
    assert [(("t_krill", "t_flippers"), None)] == [(c.claims, c.current) for c in outcome.conflicts]


def test_tables_part_what_documents_only_seem_to_dispute() -> None:
    """Promise: sides that meet values of different groups are not in conflict; the stale side of each still is."""
    texts = {
        "a": ("Gentoo penguins have a mean body mass of 5,076 g.", packages.GUIDE_ID),
        "b": ("Adelie penguins have a mean body mass of 3,701 g.", packages.GUIDE_ID),
        "c": ("Adelie penguins have a mean body mass of 3,500 g.", packages.HANDBOOK_ID),
    }
    claims = tuple(packages.text_claim(name, text, text, source) for name, (text, source) in texts.items())
    given = Conflict(id="k_all", kind="numeric", claims=("t_a", "t_b", "t_c"), text="Three values.")
    outcome = fused(packages.research(claims=claims, conflicts=(given,), sub_questions=()), packages.analysis())
    (conflict,) = outcome.conflicts
    assert ("temporal", ("t_b", "t_c", "n_adelie"), "t_b") == (conflict.kind, conflict.claims, conflict.current)
    assert ("t_a", "t_b") in [item.claims for item in outcome.not_comparable]
    tau = outcome.claim("t_b").tau
    assert tau is not None
    assert "TRACK_CONFLICT" not in tau.caps


def test_two_vintages_of_a_table_are_compared() -> None:
    """Promise: the same value computed on an archived and a current file of one series is a temporal conflict."""
    before = packages.sha("old table")
    folder = packages.library()
    old_source = packages.source(before, "archive/penguins-2009.csv", "table", dated=date(2009, 1, 1), archived=True)
    folder = folder.model_copy(update={"sources": (*folder.sources, old_source)})
    old_run = packages.MEAN.model_copy(
        update={
            "id": "c_old",
            "inputs": (packages.ComputationInput(name="penguins", source_id=before, table="penguins_2009"),),
            "result": {"mean": 4188.0},
        }
    )
    old_claim = (
        packages.analysis()
        .claims[1]
        .model_copy(
            update={
                "id": "n_old",
                "value": 4188.0,
                "computation_id": "c_old",
                "statement": "The mean body mass is 4,188 g.",
            }
        )
    )
    package = packages.analysis(
        claims=(*packages.analysis().claims, old_claim), computations=(*packages.analysis().computations, old_run)
    )
    (conflict,) = fused(None, package, library=folder).conflicts
    assert ("temporal", ("n_old", "n_mean"), "n_mean") == (conflict.kind, conflict.claims, conflict.current)


def test_the_answer_opens_with_the_answer_and_never_with_an_old_figure() -> None:
    """Promise: one to five sentences, answer claims first, replaced claims only where they are called older."""
    outcome = both()
    assert "n_flipper" == outcome.summary[0].claims[0]
    assert 1 <= len(outcome.summary) <= 5
    older = [finding for finding in outcome.summary if finding.claims[0] == "t_old"]
    assert all(finding.text.startswith("An older source differs") for finding in older)


def test_without_a_direct_answer_both_tracks_open_the_report() -> None:
    """Promise: computed and quoted findings take turns when no claim is an answer; a computed answer leads."""
    plain = tuple(c.model_copy(update={"role": "finding"}) for c in packages.analysis().claims)
    kinds = [f.claims[0][0] for f in fused(packages.research(), packages.analysis(claims=plain)).summary[:4]]
    assert ["n", "t", "n", "t"] == kinds
    quoted = tuple(c.model_copy(update={"role": "answer"}) for c in packages.research().claims[:3])
    opening = fused(packages.research(claims=quoted), packages.analysis()).summary[0]
    assert "n_flipper" == opening.claims[0]


def test_relations_that_hold_lead_and_those_that_do_not_stay_out() -> None:
    """Promise: computed relations below the level open the report; what did not hold is a finding at most."""
    plain = tuple(c.model_copy(update={"role": "finding"}) for c in packages.analysis().claims)
    (tested,) = [c for c in plain if c.kind == "number" and c.p_adjusted is not None]
    weak = tested.model_copy(update={"id": "n_weak", "p_adjusted": 0.4, "relevance": 1.0, "statement": "Nothing much."})
    summary = fused(packages.research(), packages.analysis(claims=(*plain, weak))).summary
    assert tested.id == summary[0].claims[0]
    assert all("n_weak" not in finding.claims for finding in summary)


def test_a_relation_never_poses_as_the_figure_asked_for() -> None:
    """Promise: a question for one figure that nothing answers does not open with what goes with what."""
    plain = tuple(c.model_copy(update={"role": "finding"}) for c in packages.analysis().claims)
    facts = packages.facts(question="What is the area of the island?")
    options: Any = {"track_status": DONE, "library": packages.library(), "library_blob": "0" * 64}
    summary = fuse(facts, packages.research(), packages.analysis(claims=plain), **options).summary
    tested = {c.id for c in plain if c.kind == "number" and c.p_adjusted is not None}
    assert summary
    assert not any(finding.claims[0] in tested for finding in summary)


def test_a_direct_question_gets_a_direct_answer() -> None:
    """Promise: a question for one figure is answered by the sentence that covers it, and its older value."""
    facts = packages.facts(question="What is the mean body mass of the penguins?")
    numbers = tuple(c.model_copy(update={"role": "finding"}) for c in packages.analysis().claims)
    package = packages.analysis(claims=numbers)
    options: Any = {"track_status": DONE, "library": packages.library(), "library_blob": "0" * 64}
    summary = fuse(facts, packages.research(), package, **options).summary
    assert [("t_mean", "n_mean"), ("t_old",)] == [finding.claims for finding in summary]


def test_an_archived_file_opens_a_report_only_alone() -> None:
    """Promise: a sentence that only an archived file states is not the answer while a current one exists."""
    old, new = packages.research().claims[3], packages.research().claims[0]
    best = old.model_copy(update={"relevance": 1.0, "role": "answer"})
    assert "t_mean" == fused(packages.research(claims=(best, new))).summary[0].claims[0]
    assert "t_old" == fused(packages.research(claims=(best,))).summary[0].claims[0]


def test_every_claim_is_in_the_report() -> None:
    """Promise: nothing is dropped: each claim leads a sentence of the answer or of the findings."""
    outcome = both()
    leading = [finding.claims[0] for finding in (*outcome.summary, *outcome.findings)]
    assert sorted(claim.id for claim in outcome.claims) == sorted(leading)


def test_a_sentence_without_a_claim_cannot_enter() -> None:
    """Promise: an unknown claim id is refused by fusion, an empty list by the contract."""
    with pytest.raises(ValidationError):
        checked([Finding(text="Trust me.", claims=("nobody",))], {"t_mean"})
    with pytest.raises(ValueError, match="at least 1 item"):
        Finding(text="Trust me.", claims=())


def test_version_two_says_what_changed() -> None:
    """Promise: when analysis arrives later, its claims and the new conflict are listed as changes."""
    first = fused(packages.research(), None, partial=True)
    second = fused(packages.research(), packages.analysis(), previous=first)
    assert (1, 2) == (first.version, second.version)
    assert second.change is not None
    assert ("n_adelie", "n_chinstrap", "n_flipper", "n_gentoo", "n_mean") == second.change.added
    assert ((), tuple(c.id for c in second.conflicts)) == (second.change.withdrawn, second.change.conflicts_opened)
    third = fused(packages.research(), None, previous=second)
    assert third.change is not None
    assert second.change.added == third.change.withdrawn
    assert second.change.conflicts_opened == third.change.conflicts_resolved


def test_gaps_name_files_rows_questions_and_tracks() -> None:
    """Promise: unread files, dropped rows, uncovered sub-questions and failed tracks are all listed."""
    outcome = fused(packages.research(), None, track_status={"deep_research": "done", "ds_star": "failed"})
    assert {"unread_source", "dropped_rows", "uncovered", "other"} == {gap.kind for gap in outcome.gaps}
    assert {"no_model", "track_failed"} == {item.cause for item in outcome.degraded}


def test_degraded_causes_are_said_once() -> None:
    """Promise: a cause that both tracks and the control plane report appears once."""
    twice = Degraded(cause="no_encoder", text="No embedding weights: keyword search only.")
    offline = Degraded(cause="no_model", text="No model.")
    outcome = fused(
        packages.research(degraded=(twice, offline)), packages.analysis(degraded=(twice,)), degraded=(twice,)
    )
    assert ["no_model", "no_encoder"] == [item.cause for item in outcome.degraded]


def test_nothing_found_is_still_a_report() -> None:
    """Promise: without any package the outcome says so and its tau is not judged."""
    outcome = fused(None, None, track_status={"deep_research": "failed", "ds_star": "failed"})
    assert ((), (), None) == (outcome.summary, outcome.findings, outcome.tau and outcome.tau.value)
    assert 2 == sum(item.cause == "track_failed" for item in outcome.degraded)


def test_quotations_are_read_again_when_the_texts_are_there(blobs: Blobs) -> None:
    """Promise: with the store a quotation that moved is not trusted; without it the value says it was not re-read."""
    span = packages.span_of(packages.GUIDE_ID, packages.GUIDE, "The mean body mass of the penguins is 4,200 g.")
    moved = span.model_copy(update={"start": span.start + 1, "end": span.end + 1})
    claim = packages.research().claims[0].model_copy(update={"spans": (moved,)})
    package = packages.research(claims=(claim,), sub_questions=())
    read, unread = fused(package, None, blobs=blobs).claims[0].tau, fused(package, None).claims[0].tau
    assert read is not None
    assert unread is not None
    assert (0.118094, True) == (read.value, "QUOTE_NOT_VERBATIM" in read.caps)
    assert "SPAN_NOT_REREAD" in unread.caps


def test_a_number_that_is_not_in_its_result_is_not_trusted() -> None:
    """Promise: a claim whose value does not stand where it says gets .02."""
    wrong = packages.analysis().claims[1].model_copy(update={"value": 4199.0})
    outcome = fused(None, packages.analysis(claims=(wrong,), charts=()))
    tau = outcome.claims[0].tau
    assert tau is not None
    assert (0.02, ("GATE_SCHEMA",)) == (tau.value, tau.caps)


def test_the_method_comes_from_recorded_facts() -> None:
    """Promise: tests, correction, isolation and versions are printed from the packages and the facts."""
    text = "\n".join(both().method)
    assert "14 hypothesis tests run" in text
    assert "Benjamini-Hochberg" in text
    assert "isolation: reduced" in text
    assert "duckdb 2.0.1, kimera 0.1.0, python 3.11.7, scipy 1.17.0" in text
    assert any("not reviewed by a safeguard" in line for line in both().limitations)
