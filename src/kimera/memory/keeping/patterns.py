"""The tables kept from the log: patterns, where episodes count, which records are void. Each is one fold of the log.

`apply` projects one record. An episode is a learn record; it counts for the pattern it taught until an edit moves it
or a forget ends it, and records that `undo` has voided do not act. So undoing touches only the episodes a record
acted on, and rebuilding is applying every record again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kimera.errors import ValidationError
from kimera.memory.keeping.episodes import Folded, Lesson, read_events, written_events
from kimera.memory.keeping.log import LogRecord, read, record
from kimera.memory.symbols import Events, is_vector_symbol, pattern_id, pattern_name
from kimera.storage import memory as sql
from kimera.storage.rows import Rows

__all__ = ["acted_on", "apply", "check_vectors", "enter_all", "fold", "is_void", "rebuild", "teach", "where"]


def teach(rows: Rows, memory: int, seq: int, taught: Lesson) -> int:
    """Count a learned pattern and return its new frequency."""
    return _count(
        rows, memory, seq, taught.id, taught.name, taught.written, taught.length, taught.payload, taught.plain
    )


def enter_all(rows: Rows, memory: int, lessons: Sequence[tuple[int, Lesson]]) -> set[int]:
    """Enter in one go the plain patterns no row knows yet; return the numbers of the lessons that this settled."""
    ids = json.dumps(sorted({taught.id for _, taught in lessons}))
    known = {row[0] for row in rows.all(sql.SOME_PATTERNS, {"memory": memory, "ids": ids})}
    values: dict[str, dict[str, Any]] = {}
    for seq, taught in lessons:
        if taught.plain and not taught.vectors and taught.id not in known and "VCTR|" not in taught.written:
            entered = {"memory": memory, "pattern": taught.id, "name": taught.name, "events": taught.written}
            values.setdefault(taught.id, {**entered, "length": taught.length, "seq": seq})
    rows.many(sql.ENTER_PATTERNS, list(values.values()))
    return {entered["seq"] for entered in values.values()}


def apply(rows: Rows, memory: int, item: LogRecord) -> int:
    """Bring the tables from the record before ``item`` to ``item``; return how many patterns changed."""
    if item.kind == "learn":
        return _apply_learn(rows, memory, item)
    if item.kind == "undo":
        target = _toggle(rows, memory, item.payload["seq"], void=True)
        return _settle(rows, memory, item.seq, acted_on(target))
    episodes = acted_on(item)
    rows.many(sql.ADD_EFFECT, [{"memory": memory, "episode": episode, "seq": item.seq} for episode in episodes])
    if item.kind == "outcome":
        return sum(_add_outcome(rows, memory, item, episode) for episode in episodes)
    return _settle(rows, memory, item.seq, episodes)


def rebuild(rows: Rows, memory: int) -> None:
    """Drop the tables of a memory and make them again from its log."""
    for statement in sql.CLEAR_DERIVED:
        rows.run(statement, {"memory": memory})
    for item in list(read(rows, memory)):
        apply(rows, memory, item)


def fold(rows: Rows, memory: int, pattern: str, until: int) -> Folded:
    """Return what the live episodes of a pattern up to a record add up to."""
    values = {"memory": memory, "pattern": pattern, "until": until}
    return _added_up(rows, memory, rows.all(sql.EPISODES_OF, values))


def acted_on(item: LogRecord) -> list[int]:
    """Return the episodes a record acts on; those of an undo are those of the record it voids."""
    if item.kind == "learn":
        return [item.seq]
    if item.erased:
        return []
    payload = item.payload
    if item.kind == "outcome":
        return [payload["episode"]]
    episodes: list[int] = payload.get("episodes", [])
    return episodes


def is_void(rows: Rows, memory: int, seq: int) -> bool:
    """Return whether a record is voided by an undo that stands."""
    return rows.one(sql.IS_VOID, {"memory": memory, "seq": seq}) is not None


def where(rows: Rows, memory: int, episode: int) -> tuple[LogRecord, str | None]:
    """Return the learn record of an episode and the pattern it counts for now."""
    learned = record(rows, memory, episode)
    assert learned is not None
    moved = rows.one(sql.MOVE_OF, {"memory": memory, "episode": episode})
    return learned, learned.pattern_id if moved is None else moved[0]


def check_vectors(rows: Rows, memory: int, vectors: Mapping[str, tuple[float, ...]]) -> None:
    """Raise `ValidationError` (VECTOR_DIMENSION) unless all vectors have the dimension of the memory's first."""
    if not vectors:
        return
    found = rows.one(sql.DIMENSION, {"memory": memory})
    dimensions = {len(vector) for vector in vectors.values()}
    wanted = found[0] if found is not None else len(next(iter(vectors.values())))
    if dimensions != {wanted}:
        other = next(iter(dimensions - {wanted}))
        raise ValidationError(
            f"This memory holds vectors of dimension {wanted}, the given one has {other}; use another memory for it.",
            "vectors",
            error_code="VECTOR_DIMENSION",
        )


