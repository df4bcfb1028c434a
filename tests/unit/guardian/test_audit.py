"""The audit chain: its two vectors, what tampering looks like, and many writers at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import BOTH, database_url

from kimera.clock import FakeClock
from kimera.guardian.audit import Anchor, AuditEvent, AuditLog, AuditStore, chained
from kimera.storage.audit import AuditRows
from kimera.storage.database import engine_for, open_database
from kimera.storage.migrations import upgrade
from kimera.storage.schema import REVISIONS, audit_log

FIRST = {
    "seq": 1, "at": "2026-01-01T00:00:00.000Z", "actor": "usr_1", "role": "chat", "action": "tool_call",
    "tool": "memory.write", "args_hash": "sha256:00", "decision": "deny", "rule": "SINK_PROVENANCE", "policy": "pol_1",
    "subject": "m_1", "request_id": "r_1",
}  # fmt: skip
SECOND = FIRST | {"seq": 2, "at": "2026-01-01T00:00:01.000Z", "decision": "allow", "rule": "ALLOW"}
HASHES = [
    "f0c393e8b21236284da3cce9a3bff9b5c8d00777856def34e091d74f8842529c",
    "41c5abef4d04dd58fc205e5a4dbde1c79c683f6773cf76d44cebf64c52c517bf",
]


class MemoryRows:
    """The chain in a list, for tests."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.held: list[dict[str, Any]] = []
        self._turn = threading.Lock()

    def append(self, make: Callable[[int, str], dict[str, Any]]) -> dict[str, Any]:
        with self._turn:
            row = make(len(self.held) + 1, self.held[-1]["hash"] if self.held else "")
            self.held.append(row)
        return row

    def rows(self) -> Iterator[dict[str, Any]]:
        yield from list(self.held)


@pytest.fixture(params=[*BOTH, "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AuditStore]:
    """Yield an empty store of each kind at the turn of the year."""
    clock = FakeClock()
    if request.param == "memory":
        yield MemoryRows(clock)
        return
    with database_url(request.param, tmp_path) as url:
        database = open_database(url, clock=clock)
        yield AuditRows(database)
        database.close()


def event(decision: str = "deny", rule: str = "SINK_PROVENANCE", **other: str) -> AuditEvent:
    fields = {name: FIRST[name] for name in ("actor", "role", "action", "tool", "args_hash", "policy", "subject")}
    return AuditEvent(**(fields | {"decision": decision, "rule": rule, "request_id": "r_1"} | other))  # type: ignore[arg-type]


def test_the_hashes_are_those_of_the_specification() -> None:
    """Promise: canonical form and chaining give the two published hashes."""
    first = chained(FIRST, "")
    assert HASHES == [first["hash"], chained(SECOND, first["hash"])["hash"]]


def test_what_is_appended_is_the_same_chain(store: AuditStore) -> None:
    """Promise: the log writes the published rows, numbers, times and hashes."""
    log = AuditLog(store)
    places = [log.append(event())]
    store.clock.tick(1.0)  # type: ignore[attr-defined]
    places.append(log.append(event("allow", "ALLOW")))
    assert [Anchor(1, HASHES[0]), Anchor(2, HASHES[1])] == places
    assert [FIRST | {"hash": HASHES[0]}, SECOND | {"hash": HASHES[1]}] == list(store.rows())
    assert (True, 2, None) == (log.verify().ok, log.verify().count, log.verify().first_bad)


def test_odd_texts_are_stored_as_they_are_hashed(store: AuditStore) -> None:
    """Promise: long, empty and foreign texts, NUL and half pairs do not break the chain."""
    log = AuditLog(store)
    for text in ("", "Größe \u2028 \U0001f600", "a\0b", "\ud800", "x" * 1_000, '"\\'):
        log.append(event(subject=text, actor=text))
    assert log.verify().ok
    assert ["", "Größe \u2028 \U0001f600", "ab", "?", "x" * 160, '"\\'] == [row["actor"] for row in store.rows()]


def tampered(change: Callable[[list[dict[str, Any]]], object], rows: int = 9) -> AuditLog:
    store = MemoryRows(FakeClock())
    log = AuditLog(store)
    for number in range(rows):
        log.append(event(subject=f"m_{number}"))
    change(store.held)
    return log


def rewritten(held: list[dict[str, Any]]) -> None:
    """Change row 4 and make everything after it fit again: only an anchor can tell."""
    for number in range(3, len(held)):
        row = held[number] | ({"decision": "allow"} if number == 3 else {})
        held[number] = chained({n: v for n, v in row.items() if n != "hash"}, held[number - 1]["hash"])


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        (lambda held: held[4].update(decision="allow"), 5),
        (lambda held: held[4].update(at="2026-01-01T00:00:00.001Z"), 5),
        (lambda held: held.pop(2), 3),
        (lambda held: held.pop(0), 1),
        (lambda held: held.reverse(), 1),
        (lambda held: held.insert(6, held[5]), 7),
        (lambda held: held.__setitem__(slice(2, 4), [held[3] | {"seq": 3}, held[2] | {"seq": 4}]), 3),
        (lambda held: held[8].update(hash="0" * 64), 9),
    ],
    ids=["decision", "time", "removed", "first removed", "reversed", "doubled", "swapped", "hash"],
)
def test_any_change_is_found_at_its_row(change: Callable[[list[dict[str, Any]]], object], bad: int) -> None:
    """Promise: changing, removing, doubling or reordering rows names the first bad number."""
    report = tampered(change).verify()
    assert (False, bad) == (report.ok, report.first_bad)


