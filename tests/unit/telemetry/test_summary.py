"""The numbers that other systems ask for by name: exact means over a window, null where nothing was seen."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from kimera.clock import FakeClock
from kimera.errors import ConfigurationError, ValidationError
from kimera.telemetry.reading import summary
from kimera.telemetry.reading.series import History
from kimera.telemetry.reading.summary import read_summary
from kimera.telemetry.recording.children import Part
from kimera.telemetry.retention.rollup_store import MemoryRollups, RollupRow
from kimera.telemetry.retention.rollups import Key, Rollup, encode

NANO = 10**9
KEYS = [
    *("window", "inference_time_ms", "component_time_ms", "errors_by_module", "avg_tau_score"),
    *("safeguard_trigger_rate", "drift_velocity_avg"),
]


def seen(*values: float) -> Part:
    """Return what a histogram holds of these values; the buckets do not matter for a mean."""
    return Part(len(values), round(sum(values) * NANO), min(values), max(values), {0: len(values)})


def history(rollups: dict[float, Rollup]) -> tuple[History, FakeClock]:
    """Return a history with rows so many seconds before now."""
    clock, store = FakeClock(86_400.0), MemoryRollups()
    now = clock.now().timestamp()
    for ago, rollup in rollups.items():
        store.put(RollupRow("raw", int(now - ago) // 15 * 15, "p", encode(rollup)))
    return History(store, clock), clock


def test_an_empty_home_has_every_key_and_no_number() -> None:
    """Promise: the keys are always there; what has no data is null, counts are empty."""
    found = asdict(read_summary(*reversed_arguments(history({}))))
    assert KEYS == list(found)
    assert {None} == {found[name] for name in KEYS if name not in {"window", "component_time_ms", "errors_by_module"}}
    assert {} == found["errors_by_module"]
    stages = ["input", "tau_in", "delta144", "kindra", "tw369", "meta", "story", "tau_out", "safeguard"]
    assert dict.fromkeys(stages) == found["component_time_ms"]


def reversed_arguments(pair: tuple[History, FakeClock]) -> tuple[History, str, FakeClock]:
    return pair[0], "1h", pair[1]


def test_means_are_those_of_all_values_in_the_window() -> None:
    """Promise: means weigh every observation once, whatever row it is in; older rows are left out."""
    inference, stage = "kimera_signal_inference_seconds", "kimera_signal_component_seconds"
    first = Rollup(
        counters={
            Key("kimera_signal_safeguard_total", ("allow",)): 6 * NANO,
            Key("kimera_errors_total", ("storage", "high")): 2 * NANO,
            Key("kimera_errors_total", ("storage", "low")): 1 * NANO,
        },
        histograms={
            Key(inference, ("offline",)): seen(0.010, 0.020, 0.030),
            Key(stage, ("story",)): seen(0.004),
            Key("kimera_signal_tau", ()): seen(0.5, 0.7),
            Key("kimera_signal_drift_velocity", ()): seen(-1.0, 0.5),
        },
    )
    second = Rollup(
        counters={Key("kimera_signal_safeguard_total", ("flag_risk",)): 2 * NANO},
        histograms={Key(inference, ("model",)): seen(0.100), Key("kimera_signal_tau", ()): seen(0.9)},
    )
    old = Rollup(histograms={Key(inference, ("offline",)): seen(9.0)})
    past, clock = history({600: first, 60: second, 7_200: old})
    found = read_summary(past, "1h", clock)
    assert (pytest.approx(40.0), pytest.approx(4.0)) == (found.inference_time_ms, found.component_time_ms["story"])
    assert (pytest.approx(0.7), 0.25, -0.25) == (
        found.avg_tau_score, found.safeguard_trigger_rate, found.drift_velocity_avg,
    )  # fmt: skip
    assert {"storage": 3} == found.errors_by_module
    assert found.component_time_ms["input"] is None


def test_other_windows_and_a_missing_home_are_refused() -> None:
    """Promise: a window that is no time is a validation error; without a home the error says what is missing."""
    past, clock = history({})
    with pytest.raises(ValidationError):
        read_summary(past, "soon", clock)
    with pytest.raises(ConfigurationError, match="home"):
        summary.summary()
    summary.attach(past)
    try:
        assert "1h" == summary.summary().window
    finally:
        summary.attach(None)