def _apply_learn(rows: Rows, memory: int, item: LogRecord) -> int:
    if item.erased:
        rows.run(sql.ADD_MOVE, {"memory": memory, "episode": item.seq, "pattern": None})
        return 0
    payload = item.payload
    events: Events = tuple(map(tuple, payload["events"]))
    name, written, length = pattern_name(events), written_events(events), sum(map(len, events))
    plain = not payload.keys() & {"emotives", "metadata", "outcome", "label"}
    _count(rows, memory, item.seq, str(item.pattern_id), name, written, length, payload, plain)
    return 1


def _count(
    rows: Rows,
    memory: int,
    seq: int,
    pattern: str,
    name: str,
    written: str,
    length: int,
    payload: Mapping[str, Any],
    plain: bool,
) -> int:
    if plain and "VCTR|" not in written and _is_new(rows, memory, seq, pattern, name, written, length):
        return 1
    found = rows.one(sql.FIND_PATTERN, {"memory": memory, "pattern": pattern})
    if found is not None and found[0] > 0 and plain and found[1] is None:
        rows.run(sql.REPEAT_PATTERN, {"memory": memory, "pattern": pattern, "seq": seq})
        return int(found[0]) + 1
    frequency = 1 if found is None else int(found[0]) + 1
    folded = Folded.read(found[1]) if frequency > 1 and found is not None else Folded()
    folded.add(payload)
    if frequency > 1:
        _change(rows, memory, seq, pattern, frequency, folded)
        return frequency
    _enter(rows, memory, seq, pattern, name, written, length, 1, folded, known=found is not None)
    if "vectors" in payload or "VCTR|" in written:
        _count_vectors(rows, memory, read_events(written), 1, payload.get("vectors", {}))
    return 1


def _is_new(rows: Rows, memory: int, seq: int, pattern: str, name: str, written: str, length: int) -> bool:
    """Enter a plain pattern unless its row is there; saves the look before, and most patterns are new and plain."""
    values = {"memory": memory, "pattern": pattern, "name": name, "events": written, "length": length, "seq": seq}
    return bool(rows.run(sql.ENTER_PATTERN, values).rowcount)


def _enter(
    rows: Rows,
    memory: int,
    seq: int,
    pattern: str,
    name: str,
    written: str,
    length: int,
    frequency: int,
    folded: Folded,
    *,
    known: bool,
) -> None:
    if known:  # it was gone, and an erase may have blanked it
        rows.run(sql.REVIVE_PATTERN, {"memory": memory, "pattern": pattern, "new_name": name, "new_events": written})
        _change(rows, memory, seq, pattern, frequency, folded)
        return
    rows.run(
        sql.NEW_PATTERN,
        {
            "memory": memory,
            "pattern": pattern,
            "name": name,
            "events": written,
            "length": length,
            "frequency": frequency,
            "seq": seq,
            "outcomes": folded.outcomes,
            "utility": folded.total_utility,
            "folded": folded.write(),
        },
    )


def _change(rows: Rows, memory: int, seq: int, pattern: str, frequency: int, folded: Folded | None) -> None:
    rows.run(
        sql.CHANGE_PATTERN,
        {
            "memory": memory,
            "pattern": pattern,
            "seq": seq,
            "new_frequency": frequency,
            "new_outcomes": folded.outcomes if folded else 0,
            "new_utility": folded.total_utility if folded else 0.0,
            "new_folded": folded.write() if folded else None,
        },
    )


