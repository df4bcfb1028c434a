"""Which table a plain question is about, and when it is refused rather than answered in part."""

from __future__ import annotations

import pytest

from kimera.missions.analysis.plan import Plan
from kimera.missions.analysis.question.reading import read_question
from kimera.missions.analysis.question.tables import ColumnView, TableView


def text(name: str, *values: str, unique: int = 0) -> ColumnView:
    """Return a column of words."""
    return ColumnView(name=name, role="text", stored="text", values=values, unique=unique or len(values))


def number(name: str, unit: str | None = None) -> ColumnView:
    """Return a column of numbers."""
    return ColumnView(name=name, role="number", stored="real", unique=90, minimum=1, maximum=99, unit=unit)


KINDS, SITES = ("Oak", "Beech", "Larch"), ("North", "South")
TREES = TableView(
    name="trees",
    title="trees",
    source_id="a",
    rows=120,
    columns=(
        text("tree_id", unique=120),
        text("kind", *KINDS),
        text("site", *SITES),
        text("state", "healthy", "sick"),
        number("leaf_length_mm", "mm"),
        number("trunk_mass_kg", "kg"),
        text("bears_fruit", "no", "yes"),
    ),
)
SUMMARY = TableView(
    name="by_kind",
    title="Counts by kind",
    source_id="b",
    rows=6,
    columns=(text("Kind", *KINDS), text("Site", *SITES), number("Mean trunk mass (kg)", "kg"), number("Trees")),
)
SITE = TableView(
    name="site",
    title="site",
    source_id="c",
    rows=2,
    columns=(text("site", *SITES), number("mean_trunk_mass_kg", "kg")),
)
TABLES = [SUMMARY, SITE, TREES]


def read(question: str) -> Plan:
    """Read a question over all tables; refusals are plans too."""
    plan = read_question(question, TABLES)
    assert plan is not None
    return plan


def answers(question: str) -> tuple[str, list[str]]:
    """Return the table and the measures a question is read as."""
    plan = read(question)
    assert () == plan.refused
    return plan.table, [m.text() for o in plan.outputs for m in o.measures]


def test_single_records_are_read_rather_than_their_summaries() -> None:
    """Promise: a mean that both a table and its summary could give is taken from the rows themselves."""
    expected = ("trees", ["mean of trunk_mass_kg where kind = Oak"])
    assert expected == answers("What is the mean trunk mass of Oak trees?")
    assert ("trees", ["mean of trunk_mass_kg"]) == answers("What is the mean trunk mass per site?")


def test_every_value_in_the_question_must_be_in_the_table() -> None:
    """Promise: the table that has all the values named is read, with all of them as conditions."""
    assert ("trees", ["mean of trunk_mass_kg where state = sick and kind = Oak"]) == answers(
        "What is the mean trunk mass of sick Oak trees?"
    )
    assert ("trees", ["rows where site = North"]) == answers("How many trees are in the North?")


def test_a_table_named_in_the_question_is_the_one_counted() -> None:
    """Promise: without columns or values the name of a table decides, and nothing decides between several unnamed."""
    assert ("trees", ["rows"]) == answers("How many trees are there?")
    assert read_question("How many rows are there?", TABLES) is None


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("What is the mean trunk mass of purple trees?", "purple"),
        ("How many leaf lengths are there in trees?", "leaf length"),
    ],
)
def test_what_is_not_understood_is_refused_not_dropped(question: str, reason: str) -> None:
    """Promise: a word that would change which rows are meant is never left out silently."""
    plan = read(question)
    assert () == plan.outputs
    assert any(reason in refusal.reason for refusal in plan.refused)


def test_a_value_of_another_table_is_refused() -> None:
    """Promise: when the column and the value stand in different tables the question is refused and both are named."""
    soil = TableView(name="ground", title="ground", source_id="d", rows=90, columns=(number("soil_acidity"),))
    plan = read_question("What is the mean soil acidity of Larch trees?", [TREES, soil])
    assert plan is not None
    assert () == plan.outputs
    assert "Larch" in plan.refused[0].reason


def test_words_of_size_stand_for_columns() -> None:
    """Promise: the longest leaves are those of the highest leaf length, and the value is given beside the group."""
    table, measures = answers("Which kind has the longest leaf on average?")
    assert "trees" == table
    assert ["extreme group of leaf_length_mm by kind", "extreme value of leaf_length_mm by kind"] == measures
    assert measures[0].replace("leaf_length_mm", "trunk_mass_kg") in answers("Which kind is heaviest on average?")[1]


def test_the_top_groups_are_ranked_by_their_values() -> None:
    """Promise: ``top 2 kinds by mean trunk mass`` is the mean per kind, of which two are kept."""
    plan = read("What are the top 2 kinds by mean trunk mass?")
    (output,) = plan.outputs
    assert ("kind", 2, False) == (
        output.each,
        output.measures[0].options["top"],
        output.measures[0].options["low"],
    )


def test_rows_that_have_something_are_counted_by_its_yes() -> None:
    """Promise: ``have bears fruit`` is a condition on a yes/no column, never all rows."""
    table, measures = answers("How many trees have a bears fruit?")
    assert ("trees", ["rows where bears_fruit = yes"]) == (table, measures)


def test_the_most_of_many_rows_is_a_total() -> None:
    """Promise: ``which site has the most trees`` counts rows, and the most of a column is its highest total."""
    assert ("trees", ["extreme group by site"]) == answers("Which site has the most trees?")
    (group, value) = (o.measures[0] for o in read("Which kind has the most trunk mass?").outputs)
    assert ("sum", "sum") == (group.options["statistic"], value.options["statistic"])
