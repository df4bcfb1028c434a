"""Options: bounds, other spellings, and which level's word counts."""

from __future__ import annotations

import pytest

from kimera.errors import ValidationError
from kimera.memory.options import RANKS, Options, clean_options, explain, resolve
from kimera.memory.recall.ensemble import RANKS as KNOWN_RANKS


def test_the_stronger_level_wins() -> None:
    """Promise: call over session over memory over default, each option for itself."""
    call, session, memory = {"max_predictions": 1}, {"max_predictions": 2, "anchor": "start"}, {"recall_threshold": 0.5}
    found = resolve(call, session, memory)
    assert (1, "start", 0.5, 5) == (found.max_predictions, found.anchor, found.recall_threshold, found.persistence)
    shown = explain([("session", session), ("memory", memory)])
    assert {"value": 2, "from": "session"} == shown["max_predictions"]
    assert {"value": 0.5, "from": "memory"} == shown["recall_threshold"]
    assert {"value": "CLEAR", "from": "default"} == shown["stm_mode"]


def test_older_spellings_are_understood() -> None:
    """Promise: KATO's names for options mean the same options."""
    given = {"process_predictions": True, "rank_sort_algo": "similarity", "use_token_matching": False}
    assert {"predict_on_observe": True, "rank_by": "similarity", "matching": "characters"} == clean_options(given)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("recall_threshold", 1.1),
        ("recall_threshold", True),
        ("recall_threshold", float("nan")),
        ("max_predictions", 0),
        ("max_predictions", 1.0),
        ("anchor", "end"),
        ("matching", None),
        ("fuzzy_token_threshold", 0.4),
        ("vector_max_distance", 2.1),
        ("affinity_emotive", 3),
        ("rank_by", "luck"),
        ("max_pattern_length", -1),
        ("stm_mode", "clear"),
        ("stm_limit", 0),
        ("persistence", "5"),
        ("sort_symbols", 1),
        ("ttl_seconds", 0),
        ("unheard_of", 1),
        ("filter_pipeline", ["length"]),
    ],
)
def test_a_bad_value_or_an_unknown_key_is_refused(option: str, value: object) -> None:
    """Promise: every option has bounds, and an unknown one is not ignored."""
    with pytest.raises(ValidationError) as refused:
        clean_options({option: value})
    assert ("CONFIG_INVALID", [option]) == (refused.value.code, [error["field"] for error in refused.value.errors])


def test_there_is_one_error_per_bad_key() -> None:
    """Promise: all that is wrong is said at once."""
    with pytest.raises(ValidationError) as refused:
        clean_options({"anchor": "end", "persistence": 5, "stm_mode": 1, "nope": 2})
    assert ["anchor", "stm_mode", "nope"] == [error["field"] for error in refused.value.errors]


def test_every_default_is_within_its_bounds() -> None:
    """Promise: the defaults pass their own rules, and every rank is one that predictions know."""
    assert Options().to_dict() == clean_options(Options().to_dict())
    assert set(KNOWN_RANKS) == set(RANKS)
