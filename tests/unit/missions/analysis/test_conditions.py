"""Which rows a sentence means."""

from __future__ import annotations

import pytest

from kimera.missions.analysis.question.conditions import find_conditions
from kimera.missions.analysis.question.linking import find_columns
from kimera.missions.analysis.question.tables import ColumnView, TableView


def _column(name: str, role: str = "number", values: tuple[str, ...] = (), unique: int = 300) -> ColumnView:
    return ColumnView.model_validate(
        {"name": name, "role": role, "stored": "text" if role == "text" else "real", "values": values, "unique": unique}
    )


TABLE = TableView(
    name="hotels",
    title="hotels",
    source_id="s",
    rows=900,
    columns=(
        _column("hotel_id", unique=900),
        _column("country_code", "text", ("CAN", "FRA", "USA"), 3),
        _column("city", "text", ("Lyon", "Nice", "Paris"), 3),
        _column("star_rating", values=("1", "2", "3", "4", "5"), unique=5),
        _column("review_count"),
        _column("price"),
        _column("renovated", values=("0", "1"), unique=2),
        _column("year"),
    ),
)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("hotels with at least 100 reviews", ["review_count >= 100"]),
        ("hotels in Paris that were renovated", ["city = Paris", "renovated = 1"]),
        ("hotels that were not renovated", ["renovated = 0"]),
        ("a price between 50 and 80", ["price >= 50", "price <= 80"]),
        ("star ratings below 3, and above 4", ["star_rating < 3", "star_rating > 4"]),
        ("a price above the average price", ["price > its mean"]),
        ("where price is greater than review_count", ["price > review_count"]),
        ("in 2015", ["year = 2015"]),
        ("country_code = 'FRA'", ["country_code = FRA"]),
        ("Can we predict it?", []),
        ("the hotels of the table", []),
    ],
)
def test_conditions_are_read_from_values_flags_and_comparisons(sentence: str, expected: list[str]) -> None:
    """Promise: each way to name rows gives its condition, and words that only look like values give none."""
    assert expected == [found.condition.text() for found in find_conditions(sentence, TABLE)]


@pytest.mark.parametrize(
    ("words", "column"),
    [
        ("the number of reviews", "review_count"),
        ("star ratings", "star_rating"),
        ('the "price" column', "price"),
        ("the country", "country_code"),
    ],
)
def test_columns_are_found_by_their_parts_and_stems(words: str, column: str) -> None:
    """Promise: a column is found by the words of its name, whatever their form."""
    assert [column] == [m.column for m in find_columns(words, TABLE)]


def test_a_tie_between_columns_is_no_mention() -> None:
    """Promise: words that fit two columns equally well name neither."""
    twins = TABLE.model_copy(update={"columns": (_column("price net"), _column("price gross"))})
    assert [] == find_columns("the price", twins)
