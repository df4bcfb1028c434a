"""Who did what and what was decided: a chain of events in which nothing can be changed unseen.

Each row's hash is sha256(previous hash as hex + canonical JSON of the row without its hash); the first previous hash
is 64 zeros. Canonical: sorted keys, separators ``,`` and ``:``, no ASCII escaping, UTF-8. A cut tail leaves a whole
chain, so every hundredth (seq, hash) also goes to the log stream as an anchor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC
from threading import Lock
from typing import Any, Protocol

from kimera.clock import Clock
from kimera.telemetry import get_logger

__all__ = ["ANCHOR_EVERY", "Anchor", "AuditEvent", "AuditLog", "AuditReport", "AuditStore", "chained"]

ANCHOR_EVERY = 100
FIRST = "0" * 64
LIMITS = {
    "actor": 160, "role": 64, "action": 64, "tool": 160, "args_hash": 80, "decision": 32, "rule": 64, "policy": 64,
    "subject": 160, "request_id": 64,
}  # fmt: skip

log = get_logger("guardian")


@dataclass(frozen=True)
class AuditEvent:
    """One decision, in ids, codes and hashes; never a prompt, an argument or a value."""

    actor: str
    role: str
    action: str
    decision: str
    tool: str = ""
    args_hash: str = ""
    rule: str = ""
    policy: str = ""
    subject: str = ""
    request_id: str = ""


@dataclass(frozen=True)
class Anchor:
    """A place of the chain that was noted elsewhere."""

    seq: int
    hash: str


@dataclass(frozen=True)
class AuditReport:
    """Whether the chain holds; ``first_bad`` is the number of the first row changed, missing or out of place.

    ``last`` is the last row that holds: noted elsewhere, it is the anchor of a later look.
    """

    ok: bool
    count: int
    first_bad: int | None = None
    last: Anchor | None = None


class AuditStore(Protocol):
    """Where the chain is kept. Appending is atomic over all processes: no number is given twice."""

    @property
    def clock(self) -> Clock:
        """Return the clock of the rows."""

    def append(self, make: Callable[[int, str], dict[str, Any]]) -> dict[str, Any]:
        """Store what ``make`` returns for the next number and the last hash ("" for none), and return it."""

    def rows(self) -> Iterable[dict[str, Any]]:
        """Yield every row by number."""


class AuditLog:
    """The chain: `append` adds to it, `verify` reads it from the beginning. Safe to share between threads."""

    def __init__(self, store: AuditStore) -> None:
        self.store = store
        self._turn = Lock()

    def append(self, event: AuditEvent) -> Anchor:
        """Record an event and return its place; texts longer than their column are cut. Raises `StorageError`."""
        with self._turn:  # threads of one process wait here rather than on the database's lock
            row = self.store.append(lambda seq, previous: self.row(event, seq, previous))
        if row["seq"] % ANCHOR_EVERY == 0:
            log.info("guardian.audit_anchor", seq=row["seq"], chain=row["hash"])
        return Anchor(row["seq"], row["hash"])

    def row(self, event: AuditEvent, seq: int, previous: str) -> dict[str, Any]:
        """Return the row of an event at its place in the chain."""
        at = self.store.clock.now().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {name: _clean(value, LIMITS[name]) for name, value in asdict(event).items()}
        return chained({"seq": seq, "at": at, **fields}, previous)

    def verify(self, anchor: Anchor | None = None) -> AuditReport:
        """Return whether every row follows from the one before and the anchored place is as it was noted."""
        previous, count = FIRST, 0
        for row in self.store.rows():
            expected = count + 1
            rest = {name: value for name, value in row.items() if name != "hash"}
            if row["seq"] != expected or row["hash"] != chained(rest, previous)["hash"]:
                return AuditReport(False, count, expected)
            if anchor is not None and anchor.seq == expected and anchor.hash != row["hash"]:
                return AuditReport(False, count, expected)
            previous, count = row["hash"], expected
        last = Anchor(count, previous) if count else None
        if anchor is not None and anchor.seq > count:
            return AuditReport(False, count, count + 1, last)
        return AuditReport(True, count, None, last)


def chained(row: dict[str, Any], previous: str) -> dict[str, Any]:
    """Return ``row`` with the hash that binds it to the row before."""
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return row | {"hash": hashlib.sha256(f"{previous or FIRST}{text}".encode()).hexdigest()}


def _clean(text: str, limit: int) -> str:
    """Return what both databases store unchanged: no NUL, no half of a pair, at most ``limit`` characters."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")[:limit]
