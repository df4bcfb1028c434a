"""Wordings of annotators: the same thing asked in other words is read the same way, or refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from tests.unit.missions.analysis.passengers import ROWS, ask, read

AGES = np.array([row[3] for row in ROWS if row[3] is not None])
PRICES = np.array([row[4] for row in ROWS])


@pytest.mark.parametrize(
    ("question", "slot", "expected"),
    [
        ("How many female passengers are there?", "@female_passengers[n]", 3),
        ("How many different decks are there?", "@deck_count[n]", 3),
        ("How many passengers are 30 or older in age (age >= 30)?", "@old_passengers[n]", 4),
        ("How many passengers have a ticket price rate above the average ticket price?", "@priced_passengers[n]", 1),
    ],
)
def test_a_count_needs_no_word_for_count_in_its_name(question: str, slot: str, expected: int) -> None:
    """Promise: ``how many`` with rows that were understood is a count whatever the answer is called."""
    assert expected in ask(f'{question}\n{slot} where "n" is an integer.').values()


def test_the_number_of_outliers_is_no_column_of_counts() -> None:
    """Promise: headers written out in a constraint win over words that only sound like a column."""
    asked = (
        "Is there a correlation between what passengers paid and their years?\nCalculate the Pearson correlation "
        'coefficient between "ticket_price" and "age".\n@r[r] where "r" is rounded to three decimals.'
    )
    both = [(row[3], row[4]) for row in ROWS if row[3] is not None]
    assert {"r": round(float(stats.pearsonr(*zip(*both, strict=True)).statistic), 3)} == ask(asked)


def test_quartiles_and_percentiles_by_their_short_names() -> None:
    """Promise: Q1 and P90 are percentiles, interpolated linearly."""
    asked = 'Report Q1 and the 90th percentile of the age.\n@Q1[a] @P90[b] where "a", "b" are rounded to one decimal.'
    q1, p90 = np.percentile(AGES, [25, 90])
    assert {"Q1": round(float(q1), 1), "P90": round(float(p90), 1)} == ask(asked)


def test_the_coefficient_of_variation_is_no_correlation() -> None:
    """Promise: deviation over mean, with the sample's deviation."""
    asked = 'What is the coefficient of variation of the age?\n@cv[cv] where "cv" is rounded to three decimals.'
    assert {"cv": round(float(AGES.std(ddof=1) / AGES.mean()), 3)} == ask(asked)


def test_years_in_the_names_of_answers_choose_the_rows() -> None:
    """Promise: two years set against each other are told apart by the year in the slot's name."""
    asked = (
        "What was the average ticket price of those boarded in 2020 and in 2021?\n"
        '@price_2020[a] @price_2021[b] where "a", "b" are rounded to two decimals.'
    )
    assert {
        "price_2020": round(float(PRICES[:5].mean()), 2),
        "price_2021": round(float(PRICES[5:].mean()), 2),
    } == ask(asked)


def test_a_word_with_its_code_names_the_rows_of_an_answer() -> None:
    """Promise: ``survivors (lived = 1)`` ties the answer about survivors to that code."""
    asked = (
        "Compare the mean age of survivors (lived = 1) and victims (lived = 0).\n"
        '@mean_survivors[a] @mean_victims[b] where "a", "b" are rounded to two decimals.'
    )
    lived = [float(np.mean([r[3] for r in ROWS if r[5] == k and r[3] is not None])) for k in (1, 0)]
    assert {"mean_survivors": round(lived[0], 2), "mean_victims": round(lived[1], 2)} == ask(asked)


def test_the_rows_without_a_value_can_be_measured() -> None:
    """Promise: a mean where another column is empty, and where it is not."""
    asked = (
        "What is the mean ticket price of rows where the age is missing and where it is not missing?\n"
        '@mean_price_age_missing[a] @mean_price_age_not_missing[b] where "a", "b" are rounded to two decimals.'
    )
    present = [row[4] for row in ROWS if row[3] is not None]
    assert {
        "mean_price_age_missing": 20.0,
        "mean_price_age_not_missing": round(float(np.mean(present)), 2),
    } == ask(asked)


def test_it_means_the_column_spoken_of_before() -> None:
    """Promise: ``fill the age with its mean, then standardize it`` scales the age."""
    asked = (
        "Impute the missing age with the mean, then standardize it using z-scores. What is the largest value of the "
        'age?\n@max_age[m] where "m" is rounded to two decimals.'
    )
    filled = np.array([row[3] if row[3] is not None else AGES.mean() for row in ROWS])
    assert {"max_age": round(float(((filled - filled.mean()) / filled.std()).max()), 2)} == ask(asked)


def test_rows_without_values_in_these_columns_are_not_rows_without_any_value() -> None:
    """Promise: dropping rows for the two columns in question does not drop rows for the others."""
    asked = (
        "What is the mean ticket price? Drop rows with missing values in these columns.\n"
        '@mean_price[m] where "m" is rounded to two decimals.'
    )
    assert {"mean_price": round(float(PRICES.mean()), 2)} == ask(asked)


