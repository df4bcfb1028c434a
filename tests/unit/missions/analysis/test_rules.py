"""Labels that a question defines itself, and named groups with bounds."""

from __future__ import annotations

from kimera.missions.analysis.plan import Measure
from kimera.missions.analysis.question.derive import read_ranges
from kimera.missions.analysis.question.rules import read_rules


def test_each_option_gets_the_limit_stated_for_it_and_one_is_what_is_left() -> None:
    """Promise: options with a stated condition get it, in order; the last one holds otherwise."""
    text = 'classify as "even" if absolute skewness is less than 0.5, "bent" if between 0.5 and 1, otherwise "skew".'
    rules = read_rules(["even", "bent", "skew"], text, lambda metric: Measure(kind=metric))
    assert rules is not None
    read = [(r.label, [(c.measure.kind, c.op, c.value, c.absolute) for c in r.when]) for r in rules]
    expected = [
        ("even", [("skewness", "<", 0.5, True)]),
        ("bent", [("skewness", ">=", 0.5, True), ("skewness", "<=", 1.0, True)]),
        ("skew", []),
    ]
    assert expected == read


def test_options_without_conditions_are_not_guessed() -> None:
    """Promise: when more than one option has no condition there are no rules."""
    assert read_rules(["red", "green", "blue"], "Say red, green or blue.", lambda m: Measure(kind=m)) is None


def test_named_groups_keep_their_edges() -> None:
    """Promise: spans of whole numbers close up, strict signs stay strict, open ends stay open."""
    ranges = read_ranges("'Child' (0-12), 'Teen' (13 to 19), 'Adult' (20-59) and 'Old' (60+)")
    assert [("Child", 0, 13), ("Teen", 13, 20), ("Adult", 20, 60), ("Old", 60, None)] == [
        (r.label, r.low, r.high) for r in ranges
    ]
    signed = read_ranges("'Low' (x<=12), 'Mid' (12<x<=18), 'High' (x>18)")
    assert [(False, False), (True, False), (True, True)] == [(r.low_open, r.high_open) for r in signed]
