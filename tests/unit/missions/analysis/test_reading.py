"""Questions with named answers are read, computed and rounded as asked, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.unit.missions.analysis.passengers import ROWS, ask, read, view

from kimera.missions.analysis.question.reading import read_question

AGES = np.array([row[3] for row in ROWS if row[3] is not None])
PRICES = np.array([row[4] for row in ROWS])


def test_a_mean_ignores_missing_values_and_is_rounded_as_asked() -> None:
    """Promise: the mean of a column is over its present values, rounded to the decimals the format names."""
    asked = 'What is the mean age?\n@mean_age[value] where "value" is a number rounded to one decimal place.'
    assert {"mean_age": round(float(AGES.mean()), 1)} == ask(asked)


def test_population_and_sample_standard_deviation_differ_when_the_question_does() -> None:
    """Promise: the standard deviation is the sample's unless the population's is named."""
    slot = '@std[value] where "value" is rounded to three decimals.'
    assert {"std": round(float(PRICES.std(ddof=1)), 3)} == ask(
        f"Calculate the standard deviation of the ticket price.\n{slot}"
    )
    population = f"Calculate the population standard deviation of the ticket price.\n{slot}"
    assert {"std": round(float(PRICES.std(ddof=0)), 3)} == ask(population)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("female passengers", 3),
        ("male passengers who lived", 1),
        ("passengers older than 30 with age > 30", 3),
        ("passengers with a ticket price between 10 and 30", 3),
        ("passengers on deck B", 3),
    ],
)
def test_rows_are_chosen_by_values_flags_and_comparisons(rows: str, expected: int) -> None:
    """Promise: named values, yes/no columns and comparisons choose rows."""
    found = ask(f'How many {rows} are there?\n@count[n] where "n" is an integer.')
    assert {"count": expected} == found


def test_a_correlation_comes_with_its_p_value_and_its_label() -> None:
    """Promise: r, p and the label chosen by the stated limits all rest on the same pairs of values."""
    asked = (
        "Is there a correlation between age and ticket price? Calculate the Pearson correlation "
        "coefficient. Consider the relationship "
        "significant if the p-value is less than 0.05.\n"
        '@r[r_value] @p_value[p] @relationship[label] where "r_value" is rounded to '
        'three decimals, "p" is rounded to four decimals, "label" is either "significant" or "not significant".'
    )
    both = [(row[3], row[4]) for row in ROWS if row[3] is not None]
    test = stats.pearsonr(*zip(*both, strict=True))
    expected = {
        "r": round(float(test.statistic), 3),
        "p_value": round(float(test.pvalue), 4),
        "relationship": "not significant",
    }
    assert expected == ask(asked)


def test_a_new_column_is_made_before_it_is_measured() -> None:
    """Promise: a derived column can be measured in the same question."""
    asked = 'Create a new feature called "price_per_year" by dividing the ticket price by the age. What is its mean?\n@mean[value] where "value" is rounded to two decimals.'  # noqa: E501
    expected = np.mean([row[4] / row[3] for row in ROWS if row[3]])
    assert {"mean": round(float(expected), 2)} == ask(asked)


def test_outliers_are_counted_by_the_rule_the_question_states() -> None:
    """Promise: the interquartile fence and the z-score are different rules and the question decides."""
    low, high = np.percentile(PRICES, [25, 75])
    fence = int(((PRICES < low - 1.5 * (high - low)) | (PRICES > high + 1.5 * (high - low))).sum())
    assert {"outlier_count": fence} == ask(
        "How many outliers are in the ticket price by the IQR method?\n@outlier_count[n]"
    )
    far = int((abs((PRICES - PRICES.mean()) / PRICES.std()) > 2).sum())
    asked = "How many outliers are in the ticket price by the Z-score method with a threshold of 2?\n@outlier_count[n]"
    assert {"outlier_count": far} == ask(asked)


def test_outliers_without_a_rule_are_refused() -> None:
    """Promise: a word whose meaning the question leaves open is not guessed."""
    plan = read("How many outliers are in the ticket price?\n@outlier_count[n]")
    assert () == plan.outputs
    assert "how an outlier is defined" in plan.refused[0].reason


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ('Calculate the mean of the "cabin size" column.\n@mean[value]', "column"),
        ("Calculate the rolling mean of the ticket price.\n@mean[value]", "rolling"),
        ("Fit a random forest to predict the ticket price from the age.\n@mse[value]", "random forest"),
        ("Create a new feature that tells the mood. Calculate the mean age.\n@mean[value]", "new column"),
    ],
)
def test_what_is_not_understood_is_named(question: str, reason: str) -> None:
    """Promise: an unknown column, method, model or new column leaves the answer open and says so."""
    plan = read(question)
    assert () == plan.outputs
    assert any(reason in refusal.reason for refusal in plan.refused)


def test_two_answers_that_read_the_same_are_both_refused() -> None:
    """Promise: when two named answers cannot be told apart neither is guessed."""
    plan = read("Calculate the average ticket price of knights and squires.\n@mean_knights[x], @mean_squires[y]")
    assert () == plan.outputs
    assert ["mean_knights", "mean_squires"] == [refusal.slot for refusal in plan.refused]


def test_the_group_with_the_highest_mean_is_named() -> None:
    """Promise: which group has the highest mean of a column is answered with its name."""
    assert {"deck_name": "C"} == ask(
        "Which deck has the highest average ticket price?\n@deck_name[name of the deck with the highest average]"
    )


def test_a_split_is_the_one_of_the_stated_seed() -> None:
    """Promise: the test rows are the first of numpy's permutation for the seed, and the score is theirs."""
    asked = (
        "Train a linear regression model to predict the ticket price based on lived and passenger_id. "
        "Split into 75% training and 25% "
        'testing with a random state of 7.\n@mse[value] where "value" is rounded to two decimals.'
    )
    order = np.random.RandomState(7).permutation(8)
    design = np.array([[1, row[5], row[0]] for row in ROWS], dtype=float)
    test, train = order[:2], order[2:]
    weights, *_ = np.linalg.lstsq(design[train], PRICES[train], rcond=None)
    assert {"mse": round(float(np.mean((PRICES[test] - design[test] @ weights) ** 2)), 2)} == ask(asked)


def test_the_table_that_takes_up_more_of_the_question_is_read() -> None:
    """Promise: a table that knows a named value wins over one whose header alone sounds like the question."""
    short = view().model_copy(update={"name": "decks", "columns": view().columns[1:2]})
    named = short.with_column("mean_ticket_price", "number")
    plan = read_question("What is the mean ticket price of female passengers on deck A?", [named, view()])
    assert plan is not None
    assert "people" == plan.table
