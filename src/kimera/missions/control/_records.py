"""How the durable engine writes values down: JSON only, by the name ``kimera_json_v1``.

The engine's default is pickle, which turns write access to a database into code execution. Here a value is plain JSON
or one of a few tagged forms; models are only those of the contracts, and an exception comes back as data.
"""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from kimera import errors
from kimera.errors import KimeraError
from kimera.knowledge import contracts as knowledge_contracts
from kimera.knowledge.contracts import Frozen
from kimera.missions import contracts as mission_contracts

__all__ = ["NAME", "RecordedError", "dumps", "loads"]

NAME = "kimera_json_v1"
TAG = "$"

MODELS: dict[str, type[Frozen]] = {
    name: value
    for module in (knowledge_contracts, mission_contracts)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Frozen)
}
ERRORS: dict[str, type[KimeraError]] = {
    name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, KimeraError)
}


class RecordedError(KimeraError):
    """A step failed earlier with an error of a kind that is kept as data only."""

    default_code = "RECORDED"


def dumps(value: Any) -> str:
    """Return the text of a value; TypeError for what has no JSON form, ValueError for NaN and infinities."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def loads(text: str) -> Any:
    """Return the value of a text made by `dumps`; nothing is ever imported or executed."""
    return _value(json.loads(text))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value) and TAG not in value:
            return {key: _plain(item) for key, item in value.items()}
        return {TAG: "map", "v": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return _tagged(value)


def _tagged(value: Any) -> dict[str, Any]:
    if isinstance(value, tuple):
        return {TAG: "tuple", "v": [_plain(item) for item in value]}
    if isinstance(value, Decimal):
        return {TAG: "decimal", "v": str(value)}
    if isinstance(value, datetime):
        return {TAG: "datetime", "v": value.isoformat()}
    if isinstance(value, Frozen) and type(value).__name__ in MODELS:
        return {TAG: "model", "t": type(value).__name__, "v": value.model_dump(mode="json")}
    if isinstance(value, BaseException):
        return {TAG: "error", "t": type(value).__name__, "v": _facts(value)}
    raise TypeError(f"{type(value).__name__} has no recorded form; store it as a blob and record its name")


def _facts(error: BaseException) -> dict[str, Any]:
    if isinstance(error, KimeraError):
        return {"message": error.message, "code": error.code, "recoverable": error.recoverable}
    return {"message": str(error), "code": "", "recoverable": False}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _value(item) for key, item in value.items()}
    return _untagged(value)


def _untagged(value: dict[str, Any]) -> Any:
    tag, inner = value[TAG], value["v"]
    if tag == "map":
        return {_value(key): _value(item) for key, item in inner}
    if tag == "tuple":
        return tuple(_value(item) for item in inner)
    if tag == "decimal":
        return Decimal(inner)
    if tag == "datetime":
        return datetime.fromisoformat(inner)
    if tag == "model":
        return MODELS[value["t"]].model_validate(inner)
    if tag == "error":
        return _error(value["t"], inner)
    raise ValueError(f"unknown tag {tag!r} in a record of {NAME}")


def _error(name: str, facts: dict[str, Any]) -> KimeraError:
    known = ERRORS.get(name)
    if known is None:
        return RecordedError(f"{name}: {facts['message']}", error_type=name)
    return known(facts["message"], error_code=facts["code"], recoverable=facts["recoverable"])
