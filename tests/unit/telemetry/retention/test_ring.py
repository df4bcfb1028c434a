"""The ring and the writer: bounded, in order, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kimera.telemetry import LogRecord, MemoryStore, SpanRecord
from kimera.telemetry.retention.ring import Record, Ring
from kimera.telemetry.retention.writer import Writer


def line(level: str, number: int) -> LogRecord:
    """Return a log record."""
    return LogRecord(float(number), level, f"room.e{number}", "r1", "m1", {"n": number})


@given(st.lists(st.sampled_from(["DEBUG", "INFO", "WARN", "ERROR"]), max_size=60), st.integers(1, 20))
def test_what_matters_least_goes_first(levels: list[str], capacity: int) -> None:
    """Promise: never more than the capacity; DEBUG before INFO before the rest, oldest first; order is kept."""
    ring = Ring(capacity)
    for number, level in enumerate(levels):
        ring.put(line(level, number))
    kept = [record for _, record in ring.take()]
    assert min(len(levels), capacity) == len(kept)
    assert len(levels) - len(kept) == ring.dropped
    numbers = [int(record.at) for record in kept if isinstance(record, LogRecord)]
    assert all(a < b for a, b in pairwise(numbers))
    if any(levels[n] == "DEBUG" for n in numbers):
        important = sum(level not in {"DEBUG", "INFO"} for level in levels)
        assert important == sum(levels[n] in {"WARN", "ERROR"} for n in numbers)


class Stubborn(MemoryStore):
    """A store that refuses until it is mended."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = True
        self.asked = threading.Event()

    def write(self, logs: Sequence[LogRecord], spans: Sequence[SpanRecord]) -> None:
        """Refuse, or keep."""
        self.asked.set()
        if self.broken:
            raise OSError("disk is full")
        super().write(logs, spans)


def written(store: MemoryStore) -> list[str]:
    """Return the events that the store holds, in its order."""
    return [record.event for record in store.logs("m1")]


def test_what_the_store_refuses_waits_and_is_written_in_order() -> None:
    """Promise: records outlive a store that fails for a while; the failure is counted and named."""
    store, ring = Stubborn(), Ring()
    writer = Writer(ring, store, now=lambda: 0.0)
    ring.put(line("INFO", 1))
    assert not writer.flush()
    assert "OSError" == writer.cause and writer.failures >= 1
    ring.put(line("INFO", 2))
    store.broken = False
    writer.flush()
    writer.close()
    assert ["room.e1", "room.e2"] == written(store)
    assert 0 == ring.dropped
    (said,) = store.logs(None)
    assert ("telemetry.delayed", "OSError", 0) == (said.event, said.body["cause"], said.body["records"])


def test_losses_are_told_in_the_store_once_it_answers() -> None:
    """Promise: what did not fit while the store was away is counted in a line of the store itself."""
    store, ring = Stubborn(), Ring(3)
    writer = Writer(ring, store, now=lambda: 0.0)
    for number in range(5):
        ring.put(line("INFO", number))
    store.broken = False
    writer.flush()
    writer.close()
    assert ["room.e2", "room.e3", "room.e4"] == written(store)
    assert [("telemetry.dropped", 2)] == [(said.event, said.body["records"]) for said in store.logs(None)]


def test_what_cannot_be_written_at_the_end_is_counted() -> None:
    """Promise: closing on a store that refuses ends at once and counts every record as dropped."""
    ring = Ring()
    writer = Writer(ring, Stubborn(), now=lambda: 0.0)
    for number in range(7):
        ring.put(line("INFO", number))
    writer.close(5.0)
    assert (7, 0) == (ring.dropped, len(ring))


def test_an_urgent_record_wakes_the_thread() -> None:
    """Promise: the thread writes an urgent record by itself, without waiting for the second to pass."""
    store, ring = Stubborn(), Ring()
    store.broken = False
    writer = Writer(ring, store, now=lambda: 0.0)
    writer.told(ring.put(line("ERROR", 1)), urgent=True)
    assert store.asked.wait(0.9)
    writer.close()
    assert ["room.e1"] == written(store)


def test_a_span_that_ended_before_it_was_written_is_one_record() -> None:
    """Promise: of a start and an end in the same batch only the end reaches the store."""
    seen: list[Sequence[SpanRecord]] = []

    class Watched(MemoryStore):
        def write(self, logs: Sequence[LogRecord], spans: Sequence[SpanRecord]) -> None:
            seen.append(spans)
            super().write(logs, spans)

    ring = Ring()
    records: list[Record] = [
        SpanRecord("a" * 16, "b" * 32, None, "agent.run", "p", 1.0, mission_id="m1"),
        SpanRecord("a" * 16, "b" * 32, None, "agent.run", "p", 1.0, 2.0, mission_id="m1"),
    ]
    for record in records:
        ring.put(record)
    store = Watched()
    Writer(ring, store, now=lambda: 0.0).close()
    assert [1] == [len(spans) for spans in seen if spans]
    assert [2.0] == [span.ended_at for span in store.spans("m1")]
