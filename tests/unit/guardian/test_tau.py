"""Tau: worked values of the design and the algebra that must hold for any input."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimera.guardian import tau
from kimera.guardian.tau import CitedSpan, EvidenceItem

TEXT = "Penguins are birds.\n\nThe mean body mass of the penguins is 4,202 g. It was measured on land.\n\nThe end."
QUOTE = "The mean body mass of the penguins is 4,202 g."


def span_of(quote: str = QUOTE, text: str = TEXT, source: str = "s1") -> CitedSpan:
    start = text.index(quote)
    return CitedSpan(source, start, start + len(quote), quote)


def item(number: int, llr: float, **changes: object) -> EvidenceItem:
    text = " ".join(f"word{number}x{i}" for i in range(30))
    values: dict[str, object] = {"source_id": f"s{number}", "domain": f"site{number}.example", "text": text, "llr": llr}
    return EvidenceItem(**{**values, "provenance": "own", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "statement"), [(0.118094, "zebra"), (0.462794, "penguins zebra"), (0.847147, "penguins")]
)
def test_claim_follows_the_shipped_calibration(expected: float, statement: str) -> None:
    """Promise: recall 0, .5 and 1 map to .118094, .462794 and .847147."""
    assert expected == pytest.approx(tau.claim(statement, [span_of()], {"s1": TEXT}, {"s1"}).tau, abs=1e-6)


def test_claim_names_its_event_and_calibration() -> None:
    """Promise: a claim's tau says of what it is the probability, and that contradiction was not checked."""
    value = tau.claim(QUOTE, [span_of()], {"s1": TEXT}, {"s1"})
    assert ("the cited evidence supports the claim", "recall3-platt@1", False, "LOW") == (
        value.event,
        value.calibration and value.calibration.id,
        value.contradiction_checked,
        value.level,
    )


def test_evidence_is_widened_to_the_paragraph_and_no_further() -> None:
    """Promise: words beside the quotation count, words of the next paragraph do not."""
    sources, retrieved = {"s1": TEXT}, {"s1"}
    assert 1.0 == tau.claim("measured on land", [span_of()], sources, retrieved).components["recall3"]
    assert 0.0 == tau.claim("birds", [span_of()], sources, retrieved).components["recall3"]


def test_a_fabricated_citation_is_worth_nothing() -> None:
    """Promise: citing a source that retrieval never returned gives .02 and says so."""
    value = tau.claim(QUOTE, [span_of()], {"s1": TEXT}, {"other"})
    assert (0.02, ("CITATION_FABRICATED",)) == (value.tau, value.caps)


def test_a_quotation_that_does_not_stand_there_counts_as_none() -> None:
    """Promise: no citation, or one that is not verbatim at its place, is capped at .20."""
    moved = CitedSpan("s1", 3, 3 + len(QUOTE), QUOTE)
    value = tau.claim(QUOTE, [moved], {"s1": TEXT}, {"s1"})
    assert value.tau is not None
    assert value.tau <= 0.20
    assert "QUOTE_NOT_VERBATIM" in value.caps
    uncited = tau.claim(QUOTE, [], {"s1": TEXT}, {"s1"})
    assert uncited.tau is not None
    assert uncited.tau <= 0.20


def test_a_lexical_encoder_caps_at_one_half() -> None:
    """Promise: with a lexical encoder a claim never passes .50."""
    value = tau.claim(QUOTE, [span_of()], {"s1": TEXT}, {"s1"}, lexical_encoder=True)
    assert (0.50, ("LEXICAL_ENCODER",)) == (value.tau, value.caps)


def test_recall3_looks_at_three_sentences_in_a_row() -> None:
    """Promise: words four sentences apart are not found together, three apart are."""
    assert 1.0 == tau.recall3("alpha omega", "Alpha. Beta. Omega.")
    assert 0.5 == tau.recall3("alpha omega", "Alpha. Beta. Gamma. Omega.")
    assert 0.0 == tau.recall3("of the", "of the")
    assert 0.75 == tau.recall3("rare common", "rare", {"rar": 3.0, "common": 1.0})


@pytest.mark.parametrize(
    ("expected", "items"),
    [
        (0.672607, [item(1, 1.2)]),
        (0.808455, [item(1, 1.2), item(2, 1.2)]),
        (0.514996, [item(1, 1.2), item(2, 0.8, provenance="unknown"), item(3, -1.5)]),
    ],
)
def test_evidence_set_has_its_worked_values(expected: float, items: list[EvidenceItem]) -> None:
    """Promise: one cluster .672607, two .808455, mixed .514996."""
    assert expected == pytest.approx(tau.evidence_set(items).tau, abs=1e-6)


def test_copies_speak_once() -> None:
    """Promise: the same domain, nearly the same text or the same ancestry make one cluster."""
    one = tau.evidence_set([item(1, 1.2)]).tau
    words = " ".join(f"w{i}" for i in range(60))
    groups = [
        [item(1, 1.2, domain="a.site.example"), item(2, 1.2, domain="b.site.example")],
        [item(1, 1.2, text=words), item(2, 1.2, text=words + " end")],
        [item(1, 1.2, ancestry=("doi:1",)), item(2, 1.2, ancestry=("doi:1", "doi:2"))],
    ]
    assert [one] * 3 == [tau.evidence_set(group).tau for group in groups]
    assert one != tau.evidence_set([item(1, 1.2, domain="a.co.uk"), item(2, 1.2, domain="b.co.uk")]).tau


