"""What the survey of tables finds, and what it must not."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from kimera.missions.analysis.question.tables import ColumnView, TableView
from kimera.missions.analysis.survey.explore import left_out
from kimera.missions.analysis.survey.findings import rank
from kimera.missions.analysis.survey.joins import put_together
from kimera.missions.analysis.survey.relations import associations, differences, pairs, reversals, trends
from kimera.missions.analysis.survey.wording import say_finding
from kimera.missions.contracts import Computation


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


def test_the_grouping_with_the_strongest_turn_is_named() -> None:
    """Promise: of two groupings that turn a sign the one inside which it turns the most is told."""
    step = np.linspace(0, 1, 20)
    x = np.concatenate([step, step + 2, step + 4])
    y = np.concatenate([-step, 3 - step, 6 - step])
    group = np.array(["a"] * 20 + ["b"] * 20 + ["c"] * 20, dtype=object)
    loose = group.copy()
    loose[[3, 25, 45]] = ["b", "c", "a"]
    values = {"x": x, "y": y, "tight": group, "loose": loose}
    for order in (["tight", "loose"], ["loose", "tight"]):
        found = pairs(values, [["x", "y"]])
        reversals(values, found, order)
        assert "tight" == found[0]["turns_within"]


def test_a_relation_that_fades_inside_groups_says_so() -> None:
    """Promise: a correlation that only lies between groups is told with what is left inside them."""
    wave = np.array([0.0, 1.0, 0.0, -1.0] * 5)
    other = np.array([1.0, 0.0, -1.0, 0.0] * 5)
    x, y = np.concatenate([wave, wave + 9]), np.concatenate([other, other + 9])
    values = {"x": x, "y": y, "g": np.array(["a"] * 20 + ["b"] * 20, dtype=object)}
    found = pairs(values, [["x", "y"]])
    reversals(values, found, ["g"])
    said = say_finding({**found[0], "q": 0.0}, {})
    assert "Within the groups of g hardly any of it is left" in said


def test_a_finding_reads_as_a_person_writes() -> None:
    """Promise: names in words, values with units, one p-value that is never zero, no p twice."""
    item = {"kind": "correlation", "columns": ["body_mass_g", "flipper_length_mm"], "n": 342, "r": 0.871, "rho": 0.84}
    assert "Body mass rises with flipper length (Pearson r = 0.87, n = 342, adjusted p < 0.001)." == say_finding(
        {**item, "p": 0.0, "q": 0.0}, {}
    )
    groups = [{"name": "a", "mean": 5076.016, "n": 123}, {"name": "b", "mean": 3700.66, "n": 151}]
    item = {"kind": "difference", "columns": ["body_mass_g", "kind"], "n": 274, "effect": 0.67, "groups": groups}
    said = say_finding({**item, "test": "Welch's t", "p": 0.0, "q": 0.0}, {"body_mass_g": "g"}, "bird_id")
    assert "Body mass differs by kind: the mean is 5,076 g for a (n = 123) and 3,701 g for b" in said
    assert said.endswith("(Welch's t, n = 274, adjusted p < 0.001; tables joined by bird id).")


def table(name: str, rows: int, *columns: str) -> TableView:
    """Return a table of numbers."""
    made = tuple(ColumnView(name=c, role="number", stored="real", unique=rows) for c in columns)
    return TableView(name=name, title=name, source_id=name, rows=rows, columns=made)


def test_small_and_derived_tables_are_not_tested_beside_larger_ones() -> None:
    """Promise: a table of sums over another is left out, a small table only when there is a larger one."""
    birds, few = table("birds", 300, "mass_g"), table("few", 9, "size")
    sums = table("sums", 40, "Mean mass (g)")
    views = [birds, few, sums]
    assert [False, True, True] == [left_out(view, views) for view in views]
    assert not left_out(few, [few])


def test_a_join_keeps_every_row_one_row_or_is_refused() -> None:
    """Promise: rows are matched over a key that is unique on the other side; any other key is an error."""
    db = duckdb.connect()
    db.execute("CREATE TABLE birds AS SELECT 'b' || i AS id, i AS mass, 'n' || i // 2 AS nest FROM range(10) t(i)")
    db.execute("CREATE TABLE blood AS SELECT 'b' || i AS id, i * 2 AS iron FROM range(8) t(i)")
    rows = put_together(db, "joined", "birds", "blood", "id", "id", ["iron"])
    assert {"left": 10, "right": 8, "matched": 8} == rows
    assert (8, 28) == db.execute("SELECT count(*), sum(iron) // 2 FROM joined").fetchone()
    with pytest.raises(ValueError, match="multiply rows"):
        put_together(db, "again", "blood", "birds", "id", "nest", ["mass"])


def relation(question: str, groups: list[tuple[str, float]], q: float = 0.0) -> list[tuple[str, str]]:
    """Return (role, statement) of what a question makes of one tested difference."""
    view = TableView(
        name="t",
        title="t",
        source_id="s",
        rows=90,
        columns=(
            ColumnView(name="mass_g", role="number", stored="real", unique=80, unit="g"),
            ColumnView(name="kind", role="text", stored="text", unique=len(groups)),
        ),
    )
    named = [{"name": name, "n": 30, "mean": mean} for name, mean in groups]
    item = {"kind": "difference", "columns": ["mass_g", "kind"], "n": 90, "p": q, "effect": 0.4, "groups": named}
    made = Computation(id="c", code="", inputs=(), result={"found": [{**item, "test": "Welch's t"}]})
    adjustment = Computation(id="a", code="", inputs=(), result=[q])
    context = SimpleNamespace(question=question, attempt=1, started_at=datetime(2026, 1, 1, tzinfo=UTC))
    focus = {"t": {"mass_g", "kind"}} if "mass" in question else {"t": set(), "other": {"x"}}
    claims = rank(context, [view], focus, {"t": made}, adjustment)  # type: ignore[arg-type]
    return [(claim.role, claim.statement) for claim in claims]


def test_the_relation_between_the_two_things_asked_about_is_the_answer() -> None:
    """Promise: a yes/no question on two columns is answered by their relation, also when none shows."""
    two = [("oak", 9.0), ("elm", 5.0)]
    role, said = relation("Is mass related to the kind?", two)[0]
    assert ("answer", "Mass differs by kind") == (role, said[:20])
    (none,) = relation("Is mass related to the kind?", two, 0.4)
    assert "answer" == none[0]
    assert none[1].startswith("Mass does not clearly differ by kind")
    assert "finding" == relation("Which factors go with mass?", two)[0][0]


def test_two_of_several_groups_are_answered_by_their_own_means() -> None:
    """Promise: a test over all groups does not stand for a comparison of two of them."""
    found = relation("Do oak have more mass than elm?", [("oak", 9.0), ("elm", 5.0), ("fir", 7.0)])
    assert ["finding", "answer", "answer", "context"] == [role for role, _ in found]
    assert "The mean mass is 9 g for kind oak (n = 30)." == found[1][1]


def test_what_a_question_does_not_speak_of_is_context() -> None:
    """Promise: a strong relation between other columns never poses as a finding about the question."""
    assert "context" == relation("What about x?", [("oak", 9.0), ("elm", 5.0)])[0][0]


def test_a_question_that_names_no_column_is_not_answered_by_the_survey() -> None:
    """Promise: strong relations are no answer to something else; they are one to a question for an overview."""
    groups = [("oak", 9.0), ("elm", 5.0)]
    view = TableView(
        name="t",
        title="trees",
        source_id="s",
        rows=90,
        columns=(
            ColumnView(name="mass_g", role="number", stored="real", unique=80, unit="g"),
            ColumnView(name="kind", role="text", stored="text", unique=2),
        ),
    )
    item = {
        "kind": "difference", "columns": ["mass_g", "kind"], "n": 90, "p": 0.0, "effect": 0.4, "test": "Welch's t",
        "groups": [{"name": name, "n": 30, "mean": mean} for name, mean in groups],
    }  # fmt: skip
    made = Computation(id="c", code="", inputs=(), result={"found": [item]})
    adjustment = Computation(id="a", code="", inputs=(), result=[0.0])

    def role(question: str, focus: set[str], named: set[str]) -> str:
        context = SimpleNamespace(question=question, attempt=1, started_at=datetime(2026, 1, 1, tzinfo=UTC))
        tables = {"t": made}
        return rank(context, [view], {"t": focus}, tables, adjustment, named={"t": named})[0].role  # type: ignore[arg-type]

    assert "context" == role("What is the price of oil?", set(), set())
    assert "context" == role("What do oak eat?", {"kind"}, set())
    assert "finding" == role("Which factors go with mass?", {"mass_g"}, {"mass_g"})
    assert "finding" == role("Give me an overview of the data", set(), set())
    assert "finding" == role("trees", set(), set())