def test_the_column_most_related_to_another_is_chosen_from_those_named() -> None:
    """Promise: ``which of A and B correlates most with C`` compares only A and B."""
    asked = (
        "Which variable among age and passenger_id has the strongest correlation with lived?\n"
        '@strongest_variable[name] where "name" is a column name.'
    )
    assert ask(asked) in ({"strongest_variable": "age"}, {"strongest_variable": "passenger_id"})
    assert ("lived", "age", "passenger_id") == read(asked).outputs[0].measures[0].columns


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ('What is the mean of the "male" column?\n@mean[value]', "no column"),
        ("Which deck is nicest in the mean of the age?\n@deck_word[w] where w is a string.", "name"),
        ("What is the correlation between age and ticket price?\n@age_length_correlation[r]", "length"),
    ],
)
def test_signs_of_a_misreading_leave_the_answer_open(question: str, reason: str) -> None:
    """Promise: a value called a column, a number for a name, an unread word of a relation are refused with a reason."""
    plan = read(question)
    assert () == plan.outputs
    assert any(reason in refusal.reason for refusal in plan.refused)


def test_an_answer_may_map_names_to_values() -> None:
    """Promise: ``{'A': x, ...}`` gets one value per column or group named, dots standing for the numbers between."""
    asked = "How many missing values are there for each column?\n@missing_values[{'age': a, 'deck': b}]"
    assert {"missing_values": "{'age': 1, 'deck': 0}"} == ask(asked)
    monthly = (
        "Calculate the average ticket price for each month. Round to two decimals.\n"
        "@monthly_avg_price[{'month_1': a, ..., 'month_3': c"
    )
    means = [float(np.mean([r[4] for r in ROWS if int(r[6][5:7]) == month])) for month in (1, 2, 3)]
    expected = {f"month_{k}": round(mean, 2) for k, mean in enumerate(means, 1)}
    assert {"monthly_avg_price": str(expected)} == ask(monthly)


def test_months_named_with_their_number_choose_rows_of_a_date() -> None:
    """Promise: ``June (month 6)`` ties an answer named after June to the sixth month."""
    asked = (
        "Extract the month from the boarded date and compute the average ticket price in January (month 1) and "
        'February (month 2).\n@avg_january[a] @avg_february[b] where "a", "b" are rounded to two decimals.'
    )
    assert {"avg_january": 77.75, "avg_february": 20.5} == ask(asked)


def test_words_of_a_new_column_are_no_statistic() -> None:
    """Promise: the largest ``price_range`` is a maximum, not a range."""
    asked = (
        'Create a new feature "price_range" which is the difference between the ticket price and the age. What is the '
        'largest?\n@max_price_range[m] where "m" is rounded to one decimal.'
    )
    assert {"max_price_range": max(row[4] - row[3] for row in ROWS if row[3] is not None)} == ask(asked)


def test_groups_by_size_with_bounds_in_words() -> None:
    """Promise: bins given without quotes, with the column in the middle and words for the bounds, are counted."""
    asked = (
        "Categorize the passengers by age: young (fewer than 25 years), middle (25 to 40), old (41 or more). Count "
        'each group.\n@young[a], @middle[b], @old[c] where "a", "b", "c" are integers.'
    )
    assert {"young": 2, "middle": 3, "old": 2} == ask(asked)


def test_how_many_the_top_group_has() -> None:
    """Promise: beside the group with most rows its number of rows is given."""
    asked = (
        "Which deck has the greatest number of passengers and how many does it have?\n"
        '@top_deck[deck] @top_count[n] where "deck" is a letter and "n" is an integer.'
    )
    assert ask(asked)["top_count"] == 3


def test_a_regression_of_one_column_on_others_over_all_rows() -> None:
    """Promise: ``regression of A on B`` predicts A, and ``no split`` keeps every row."""
    asked = (
        "Fit a linear regression of ticket_price on passenger_id and lived. No train-test split. Report the "
        'coefficient of determination.\n@r_squared[r2] where "r2" is rounded to three decimals.'
    )
    design = np.array([[1, row[0], row[5]] for row in ROWS], dtype=float)
    weights, *_ = np.linalg.lstsq(design, PRICES, rcond=None)
    error = PRICES - design @ weights
    expected = 1 - float((error**2).sum() / ((PRICES - PRICES.mean()) ** 2).sum())
    assert {"r_squared": round(expected, 3)} == ask(asked)


def test_a_phrase_before_a_header_in_brackets_names_it_later() -> None:
    """Promise: ``monetary outlay (ticket_price)`` makes ``outlay`` mean that column in the name of an answer."""
    asked = (
        "Describe the monetary outlay (ticket_price) and the age.\nCalculate the mean of both.\n"
        '@mean_monetary_outlay[a] where "a" is rounded to two decimals.'
    )
    assert {"mean_monetary_outlay": round(float(PRICES.mean()), 2)} == ask(asked)


def test_a_sign_needs_the_significance_the_question_asks_for() -> None:
    """Promise: with a stated significance level a correlation that misses it is neither positive nor negative."""
    asked = (
        "Is there a significant relationship between age and ticket price? Use the Pearson correlation with a "
        'significance level of 0.05. Report "positive", "negative" or "none".\n'
        '@relationship[label] where "label" is "positive", "negative" or "none".'
    )
    assert {"relationship": "none"} == ask(asked)
