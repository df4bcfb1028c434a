"""What the survey of tables finds, and what it must not."""

from __future__ import annotations

import numpy as np

from kimera.missions.analysis.survey.relations import associations, differences, pairs, reversals, trends


def test_a_correlation_that_turns_within_groups_is_marked() -> None:
    """Promise: a positive correlation made of negative ones inside groups carries the grouping (Simpson's paradox)."""
    step = np.linspace(0, 1, 20)
    x = np.concatenate([step, step + 2, step + 4])
    y = np.concatenate([-step, 3 - step, 6 - step])
    group = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 20, dtype=object)
    values = {"x": x, "y": y, "group": group}
    found = pairs(values, [["x", "y"]])
    reversals(values, found, ["group"])
    assert found[0]["r"] > 0.8
    assert "group" == found[0]["turns_within"]


def test_missing_values_are_left_out_pairwise_and_constants_are_not_tested() -> None:
    """Promise: n counts rows where both columns have a value; a column without spread gives no test."""
    x = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, np.nan])
    values = {"x": x, "y": x * 2 + np.array([0, 1] * 5), "flat": np.ones(10)}
    found = pairs(values, [["x", "y"], ["x", "flat"]])
    assert [9] == [item["n"] for item in found]


def test_groups_that_differ_are_told_with_the_share_of_variance() -> None:
    """Promise: the effect is the share of the variance that lies between groups."""
    values = {
        "x": np.array([1.0, 2, 3] * 10 + [11.0, 12, 13] * 10),
        "g": np.array(["a"] * 30 + ["b"] * 30, dtype=object),
    }
    (item,) = differences(values, [["x", "g"]])
    assert "Welch's t" == item["test"]
    assert abs(item["effect"] - 25 / (25 + 2 / 3)) < 1e-9


def test_groupings_that_go_together_are_found_and_thin_tables_are_not_tested() -> None:
    """Promise: shares differ by group with Cramer's V; an expected count below five is no test."""
    values = {
        "yes": np.array(["0"] * 30 + ["1"] * 10 + ["0"] * 10 + ["1"] * 30, dtype=object),
        "side": np.array(["left"] * 40 + ["right"] * 40, dtype=object),
        "rare": np.array(["x"] * 78 + ["y"] * 2, dtype=object),
    }
    (item,) = associations(values, [["yes", "side"], ["yes", "rare"]])
    assert ("right", 0.75, "left", 0.25) == (
        item["most"]["name"],
        item["most"]["share"],
        item["least"]["name"],
        item["least"]["share"],
    )


def test_a_steady_rise_over_time_is_a_trend() -> None:
    """Promise: Mann-Kendall's tau of a monotone series is one and the Theil-Sen slope is its slope."""
    time = np.arange(12.0)
    (item,) = trends({"x": 3 * time + 1, "t": time}, [["x", "t"]])
    assert (1.0, 3.0) == (round(item["tau"], 9), round(item["slope"], 9))
