"""The answers of the memory are frozen and survive JSON."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kimera.memory import contracts
from kimera.memory.contracts import Anomaly, Guard, Learned, Loop, Observed, Prediction, Predictions, Statistics


def a_prediction() -> Prediction:
    """Return a prediction with something in every field."""
    numbers = {
        f.name: 0.5 for f in dataclasses.fields(Prediction) if f.type in {"float", "float | None"} and f.name != "cost"
    }
    return Prediction(
        id="p1:00",
        name="n",
        sequence=(("a", "b"), ("c",)),
        length=3,
        frequency=2,
        matches=("a",),
        past=(),
        present=(("a", "b"),),
        future=(("c",),),
        missing=(("b",),),
        extras=((), ("x",)),
        anomalies=(Anomaly("aa", "a", 0.9),),
        alignment=((0, 0),),
        fragmentation=0,
        emotives={"joy": 1.5},
        metadata={"k": [1, {"deep": None}]},
        cost=None,
        outcomes=0,
        label={"integrity": "USER"},
        **numbers,  # type: ignore[arg-type]
    )


def test_answers_read_back_equal_from_json() -> None:
    """Promise: from_dict(json(to_dict)) gives the same value, nested records and None included."""
    predictions = Predictions((a_prediction(),), (), Statistics(1, 3, 2, 1, 2, 1.0), 7, {"rank_by": "potential"})
    guard = Guard("loop", ("a",), Loop(2, 3, 1), 1.5, 1, 5, None, None, ((),), None, 7, {})
    observed = Observed(3, "u", True, 2, 7, predictions=predictions, guard=guard)
    for value in (observed, predictions, guard, Learned("p1:00", "n", 1, True, 1, 2)):
        assert value == type(value).from_dict(json.loads(json.dumps(value.to_dict())))


def test_answers_are_frozen() -> None:
    """Promise: nobody changes an answer after it was given."""
    for name in contracts.__all__:
        kind = getattr(contracts, name)
        if dataclasses.is_dataclass(kind):
            assert kind.__dataclass_params__.frozen, name  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Loop(1, 2, 3).period = 4  # type: ignore[misc]


def test_unknown_keys_are_refused() -> None:
    """Promise: data of another shape is not read as ours."""
    with pytest.raises(TypeError):
        Loop.from_dict({"period": 1, "repeats": 2, "start": 3, "end": 4})
