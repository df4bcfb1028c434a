"""One memory in one database: reads, writes, learning. Everything that changes state passes through here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kimera.clock import Clock
from kimera.errors import ConflictError, MemoryFault, StorageError
from kimera.memory.contracts import Learned
from kimera.memory.keeping.episodes import Lesson, read_events
from kimera.memory.keeping.log import Head, append, append_next, canonical, head
from kimera.memory.keeping.patterns import check_vectors, enter_all, teach
from kimera.memory.observing.stm import Learnings
from kimera.memory.observing.stm_sql import Lost
from kimera.storage import memory as sql
from kimera.storage.rows import Rows, Statement, Transactions

__all__ = ["MemoryStore"]

T = TypeVar("T")
MANY = 8  # lessons from which on looking all patterns up at once is cheaper


class MemoryStore:
    """The rows of one memory. Raises `MemoryFault` (STORE_UNAVAILABLE) when the database does not answer."""

    def __init__(self, transactions: Transactions, memory: int, uid: str, name: str, tenant: str, clock: Clock) -> None:
        self.transactions = transactions
        self.memory = memory
        self.uid = uid
        self.name = name
        self.tenant = tenant
        self.clock = clock
        self.frozen = False
        self.known_seq = 0  # the highest number seen; others may have written more

    def now(self) -> float:
        """Return seconds since 1970."""
        return self.clock.now().timestamp()

    def read(self, work: Callable[[Rows], T]) -> T:
        """Run ``work`` on one unchanging moment of the database."""
        try:
            return self.transactions.read(work)
        except StorageError as failure:
            raise unavailable(failure) from failure

    def look(self, statement: Statement, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Return every row of one statement."""
        try:
            return self.transactions.look(statement, values)
        except StorageError as failure:
            raise unavailable(failure) from failure

    def write(self, work: Callable[[Rows], T]) -> T:
        """Run ``work`` in one transaction, return once committed; raises `ConflictError` on a view of the past."""
        if self.frozen:
            raise ConflictError(
                "This is the memory as it was; open the memory itself to change it.", error_code="MEMORY_READ_ONLY"
            )
        try:
            return self.transactions.write(work)
        except StorageError as failure:
            raise unavailable(failure) from failure

    def head(self) -> Head:
        """Return where the log ends now."""
        found = self.look(sql.HEAD, {"memory": self.memory})
        last = Head(*found[0]) if found else Head()
        self.known_seq = max(self.known_seq, last.seq)
        return last

    def check_vectors(self, vectors: Mapping[str, tuple[float, ...]]) -> None:
        """Raise `ValidationError` (VECTOR_DIMENSION) unless the vectors fit this memory."""
        if vectors:
            self.read(lambda rows: check_vectors(rows, self.memory, vectors))

    def config(self) -> dict[str, Any]:
        """Return the options kept for this memory."""
        found = self.look(sql.FIND_MEMORY, {"tenant": self.tenant, "name": self.name})
        config: dict[str, Any] = json.loads(found[0][2]) if found else {}
        return config

    def configure(self, config: dict[str, Any]) -> None:
        """Keep these options for this memory."""
        values = {"memory": self.memory, "new_config": canonical(config)}
        self.write(lambda rows: rows.run(sql.CONFIGURE_MEMORY, values).rowcount)

    def learn(self, lessons: Sequence[Lesson], also: Callable[[Rows], bool] | None = None) -> Learnings:
        """Write lessons in one transaction; return after the commit. None when ``also`` said False: nothing is kept.

        A lesson whose unique id was learned before is not applied again; its first answer comes back.
        """
        attempt: list[tuple[Head, list[Learned]]] = []

        def work(rows: Rows) -> list[Learned]:
            if attempt and _stands(rows, self.memory, attempt[-1][0]):
                return attempt[-1][1]  # the commit had succeeded, only its answer was lost
            if also is not None and not also(rows):
                raise Lost("The session went on elsewhere.")
            answers, last = self._teach(rows, lessons)
            attempt.append((last, answers))
            return answers

        try:
            answers = self.write(work)
        except Lost:
            return None
        self.known_seq = max([self.known_seq, *(answer.seq for answer in answers)])
        return answers

    def _teach(self, rows: Rows, lessons: Sequence[Lesson]) -> tuple[list[Learned], Head]:
        if len(lessons) == 1 and lessons[0].entry.unique_id is None and not lessons[0].vectors:
            each = lessons[0]  # nothing about it needs to be looked up under the lock
            item = append_next(rows, self.memory, each.entry)
            frequency = teach(rows, self.memory, item.seq, each)
            answer = Learned(each.id, each.name, item.seq, frequency == 1, frequency, each.length)
            return [answer], Head(item.seq, item.hash)
        last = head(rows, self.memory)
        check_vectors(rows, self.memory, {name: v for each in lessons for name, v in each.vectors.items()})
        fresh = self._fresh(rows, lessons)
        records = append(rows, self.memory, last, [each.entry for each in fresh])
        pairs = [(item.seq, each) for item, each in zip(records, fresh, strict=True)]
        settled = enter_all(rows, self.memory, pairs) if len(pairs) >= MANY else set()
        numbered = iter(pairs)
        seq, taught = next(numbered, (0, None))
        answers = []
        for each in lessons:
            if each is not taught:
                before = self._known(rows, each)
                assert before is not None
                answers.append(before)
                continue
            frequency = 1 if seq in settled else teach(rows, self.memory, seq, each)
            answers.append(Learned(each.id, each.name, seq, frequency == 1, frequency, each.length))
            seq, taught = next(numbered, (0, None))
        return answers, (Head(records[-1].seq, records[-1].hash) if records else last)

    def _fresh(self, rows: Rows, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Return the lessons to write: those without a unique id, and of each new one the first."""
        fresh, names = [], set()
        for each in lessons:
            name = each.entry.unique_id
            if name is None or (name not in names and self._known(rows, each) is None):
                fresh.append(each)
            names.add(name)
        return fresh

    def _known(self, rows: Rows, each: Lesson) -> Learned | None:
        if each.entry.unique_id is None:
            return None
        found = rows.one(sql.LEARN_BY_UNIQUE, {"memory": self.memory, "unique_id": each.entry.unique_id})
        if found is None:
            return None
        seq, pattern = found
        row = rows.one(sql.READ_PATTERN, {"memory": self.memory, "pattern": pattern})
        assert row is not None
        return Learned(pattern, row[1], seq, False, int(row[4]), sum(map(len, read_events(row[2]))))


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn a failure of the database into the room's own error."""
    try:
        yield
    except StorageError as failure:
        raise unavailable(failure) from failure


def unavailable(failure: StorageError) -> MemoryFault:
    """Return the room's own error for a failure of the database."""
    return MemoryFault(
        f"The memory's store did not answer: {failure.message}",
        error_code="STORE_UNAVAILABLE",
        recoverable=failure.recoverable,
        retry_after=failure.retry_after or 1.0,
    )


def _stands(rows: Rows, memory: int, last: Head) -> bool:
    found = rows.one(sql.RECORD_HASH, {"memory": memory, "seq": last.seq})
    return found is not None and found[0] == last.hash
