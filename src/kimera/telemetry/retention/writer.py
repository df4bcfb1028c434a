"""The thread that carries records from the ring to the store: the work never waits for it and never fails with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from kimera.telemetry.recording.context import process_id, utc
from kimera.telemetry.recording.metrics import metric, own_cost
from kimera.telemetry.retention.ring import Entry, Ring
from kimera.telemetry.retention.store import KEPT_SECONDS, LogRecord, SpanRecord, TelemetryStore

__all__ = ["Writer"]

FLUSH_SECONDS = 1.0
FLUSH_RECORDS = 256
LINGER_SECONDS = 0.02
"""An urgent record waits this long for its neighbours, so that a burst is one transaction."""
PRUNE_SECONDS = 600.0
CLOSE_SECONDS = 2.0

FLUSHED = metric("kimera_telemetry_flush_duration_seconds").bind(sink="store")


class Writer:
    """Writes what waits in ``ring`` once a second, at 256 records, or soon after an urgent one.

    ``failures`` counts writes that did not succeed, ``cause`` names the last one's error; what was not written waits
    in the ring, and what still waits at the end counts as dropped.
    """

    def __init__(self, ring: Ring, store: TelemetryStore, now: Callable[[], float] = time.time) -> None:
        self.ring, self.store, self.now = ring, store, now
        self.failures = 0
        self.cause = ""
        self._wake = threading.Event()
        self._over = threading.Event()
        self._flushing = threading.Lock()
        self._pruned = float("-inf")
        self._told = (0, ring.dropped)  # failures and drops that the store has been told of
        self._thread = threading.Thread(target=self._run, name="kimera-telemetry", daemon=True)
        self._thread.start()

    def told(self, waiting: int, urgent: bool) -> None:
        """Note that a record came; wakes the thread when it is time."""
        if (urgent or waiting >= FLUSH_RECORDS) and not self._wake.is_set():
            self._wake.set()

    def flush(self) -> bool:
        """Write everything that waits, in the calling thread; False when the store refused."""
        with self._flushing:
            entries = self.ring.take()
            return not entries or self._write(entries)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write the rest, waiting at most ``seconds``; what is left then counts as dropped."""
        self._over.set()
        self._wake.set()
        self._thread.join(seconds)
        self.ring.dropped += len(self.ring.take())

    def _write(self, entries: list[Entry]) -> bool:
        records = [record for _, record in entries]
        logs = [record for record in records if isinstance(record, LogRecord)]
        # of a span that began and ended since the last write only the end is written
        spans = {record.span_id: record for record in records if isinstance(record, SpanRecord)}
        try:
            with own_cost(), FLUSHED.time():
                self.store.write(logs, list(spans.values()))
        except Exception as error:  # noqa: BLE001 - telemetry may fail, the work must not notice; counted
            self.failures += 1
            self.cause = type(error).__name__
            self.ring.give_back(entries)
            return False
        self._tell()
        self.cause = ""
        return True

    def _tell(self) -> None:
        """Say in the store itself what it missed, once it takes records again."""
        failures, dropped = self.failures - self._told[0], self.ring.dropped - self._told[1]
        if not failures and not dropped:
            return
        self._told = (self.failures, self.ring.dropped)
        at = self.now()
        body = {"ts": utc(at), "level": "WARN", "event": "telemetry.dropped" if dropped else "telemetry.delayed"}
        body |= {"logger": "telemetry", "request_id": process_id(), "cause": self.cause or "RingFull"}
        facts = {"records": dropped, "failures": failures}
        self.ring.put(LogRecord(at, "WARN", body["event"], body["request_id"], None, body | facts))

    def _run(self) -> None:
        while not self._over.is_set():
            if self._wake.wait(FLUSH_SECONDS) and not self._over.is_set():
                self._over.wait(LINGER_SECONDS)
            self._wake.clear()
            if self.flush() and not self._over.is_set():
                self._prune()
            elif self.failures and self.cause:
                self._over.wait(FLUSH_SECONDS)
        # the second time for what the first had to say about losses
        if self.flush():
            self.flush()

    def _prune(self) -> None:
        if time.monotonic() - self._pruned < PRUNE_SECONDS:
            return
        try:
            gone = self.store.prune(self.now() - KEPT_SECONDS)
        except Exception:  # noqa: BLE001 - what is too old stays until the store answers again
            gone = 0
        # a full batch means there is more: go on at the next flush
        if gone == 0:
            self._pruned = time.monotonic()
