"""Who was given access, who lost it and who was refused, in the audit chain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from threading import Lock

import sqlalchemy as sa

from kimera.guardian.audit import AuditEvent, AuditLog
from kimera.storage.audit import AuditRows
from kimera.storage.database import Database
from kimera.storage.keys import ApiKey, Keys

__all__ = ["Denial", "Denials", "audited_keys"]

POLICY = "gateway-keys"
MOST_KINDS = 200
"""Kinds of refusal told apart between two writes; an attack must not fill the chain's table."""


def audited_keys(database: Database, actor: str) -> Keys:
    """Return the keys of a database; what ``actor`` changes is recorded in the same transaction."""
    rows = AuditRows(database)
    log = AuditLog(rows)

    def note(connection: sa.Connection, action: str, key: ApiKey) -> None:
        rule = f"{key.tenant}:{max(key.scopes, key=('read', 'write', 'admin').index)}"
        event = AuditEvent(actor, "operator", action, "allow", rule=rule[:64], policy=POLICY, subject=key.key_id)
        rows.append_in(connection, lambda seq, previous: log.row(event, seq, previous))

    return Keys(database, note)


@dataclass(frozen=True, slots=True)
class Denial:
    """A kind of refused request: who by, where, and the code of the reason."""

    actor: str
    route: str
    code: str


class Denials:
    """Refused requests, counted until `write` puts one row per kind into the chain. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._log = AuditLog(AuditRows(database))
        self._lock = Lock()
        self._counts: Counter[Denial] = Counter()
        self._first: dict[Denial, str] = {}

    def add(self, denial: Denial, request_id: str) -> None:
        """Count one refusal; the first of its kind lends the row its request id."""
        with self._lock:
            if denial not in self._counts and len(self._counts) >= MOST_KINDS:
                denial = Denial("others", "others", "OTHERS")
            self._counts[denial] += 1
            self._first.setdefault(denial, request_id)

    def write(self) -> int:
        """Record what was counted and return how many rows that made; raises `StorageError` and keeps the counts."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
            first, self._first = self._first, {}
        written = 0
        try:
            for denial, count in counts.items():
                self._log.append(
                    AuditEvent(
                        denial.actor,
                        "caller",
                        "http.request",
                        "deny",
                        rule=denial.code,
                        policy=POLICY,
                        subject=f"{denial.route} x{count}",
                        request_id=first[denial],
                    )
                )
                written += 1
        finally:
            self._put_back(list(counts.items())[written:], first)
        return written

    def _put_back(self, left: list[tuple[Denial, int]], first: dict[Denial, str]) -> None:
        with self._lock:
            for denial, count in left:
                self._counts[denial] += count
                self._first.setdefault(denial, first[denial])
