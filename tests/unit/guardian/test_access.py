"""Changes of access and refusals, in the audit chain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kimera.guardian import AuditLog, Denial, Denials, audited_keys
from kimera.storage.audit import AuditRows
from kimera.storage.database import Database, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Yield an empty database."""
    opened = open_database(f"sqlite:///{tmp_path / 'k.db'}")
    yield opened
    opened.close()


def test_each_change_of_a_key_is_recorded_once(database: Database) -> None:
    """Promise: making, replacing and revoking a key each leave one row with actor and key id, and the chain holds."""
    keys = audited_keys(database, "cli:ada")
    made = keys.create("laptop", "acme", "write")
    successor = keys.rotate(made.stored.key_id, grace=60.0)
    keys.revoke(successor.stored.key_id)
    keys.revoke(successor.stored.key_id)
    rows = AuditRows(database)
    expected = [
        ("key.create", made.stored.key_id, "acme:write"),
        ("key.create", successor.stored.key_id, "acme:write"),
        ("key.rotate", made.stored.key_id, "acme:write"),
        ("key.revoke", successor.stored.key_id, "acme:write"),
    ]
    assert expected == [(row["action"], row["subject"], row["rule"]) for row in rows.rows()]
    assert {"cli:ada"} == {row["actor"] for row in rows.rows()}
    assert AuditLog(rows).verify().ok


def test_a_change_that_fails_leaves_no_record(database: Database) -> None:
    """Promise: the key and its record are one transaction: when the record cannot be stored there is no key."""
    keys = audited_keys(database, "cli:ada")
    keys._note = lambda connection, action, key: 1 / 0  # type: ignore[assignment, func-returns-value]
    with pytest.raises(ZeroDivisionError):
        keys.create("laptop", "acme", "write")
    assert [] == keys.all()


def test_refusals_are_counted_by_kind(database: Database) -> None:
    """Promise: a thousand refusals of two kinds from many threads make two rows that add up to a thousand."""
    denials = Denials(database)
    kinds = [Denial("nobody@192.0.2.1", "GET /x", "KEY_MISSING"), Denial("abc@192.0.2.2", "POST /y", "SCOPE_MISSING")]

    def add(kind: Denial) -> None:
        for n in range(125):
            denials.add(kind, f"r{n}")

    threads = [threading.Thread(target=add, args=(kinds[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 == denials.write()
    assert {"GET /x x500", "POST /y x500"} == {row["subject"] for row in AuditRows(database).rows()}
    assert 0 == denials.write()


def test_an_attack_does_not_fill_the_chain(database: Database) -> None:
    """Promise: ten thousand kinds of refusal between two writes become 201 rows, and none is lost from the sum."""
    denials = Denials(database)
    for n in range(10_000):
        denials.add(Denial(f"nobody@192.0.2.{n}", "GET /x", "KEY_MISSING"), "r")
    assert 201 == denials.write()
    counts = [int(row["subject"].rpartition("x")[2]) for row in AuditRows(database).rows()]
    assert 10_000 == sum(counts)
