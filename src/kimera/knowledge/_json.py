"""JSON to flat records: lists of objects, objects of lists, JSON lines; objects inside them opened by one level."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kimera.knowledge._delimited import Unreadable
from kimera.knowledge._encoding import decode, detect
from kimera.knowledge.limits import Limits

__all__ = ["json_lines_tables", "json_tables"]

Found = tuple[str, Sequence[str], Iterable[Sequence[str]]]


def json_tables(path: Path, limits: Limits) -> Iterator[Found]:
    """Yield ``(name, columns, records)`` of each table in a JSON file. Raises `Unreadable`."""
    if path.stat().st_size > limits.json_bytes:
        raise Unreadable(
            f"It is larger than {limits.json_bytes >> 20} MB, the most read of one document; save it as JSON lines."
        )
    try:
        value = json.loads(decode(path.read_bytes())[0].lstrip("\ufeff"), parse_constant=lambda _: None)
    except (ValueError, RecursionError) as broken:
        raise Unreadable("It is not valid JSON; check that it was saved completely.") from broken
    for name, objects in _lists(value):
        yield (name, *_flat(objects, limits))


def json_lines_tables(path: Path, limits: Limits) -> Iterator[Found]:
    """Yield the one table of a JSON lines file; lines that are not JSON are an error. Raises `Unreadable`."""
    with path.open("rb") as stream:
        encoding = detect(stream.read(1 << 16))
    columns: dict[str, None] = {}
    for number, value in _lines(path, encoding):
        columns.update(dict.fromkeys(_open(value)))
        if len(columns) > limits.columns or number > limits.rows:
            break
    names = list(columns)
    yield "", names, ([_open(value).get(name, "") for name in names] for _, value in _lines(path, encoding))


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, Any]]:
    with path.open(encoding=encoding, errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                yield number, json.loads(line.lstrip("\ufeff"), parse_constant=lambda _: None)
            except (ValueError, RecursionError) as broken:
                raise Unreadable(f"Line {number} is not valid JSON; correct it to have the file read.") from broken


def _lists(value: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the lists of records in a JSON value, with the key they stand under."""
    if isinstance(value, list):
        yield "", value
    elif isinstance(value, dict):
        inner = {key: item for key, item in value.items() if isinstance(item, list) and item}
        records = {key: item for key, item in inner.items() if any(isinstance(one, dict) for one in item)}
        if records:
            yield from (("" if len(records) == 1 else key, item) for key, item in records.items())
        elif inner and len({len(item) for item in inner.values()}) == 1 and len(inner) == len(value):
            yield "", [dict(zip(inner, row, strict=True)) for row in zip(*inner.values(), strict=True)]
        elif value and all(isinstance(item, dict) for item in value.values()):
            yield "", _keyed(value)
        elif value:
            yield "", [value]
    else:
        raise Unreadable("It holds a single value, not records.")


def _keyed(value: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return records of an object of objects; pandas writes columns of rows this way, others rows by their key."""
    keys = [tuple(item) for item in value.values()]
    if len(value) > 1 and len(set(keys)) == 1 and all(key.isdigit() for key in keys[0]) and keys[0]:
        return [{column: value[column][row] for column in value} for row in keys[0]]
    return [{"key": key, **item} for key, item in value.items()]


def _flat(objects: list[Any], limits: Limits) -> tuple[list[str], Iterator[list[str]]]:
    columns: dict[str, None] = {}
    for value in objects:
        columns.update(dict.fromkeys(_open(value)))
        if len(columns) > limits.columns:
            break
    names = list(columns)
    return names, ([row.get(name, "") for name in names] for row in map(_open, objects))


def _open(value: Any) -> dict[str, str]:
    """Return the cells of one record: objects in it become dotted columns, anything deeper is kept as JSON text."""
    if isinstance(value, list):
        return {f"column_{i}": _cell(item) for i, item in enumerate(value, 1)}
    if not isinstance(value, dict):
        return {"value": _cell(value)}
    cells: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            cells.update({f"{key}.{inner}": _cell(deep) for inner, deep in item.items()})
        else:
            cells[key] = _cell(item)
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return repr(value) if isinstance(value, float) else str(value)
