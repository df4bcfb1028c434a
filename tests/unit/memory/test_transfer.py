"""Export, import, snapshot, erase: what leaves a memory, what comes in, and what is gone for good."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory.stores import Shelf, opened
from tests.unit.memory.test_changes import lessons, steps, take

from kimera.errors import ConflictError, NotFoundError, ValidationError
from kimera.memory import Memory


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """Yield an empty memory in a file."""
    yield from opened("sqlite", tmp_path)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    """Yield what makes empty memories."""
    made = Shelf()
    yield made
    made.memories.close()


@settings(max_examples=30, deadline=None)
@given(history=st.lists(steps, max_size=8), own=st.lists(lessons, max_size=3))
def test_export_then_import_is_the_identity(
    shelf: Shelf, tmp_path_factory: pytest.TempPathFactory, history: Any, own: Any
) -> None:
    """Promise: an empty memory takes over the state; one with content keeps both; a second import changes nothing."""
    path = tmp_path_factory.mktemp("export") / "log.jsonl"
    memory, other, third = shelf.memory(), shelf.memory(), shelf.memory()
    for step in history:
        take(memory, step)
    exported = memory.export(path)
    assert (memory.seq, memory.state_hash()) == (exported.records, exported.state_hash)
    other.import_(path)
    assert memory.state_hash() == other.state_hash()
    assert () == other.verify().problems
    for lesson in own:
        other.learn(**lesson)
    seq, state = other.seq, other.state_hash()
    assert (0, seq) == (other.import_(path).imported, other.seq)
    assert state == other.state_hash()
    assert 0 == memory.import_(path).imported
    # and on to a third memory and back: what came from the first is known there
    other.export(path)
    third.import_(path)
    assert state == third.state_hash()
    assert len(own) == memory.import_(path).imported


def corrupt(lines: list[str], damage: str) -> list[str]:
    """Return the lines of an export with one damage."""
    header, first = json.loads(lines[0]), json.loads(lines[1])
    if damage == "cut":
        return lines[:-1]
    if damage == "body":
        first["body"]["events"] = [["x"], ["y"]]
    if damage == "column":
        first["source"] = "forged"
    if damage == "state":
        header["state_hash"] = "s1:0"
    if damage == "version":
        header["version"] = 2
    if damage == "text":
        return [*lines[:1], "not JSON", *lines[2:]]
    if damage == "empty":
        return []
    return [json.dumps(header), json.dumps(first), *lines[2:]]


@pytest.mark.parametrize("damage", ["cut", "body", "column", "state", "version", "text", "empty"])
def test_a_damaged_import_changes_nothing(memory: Memory, tmp_path: Path, damage: str) -> None:
    """Promise: a damaged file is refused as IMPORT_CORRUPT, and nothing of it is kept."""
    path = tmp_path / "log.jsonl"
    memory.learn([["a"], ["b"]], source="s")
    memory.learn([["a"], ["c"]], source="s")
    memory.export(path)
    path.write_text("\n".join(corrupt(path.read_text().splitlines(), damage)))
    for other in opened("memory", tmp_path):
        before = other.state_hash()
        with pytest.raises(ValidationError) as refused:
            other.import_(path)
        assert ("IMPORT_CORRUPT", 0, before) == (refused.value.code, other.seq, other.state_hash())
        with pytest.raises(NotFoundError):
            other.import_(tmp_path / "nowhere")


def test_a_snapshot_is_a_whole_memory(memory: Memory, tmp_path: Path) -> None:
    """Promise: the copy opens as the memory it was, while the original goes on."""
    memory.learn([["a"], ["b"]])
    before = memory.state_hash()
    memory.snapshot(tmp_path / "copy.db")
    memory.learn([["c"], ["d"]])
    with Memory.open(tmp_path / "copy.db", memory.name) as copy:
        assert before == copy.state_hash()
        assert copy.verify().ok


ERASURES: dict[str, Callable[[Memory, str], Any]] = {
    "symbol": lambda memory, pattern: memory.erase(symbol="launch-codes"),
    "pattern": lambda memory, pattern: memory.erase(pattern=pattern),
    "source": lambda memory, pattern: memory.erase(source="leak"),
}


@pytest.mark.parametrize("how", ERASURES)
@pytest.mark.parametrize("forgotten", [False, True])
def test_what_is_erased_is_nowhere_in_the_files(tmp_path: Path, how: str, forgotten: bool) -> None:
    """Promise: after erase, the symbols stand in no file of the database, the chain holds, and it stays so."""
    path = tmp_path / "m.db"
    with Memory.open(path, stm="sql") as memory:
        kept = memory.learn([["a"], ["b"]])
        learned = memory.learn([["a"], ["launch-codes"]], source="leak", metadata={"note": "launch-codes"})
        if how == "symbol":
            memory.edit(memory.learn([["q"], ["r"]]).id, [["q"], ["launch-codes"]])
        session = memory.session()
        session.observe(["launch-codes"])
        assert memory.predict([["launch-codes"]], recall_threshold=0.2).predictions
        if forgotten:
            memory.forget(symbol="launch-codes")
        changed = ERASURES[how](memory, learned.id)
        assert changed.episodes >= 1
        files = [file for file in tmp_path.iterdir() if b"launch-codes" in file.read_bytes()]
        assert [] == files
        assert [] == session.stm
        assert () == memory.verify().problems
        assert [kept.id] == [pattern.id for pattern in memory.patterns().patterns]
        for seq in (learned.seq, changed.seq):
            with pytest.raises(ConflictError) as refused:
                memory.undo(seq)
            assert "NOT_UNDOABLE" == refused.value.code
        memory.rebuild()
        assert () == memory.verify().problems
        memory.export(tmp_path / "log.jsonl")
        for other in opened("memory", tmp_path):
            other.import_(tmp_path / "log.jsonl")
            assert memory.state_hash() == other.state_hash()
            assert other.verify().ok


def test_a_body_that_vanished_unrecorded_is_noticed(tmp_path: Path) -> None:
    """Promise: overwriting a body without an erase record breaks the verification."""
    path = tmp_path / "m.db"
    with Memory.open(path) as memory:
        memory.learn([["a"], ["b"]])
    connection = sqlite3.connect(path)
    connection.execute("""UPDATE memory_log SET body = '{"erased":true}'""")
    connection.commit()
    connection.close()
    with Memory.open(path) as memory:
        memory.rebuild()
        assert any("no record says it was erased" in problem for problem in memory.verify().problems)