def test_a_cut_tail_and_a_rewritten_history_need_the_anchor() -> None:
    """Promise: a chain that is whole in itself but is not the noted one is refused with the anchor's help."""
    whole = tampered(lambda held: None)
    anchor = Anchor(7, list(whole.store.rows())[6]["hash"])
    cut = tampered(lambda held: held.__delitem__(slice(5, None)))
    forged = tampered(rewritten)
    assert (True, True, True) == (whole.verify(anchor).ok, cut.verify().ok, forged.verify().ok)
    assert (6, 7) == (cut.verify(anchor).first_bad, forged.verify(anchor).first_bad)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("migrated", [False, True])
def test_the_database_refuses_to_change_a_row(kind: str, migrated: bool, tmp_path: Path) -> None:
    """Promise: UPDATE, DELETE and REPLACE fail, whether the table was created at once or by its migration."""
    with database_url(kind, tmp_path) as url:
        if migrated:
            engine = engine_for(url)
            for revision in REVISIONS:
                upgrade(engine, revision)
            engine.dispose()
        database = open_database(url)
        log = AuditLog(AuditRows(database))
        log.append(event())
        row = next(iter(AuditRows(database).rows()))
        statements = [audit_log.update().values(decision="allow"), audit_log.delete()]
        statements.append(audit_log.insert().values(**row | {"decision": "allow"}))
        if kind == "sqlite":
            statements[-1] = statements[-1].prefix_with("OR REPLACE")
        for statement in statements:
            with pytest.raises(sa.exc.DBAPIError), database.engine.begin() as connection:
                connection.execute(statement)
        assert ([row], True) == (list(AuditRows(database).rows()), log.verify().ok)
        database.close()


@pytest.mark.parametrize("kind", BOTH)
def test_fifty_threads_neither_fork_nor_lose_the_chain(kind: str, tmp_path: Path) -> None:
    """Promise: 50 threads over several logs on one database leave one whole chain with every event once."""
    with database_url(kind, tmp_path) as url:
        databases = [open_database(url) for _ in range(3)]
        logs = [AuditLog(AuditRows(database)) for database in databases]
        start = threading.Barrier(50)
        failed: list[BaseException] = []

        def work(number: int) -> None:
            start.wait()
            try:
                for turn in range(3):
                    logs[number % 3].append(event(subject=f"{number}.{turn}"))
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == failed
        assert (True, 150) == (logs[0].verify().ok, logs[0].verify().count)
        subjects = {row["subject"] for row in AuditRows(databases[0]).rows()}
        assert {f"{number}.{turn}" for number in range(50) for turn in range(3)} == subjects
        for database in databases:
            database.close()