def _count_vectors(
    rows: Rows, memory: int, events: Events, change: int, vectors: Mapping[str, Iterable[float]]
) -> None:
    """Note that one pattern more (or less) holds these vectors; the last one to go takes the coordinates along."""
    for symbol in sorted({symbol for event in events for symbol in event if is_vector_symbol(symbol)}):
        values = {"memory": memory, "name": symbol, "change": change}
        if rows.run(sql.COUNT_VECTOR, values).rowcount or symbol not in vectors:
            continue
        coordinates = tuple(vectors[symbol])
        rows.run(
            sql.NEW_VECTOR,
            {
                "memory": memory,
                "symbol": symbol,
                "dimension": len(coordinates),
                "coordinates": struct.pack(f"<{len(coordinates)}d", *coordinates),
                "count": 1,
            },
        )
    if change < 0:
        rows.run(sql.DROP_VECTORS, {"memory": memory})


def _add_outcome(rows: Rows, memory: int, item: LogRecord, episode: int) -> int:
    _, pattern = where(rows, memory, episode)
    found = None if pattern is None else rows.one(sql.FIND_PATTERN, {"memory": memory, "pattern": pattern})
    if pattern is None or found is None:
        return 0
    folded = Folded.read(found[1])
    folded.add_outcome(item.payload)
    _change(rows, memory, item.seq, pattern, int(found[0]), folded)
    return 1


def _toggle(rows: Rows, memory: int, seq: int, *, void: bool) -> LogRecord:
    """Void a record, or let it stand again, and follow a chain of undos to the record it is about in the end."""
    rows.run(sql.ADD_VOID if void else sql.DROP_VOID, {"memory": memory, "seq": seq})
    item = record(rows, memory, seq)
    assert item is not None
    if item.kind == "undo" and not item.erased:
        return _toggle(rows, memory, item.payload["seq"], void=not void)
    return item


def _settle(rows: Rows, memory: int, seq: int, episodes: Iterable[int]) -> int:
    """Find anew where these episodes count, then what the patterns before and after add up to."""
    touched: dict[str, Mapping[str, Any]] = {}
    for episode in episodes:
        learned, before = where(rows, memory, episode)
        after, content = _place(rows, memory, learned)
        if before is not None:
            touched.setdefault(before, {})
        if after is not None:
            touched[after] = content
        if before != after:
            rows.run(sql.DROP_MOVE, {"memory": memory, "episode": episode})
            if after != learned.pattern_id:
                rows.run(sql.ADD_MOVE, {"memory": memory, "episode": episode, "pattern": after})
    for pattern in sorted(touched):
        _refold(rows, memory, seq, pattern, touched[pattern])
    return len(touched)


def _place(rows: Rows, memory: int, learned: LogRecord) -> tuple[str | None, Mapping[str, Any]]:
    """Return where an episode counts, and the payload that holds the events of that pattern."""
    if learned.erased or is_void(rows, memory, learned.seq):
        return None, {}
    pattern, content = learned.pattern_id, learned.payload
    for _, kind, body in rows.all(sql.EFFECTS_ON, {"memory": memory, "episode": learned.seq}):
        if kind in {"forget", "expire"}:
            return None, {}
        if kind == "edit":
            content = json.loads(body)
            pattern = pattern_id(tuple(map(tuple, content["events"])))
    return pattern, content


def _refold(rows: Rows, memory: int, seq: int, pattern: str, content: Mapping[str, Any]) -> None:
    found = rows.one(sql.READ_PATTERN, {"memory": memory, "pattern": pattern})
    # when a whole log is applied again, what comes later stands in it already
    episodes = rows.all(sql.EPISODES_OF, {"memory": memory, "pattern": pattern, "until": seq})
    before = 0 if found is None else int(found[4])
    if not episodes:
        if found is not None and before:
            _change(rows, memory, seq, pattern, 0, None)
            _count_vectors(rows, memory, read_events(found[2]), -1, {})
        return
    folded = _added_up(rows, memory, episodes)
    if before:
        _change(rows, memory, seq, pattern, len(episodes), folded)
        return
    events: Events = tuple(map(tuple, content["events"]))
    written, name, length = written_events(events), pattern_name(events), sum(map(len, events))
    known = found is not None
    _enter(rows, memory, seq, pattern, name, written, length, len(episodes), folded, known=known)
    _count_vectors(rows, memory, events, 1, content.get("vectors", {}))


def _added_up(rows: Rows, memory: int, episodes: Iterable[tuple[Any, ...]]) -> Folded:
    folded = Folded()
    for episode, _, _, _, body in episodes:
        effects = rows.all(sql.EFFECTS_ON, {"memory": memory, "episode": episode})
        folded.add(json.loads(body), [json.loads(text) for _, kind, text in effects if kind == "outcome"])
    return folded
