"""The catalogue of metrics, as data."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

from kimera.telemetry.recording.catalog import BUCKETS, METRICS, PHASES, Family

ROUTES = 40
OPEN = 20


def lines(family: Family) -> int:
    """Return how many sample lines a family has when every capped label is in full use (routes: 40)."""
    series = len(list(family.series()))
    if not series:
        series = 1
        for label in family.labels:
            series *= len(label.values) or (ROUTES if label.name == "route" else OPEN)
    return series * (1 if not family.edges else len(family.edges) + (1 if family.signed else 3))


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Promise: counters end in _total, nothing else does, every name has our prefix and every help is a sentence."""
    for name, family in METRICS.items():
        assert re.fullmatch(r"kimera_[a-z0-9_]+", name), name
        assert (family.kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(created|bucket|count|sum|info_total)$", name), name
        assert re.fullmatch(r"[A-Z][^\n]+\.", family.help), name
        assert family.owner, name


def test_labels_are_closed_or_capped_and_hold_no_identity() -> None:
    """Promise: a label has a closed set of distinct values or a cap, and no open one names an id, path or text."""
    forbidden = re.compile(r"(^|_)(id|path|text|message|user|mission|session|identity)$")
    for family in METRICS.values():
        assert len(set(family.label_names)) == len(family.labels), family.name
        for label in family.labels:
            assert bool(label.values) != bool(label.cap), (family.name, label.name)
            assert len(set(label.values)) == len(label.values), (family.name, label.name)
            assert label.values or not forbidden.search(label.name), (family.name, label.name)
            assert label.name not in {"le", "quantile"}, family.name
        for combo in family.combos or ():
            assert len(combo) == len(family.labels), family.name
            assert all(value in label.values for value, label in zip(combo, family.labels, strict=True)), combo


def test_edges_ascend_and_belong_to_histograms_only() -> None:
    """Promise: bucket sets are strictly ascending, and exactly the two kinds of histograms name one."""
    for name, edges in BUCKETS.items():
        assert all(low < high for low, high in pairwise(edges)), name
    for family in METRICS.values():
        assert bool(family.edges) == (family.kind in {"histogram", "gauge_histogram"}), family.name
        assert family.detailed or family.kind != "gauge_histogram", family.name


def test_edges_are_those_that_were_decided() -> None:
    """Promise: the sets other people read quantiles from have the documented edges."""
    assert (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0) == METRICS["kimera_identity_entropy"].edges
    assert (-2.0, -1.0, -0.5, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0) == METRICS["kimera_identity_entropy_change"].edges
    assert 18 == len(METRICS["kimera_population_entropy"].edges)
    assert 18 == len(METRICS["kimera_identity_effective_tau_seconds"].edges)
    assert 1.0 == METRICS["kimera_identity_decay_factor"].edges[-1]
    assert (
        18
        == len([s for s in METRICS["kimera_mission_phase_duration_seconds"].series()])
        == sum(len(phases) for phases in PHASES.values())
    )


def test_the_whole_catalogue_stays_small() -> None:
    """Promise: about a hundred families, and under 5,000 sample lines with every capped label in use."""
    assert 90 <= len(METRICS) <= 130
    assert sum(lines(family) for family in METRICS.values()) < 5_000


def test_the_catalogue_is_plain_data() -> None:
    """Promise: dashboards and alerts can be generated from it without loading the Prometheus client."""
    code = "import sys, kimera.telemetry.recording.catalog; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()