def test_an_altered_copy_weakens_its_cluster() -> None:
    """Promise: near duplicates that differ in a number weigh a quarter and are named."""
    words = [f"word{'abcdefghijklmnopqrstuvwxyz'[i % 26]}{'xyz'[i // 26]}" for i in range(70)]
    copies = [item(1, 1.2, text=" ".join([*words, "42"])), item(2, 1.2, text=" ".join([*words, "43"]))]
    value = tau.evidence_set(copies)
    assert ("DUPLICATE_TAMPER",) == value.caps
    assert tau.evidence_set([item(1, 0.3)]).tau == pytest.approx(value.tau)


def test_no_evidence_is_not_a_coin_flip() -> None:
    """Promise: nothing usable gives None and CRITICAL, never .5."""
    for items in ([], [item(1, 1.2, provenance="failed")]):
        value = tau.evidence_set(items)
        assert (None, "CRITICAL") == (value.tau, value.level)


def test_report_has_its_worked_value() -> None:
    """Promise: the design's example gives .45 with p10 .1, worst .1 and a quarter unsupported."""
    value = tau.report([(1, 0.9), (1, 0.8), (2, 0.6), (1, 0.1)], 0.75)
    assert 0.45 == pytest.approx(value.tau)
    assert {"p10": 0.1, "worst": 0.1, "unsupported": 0.25, "coverage": 0.75} == value.components
    assert (None, "CRITICAL") == (tau.report([]).tau, tau.report([]).level)


def test_computation_has_its_worked_values() -> None:
    """Promise: three agreeing re-implementations give .80, two to one .60, a failed gate .02."""
    gates = {"sandbox": True, "exit": True}
    assert 0.80 == tau.computation(gates, agree=3).tau
    assert 0.60 == pytest.approx(tau.computation(gates, agree=2, disagree=1).tau)
    assert 0.30 == pytest.approx(tau.computation(gates, agree=2, disagree=1, stable=False).tau)
    assert 0.80 == tau.computation(gates, template=True).tau
    failed = tau.computation({**gates, "exit": False}, agree=9)
    assert (0.02, ("GATE_EXIT",), "CRITICAL") == (failed.tau, failed.caps, failed.level)


LLR = st.floats(-4, 4)
ITEMS = st.lists(
    st.builds(item, st.integers(0, 5), LLR, provenance=st.sampled_from(["own", "listed", "unknown", "failed"])),
    max_size=6,
)


@given(ITEMS, st.randoms(use_true_random=False), st.floats(0, 1))
def test_evidence_order_is_irrelevant_and_bounds_hold(
    items: list[EvidenceItem], shuffle: object, coverage: float
) -> None:
    """Promise: tau lies in [.02, .98] or is None, whatever the order of the items."""
    mixed = list(items)
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    value = tau.evidence_set(items, coverage=coverage).tau
    assert value == tau.evidence_set(mixed, coverage=coverage).tau
    assert value is None or 0.02 <= value <= 0.98


@given(ITEMS.filter(len), st.integers(0, 5))
def test_a_duplicate_never_raises(items: list[EvidenceItem], which: int) -> None:
    """Promise: one more copy of a member never raises tau, and empty evidence stays unjudged."""
    before = tau.evidence_set(items).tau
    after = tau.evidence_set([*items, items[which % len(items)]]).tau
    assert before == after if before is None else after is not None and after <= before + 1e-12


@given(ITEMS, LLR.filter(lambda llr: llr >= 0))
def test_losing_support_never_raises(items: list[EvidenceItem], llr: float) -> None:
    """Promise: removing a supporting cluster never raises tau."""
    less, more = tau.evidence_set(items).tau, tau.evidence_set([*items, item(99, llr)]).tau
    assert less is None or (more is not None and less <= more + 1e-12)


@given(ITEMS.filter(len), st.integers(0, 5), st.floats(0, 3))
def test_tau_is_monotone_in_each_ratio(items: list[EvidenceItem], which: int, by: float) -> None:
    """Promise: raising one item's log-likelihood ratio never lowers tau."""
    at = which % len(items)
    kept = items[at]
    raised = EvidenceItem(kept.source_id, kept.domain, kept.text, kept.llr + by, kept.provenance)
    before = tau.evidence_set(items).tau
    after = tau.evidence_set([*items[:at], raised, *items[at + 1 :]]).tau
    assert before == after if before is None else after is not None and after >= before - 1e-12


WORDS = st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "42"]), max_size=6).map(" ".join)


@given(WORDS, WORDS, WORDS)
def test_claim_is_monotone_in_recall(statement: str, evidence: str, more: str) -> None:
    """Promise: more evidence in the same sentence never lowers recall or tau."""
    wide = f"{evidence} {more}"
    assert 0.0 <= tau.recall3(statement, evidence) <= tau.recall3(statement, wide) <= 1.0


@given(st.lists(st.tuples(st.floats(0.01, 5), st.none() | st.floats(0.02, 0.98)), min_size=1), st.floats(0, 1))
def test_a_report_is_no_better_than_its_best_claim(claims: list[tuple[float, float | None]], coverage: float) -> None:
    """Promise: report tau never passes the largest claim tau (or the floor), in any order."""
    value = tau.report(claims, coverage).tau
    assert value is not None
    assert value <= max(0.02, *(t or 0.0 for _, t in claims)) + 1e-12
    assert value == tau.report(claims[::-1], coverage).tau


def test_another_process_says_the_same() -> None:
    """Promise: the value does not depend on the process (hash seeds, set order)."""
    call = f"tau.recall3({QUOTE!r}, {TEXT!r}, {{'mass': 2.5, 'penguin': 1.1}})"
    code = f"from kimera.guardian import tau; print(repr({call}))"
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
        for env in ({"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed} for seed in ("1", "2"))
    }
    assert 1 == len(seen)
